//! Sharing: two writers to one box. Nodes 1 and 2 leave messages with node 3, which empties the box after each.
//!
//! To look whether a box is empty and then to write into it is two steps: the other may have looked meanwhile, all the more
//! since neither sees what the other has under way. A box for each writer needs no luck.

use crate::scene::{Dice, PATIENCE, RECORD_BYTES, ROOM, Result, Scene, bug, record, spend};
use std::sync::atomic::Ordering::Release;
use std::time::Instant;

/// What the words of a message are, and what then stands beside it: its number and its writer.
fn word(number: u64, node: u64) -> u64 {
    number * 64 + node
}

fn text(number: u64) -> u64 {
    ROOM + number * 1024
}

fn state(number: u64) -> u64 {
    text(number) + RECORD_BYTES
}

fn writer(scene: &Scene) -> Result<()> {
    let office = scene.import_from(3)?;
    let me = u64::from(scene.me);
    let number = if scene.good { me } else { 1 };
    let mut dice = Dice(me);
    for n in 1..=scene.rounds {
        spend(500 + dice.below(2000));
        while scene.ask(3, state(number))? != 0 {
            spend(500 + dice.below(2000));
        }
        let span = office.open_barrier()?;
        office.put(text(number), &record(word(n, me)))?;
        span.order()?;
        office.put_u64(state(number), word(n, me))?;
        span.close()?;
    }
    Ok(())
}

fn owner(scene: &Scene) -> Result<()> {
    let mut taken = [0; 3];
    let mut deadline = Instant::now() + PATIENCE;
    while taken[1] < scene.rounds || taken[2] < scene.rounds {
        for number in 1..=2 {
            let found = scene.look(state(number))?;
            if found == 0 {
                continue;
            }
            scene.expect(text(number), found)?;
            let from = (found % 64) as usize;
            taken[from] += 1;
            if found != word(taken[from], from as u64) {
                bug!("message {} of node {from} is lost", taken[from]);
            }
            scene.memory().atomic_u64(state(number))?.store(0, Release);
            deadline = Instant::now() + PATIENCE;
        }
        scene.rest(deadline, || format!("for a message: {} and {} have come", taken[1], taken[2]))?;
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
