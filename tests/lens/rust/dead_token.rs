//! Failure: the token's holder dies. Node 1 lends a token to nodes 2 and 3 in turns; who has it may count in node 1's
//! memory.
//!
//! Nobody signals on behalf of a node that died, so a wait for it never ends. What tells is the connection: transfers to a
//! segment whose exporter is gone are CONN_ABORTED. So wait in steps, and look whether there is anybody to wait for.

use crate::scene::{ID, PATIENCE, ROOM, Result, Scene, bug, spend};
use rsm::{BarrierMode, Import, Permission};
use std::time::{Duration, Instant};

const HELLO: u64 = ROOM;
const BACK: u64 = ROOM + 512;
const COUNT: u64 = ROOM + 520;
const TOKEN: u64 = ROOM;

/// Lends the token until it is back, or nobody is there to give it back.
fn lend(scene: &Scene, node: u32, worker: &Import, number: u64) -> Result<bool> {
    let deadline = Instant::now() + if scene.good { PATIENCE } else { PATIENCE / 4 };
    if worker.put_u64(TOKEN, number).is_err() || worker.signal().is_err() {
        return Ok(false);
    }
    while scene.look(BACK)? < number {
        let _ = scene.export.wait(Some(Duration::from_millis(20)));
        if scene.good && worker.is_aborted() && scene.look(BACK)? < number {
            return Ok(false);
        }
        if Instant::now() > deadline {
            bug!("node {node} has the token and does not give it back");
        }
    }
    Ok(true)
}

/// Waits for a worker; not for one that dies before it has come.
fn await_worker(scene: &Scene, node: u32) -> Result<Option<Import>> {
    let deadline = Instant::now() + PATIENCE / 2;
    let mut seen = false;
    loop {
        let there = scene.is_there(node)?;
        if scene.look(HELLO + 8 * u64::from(node))? != 0
            && let Ok(worker) = scene.controller.connect(node, ID, Permission::ReadWrite)
        {
            worker.set_mode(BarrierMode::Implicit);
            return Ok(Some(worker));
        }
        if seen && !there || Instant::now() > deadline {
            return Ok(None);
        }
        seen |= there;
        spend(500);
    }
}

fn keeper(scene: &Scene) -> Result<()> {
    let came = [(2, await_worker(scene, 2)?), (3, await_worker(scene, 3)?)];
    let came = came.into_iter().filter_map(|(node, worker)| Some((node, worker?))).collect::<Vec<_>>();
    let mut turns = vec![Some(0); came.len()];
    let (mut number, mut back, mut died) = (0, 0, 0);
    while turns.iter().any(Option::is_some) {
        for ((node, worker), turns) in came.iter().zip(&mut turns) {
            let Some(turn) = *turns else { continue };
            number += 1;
            if lend(scene, *node, worker, number)? {
                back += 1;
                *turns = Some(turn + 1).filter(|&turn| turn < scene.rounds);
            } else {
                died += 1;
                *turns = None;
            }
        }
    }
    let count = scene.look(COUNT)?;
    if !(back..=back + died).contains(&count) {
        bug!("{count} were counted in {back} turns");
    }
    // Their last words are still to be told that they came.
    let deadline = Instant::now() + PATIENCE;
    for (node, worker) in &came {
        while !worker.is_aborted() {
            scene.rest(deadline, || format!("for the end of node {node}"))?;
        }
    }
    Ok(())
}

fn work(scene: &Scene) -> Result<()> {
    scene.tell(1, HELLO + 8 * u64::from(scene.me), 1)?;
    let mut had = 0;
    for _ in 0..scene.rounds {
        while scene.look(TOKEN)? == had {
            scene.await_signal()?;
        }
        had = scene.look(TOKEN)?;
        let count = scene.ask(1, COUNT)?;
        spend(200);
        scene.tell(1, COUNT, count + 1)?;
        scene.tell(1, BACK, had)?;
        scene.signal(1)?;
    }
    Ok(())
}

pub(crate) fn run(scene: &Scene) -> Result<()> {
    if scene.me == 1 { keeper(scene) } else { work(scene) }
}
