//! A program for clusters and its tests, which `docs/testing-with-faults.md` explains: every node sends node 1 a number, and
//! nobody leaves before all numbers are there. `gather.c` is the same in C, `test_gather.py` in Python.

use rsm::{AccessList, Code, Controller, Error, Import, Permission, Result, SegmentId};
use rsm_run::{on_nodes, seeds};
use std::time::{Duration, Instant};

const BOARD: SegmentId = SegmentId::new(0x40_0000);
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(100);

/// Where on the board a node's number is, and whether it is about to leave.
fn slots(node: u32) -> (u64, u64) {
    (8 * u64::from(node), 512 + 8 * u64::from(node))
}

/// Gathers numbers; what they are, by node.
fn gather(shm: &Controller, nodes: u32) -> Result<Vec<u64>> {
    let board = shm.export(65536)?;
    board.publish(BOARD, &AccessList::everyone())?;
    let all = |slot: fn(u32) -> u64| -> Result<Vec<u64>> {
        (2..=nodes).map(|node| board.memory().read_volatile_u64(slot(node))).collect()
    };
    let end = Instant::now() + PATIENCE;
    while all(|node| slots(node).1)?.contains(&0) {
        if Instant::now() > end {
            return Err(Error::with(Code::Timeout, "too few numbers"));
        }
        // Again and again: who died and came back has not heard it.
        if !all(|node| slots(node).0)?.contains(&0) {
            board.signal()?;
        }
        match board.wait(Some(AGAIN)) {
            Err(error) if error.code() != Code::Timeout => return Err(error),
            _ => {}
        }
    }
    all(|node| slots(node).0)
}

/// Puts a number, until it has arrived or the connection is lost.
fn put(board: &Import, slot: u64, number: u64) -> Result<()> {
    loop {
        match board.put_u64(slot, number) {
            Err(error) if error.code() == Code::BarrierFailure => {}
            done => return done,
        }
    }
}

/// Sends node 1 a number, and leaves when it has all; again when the connection is lost.
fn send(shm: &Controller, number: u64) -> Result<()> {
    let (number_slot, leaving_slot) = slots(shm.node().id());
    let end = Instant::now() + PATIENCE;
    // Node 1 has: it stays until it has seen that everybody is about to leave.
    let mut has_all = false;
    loop {
        let board = match has_all {
            true => shm.connect(1, BOARD, Permission::ReadWrite),
            false => shm.connect_within(1, BOARD, Permission::ReadWrite, PATIENCE),
        };
        let sent = board.and_then(|board| {
            put(&board, number_slot, number)?;
            board.signal()?;
            board.wait(Some(PATIENCE))?;
            has_all = true;
            put(&board, leaving_slot, 1)?;
            board.signal()
        });
        match sent {
            // It has left, so it has seen it: what is lost is only the answer.
            Err(error) if error.code() == Code::SegNotPublished && has_all => return Ok(()),
            Err(error) if is_passing(&error) && Instant::now() < end => std::thread::sleep(AGAIN / 10),
            done => return done,
        }
    }
}

/// Whether it may go better another time.
fn is_passing(error: &Error) -> bool {
    matches!(error.code(), Code::ConnAborted | Code::RemoteNodeUnreachable)
}

fn program(shm: &Controller) -> Result<()> {
    let (me, nodes) = (shm.node().id(), shm.node().node_count());
    if me > 1 {
        return send(shm, 10 * u64::from(me));
    }
    assert_eq!(gather(shm, nodes)?, (2..=nodes).map(|node| 10 * u64::from(node)).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn gathers() {
    on_nodes!([1, 2, 4], timeout = 60, |node| program(&node.controller("shm0")?));
}

#[test]
fn gathers_whatever_is_late() {
    seeds(0..3, |seed| {
        on_nodes!(3, timeout = 60, chaos = seed, |node| program(&node.controller("shm0")?));
    });
}

#[test]
fn survives_faults() {
    // Node 3 cannot send anything before its link is up, so nobody leaves before the end of this.
    on_nodes!(3, timeout = 60, script = include_str!("faults.txt"), |node| program(&node.controller("shm0")?));
}
