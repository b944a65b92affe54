//! Order: read back. Node 1 puts a record, gets its words back until they are the new ones, and takes that for their
//! arrival.
//!
//! Where a load pushes the stores before it that is so: PCIe is built like this. RSMAPI does not promise it: a load may be
//! answered by what is still on its way. A barrier orders everywhere.

use crate::scene::{ROOM, Result, Scene, WORDS, record};
use rsm::Import;

const RECORD: u64 = ROOM;
const FLAG: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn came_back(inbox: &Import, number: u64) -> Result<bool> {
    let mut words = [0; WORDS as usize];
    inbox.get_u64s(RECORD, &mut words)?;
    Ok(words.iter().all(|&word| word == number))
}

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        let span = inbox.open_barrier()?;
        inbox.put(RECORD, &record(n))?;
        if scene.good {
            span.order()?;
        } else {
            while !came_back(&inbox, n)? {}
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
