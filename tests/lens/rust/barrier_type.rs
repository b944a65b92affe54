//! Order: a barrier of too narrow a type. As `two_imports`, with a barrier that could order both.
//!
//! A barrier of type NODE is about all stores to the node since it was opened, through whichever import; one of type
//! SEGMENT about those of its own import. The type is the only difference between the two programs.

use crate::scene::{ROOM, Result, Scene, record};
use rsm::BarrierType::{Node, Segment};

const RECORD: u64 = ROOM;
const FLAG: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let (records, flags) = (scene.import_from(2)?, scene.import_from(2)?);
    for n in 1..=scene.rounds {
        let span = flags.open_barrier_of(if scene.good { Node } else { Segment })?;
        let of_records = records.open_barrier_of(Segment)?;
        records.put(RECORD, &record(n))?;
        span.order()?;
        flags.put_u64(FLAG, n)?;
        span.close()?;
        of_records.close()?;
        scene.await_word(ACKNOWLEDGED, n)?;
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    for n in 1..=scene.rounds {
        scene.await_word(FLAG, n)?;
        scene.expect(RECORD, n)?;
        scene.tell(1, ACKNOWLEDGED, n)?;
    }
    Ok(())
}

pub(crate) fn run(scene: &Scene) -> Result<()> {
    match scene.me {
        1 => writer(scene)?,
        _ => reader(scene)?,
    }
    scene.meet()
}
