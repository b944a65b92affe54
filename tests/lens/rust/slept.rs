//! Signals: a wait left out. Node 1 asks node 2 for a square, and sleeps for as long as the answer always took.
//!
//! Nothing says how long a store or a signal is under way. A time that is long enough on one machine is a bug on another.

use crate::scene::{ROOM, Result, Scene, bug, spend};
use rsm::Import;

const QUESTION: u64 = ROOM;
const ANSWER: u64 = ROOM + 8;
const NUMBER: u64 = ROOM + 16;

/// Puts two words of which the second says that the first is there, and signals.
fn send(to: &Import, offset: u64, word: u64, number: u64) -> Result<()> {
    let span = to.open_barrier()?;
    to.put_u64(offset, word)?;
    span.order()?;
    to.put_u64(NUMBER, number)?;
    span.close()?;
    Ok(to.signal()?)
}

/// Waits until the words with a number are there.
fn receive(scene: &Scene, number: u64) -> Result<()> {
    while scene.look(NUMBER)? < number {
        scene.await_signal()?;
    }
    Ok(())
}

fn client(scene: &Scene) -> Result<()> {
    let server = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        send(&server, QUESTION, n, n)?;
        match scene.good {
            true => receive(scene, n)?,
            false => spend(6000),
        }
        match scene.look(ANSWER)? {
            answer if answer == n * n => {}
            answer => bug!("the square of {n} is not {answer}"),
        }
    }
    Ok(())
}

fn serve(scene: &Scene) -> Result<()> {
    let client = scene.import_from(1)?;
    for n in 1..=scene.rounds {
        receive(scene, n)?;
        let question = scene.look(QUESTION)?;
        send(&client, ANSWER, question * question, n)?;
    }
    Ok(())
}

pub(crate) fn run(scene: &Scene) -> Result<()> {
    match scene.me {
        1 => client(scene)?,
        _ => serve(scene)?,
    }
    scene.meet()
}
