//! Counting what an operation brings over a bridge.
//!
//! Agents count theirs, so what one operation makes of them is measured: by many of them, done once more without a clock that
//! counts. What processes load and store is counted one by one, which takes its time: few operations, and then more, so
//! that what is done once for all of them is in both, and the rest is theirs.

use crate::crossing::{Agents, Crossing, Processes};
use crate::measure::Outcome;
use crate::ops::Op;
use crate::pair::{Broken, Pair};
use crate::raw::CREDIT;
use std::time::Duration;

/// Has an operation done many times once more, and asks before and after what the agents have done.
///
/// # Errors
/// A pair that breaks; what `agents` says.
pub fn count(
    pair: &mut Pair,
    op: &Op,
    outcome: &Outcome,
    time: Duration,
    mut agents: impl FnMut() -> Result<Agents, Broken>,
) -> Result<Crossing, Broken> {
    let taken = outcome.nanoseconds.median * f64::from(op.ways) * outcome.batch as f64;
    let samples = (time.as_nanos() as f64 / taken.max(1.0)).clamp(20.0, 2000.0) as u64;
    let before = agents()?;
    pair.run(op.name, outcome.bytes, outcome.batch, 0, samples)?;
    let after = agents()?;
    let times = (samples * outcome.batch) as f64 * f64::from(op.ways);
    let agents = Agents {
        loads: (after.loads - before.loads) / times,
        stores: (after.stores - before.stores) / times,
        doorbells: (after.doorbells - before.doorbells) / times,
    };
    Ok(Crossing { agents, processes: processes(pair, op, outcome.bytes)? })
}

/// Loads and stores of the two processes for one operation.
fn processes(pair: &mut Pair, op: &Op, bytes: usize) -> Result<Option<Processes>, Broken> {
    // What a stream of words gives back it does once for so many.
    let few = if op.name == "rate" { CREDIT } else { 2 };
    let Some(once) = pair.count(op.name, bytes, few)? else { return Ok(None) };
    let Some(more) = pair.count(op.name, bytes, 2 * few)? else { return Ok(None) };
    let each = |once: u64, more: u64| (more as f64 - once as f64) / (few as f64 * f64::from(op.ways));
    Ok(Some(Processes { loads: each(once.loads, more.loads), stores: each(once.stores, more.stores) }))
}
