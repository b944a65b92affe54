//! Failure: a mapping used after its connection was cut. Node 1 stores records through a mapping of node 2's segment.
//!
//! It puts their numbers, too. CONN_ABORTED says that node 2's segment was taken back. Node 2 publishes it again and node 1
//! connects again; but a mapping is its connection's. The old one stays where it is, stores through it go nowhere, and the
//! spans of the new connection know nothing of them.

use crate::scene::{Failure, ID, PATIENCE, ROOM, Result, SEGMENT, Scene, WORDS, spend};
use rsm::{Code, Import, Mapping, Permission};
use std::time::Instant;

const RECORD: u64 = ROOM;
const NUMBER: u64 = ROOM + 512;
const READY: u64 = ROOM + 1024;
const ACKNOWLEDGED: u64 = ROOM;
const LEAVE: u64 = ROOM + 1032;

fn tell_at_last(scene: &Scene, node: u32, offset: u64, value: u64) -> Result<()> {
    loop {
        match scene.tell(node, offset, value) {
            Err(Failure::Call(error)) if error.code() == Code::ConnAborted => scene.turn_away(node),
            told => return told,
        }
    }
}

fn map(inbox: &Import) -> rsm::Result<Mapping> {
    inbox.map(0, SEGMENT, Permission::ReadWrite)
}

fn store(inbox: &Import, map: &Mapping, number: u64) -> rsm::Result<()> {
    let span = inbox.open_barrier()?;
    for i in 0..WORDS {
        map.memory().write_volatile_u64(RECORD + 8 * i, number)?;
    }
    inbox.put_u64(NUMBER, number)?;
    span.close()
}

/// Connects, and maps what it has connected to.
fn reach(scene: &Scene) -> Result<(Import, Mapping)> {
    loop {
        let inbox = scene.import_from(2)?;
        match map(&inbox) {
            // Cut already: there will be another connection.
            Err(error) if error.code() == Code::ConnAborted => {}
            mapped => return Ok((inbox, mapped?)),
        }
    }
}

fn writer(scene: &Scene) -> Result<()> {
    let (mut inbox, mut map) = reach(scene)?;
    for n in 1..=scene.rounds {
        while let Err(error) = store(&inbox, &map, n) {
            match error.code() {
                Code::BarrierFailure => {}
                Code::ConnAborted if scene.good => (inbox, map) = reach(scene)?,
                Code::ConnAborted => inbox = scene.import_from(2)?,
                _ => return Err(error.into()),
            }
        }
        tell_at_last(scene, 2, READY, n)?;
        scene.await_word(ACKNOWLEDGED, n)?;
    }
    dismiss(scene)
}

/// Tells node 2 that it may end, until it has. This node's segment has to be there for as long.
fn dismiss(scene: &Scene) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while scene.is_there(2)? {
        if let Ok(inbox) = scene.controller.connect(2, ID, Permission::Write) {
            let _ = inbox.put_u64(LEAVE, 1);
        }
        scene.rest(deadline, || "for the end of node 2".to_owned())?;
        spend(1000);
    }
    Ok(())
}

fn reader(scene: &Scene) -> Result<()> {
    for n in 1..=scene.rounds {
        scene.await_word(READY, n)?;
        scene.expect(RECORD, n)?;
        tell_at_last(scene, 1, ACKNOWLEDGED, n)?;
    }
    scene.await_word(LEAVE, 1)
}

pub(crate) fn run(scene: &Scene) -> Result<()> {
    // Whoever may disturb a cluster may take segments back. This has the own one published all the same.
    scene.renews.set(true);
    if scene.me == 1 { writer(scene) } else { reader(scene) }
}
