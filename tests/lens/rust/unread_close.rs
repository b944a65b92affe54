//! Failure: the result of a close not looked at. Node 1 puts a record and tells node 2 that it is there.
//!
//! BARRIER_FAILURE says that the link had an error while the span was open: some of its stores may not have happened, and
//! which is not known. The span is to be done again, from its opening.

use crate::scene::{ROOM, Result, Scene, record};
use rsm::{Code, Import};

const RECORD: u64 = ROOM;
const READY: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;

fn put_record(inbox: &Import, number: u64) -> rsm::Result<()> {
    let span = inbox.open_barrier()?;
    inbox.put(RECORD, &record(number))?;
    span.close()
}

fn writer(scene: &Scene) -> Result<()> {
    let inbox = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        while let Err(error) = put_record(&inbox, n) {
            if !scene.good {
                break;
            }
            if error.code() != Code::BarrierFailure {
                return Err(error.into());
            }
        }
        scene.tell(2, READY, n)?;
        scene.await_word(ACKNOWLEDGED, n)?;
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    for n in 1..=scene.rounds {
        scene.await_word(READY, n)?;
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
