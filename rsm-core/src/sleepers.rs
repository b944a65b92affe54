//! Sleepers of a process, so that all of them learn when the cluster is gone.
//!
//! What a process sleeps on lies in memory of the cluster and is woken by other members or the agent. When the agent is
//! killed nobody is left to wake; the thread that notices then wakes, by this list, who sleeps in its own process.

use crate::bell::Wake;
use crate::crash_point;
use crate::sync::{AtomicU32, Mutex, MutexGuard, Ordering, mutated};
use std::sync::PoisonError;

/// Sleepers of a process, and whether the cluster is gone. `P` is a place to sleep on.
#[derive(Debug)]
pub struct Sleepers<P> {
    gone: AtomicU32,
    list: Mutex<Vec<P>>,
}

impl<P: Copy + PartialEq> Sleepers<P> {
    /// Nobody sleeps.
    pub fn new() -> Sleepers<P> {
        Sleepers { gone: AtomicU32::new(0), list: Mutex::new(Vec::new()) }
    }

    /// Whether the cluster is gone.
    pub fn is_gone(&self) -> bool {
        // Acquire: pairs with the Release in `end`.
        self.gone.load(Ordering::Acquire) != 0
    }

    /// Sleeps at `place` with `sleep`.
    pub fn sleep(&self, place: P, sleep: impl FnOnce() -> Wake) -> Wake {
        let wake = if self.enter(place) { sleep() } else { Wake::Gone };
        if self.leave(place) { wake } else { Wake::Gone }
    }

    /// The first half of [`sleep`](Self::sleep): lists a place, whatever comes of the sleep. `false` when the cluster is
    /// gone, and there is nothing to sleep for.
    pub fn enter(&self, place: P) -> bool {
        let looked_early = mutated("sleepers_look_first") && self.is_gone();
        self.lock().push(place);
        crash_point!(ParkListed);
        // Listed first, then looked: `end` sets the word first, then reads the list. The lock makes one see the other.
        let gone = if mutated("sleepers_look_first") { looked_early } else { self.is_gone() };
        !gone
    }

    /// The second half; `false` when the cluster is gone.
    pub fn leave(&self, place: P) -> bool {
        crash_point!(ParkOver);
        let mut list = self.lock();
        if let Some(at) = list.iter().position(|p| *p == place) {
            list.swap_remove(at);
        }
        drop(list);
        !self.is_gone()
    }

    /// Notes that the cluster is gone and wakes everybody, until nobody is left: a thread may stand between listing
    /// itself and falling asleep, where a wake does not reach it. Between rounds it calls `pause`.
    pub fn end(&self, wake: impl Fn(P), pause: impl Fn()) {
        self.gone.store(1, Ordering::Release);
        loop {
            // Locked while waking: a listed place exists.
            let list = self.lock();
            if list.is_empty() {
                return;
            }
            list.iter().for_each(|place| wake(*place));
            drop(list);
            if mutated("sleepers_woken_once") {
                return;
            }
            pause();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<P>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Copy + PartialEq> Default for Sleepers<P> {
    fn default() -> Sleepers<P> {
        Sleepers::new()
    }
}
