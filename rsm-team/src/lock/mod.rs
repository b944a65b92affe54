//! Locks that outlive their holders.
//!
//! A lock is two words on the board of the node that keeps it, of which [`rsm_core::lock`] tells: its state, which says who
//! holds it, and a mask of who wants it, so that who lets go wakes one of them. A holder that has died is known by the
//! connection to *its* board, which the agent has cut; then the next one takes the lock from it, by a compare-and-swap that
//! names the dead, and is told.
//!
//! # Crash
//! Of a holder: as above. Of one who waits, with its bit in the mask: a wake may go to it in vain; others look for
//! themselves every [`LOOKING`](crate::board::LOOKING). Of the keeper: the lock is gone, and everybody is told.

#[cfg(test)]
mod model;

use crate::Team;
use crate::board::{Board, Watch, node, unbroken};
use crate::layout::{HEAD, LOCKS, Layout};
use rsm::{Code, Error, Memory, Permission, Result};
use rsm_core::lock::{Attempt, State, Words};
use std::time::Duration;

/// A lock that is held, until this is dropped.
///
/// What was put under it is to have arrived before: close the barrier first.
#[must_use = "the lock is held until this is dropped"]
#[derive(Debug)]
pub struct Held<'team> {
    team: &'team Team,
    keeper: usize,
    number: usize,
    state: State,
    let_go: bool,
}

/// A lock that is held, apart from its team: for programs that cannot keep a [`Held`]. Dropping it keeps the lock.
#[must_use = "the lock is held until a team holds it again and lets go"]
#[derive(Debug)]
pub struct Kept {
    keeper: usize,
    number: usize,
    state: State,
}

impl Team {
    /// Takes the lock `number`, 0 to [`LOCKS`] - 1, that the rank `keeper` keeps; waits for at most `timeout`, for ever
    /// with `None`, not at all with zero. Who waits sleeps.
    ///
    /// A holder that dies does not keep the lock: the next one gets it, and is told ([`Held::died_holding`]), as often
    /// as one dies. What the dead one was in the middle of is for the new one to put right. A team is of
    /// use for that after the death of others: locks and messages need those only who take part.
    ///
    /// # Errors
    /// TIMEOUT; CONN_ABORTED when the keeper has ended, or left, or when a holder cannot be reached and may live;
    /// PERM_DENIED when this node holds the lock, and where the keeper is on another host; BAD_OFFSET for a lock, and BAD_ADDR for a rank, that there is not;
    /// MAP_FAILED on an interconnect whose memory cannot be mapped.
    pub fn lock(&self, keeper: usize, number: usize, timeout: Option<Duration>) -> Result<Held<'_>> {
        self.check(keeper)?;
        if number >= LOCKS {
            return Err(Error::with(
                Code::BadOffset,
                format!("lock {number} of a node's, which are 0 to {}", LOCKS - 1),
            ));
        }
        let words = self.lock_words(keeper, number)?;
        let what = || format!("lock {number} of node {} was not to be had", node(keeper));
        let taken = words.take(
            self.rank(),
            || self.attempt(keeper, &words),
            |attempt| self.board.until(Watch::One(keeper), timeout, what, attempt),
            || self.wake_next(&words),
        );
        taken.map(|state| Held { team: self, keeper, number, state, let_go: false })
    }

    /// A lock that this node has kept, by [`Held::keep`] of this team.
    ///
    /// # Errors
    /// BAD_ADDR when it was kept by a larger team.
    pub fn held(&self, kept: Kept) -> Result<Held<'_>> {
        self.check(kept.keeper)?;
        let Kept { keeper, number, state } = kept;
        Ok(Held { team: self, keeper, number, state, let_go: false })
    }

    /// Takes the lock if nobody who lives has it.
    fn attempt(&self, keeper: usize, words: &Words<'_>) -> Result<Option<State>> {
        let import = &self.board.all[keeper];
        loop {
            let span = import.open_barrier()?;
            let attempt = words.try_take(self.rank(), |holder| {
                if holder == self.rank() {
                    return Err(Error::with(Code::PermDenied, "this node holds the lock already"));
                }
                if holder >= self.size() {
                    return Err(Board::nonsense(keeper, "a holder of a lock that is not of the team"));
                }
                // In this order: one that dies in between is not taken for one that cannot be reached.
                let is_cut = self.board.all[holder].is_aborted();
                let is_dead = self.board.is_dead(holder);
                if is_cut && !is_dead {
                    // It may live, and hold it.
                    return Err(self.board.end_of(holder));
                }
                Ok(is_dead)
            })?;
            if attempt == Attempt::Held {
                return Ok(None);
            }
            match (span.close(), attempt) {
                // An atomic operation is done when it returns, where the memory is there at all.
                (Err(error), _) if error.code() != Code::BarrierFailure => {
                    return Err(self.board.failed(keeper, error));
                }
                (_, Attempt::Taken(state)) => return Ok(Some(state)),
                _ => {}
            }
        }
    }

    /// Wakes one who wants the lock, beginning behind this node.
    fn wake_next(&self, words: &Words<'_>) {
        // Who cannot be woken has ended.
        words.wake_next(self.rank(), self.size(), |rank| self.board.ring(rank).is_ok());
    }

    fn lock_words(&self, keeper: usize, number: usize) -> Result<Words<'_>> {
        let memory = self.head(keeper)?;
        let place = Layout::lock(number);
        Ok(Words { state: memory.atomic_u64(place)?, wants: memory.atomic_u64(place + 8)? })
    }

    /// The part of a board where locks are, mapped.
    fn head(&self, keeper: usize) -> Result<Memory<'_>> {
        if keeper == self.rank() {
            return Ok(self.board.own.memory());
        }
        let cell = &self.mapped[keeper];
        if cell.get().is_none() {
            let map = || self.board.all[keeper].map(0, HEAD as usize, Permission::ReadWrite);
            let made = unbroken(&self.board.meanwhile, map);
            // Nobody else is here: a team is of one thread.
            let _ = cell.set(made.map_err(|error| self.board.failed(keeper, error))?);
        }
        let mapping = cell.get().ok_or_else(|| Error::with(Code::InternalError, "a mapping that was just made"))?;
        Ok(mapping.memory())
    }
}

impl Held<'_> {
    /// The rank that died while it held the lock, if one did since somebody last let it go: what the lock guards may be
    /// half done.
    pub fn died_holding(&self) -> Option<usize> {
        self.state.died()
    }

    /// Lets go, as dropping it does, and says whether that worked. Says so that what the lock guards is in order again.
    ///
    /// # Errors
    /// CONN_ABORTED when the keeper has ended, and the lock with it; INTERNAL_ERROR when somebody has taken it from
    /// this node.
    pub fn unlock(mut self) -> Result<()> {
        self.let_go()
    }

    /// Keeps the lock without the team, until [`Team::held`] is asked for it.
    pub fn keep(mut self) -> Kept {
        self.let_go = true;
        Kept { keeper: self.keeper, number: self.number, state: self.state }
    }

    fn let_go(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.let_go, true) {
            return Ok(());
        }
        let words = self.team.lock_words(self.keeper, self.number)?;
        let span = self.team.board.all[self.keeper].open_barrier()?;
        let done = words.let_go(self.state);
        match span.close() {
            Err(error) if error.code() != Code::BarrierFailure => Err(self.team.board.failed(self.keeper, error)),
            _ if !done => Err(Board::nonsense(self.keeper, "a lock that this node holds is another's")),
            _ => {
                self.team.wake_next(&words);
                Ok(())
            }
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Who wants to know calls `unlock`.
        let _ = self.let_go();
    }
}
