//! Reuse: acknowledged before it was read. Node 2 tells node 1 that it has taken a record, and then copies it.
//!
//! The acknowledgement may be there long before its close returns, and the next record over this one. What one
//! acknowledges one has no right to any more.

use crate::scene::{ROOM, Result, Scene, record, spend};
use rsm::Import;

const RECORD: u64 = ROOM;
const NUMBER: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        scene.await_word(ACKNOWLEDGED, n - 1)?;
        spend(50);
        let span = inbox.open_barrier()?;
        inbox.put(RECORD, &record(n))?;
        span.order()?;
        inbox.put_u64(NUMBER, n)?;
        span.close()?;
    }
    Ok(())
}

fn acknowledge(back: &Import, number: u64) -> Result<()> {
    let span = back.open_barrier()?;
    back.put_u64(ACKNOWLEDGED, number)?;
    Ok(span.close()?)
}

fn reader(scene: &Scene) -> Result<()> {
    let back = scene.import_from(1)?;
    for n in 1..=scene.rounds {
        scene.await_word(NUMBER, n)?;
        if scene.good {
            scene.expect(RECORD, n)?;
            acknowledge(&back, n)?;
        } else {
            acknowledge(&back, n)?;
            scene.expect(RECORD, n)?;
        }
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
