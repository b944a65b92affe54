//! Counting what an operation brings over a bridge.
//!
//! Agents count theirs, so what one operation makes of them is measured: by many of them, done once more without a clock that
//! counts.

use crate::crossing::{Agents, Crossing, processes};
use crate::measure::Outcome;
use crate::ops::Op;
use crate::pair::{Broken, Pair};
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
    Ok(Crossing { agents, processes: processes(op, outcome.bytes) })
}
