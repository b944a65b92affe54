//! Sleeping until somebody stores to one's memory: the words that say what is slept for, and what makes that certain.
//!
//! Whoever stores looks afterwards whether anybody sleeps for these bytes; whoever is about to sleep says for what, and looks once
//! more. Of the two one has to see the other, for which a full fence is needed on both sides, between the store and the look.
//! Stores are many and sleeps are few, so the fence of the storing side is executed for it: the sleeper has the system
//! put one into whatever every processor does just then (`membarrier`), after it has said what it sleeps for and before it looks.
//! Who stores has the compiler keep the order and no more.
//!
//! A sleep is on an *event*, a word of the sleeper that whoever wakes steps. It is read before each look, so that a wake which
//! comes between a look and the sleep ends the sleep at once.
//!
//! The model is `models::asleep`; what the system does there is a full fence in the other thread at any point between the call and
//! its return, which is what `membarrier` promises of threads that run. Those that do not have had one when they stopped.

use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU32, AtomicU64, mutated};

/// A range of bytes that threads sleep for, the hull of theirs. Nobody sleeps where `first` is the greatest number.
#[repr(C)]
#[derive(Debug)]
pub struct Watched {
    /// First byte.
    first: AtomicU64,
    /// One past the last.
    end: AtomicU64,
}

impl Watched {
    /// One that nobody sleeps for.
    #[cfg(all(test, rsm_loom))]
    pub(crate) fn nobody() -> Watched {
        Watched { first: AtomicU64::new(u64::MAX), end: AtomicU64::new(0) }
    }

    /// Says what is slept for; `(u64::MAX, 0)` for nothing. A sleeper then has everybody's stores ordered, and looks.
    pub fn say(&self, (first, end): (u64, u64)) {
        // Relaxed: ordered by what the sleeper does next, where it matters. Who sees only one of the two goes by what the other
        // was, and one who stores at that moment is seen by the sleeper's look.
        self.end.store(end, Relaxed);
        self.first.store(first, Relaxed);
    }

    /// Whether bytes that end there, and were stored before, may be slept for: all that most stores need to ask.
    #[inline(always)]
    pub fn may_concern(&self, end: u64) -> bool {
        // Relaxed: the sleeper orders it, see the module.
        end > self.first.load(Relaxed)
    }

    /// Whether they are, where they [may](Self::may_concern) be and begin there.
    #[inline(always)]
    pub fn concerns(&self, first: u64) -> bool {
        // Relaxed: as above.
        first < self.end.load(Relaxed)
    }
}

/// Steps an event, before its sleepers are woken.
pub fn step(event: &AtomicU32) {
    // Release: pairs with the Acquire in `sleep_until`, who then finds what was stored.
    event.fetch_add(1, if mutated("asleep_event_relaxed") { Relaxed } else { Release });
}

/// Looks until it finds something, and sleeps in between. `sleep` sleeps while the event is as it was read, or for a while, and
/// is given what looks as well. What is slept for was said before, and everybody's stores ordered.
pub fn sleep_until<T, L: FnMut() -> Option<T>>(
    event: &AtomicU32,
    look: &mut L,
    mut sleep: impl FnMut(u32, &mut L),
) -> T {
    loop {
        let late = mutated("asleep_event_late");
        let early = if late { None } else { Some(event.load(Acquire)) };
        if let Some(found) = look() {
            return found;
        }
        // Acquire: pairs with the Release in `step`. Read before the look.
        sleep(early.unwrap_or_else(|| event.load(Acquire)), look);
    }
}
