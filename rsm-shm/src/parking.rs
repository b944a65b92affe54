//! Sleeping with one eye on the cluster: the library's [`Park`].
//!
//! What a process sleeps on lies in memory of the cluster, and is woken by other members or the agent. When the agent
//! is killed nobody is left to wake. The events thread notices (its socket ends) and wakes, through [`Parking`],
//! whoever sleeps in this process.

use crate::futex;
use rsm_core::bell::{Park, Wake};
use rsm_core::crash_point;
use rsm_core::sync::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who sleeps in this process on words of one cluster, and whether the cluster is gone.
#[derive(Debug, Default)]
pub struct Parking {
    gone: AtomicU32,
    parked: Mutex<Vec<Place>>,
}

/// A word somebody sleeps on, by address; alive as long as it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Word(usize),
    Low(usize),
}

impl Parking {
    /// Whether the cluster is gone.
    pub fn is_gone(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.gone.load(Ordering::Acquire) != 0
    }

    /// Sleeps while `word` holds `expected`.
    pub fn sleep(&self, word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Wake {
        self.listed(Place::Word(std::ptr::from_ref(word).addr()), || futex::sleep(word, expected, deadline))
    }

    /// Sleeps while the low half of `word` holds `expected`.
    pub fn sleep_low(&self, word: &AtomicU64, expected: u32, deadline: Option<Instant>) -> Wake {
        self.listed(Place::Low(std::ptr::from_ref(word).addr()), || futex::sleep_low(word, expected, deadline))
    }

    fn listed(&self, place: Place, sleep: impl FnOnce() -> Wake) -> Wake {
        self.lock().push(place);
        crash_point!(ParkListed);
        // Listed first, then looked: `end` sets the word first, then reads the list. One of the two sees the other.
        let wake = if self.is_gone() { Wake::Gone } else { sleep() };
        crash_point!(ParkOver);
        let mut parked = self.lock();
        if let Some(at) = parked.iter().position(|p| *p == place) {
            parked.swap_remove(at);
        }
        drop(parked);
        if self.is_gone() { Wake::Gone } else { wake }
    }

    /// Notes that the cluster is gone and wakes everybody, until nobody is left: a thread may stand between listing
    /// itself and falling asleep, where a wake does not reach it.
    pub fn end(&self) {
        self.gone.store(1, Ordering::Release);
        loop {
            // The list is locked while waking: a listed word is a mapped word.
            let parked = self.lock();
            if parked.is_empty() {
                return;
            }
            for place in parked.iter() {
                match *place {
                    Place::Word(at) => futex::wake_address(at),
                    Place::Low(at) => futex::wake_address_low(at),
                }
            }
            drop(parked);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits on bells until a deadline.
#[derive(Debug)]
pub struct BellPark<'a> {
    /// Where to be listed.
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
