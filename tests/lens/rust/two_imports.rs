//! Order: two imports. Node 1 has one import for records and another for flags.
//!
//! A barrier of type SEGMENT is one import's. To order a store of another import behind this one's there is only the close,
//! which says that they have arrived.

use crate::scene::{ROOM, Result, Scene, record};
use rsm::BarrierType;

const RECORD: u64 = ROOM;
const FLAG: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let (records, flags) = (scene.import_from(2)?, scene.import_from(2)?);
    for n in 1..=scene.rounds {
        let of_records = records.open_barrier_of(BarrierType::Segment)?;
        let of_flags = flags.open_barrier_of(BarrierType::Segment)?;
        records.put(RECORD, &record(n))?;
        if scene.good {
            of_records.close()?;
            flags.put_u64(FLAG, n)?;
            of_flags.close()?;
        } else {
            of_flags.order()?;
            flags.put_u64(FLAG, n)?;
            of_flags.close()?;
            of_records.close()?;
        }
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
