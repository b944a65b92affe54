//! Sharing: both enter. Each node says that it wants to enter, and does unless the other has said so.
//!
//! The store is under way while the load is answered: each node looks before the other's word has come. No model forbids it,
//! nor does a processor with a store buffer. The load has to wait for the close.

use crate::scene::{ROOM, Result, Scene, bug, spend};

const READY: u64 = ROOM;
const WANTS: u64 = ROOM + 64;
const ENTERED: u64 = ROOM + 128;

pub(crate) fn run(scene: &Scene) -> Result<()> {
    let other = 3 - scene.me;
    let door = scene.import_from(other)?;
    for n in 1..=scene.rounds {
        scene.tell(other, READY, n)?;
        scene.await_word(READY, n)?;
        if scene.me == 2 {
            spend(1);
        }
        let span = door.open_barrier()?;
        door.put_u64(WANTS, n)?;
        let entered;
        if scene.good {
            span.close()?;
            entered = scene.look(WANTS)? < n;
        } else {
            entered = scene.look(WANTS)? < n;
            span.close()?;
        }
        scene.tell(other, ENTERED, 2 * n + u64::from(entered))?;
        scene.await_word(ENTERED, 2 * n)?;
        if entered && scene.look(ENTERED)? == 2 * n + 1 {
            bug!("both nodes are inside, in round {n}");
        }
    }
    scene.meet()
}
