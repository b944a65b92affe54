//! A lock that is a queue: who comes waits for a word of its own, which the one before changes. For PEs, which do not outlive
//! each other; see [`lock`](super) for one that outlives its holders.
//!
//! One word says who is *last* in the queue, 0 when nobody has the lock. Each has a *place* in the queue: a bit while it waits, and
//! below it who comes after. Numbers count from 1.

use crate::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sync::{AtomicU32, mutated};

/// Of a place: its owner waits.
const WAITS: u32 = 1 << 31;

/// A lock, as one finds it that may take it.
#[derive(Clone, Copy, Debug)]
pub struct Queue<'a> {
    /// Who is last.
    pub last: &'a AtomicU32,
    /// The own place.
    pub place: &'a AtomicU32,
    /// The own number.
    pub me: u32,
}

impl Queue<'_> {
    /// Comes to the end of the queue. 0: this one has the lock; otherwise it [comes after](Self::come_after) whom this names, and
    /// has the lock when it [does not wait](Self::is_had) any more.
    pub fn enter(&self) -> u32 {
        // Relaxed: before this one is in the queue, by the swap; who comes after adds to it.
        self.place.store(WAITS, Relaxed);
        // Acquire: what the last holder stored is there if nobody has it. Release: the place is ready for who comes after.
        let order = if mutated("queue_enter_relaxed") { Release } else { AcqRel };
        let before = self.last.swap(self.me, order);
        if before == 0 {
            self.place.fetch_and(!WAITS, Relaxed);
        }
        before
    }

    /// Tells the one before, whose place this is, that this one comes after.
    pub fn come_after(&self, before: &AtomicU32) {
        // Release: pairs with the Acquire of `next`: the place of this one says that it waits.
        before.fetch_or(self.me, Release);
    }

    /// Whether one that waited has the lock.
    pub fn is_had(&self) -> bool {
        // Acquire: pairs with the Release of `hand_over`.
        self.place.load(if mutated("queue_had_relaxed") { Relaxed } else { Acquire }) & WAITS == 0
    }

    /// Takes the lock if nobody has it.
    pub fn try_enter(&self) -> bool {
        self.place.store(0, Relaxed);
        // As in `enter`.
        self.last.compare_exchange(0, self.me, AcqRel, Relaxed).is_ok()
    }

    /// Lets go if nobody comes after. Otherwise who comes after is known in a [moment](Self::next), and is [handed](Self::hand_over)
    /// the lock.
    pub fn leave(&self) -> bool {
        // Release: pairs with the Acquire of `enter`: what was stored under the lock is there for who takes it next.
        let release = if mutated("queue_leave_relaxed") { Relaxed } else { Release };
        self.last.compare_exchange(self.me, 0, release, Relaxed).is_ok()
    }

    /// Who comes after, once it has said so.
    pub fn next(&self) -> Option<u32> {
        // Acquire: pairs with the Release of `come_after`.
        Some(self.place.load(Acquire) & !WAITS).filter(|&next| next != 0)
    }

    /// Hands the lock to who comes after, whose place this is.
    pub fn hand_over(&self, next: &AtomicU32) {
        // Relaxed: nobody comes after this one again before it is in the queue again.
        self.place.store(0, Relaxed);
        // Release: pairs with the Acquire of `is_had`.
        next.fetch_and(!WAITS, if mutated("queue_hands_over_relaxed") { Relaxed } else { Release });
    }
}
