//! Poll descriptors: something to poll that follows a bell.
//!
//! A thread, the *pump*, sleeps on every bell that has a descriptor and on a word of its own, [`Changes`], all at once.
//! It is counted as a sleeper of each ([`Bell::enlist`]), so posters need to know nothing of it. Awake, it calls
//! [`follow`] for each descriptor and goes back to sleep on what it saw. Who takes a signal calls [`follow`] too. Both
//! do so under the descriptor's lock, which is the caller's, and look at the bell there: the descriptor follows the
//! bell, whoever is late.
//!
//! # Crash
//! All of this is private to a process and goes with it; the bell keeps a sleeper that is not there, see
//! [`crate::bell`].

use crate::bell::{Bell, Park};
use crate::crash_point;
use crate::sync::{AtomicU32, Ordering, Ordering::Relaxed, Ordering::SeqCst, fence, fence_after_rmw, mutated};

/// The descriptor's side: readable when full.
pub trait Pipe {
    /// Whether it is readable.
    fn is_full(&self) -> bool;
    /// Makes it readable, if it can.
    fn fill(&mut self);
    /// Makes it not readable.
    fn empty(&mut self);
    /// Makes it say for ever that the connection was cut.
    fn hang_up(&mut self);
}

/// What [`follow`] saw of the bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What a futex compares before it sleeps.
    pub low: u32,
    /// Whether a signal was pending.
    pub pending: bool,
}

/// Makes the pipe follow the bell; the caller holds the pipe's lock. `notice` makes the pump look again
/// ([`Changes::step`], and a wake).
pub fn follow(bell: &Bell, pipe: &mut impl Pipe, notice: impl FnOnce()) -> Seen {
    let (count, aborted, low) = bell.look();
    let count = if aborted && mutated("pump_abort_hides") { 0 } else { count };
    if count > 0 && !pipe.is_full() {
        pipe.fill();
        crash_point!(PumpWrote);
    }
    if count == 0 && pipe.is_full() {
        pipe.empty();
        // The pump may be about to sleep on a count that was there before, and is there again by then: a count says
        // nothing of what happened in between.
        if !mutated("pump_no_notice") {
            notice();
        }
    }
    if aborted {
        pipe.hang_up();
    }
    Seen { low, pending: count > 0 }
}

/// Hands on a wake that the pump got and a waiting thread may need.
pub fn hand_on(bell: &Bell, seen: Seen, park: &impl Park) {
    if seen.pending && bell.sleepers() > 1 && !mutated("pump_keeps_wake") {
        park.wake_one(bell.word());
        crash_point!(PumpHandedOn);
    }
}

/// Whether a handle has a descriptor, so that taking signals costs next to nothing where it has none.
///
/// Who makes the first descriptor says so here and then looks at the bell; who takes a signal takes it and then looks
/// here. Between the two steps of each stands a full fence, so at least one sees the other: either the taker makes the
/// descriptor follow, or the maker finds the signal gone. A read-modify-write that only acquires, as a take does, is no such
/// fence on ARM: what comes after it may be loaded before what it stored is visible.
#[derive(Debug)]
pub struct Made(AtomicU32);

impl Made {
    /// There is none.
    pub fn new() -> Made {
        Made(AtomicU32::new(0))
    }

    /// Says that there is one. The caller then has the bell looked at: calls [`follow`], or starts a thread that does.
    pub fn say(&self) {
        self.0.store(1, Relaxed);
        // Full fence; pairs with the one in `is_after_take`.
        if !mutated("made_say_fence") {
            fence(SeqCst);
        }
    }

    /// Whether there is one that has to [`follow`]; asked after a signal was taken.
    #[inline]
    pub fn is_after_take(&self) -> bool {
        // Full fence; pairs with the one in `say`.
        if !mutated("made_take_fence") {
            fence_after_rmw();
        }
        self.0.load(Relaxed) != 0
    }
}

/// Steps when the pump has to look again for another reason than a bell.
#[derive(Debug)]
pub struct Changes(AtomicU32);

impl Changes {
    /// Nothing has changed yet.
    pub fn new() -> Changes {
        Changes(AtomicU32::new(0))
    }

    /// Notes a change; the caller then wakes who sleeps on [`word`](Self::word).
    pub fn step(&self) {
        // Release: pairs with the Acquire of `seen`.
        self.0.fetch_add(1, Ordering::Release);
    }

    /// What to sleep on, read before looking. Acquire: pairs with the Release of `step`; what changed is found.
    pub fn seen(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// The word to sleep on.
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }
}

impl Default for Made {
    fn default() -> Made {
        Made::new()
    }
}

impl Default for Changes {
    fn default() -> Changes {
        Changes::new()
    }
}
