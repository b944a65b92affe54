//! Sharing: an increment made of get and put. Nodes 1 and 2 count into node 3's memory.
//!
//! Between the get and the arrival of the put the other node gets the same number, and one count is lost. Each node has a
//! word of its own, and node 3 adds.

use crate::scene::{Dice, ROOM, Result, Scene, bug, spend};

const COUNT: u64 = ROOM;
const DONE: u64 = ROOM + 1024;

fn worker(scene: &Scene) -> Result<()> {
    let board = scene.import_from(3)?;
    let me = u64::from(scene.me);
    let place = COUNT + 8 * if scene.good { me } else { 1 };
    let mut dice = Dice(me);
    for _ in 0..scene.rounds {
        spend(500 + dice.below(2000));
        let span = board.open_barrier()?;
        let count = board.get_u64(place)?;
        board.put_u64(place, count + 1)?;
        span.close()?;
    }
    scene.tell(3, DONE + 8 * me, 1)
}

fn owner(scene: &Scene) -> Result<()> {
    scene.await_word(DONE + 8, 1)?;
    scene.await_word(DONE + 16, 1)?;
    let count = scene.look(COUNT + 8)? + scene.look(COUNT + 16)?;
    if count != 2 * scene.rounds {
        bug!("{count} were counted of {}", 2 * scene.rounds);
    }
    Ok(())
}

pub(crate) fn run(scene: &Scene) -> Result<()> {
    match scene.me {
        3 => owner(scene)?,
        _ => worker(scene)?,
    }
    scene.meet()
}
