//! Order: message passing. Node 1 puts a record into node 2's memory, and then a flag that says that it is there.
//!
//! Without a barrier between them nothing keeps the flag behind the record: stores that were posted may arrive in any
//! order, and node 2 finds the flag of this record beside words of the last one.

use crate::scene::{ROOM, Result, Scene, record};

const RECORD: u64 = ROOM;
const FLAG: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        let span = inbox.open_barrier()?;
        inbox.put(RECORD, &record(n))?;
        if scene.good {
            span.order()?;
        }
        inbox.put_u64(FLAG, n)?;
        span.close()?;
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
