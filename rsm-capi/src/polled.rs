//! Poll descriptors of handles: who holds one, and whose a descriptor is.

use crate::entry::fail;
use rsm_core::bell::Bell;
use rsm_core::{Code, Result};
use rsm_shm::membership::ready::Ready;
use rsm_shm::membership::{Membership, polled};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The poll descriptor of a handle, and how many hold it.
#[derive(Default)]
pub(crate) struct Polled {
    shared: polled::Polled,
    holders: Mutex<Holders>,
}

#[derive(Default)]
struct Holders {
    count: u32,
    /// What they hold; another when the program has closed it.
    of: Option<Arc<Ready>>,
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
        self.shared.is_after_take()
    }

    /// Refuses while somebody holds the descriptor.
    pub(crate) fn check_unused(&self) -> Result<()> {
        let _hold = rsm_shm::membership::without_forks();
        if lock(&self.holders).count > 0 { fail(Code::PollfdInUse) } else { Ok(()) }
    }

    /// The descriptor that this process made, if it did.
    pub(crate) fn ready(&self) -> Option<Arc<Ready>> {
        self.shared.current()
    }

    /// Makes the descriptor of a handle if need be, and holds it.
    pub(crate) fn hold(&self, handle: u64, membership: &Arc<Membership>, bell: &Bell) -> Result<RawFd> {
        let ready = self.shared.descriptor(membership, bell)?;
        let number = ready.descriptor().as_raw_fd();
        let _before = {
            let _hold = rsm_shm::membership::without_forks();
            let mut holders = lock(&self.holders);
            // What a forked child inherited was held by its parent.
            let inherited = holders.of.as_ref().is_some_and(|of| !of.is_current());
            holders.count = if inherited { 1 } else { holders.count + 1 };
            let mut registered = lock(&REGISTERED);
            registered.retain(|(_, owner)| *owner != handle);
            registered.push((number, handle));
            holders.of.replace(ready)
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
        self.shared.follow();
    }
}

/// The handle whose descriptor this is, while somebody holds it.
pub(crate) fn registered(fd: RawFd) -> Option<u64> {
    let _hold = rsm_shm::membership::without_forks();
    lock(&REGISTERED).iter().find(|(number, _)| *number == fd).map(|(_, owner)| *owner)
}
