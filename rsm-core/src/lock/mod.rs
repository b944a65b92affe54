//! A lock that outlives its holders: two words in memory that all who may want it share.
//!
//! The *state* says who holds the lock; *wants* has a bit for each who waits for it, so that who lets go wakes one of
//! them. A holder that has died stays named until the next one takes the lock from it, by a compare-and-swap that names
//! the dead.
//!
//! # Sleeping without losing a wake
//!
//! Who waits sets its bit, then looks at the state before it sleeps. Who lets go changes the state, then looks at who wants.
//! Between the two steps of each stands a full fence, so at least one sees the other. Who gives up clears its bit and then
//! wakes another: a wake may have been meant for it, by one who looked before. There, too, a full fence stands between: whom it
//! wakes finds the lock free that such a one has let go.
//!
//! # Crash
//!
//! Of a holder: the next one takes the lock from it and has what it stored, as whoever says that it has died says so after that.
//! Of one who waits, with its bit set: a wake may go to it in vain; whoever sleeps looks in time as well.

pub mod queue;
mod state;

pub use state::State;

use crate::sync::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence_after_rmw, mutated};

/// The two words of a lock, for ranks below 64.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// Who holds it.
    pub state: &'a AtomicU64,
    /// Who waits for it.
    pub wants: &'a AtomicU64,
}

/// What became of an attempt to take a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is taken.
    Taken(State),
    /// Somebody changed it meanwhile.
    Overtaken,
    /// Somebody has it.
    Held,
}

impl Words<'_> {
    /// Takes the lock from nobody, or from a holder that `is_dead`, which is asked of one who has it.
    ///
    /// # Errors
    /// Those of `is_dead`.
    pub fn try_take<E>(&self, me: usize, is_dead: impl FnOnce(usize) -> Result<bool, E>) -> Result<Attempt, E> {
        // Relaxed: what was done under the lock is found by the swap; who sleeps by this look has a fence before it.
        let seen = State::from_word(self.state.load(Relaxed));
        if let Some(holder) = seen.holder()
            && !is_dead(holder)?
        {
            return Ok(Attempt::Held);
        }
        let next = seen.taken_by(me);
        // Acquire: pairs with the Release of `let_go`. What a dead holder has done since comes by whoever said that it died.
        let acquire = if mutated("lock_take_relaxed") { Relaxed } else { Acquire };
        let taken = self.state.compare_exchange(seen.word(), next.word(), acquire, Relaxed).is_ok();
        Ok(if taken { Attempt::Taken(next) } else { Attempt::Overtaken })
    }

    /// Takes the lock by `attempt`; where that finds somebody who has it, `wait` makes attempts until one succeeds, and sleeps in
    /// between until it is woken. Where it gives up, `wake` wakes the [next](Self::wake_next).
    ///
    /// # Errors
    /// Those of `attempt` and `wait`.
    pub fn take<E, A: FnMut() -> Result<Option<State>, E>>(
        &self,
        me: usize,
        mut attempt: A,
        wait: impl FnOnce(A) -> Result<State, E>,
        wake: impl FnOnce(),
    ) -> Result<State, E> {
        if let Some(state) = attempt()? {
            return Ok(state);
        }
        let bit = 1 << me;
        // Full fence; pairs with the one in `let_go`: who lets go after the next look at the state finds the bit.
        self.wants.fetch_or(bit, Relaxed);
        if !mutated("lock_want_unfenced") {
            fence_after_rmw();
        }
        let taken = wait(attempt);
        self.wants.fetch_and(!bit, Relaxed);
        if taken.is_err() && !mutated("lock_gives_up_silently") {
            // Full fence; pairs with the one in `let_go`: who lets go and still finds the bit has let go before whoever is woken here
            // looks.
            if !mutated("lock_gives_up_unfenced") {
                fence_after_rmw();
            }
            wake();
        }
        taken
    }

    /// Lets go of a lock that looks as it did when it was taken; whether it does. The [next](Self::wake_next) is to be woken then.
    pub fn let_go(&self, held: State) -> bool {
        // Release: pairs with the Acquire of `try_take`.
        let release = if mutated("lock_let_go_relaxed") { Relaxed } else { Release };
        let done = self.state.compare_exchange(held.word(), held.let_go().word(), release, Relaxed).is_ok();
        // Full fence; pairs with those in `take`: the look at who wants the lock comes after it is free.
        if !mutated("lock_let_go_unfenced") {
            fence_after_rmw();
        }
        done
    }

    /// Wakes one who wants the lock, of so many ranks, beginning behind this one: the first for whom `wake` says that it has.
    pub fn wake_next(&self, me: usize, ranks: usize, mut wake: impl FnMut(usize) -> bool) {
        // Relaxed: behind the fence of `let_go` or `take`.
        let wants = self.wants.load(Relaxed);
        let mut others = (1..ranks).map(|distance| (me + distance) % ranks);
        let _ = others.find(|&rank| wants & (1 << rank) != 0 && wake(rank));
    }
}
