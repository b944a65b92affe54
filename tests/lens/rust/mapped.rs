//! Order: message passing by mapped stores. As `message`, but through a mapping: a record, and a flag behind it.
//!
//! What makes a mapping fast is that stores through it are combined and posted. Neither the order of the statements nor a
//! volatile access is an order of their arrival; an order barrier is.

use crate::scene::{ROOM, Result, SEGMENT, Scene, WORDS};
use rsm::Permission;

const RECORD: u64 = ROOM;
const FLAG: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    let map = inbox.map(0, SEGMENT, Permission::ReadWrite)?;
    for n in 1..=scene.rounds {
        let span = map.open_barrier()?;
        for i in 0..WORDS {
            map.memory().write_volatile_u64(RECORD + 8 * i, n)?;
        }
        if scene.good {
            span.order()?;
        }
        map.memory().write_volatile_u64(FLAG, n)?;
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
