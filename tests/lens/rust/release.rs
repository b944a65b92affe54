//! Order: a release store. As `mapped`, with a flag that is stored as one passes it between threads.
//!
//! A release store orders what this processor's memory sees. On the other side of an interconnect it is a store like any
//! other: only a barrier orders arrivals, and only a close says that there were any.

use crate::scene::{ROOM, Result, SEGMENT, Scene, WORDS};
use rsm::Permission;
use std::sync::atomic::Ordering::Release;

const RECORD: u64 = ROOM;
const FLAG: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    let map = inbox.map(0, SEGMENT, Permission::ReadWrite)?;
    let flag = map.memory().atomic_u64(FLAG)?;
    for n in 1..=scene.rounds {
        let mut span = map.open_barrier()?;
        for i in 0..WORDS {
            map.memory().write_volatile_u64(RECORD + 8 * i, n)?;
        }
        if scene.good {
            span.close()?;
            span = map.open_barrier()?;
        }
        flag.store(n, Release);
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
