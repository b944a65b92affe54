//! Sleeping with one eye on the cluster: the library's [`Park`].
//!
//! What a process sleeps on lies in memory of the cluster, and is woken by other members or the agent. When the agent
//! is killed nobody is left to wake. The events thread notices (its socket ends) and wakes, through [`Parking`],
//! whoever sleeps in this process.

use crate::futex;
use rsm_core::bell::{Park, Wake};
use rsm_core::sleepers::Sleepers;
use rsm_core::sync::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

/// Sleepers of this process on words of one cluster, and whether the cluster is gone.
#[derive(Debug, Default)]
pub struct Parking(Sleepers<Place>);

/// A word somebody sleeps on, by address; alive as long as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Word(usize),
    Low(usize),
}

impl Parking {
    /// Whether the cluster is gone.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    /// Sleeps while `word` holds `expected`.
    pub fn sleep(&self, word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Wake {
        self.0.sleep(Place::Word(std::ptr::from_ref(word).addr()), || futex::sleep(word, expected, deadline))
    }

    /// Sleeps while the low half of `word` holds `expected`.
    pub fn sleep_low(&self, word: &AtomicU64, expected: u32, deadline: Option<Instant>) -> Wake {
        self.0.sleep(Place::Low(std::ptr::from_ref(word).addr()), || futex::sleep_low(word, expected, deadline))
    }

    /// Lists the low half of `word` as slept on, until [`leave`](Self::leave): for a sleep that its thread may be
    /// cancelled in. `false` when the cluster is gone.
    pub(crate) fn enter(&self, word: &AtomicU64) -> bool {
        self.0.enter(Place::Low(std::ptr::from_ref(word).addr()))
    }

    /// Ends [`enter`](Self::enter); `false` when the cluster is gone.
    pub(crate) fn leave(&self, word: &AtomicU64) -> bool {
        self.0.leave(Place::Low(std::ptr::from_ref(word).addr()))
    }

    /// Notes that the cluster is gone and wakes everybody, until nobody is left.
    pub fn end(&self) {
        let wake = |place| match place {
            Place::Word(at) => futex::wake_address(at),
            Place::Low(at) => futex::wake_address_low(at),
        };
        self.0.end(wake, || std::thread::sleep(Duration::from_millis(1)));
    }
}

/// Waits on bells until a deadline.
#[derive(Debug)]
pub struct BellPark<'a> {
    /// Parking where the sleeper is listed.
    pub parking: &'a Parking,
    /// When to give up; `None` for never.
    pub deadline: Option<Instant>,
}

impl Park for BellPark<'_> {
    fn sleep(&self, word: &AtomicU64, expected: u32) -> Wake {
        self.parking.sleep_low(word, expected, self.deadline)
    }
    fn wake_one(&self, word: &AtomicU64) {
        futex::wake_low(word, 1);
    }
    fn wake_all(&self, word: &AtomicU64) {
        futex::wake_low(word, i32::MAX);
    }
}

/// Posts, and never sleeps.
#[derive(Clone, Copy, Debug)]
pub struct Poster;

impl Park for Poster {
    fn sleep(&self, _: &AtomicU64, _: u32) -> Wake {
        Wake::TimedOut
    }
    fn wake_one(&self, word: &AtomicU64) {
        futex::wake_low(word, 1);
    }
    fn wake_all(&self, word: &AtomicU64) {
        futex::wake_low(word, i32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_end_reaches_every_sleeper() {
        for _ in 0..200 {
            let parking = Arc::new(Parking::default());
            let word = Arc::new(AtomicU32::new(0));
            let sleepers: Vec<_> = (0..3)
                .map(|_| {
                    let (parking, word) = (Arc::clone(&parking), Arc::clone(&word));
                    std::thread::spawn(move || parking.sleep(&word, 0, None))
                })
                .collect();
            parking.end();
            for sleeper in sleepers {
                assert_eq!(sleeper.join().unwrap(), Wake::Gone);
            }
        }
    }
}
