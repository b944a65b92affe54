//! Sharing: half a structure. Node 1 keeps a structure in node 2's memory up to date; node 2 reads it when it likes.
//!
//! Two words arrive one by one. A reader that does not look at the sequence number before and after, which is odd while the
//! structure changes, reads some of the old one and some of the new.

use crate::scene::{ROOM, Result, Scene, bug, spend};
use std::sync::atomic::Ordering::Acquire;
use std::sync::atomic::fence;

const SEQUENCE: u64 = ROOM;
const ACCOUNT: u64 = ROOM + 64;

/// An account: what was paid and what is spent. The same, so that the reader can tell.
fn account(number: u64) -> Vec<u8> {
    number.to_ne_bytes().repeat(2)
}

fn writer(scene: &Scene) -> Result<()> {
    let board = scene.import_from(2)?;
    for n in 1..=scene.rounds {
        let span = board.open_barrier()?;
        board.put_u64(SEQUENCE, 2 * n - 1)?;
        span.order()?;
        board.put(ACCOUNT, &account(n))?; // SITE
        span.order()?;
        board.put_u64(SEQUENCE, 2 * n)?;
        span.close()?;
        spend(100);
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    let mut spent = 0;
    if scene.good {
        // What is read meanwhile is read again.
        rsm::annotate::benign(&scene.memory(), ACCOUNT, 16)?;
    }
    while spent < scene.rounds {
        spend(20);
        let mut bytes = [0; 16];
        loop {
            let before = scene.look(SEQUENCE)?;
            scene.memory().read(ACCOUNT, &mut bytes)?; // SITE
            fence(Acquire); // keeps the second look behind the copy
            if !scene.good || before % 2 == 0 && scene.look(SEQUENCE)? == before {
                break;
            }
        }
        let number = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| bytes[at + i]));
        let paid = number(0);
        spent = number(8);
        if paid != spent {
            bug!("of {paid} paid {spent} are spent");
        }
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
