//! Order: the last word is the flag. A record carries its number in its last word, and node 2 polls that.
//!
//! A put is not a store: it is taken apart and may arrive in any order of its parts, its end before its beginning.

use crate::scene::{RECORD_BYTES, ROOM, Result, Scene, record};

const RECORD: u64 = ROOM;
const LAST: u64 = RECORD + RECORD_BYTES - 8;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        let record = record(n);
        let span = inbox.open_barrier()?;
        if scene.good {
            inbox.put(RECORD, &record[..record.len() - 8])?;
            span.order()?;
            inbox.put_u64(LAST, n)?;
        } else {
            inbox.put(RECORD, &record)?;
        }
        span.close()?;
        scene.await_word(ACKNOWLEDGED, n)?;
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    for n in 1..=scene.rounds {
        scene.await_word(LAST, n)?;
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
