//! Signals: two that merge. Node 1 puts records and posts a signal for each, unless one is pending; node 2 takes them.
//!
//! Posted without accumulating, a signal says that there is something, not how much. Who takes one record for each signal
//! is left with records for which no signal will ever come. Count what is there.

use crate::scene::{RECORD_BYTES, ROOM, Result, Scene, bug, record, spend};
use std::time::Duration;

const SLOTS: u64 = 3;
const WRITTEN: u64 = ROOM + SLOTS * RECORD_BYTES;
const TAKEN: u64 = ROOM;

fn slot(number: u64) -> u64 {
    ROOM + number % SLOTS * RECORD_BYTES
}

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        scene.await_word(TAKEN, n.saturating_sub(SLOTS))?;
        let span = inbox.open_barrier()?;
        inbox.put(slot(n), &record(n))?;
        span.order()?;
        inbox.put_u64(WRITTEN, n)?;
        span.close()?;
        inbox.signal_no_accumulate()?;
        spend(2500);
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    let back = scene.import_from(1)?;
    for n in 1..=scene.rounds {
        if scene.good {
            while scene.look(WRITTEN)? < n {
                scene.await_signal()?;
            }
        } else if scene.export.wait(Some(Duration::from_millis(500))).is_err() {
            bug!("{} records were written, and {} signals came", scene.look(WRITTEN)?, n - 1);
        }
        scene.expect(slot(n), n)?;
        let span = back.open_barrier()?;
        back.put_u64(TAKEN, n)?;
        span.close()?;
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
