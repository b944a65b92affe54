//! How long to spin before sleeping.
//!
//! A peer that answers within a few microseconds is met spinning, at a fraction of the price of two context switches.
//! Spinning helps nobody when there are more processes than processors: the peer may need the very processor that
//! spins.

use std::sync::OnceLock;

/// Rounds of look and pause that take about 50 us where a pause takes 20 to 40 ns.
const ROUNDS: u32 = 1000;

/// Rounds to spin in a cluster of so many processes.
pub(super) fn rounds(processes: u32) -> u32 {
    static PROCESSORS: OnceLock<u32> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(count).unwrap_or(u32::MAX)
    });
    // A single processor gains nothing from spinning, whoever else is there.
    if processors > 1 && processes <= processors { ROUNDS } else { 0 }
}
