//! Signals: a wake that means nothing. Node 2 sleeps until node 1 has put a record.
//!
//! A wait may end without the signal one thinks of: by one that was posted for something else, by one that is left from
//! before, or by nothing. What has happened, memory says.

use crate::scene::{ROOM, Result, Scene, record, spend};

const RECORD: u64 = ROOM;
const NUMBER: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        spend(100);
        let span = inbox.open_barrier()?;
        inbox.put(RECORD, &record(n))?;
        span.order()?;
        inbox.put_u64(NUMBER, n)?;
        span.close()?;
        inbox.signal()?;
        scene.await_word(ACKNOWLEDGED, n)?;
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    for n in 1..=scene.rounds {
        scene.await_signal()?;
        while scene.good && scene.look(NUMBER)? < n {
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
