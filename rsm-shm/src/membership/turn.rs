//! Turns: what one thread of a process does at a time, and others wait for.
//!
//! Moving memory, publishing it and taking it back take several steps, each of which is right only when no other thread
//! is between two of its own with the same export or the same range. std's locks would do, but go on sleeping when a
//! signal handler ran (D-77).

use super::{Membership, lock};
use crate::futex;
use rsm_core::Result;
use rsm_core::sync::AtomicU32;
use rsm_core::sync::Ordering::Relaxed;
use std::sync::Mutex;

/// Steps whenever somebody's turn is over; who waits for one sleeps on it.
static OVER: AtomicU32 = AtomicU32::new(0);

/// How long somebody waits for a turn.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait<'a> {
    /// Until a signal handler runs, or the cluster ends.
    Interruptible(&'a Membership),
    /// Until it comes.
    Through,
}

impl Wait<'_> {
    /// Asks `look` again and again until it has something, sleeping until another turn is over in between. A turn must be
    /// seen and ended under one lock.
    ///
    /// # Errors
    /// INTERRUPTED; CTLR_NOT_PRESENT. None for who waits through.
    pub(super) fn until<T>(self, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        loop {
            // Relaxed: read before the lock under which the turn is found taken, so before whoever ends it takes that
            // lock, and steps the word after it.
            let seen = OVER.load(Relaxed);
            if let Some(found) = look()? {
                return Ok(found);
            }
            match self {
                Wait::Interruptible(membership) => membership.sleep(&OVER, seen, None)?,
                Wait::Through => {
                    futex::sleep(&OVER, seen, None);
                }
            }
        }
    }
}

/// A turn has ended: those who wait look again.
pub(super) fn over() {
    OVER.fetch_add(1, Relaxed);
    futex::wake(&OVER, i32::MAX);
}

/// The turns of one export's operations. Only the process that made it takes any: in a forked child one may be taken for
/// ever.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<bool>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits until nobody else has one.
    ///
    /// # Errors
    /// As [`Wait::until`].
    pub(super) fn take(&self, wait: Wait<'_>) -> Result<Turn<'_>> {
        wait.until(|| {
            let taken = std::mem::replace(&mut *lock(&self.0), true);
            // Only then is there a turn, whose end would be seen.
            Ok((!taken).then(|| Turn(self)))
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) = false;
        over();
    }
}
