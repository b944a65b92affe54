//! How long to spin before sleeping.
//!
//! A peer that answers within a few microseconds is met spinning, at a fraction of the price of two context switches.
//! Spinning helps nobody when there are more processes than processors: the peer may need the very processor that
//! spins. Nor when the peer takes its time: so who was not met is spun for half as long the next time, down to a look
//! that costs nothing beside the sleep, and who was met twice as long.

use rsm_core::sync::Ordering::Relaxed;
use rsm_core::sync::{AtomicU32, spin_loop};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Rounds of look and pause, at least and at most. A pause takes 10 to 50 ns.
const ROUNDS: std::ops::RangeInclusive<u32> = 32..=4096;
/// No wait spins longer, whatever a pause takes.
const LONGEST: Duration = Duration::from_micros(50);
/// Rounds between two looks at the clock.
const UNWATCHED: u32 = 64;

/// Rounds that are worth spinning now; for the waits of one membership, which learn from each other.
#[derive(Debug)]
pub(super) struct Budget(AtomicU32);

impl Default for Budget {
    fn default() -> Budget {
        Budget(AtomicU32::new(1024))
    }
}

impl Budget {
    /// Spins until `met` says so or it is no use, in a cluster of so many processes; returns what `met` said last.
    pub(super) fn spin<E>(&self, processes: u32, met: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
        // A single processor gains nothing from spinning, whoever else is there.
        if processors() > 1 && processes <= processors() { self.rounds(met) } else { Ok(false) }
    }

    fn rounds<E>(&self, mut met: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
        // Relaxed throughout: a guess, and as good when another thread's is lost.
        let budget = self.0.load(Relaxed);
        let began = Instant::now();
        for round in 1..=budget {
            if met()? {
                self.0.store((budget * 2).min(*ROUNDS.end()), Relaxed);
                return Ok(true);
            }
            spin_loop();
            if round % UNWATCHED == 0 && began.elapsed() > LONGEST {
                break;
            }
        }
        self.0.store((budget / 2).max(*ROUNDS.start()), Relaxed);
        Ok(false)
    }
}

fn processors() -> u32 {
    static PROCESSORS: OnceLock<u32> = OnceLock::new();
    *PROCESSORS.get_or_init(running)
}

/// Processors that run. Not those this thread may use: the peer may be pinned to another one.
fn running() -> u32 {
    let listed = crate::guest::read_text(std::path::Path::new("/sys/devices/system/cpu/online")).ok();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn spun(budget: &Budget, until: u32) -> u32 {
        let mut rounds = 0;
        let met = budget.rounds(|| {
            rounds += 1;
            Ok::<bool, ()>(rounds > until)
        });
        assert!(met == Ok(rounds > until));
        rounds
    }

    #[test]
    fn who_is_not_met_is_spun_for_less_and_who_is_for_more() {
        let budget = Budget::default();
        for _ in 0..20 {
            spun(&budget, u32::MAX);
        }
        assert!(spun(&budget, u32::MAX) <= *ROUNDS.start());
        for _ in 0..20 {
            spun(&budget, 1);
        }
        assert_eq!(budget.0.load(Relaxed), *ROUNDS.end());
    }

    #[test]
    fn more_processes_than_processors_do_not_spin() {
        let looked = Budget::default().spin(processors() + 1, || Err("looked"));
        assert_eq!(looked, Ok(false));
    }

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
        let before = running();
        let kept = rustix::thread::sched_getaffinity(None).unwrap();
        let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|&cpu| kept.is_set(cpu)).unwrap();
        let mut one = rustix::thread::CpuSet::new();
        one.set(first);
        rustix::thread::sched_setaffinity(None, &one).unwrap();
        let pinned = running();
        rustix::thread::sched_setaffinity(None, &kept).unwrap();
        assert_eq!(pinned, before);
    }
}
