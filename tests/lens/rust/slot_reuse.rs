//! Reuse: a slot written over before it was read. A ring of four slots; node 2 tells how many records it has taken.
//!
//! Record n goes where record n - 4 was, so that one has to be taken. With one too many under way all is well for as long as
//! node 2 is never late, and it is late when a close takes its time.

use crate::scene::{RECORD_BYTES, ROOM, Result, Scene, record, spend};

const SLOTS: u64 = 4;
const TAKEN: u64 = ROOM;

fn slot(number: u64) -> u64 {
    ROOM + number % SLOTS * RECORD_BYTES
}

/// Where the number of the record in a slot is.
fn number_of(number: u64) -> u64 {
    ROOM + SLOTS * RECORD_BYTES + 8 * (number % SLOTS)
}

fn writer(scene: &Scene) -> Result<()> {
    let ring = scene.import_from(2)?;
    scene.meet()?;
    for n in 1..=scene.rounds {
        let under_way = if scene.good { SLOTS } else { SLOTS + 1 };
        scene.await_word(TAKEN, n.saturating_sub(under_way))?;
        let span = ring.open_barrier()?;
        ring.put(slot(n), &record(n))?;
        span.order()?;
        ring.put_u64(number_of(n), n)?;
        span.close()?;
        spend(1000); // on the next record
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    let back = scene.import_from(1)?;
    scene.meet()?;
    for n in 1..=scene.rounds {
        scene.await_word(number_of(n), n)?;
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
