//! `halo`: a ring of nodes that smooth a field together. `docs/second-program.md` explains it; `halo.c` and
//! `python/examples/halo.py` are the same in C and Python, and nodes of all three can be neighbours.
//!
//! ```text
//! rsm-ctl run -n 4 --example halo
//! ```
//!
//! Each node owns a part of the field and has a value of each neighbour's beside it, its halo. What one node alone would
//! compute comes out, whatever the number of nodes.

use rsm::{AccessList, BarrierMode, Code, Controller, Export, Import, Permission, Result, SegmentId};
use std::process::ExitCode;
use std::time::Duration;

/// Of each node.
const CELLS: usize = 32;
const STEPS: u64 = 50;
/// One segment for each side, so that each has signals of its own.
const FROM_LEFT: SegmentId = SegmentId::new(0x40_0000);
const FROM_RIGHT: SegmentId = SegmentId::new(0x40_0001);
/// A multiple of any page size Linux knows.
const LENGTH: usize = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match halo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("halo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn halo() -> Result<()> {
    let shm = Controller::open("shm0")?;
    let (me, nodes) = (shm.node().id(), shm.node().node_count());
    let (left, right) = ((me + nodes - 2) % nodes + 1, me % nodes + 1);

    // What neighbours put, and where we put: our leftmost value is what the left neighbour has from its right.
    let (from_left, from_right) = (inbox(&shm, FROM_LEFT)?, inbox(&shm, FROM_RIGHT)?);
    let (to_left, to_right) = (outbox(&shm, left, FROM_RIGHT)?, outbox(&shm, right, FROM_LEFT)?);

    let first = CELLS * (me as usize - 1);
    let mut cells: Vec<f64> = (first..first + CELLS).map(start).collect();
    for number in 0..STEPS {
        // Two slots, for even and odd steps: a neighbour may be a step ahead, and no more, for it needs our value of this
        // step for its next.
        let slot = 8 * (number % 2);
        send(&to_left, slot, cells[0])?;
        send(&to_right, slot, cells[CELLS - 1])?;
        let halo = (receive(&from_left, slot)?, receive(&from_right, slot)?);
        cells = step(halo.0, &cells, halo.1);
    }
    if cells[..] != alone(CELLS * nodes as usize)[first..first + CELLS] {
        eprintln!("halo: node {me}: not what one node alone computes");
        std::process::exit(1);
    }

    // How to end: let go of what is others', then wait until nobody needs what is ours.
    to_left.disconnect()?;
    to_right.disconnect()?;
    for inbox in [from_left, from_right] {
        match inbox.wait_while_imported(Some(PATIENCE)) {
            Err(error) if error.code() == Code::SegNotConnected => {}
            other => other?,
        }
    }
    println!("node {me}: {CELLS} cells after {STEPS} steps, sum {:.6}", cells.iter().sum::<f64>());
    Ok(())
}

fn inbox(shm: &Controller, id: SegmentId) -> Result<Export> {
    let inbox = shm.export(LENGTH)?;
    inbox.publish(id, &AccessList::everyone())?;
    Ok(inbox)
}

fn outbox(shm: &Controller, node: u32, id: SegmentId) -> Result<Import> {
    let outbox = shm.connect_within(node, id, Permission::Write, PATIENCE)?;
    outbox.set_mode(BarrierMode::Explicit);
    Ok(outbox)
}

/// Puts a value, sees that it has arrived, and says so.
fn send(to: &Import, slot: u64, value: f64) -> Result<()> {
    let span = to.open_barrier()?;
    to.put_u64(slot, value.to_bits())?;
    span.close()?;
    to.signal()
}

/// What was put before a signal is visible to whoever takes the signal.
fn receive(from: &Export, slot: u64) -> Result<f64> {
    from.wait(Some(PATIENCE))?;
    Ok(f64::from_bits(from.memory().read_volatile_u64(slot)?))
}

fn start(cell: usize) -> f64 {
    (cell * cell % 17) as f64
}

fn step(left: f64, cells: &[f64], right: f64) -> Vec<f64> {
    let row: Vec<f64> = [&[left], cells, &[right]].concat();
    row.windows(3).map(|three| (three[0] + 2.0 * three[1] + three[2]) / 4.0).collect()
}

/// What the field is in the end, computed without anybody else.
fn alone(count: usize) -> Vec<f64> {
    let mut cells: Vec<f64> = (0..count).map(start).collect();
    for _ in 0..STEPS {
        cells = step(cells[count - 1], &cells, cells[0]);
    }
    cells
}
