//! The poll descriptor of a handle: made when it is first asked for, by each process for itself.

use super::ready::Ready;
use super::{Membership, fork, lock};
use rsm_core::Result;
use rsm_core::bell::Bell;
use rsm_core::pump::Made;
use std::sync::{Arc, Mutex};

/// Place for the poll descriptor of a handle, and whether there ever was one.
#[derive(Debug, Default)]
pub struct Polled {
    ready: Mutex<Option<Arc<Ready>>>,
    /// A descriptor was made once: taking a signal looks no further without.
    made: Made,
}

impl Polled {
    /// Whether a descriptor may have to follow, after a signal was taken.
    #[inline(always)]
    pub fn is_after_take(&self) -> bool {
        self.made.is_after_take()
    }

    /// The descriptor that this process made, if it did and the program has not closed it. A forked child has none of the
    /// threads that serve its parent's. Forks are held off: a child must not inherit the lock in the hands of another thread.
    pub fn current(&self) -> Option<Arc<Ready>> {
        let _hold = fork::hold();
        lock(&self.ready).clone().filter(|ready| ready.is_usable())
    }

    /// The descriptor, made if need be. It says what is pending now.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for the thread that serves it.
    pub fn descriptor(&self, membership: &Arc<Membership>, bell: &Bell) -> Result<Arc<Ready>> {
        if let Some(ready) = self.current() {
            return Ok(ready);
        }
        self.made.say();
        membership.race_polls();
        // Made outside of the lock: it starts a thread.
        let made = Ready::new(membership, bell)?;
        let (ready, _surplus) = {
            let _hold = fork::hold();
            let mut kept = lock(&self.ready);
            // Another thread may have been faster.
            match kept.clone().filter(|ready| ready.is_usable()) {
                Some(ready) => (ready, Some(made)),
                None => (Arc::clone(&made), kept.replace(made)),
            }
        };
        ready.follow();
        Ok(ready)
    }

    /// Makes the descriptor say what is left after a signal was taken.
    pub fn follow(&self) {
        if self.is_after_take()
            && let Some(ready) = self.current()
        {
            ready.follow();
        }
    }
}
