//! Signals: posted before the close. Node 1 puts a record and signals node 2 that it is there.
//!
//! A signal goes its own way: it may be there before what was put and not closed. Close, look at what it says, then post.
//!
//! That a wake may mean nothing is the matter of `stale_wake`. Here node 2 asks whether node 1 has posted for this record.

use crate::scene::{ROOM, Result, Scene, record};
use rsm::Import;
use std::sync::atomic::Ordering::Release;

const RECORD: u64 = ROOM;
const POSTED: u64 = ROOM;
const ACKNOWLEDGED: u64 = ROOM + 64;

fn post(scene: &Scene, inbox: &Import, number: u64) -> Result<()> {
    scene.memory().atomic_u64(POSTED)?.store(number, Release);
    Ok(inbox.signal()?)
}

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        let span = inbox.open_barrier()?;
        inbox.put(RECORD, &record(n))?;
        if scene.good {
            span.close()?;
            post(scene, &inbox, n)?;
        } else {
            post(scene, &inbox, n)?;
            span.close()?;
        }
        scene.await_word(ACKNOWLEDGED, n)?;
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    for n in 1..=scene.rounds {
        scene.await_signal()?;
        while scene.ask(1, POSTED)? < n {
            scene.await_signal()?;
        }
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
