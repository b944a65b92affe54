//! How long to spin before sleeping.
//!
//! A peer that answers within a few microseconds is met spinning, at a fraction of the price of two context switches.
//! Spinning helps nobody when there are more processes than processors: the peer may need the very processor that
//! spins.

use std::sync::OnceLock;

/// Rounds of look and pause that take about 50 us where a pause takes 20 to 40 ns.
const ROUNDS: u32 = 1000;

/// Processors that run. Not those this thread may use: the peer may be pinned to another one.
fn processors() -> u32 {
    let listed = std::fs::read_to_string("/sys/devices/system/cpu/online").ok();
    listed.as_deref().and_then(count).unwrap_or_else(|| {
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        u32::try_from(count).unwrap_or(u32::MAX)
    })
}

/// How many numbers a list like `0-3,8` has.
fn count(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// Rounds to spin in a cluster of so many processes.
pub(super) fn rounds(processes: u32) -> u32 {
    static PROCESSORS: OnceLock<u32> = OnceLock::new();
    let processors = *PROCESSORS.get_or_init(processors);
    // A single processor gains nothing from spinning, whoever else is there.
    if processors > 1 && processes <= processors { ROUNDS } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_counted() {
        for (list, processors) in [("0", 1), ("0-1\n", 2), ("0-3,8", 5), ("0,2-3,7-8\n", 5)] {
            assert_eq!(count(list), Some(processors), "{list}");
        }
        for list in ["", "x", "3-1", "0-4294967295", "1-"] {
            assert_eq!(count(list), None, "{list}");
        }
    }

    #[test]
    fn a_pinned_process_knows_of_the_other_processors() {
        let before = processors();
        let kept = rustix::thread::sched_getaffinity(None).unwrap();
        let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| kept.is_set(cpu)).unwrap();
        let mut one = rustix::thread::CpuSet::new();
        one.set(first);
        rustix::thread::sched_setaffinity(None, &one).unwrap();
        let pinned = processors();
        rustix::thread::sched_setaffinity(None, &kept).unwrap();
        assert_eq!(pinned, before);
    }
}
