//! Poll descriptors of handles: who holds one, and whose a descriptor is.

use crate::entry::fail;
use rsm_core::bell::Bell;
use rsm_core::pump::Made;
use rsm_core::{Code, Result};
use rsm_shm::membership::Membership;
use rsm_shm::membership::ready::Ready;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The poll descriptor of a handle, and how many hold it.
#[derive(Default)]
pub(crate) struct Polled {
    holders: Mutex<Holders>,
    /// A descriptor was made once: taking a signal looks no further without.
    made: Made,
}

#[derive(Default)]
struct Holders {
    count: u32,
    /// Made at the first request and kept for the life of the handle: the number stays the same.
    ready: Option<Arc<Ready>>,
}

/// Descriptors that programs hold, and whose they are.
static REGISTERED: Mutex<Vec<(RawFd, u64)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Polled {
    /// Whether a descriptor may have to follow, after a signal was taken.
    #[inline(always)]
    pub(crate) fn is_after_take(&self) -> bool {
        self.made.is_after_take()
    }

    /// Refuses while somebody holds the descriptor.
    pub(crate) fn check_unused(&self) -> Result<()> {
        let _hold = rsm_shm::membership::without_forks();
        if lock(&self.holders).count > 0 { fail(Code::PollfdInUse) } else { Ok(()) }
    }

    /// The descriptor that this process made, if it did.
    pub(crate) fn ready(&self) -> Option<Arc<Ready>> {
        let _hold = rsm_shm::membership::without_forks();
        lock(&self.holders).ready.clone().filter(|ready| ready.is_usable())
    }

    /// Makes the descriptor of a handle if need be, and holds it.
    pub(crate) fn hold(&self, handle: u64, membership: &Arc<Membership>, bell: &Bell) -> Result<RawFd> {
        self.made.say();
        // Made outside of the lock: it starts a thread.
        let made = match self.ready() {
            Some(ready) => ready,
            None => Ready::new(membership, bell)?,
        };
        let (number, _surplus) = {
            let _hold = rsm_shm::membership::without_forks();
            let mut holders = lock(&self.holders);
            // Another thread may have been faster; what a forked child inherited is its parent's, and what the program
            // closed is gone.
            let current = holders.ready.as_ref().filter(|ready| ready.is_usable()).map(Arc::clone);
            let (ready, surplus) = match current {
                Some(ready) => (ready, Some(made)),
                None => (made, holders.ready.take()),
            };
            let number = ready.descriptor().as_raw_fd();
            let replaced = surplus.as_ref().is_some_and(|old| !old.is_current());
            // What a forked child inherited was held by its parent.
            holders.count = if replaced { 1 } else { holders.count + 1 };
            holders.ready = Some(ready);
            let mut registered = lock(&REGISTERED);
            registered.retain(|(_, owner)| *owner != handle);
            registered.push((number, handle));
            (number, surplus)
        };
        Ok(number)
    }

    /// Gives a hold back.
    pub(crate) fn release(&self, handle: u64) {
        let _hold = rsm_shm::membership::without_forks();
        let mut holders = lock(&self.holders);
        if holders.count == 0 {
            return;
        }
        holders.count -= 1;
        if holders.count == 0 {
            lock(&REGISTERED).retain(|(_, owner)| *owner != handle);
        }
    }

    /// Makes the descriptor follow after a signal was taken.
    pub(crate) fn follow(&self) {
        if self.is_after_take()
            && let Some(ready) = self.ready()
        {
            ready.follow();
        }
    }
}

/// The handle whose descriptor this is, while somebody holds it.
pub(crate) fn registered(fd: RawFd) -> Option<u64> {
    let _hold = rsm_shm::membership::without_forks();
    lock(&REGISTERED).iter().find(|(number, _)| *number == fd).map(|(_, owner)| *owner)
}
