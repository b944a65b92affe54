//! Order: handing over. Nodes 1 and 2 write a word of node 3 in turns, and tell each other whose turn it is.
//!
//! What one node is told through one import says nothing of stores through another: node 1's may arrive when node 2 has
//! long written over it, or so node 2 thinks. The turn may be handed over when the close has said that the store is there.

use crate::scene::{ROOM, Result, Scene, bug};

const LATEST: u64 = ROOM;
const TURN: u64 = ROOM;

fn writer(scene: &Scene) -> Result<()> {
    let home = scene.import_from(3)?;
    let other = 3 - scene.me;
    // Node 1 writes the odd numbers, node 2 the even ones.
    for n in (u64::from(scene.me)..=2 * scene.rounds).step_by(2) {
        scene.await_word(TURN, n - 1)?;
        let span = home.open_barrier()?;
        home.put_u64(LATEST, n)?;
        if scene.good {
            span.close()?;
            scene.tell(other, TURN, n)?;
        } else {
            scene.tell(other, TURN, n)?;
            span.close()?;
        }
    }
    Ok(())
}

fn owner(scene: &Scene) -> Result<()> {
    let mut last = 0;
    while last < 2 * scene.rounds {
        let latest = scene.await_change(LATEST, last)?;
        if latest < last {
            bug!("the word went from {last} back to {latest}");
        }
        last = latest;
    }
    Ok(())
}

pub(crate) fn run(scene: &Scene) -> Result<()> {
    match scene.me {
        3 => owner(scene)?,
        _ => writer(scene)?,
    }
    scene.meet()
}
