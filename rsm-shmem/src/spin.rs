//! For how long to spin before sleeping.
//!
//! A PE that answers within microseconds is met spinning, at a fraction of the price of two context switches. Where there are more PEs
//! than processors who spins leaves the processor to the next one between two looks: that is a context switch as well, but nobody has to be
//! woken, and a collective operation of 8 PEs on 2 processors takes a fifth of the time that it does if they sleep at once
//! (`docs/openshmem.md`). Waits learn of each other: one that ended within the time that a spin may take was worth it, whether it was met spinning or asleep, and the
//! next one spins for twice as long; one that took longer has the next one spin for half as long.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// No wait spins longer.
const LONGEST: Duration = Duration::from_micros(50);
/// Nor shorter, where spinning may help.
const SHORTEST: Duration = Duration::from_micros(1);
/// Looks between two looks at the clock.
const UNWATCHED: u32 = 32;

/// Looks before the clock is asked at all: who is met so soon has nothing to learn of.
const AT_ONCE: u32 = 100;

/// What the waits of a PE have learned.
pub(crate) struct Spinning {
    /// Nanoseconds to spin.
    worth: AtomicU32,
    /// Whether another PE may need the processor that spins.
    crowded: bool,
}

impl Spinning {
    /// For a job of so many PEs, on so many processors, of which all PEs have to say the same.
    pub(crate) fn new(pes: usize, processors: u64) -> Spinning {
        Spinning { worth: AtomicU32::new(LONGEST.as_nanos() as u32), crowded: pes as u64 > processors }
    }

    /// Whether there are more PEs than processors: the same on every PE.
    #[inline(always)]
    pub(crate) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Looks a few times, where another PE may be about to answer.
    pub(crate) fn look_at_once<T>(&self, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        let rounds = if self.is_crowded() { 0 } else { AT_ONCE };
        for _ in 0..rounds {
            if let Some(found) = look() {
                return Some(found);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// Looks for as long as it is worth it.
    pub(crate) fn spin<T>(&self, began: Instant, look: &mut impl FnMut() -> Option<T>) -> Option<T> {
        // Relaxed throughout: a guess.
        let worth = Duration::from_nanos(self.worth.load(Relaxed).into());
        let looks = if self.crowded { 1 } else { UNWATCHED };
        while began.elapsed() < worth {
            for _ in 0..looks {
                if self.crowded {
                    std::thread::yield_now();
                } else {
                    std::hint::spin_loop();
                }
                if let Some(found) = look() {
                    self.learn(began);
                    return Some(found);
                }
            }
        }
        None
    }

    /// A wait that began then is over.
    pub(crate) fn learn(&self, began: Instant) {
        let before = self.worth.load(Relaxed);
        let (least, most) = (SHORTEST.as_nanos() as u32, LONGEST.as_nanos() as u32);
        let after = if began.elapsed() < LONGEST { before * 2 } else { before / 2 };
        self.worth.store(after.clamp(least, most), Relaxed);
    }
}
