//! Poll descriptors, for `poll` and event loops.
#![cfg_attr(feature = "tokio", allow(unsafe_code))] // registering a descriptor with tokio

use crate::Result;
use rsm_core::bell::Bell;
use rsm_shm::membership::ready::Ready;
use rsm_shm::membership::{Membership, polled};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A descriptor that is readable while signals are pending on an export or import. Read, write and close nothing
/// through it.
#[derive(Clone)]
pub struct PollDescriptor {
    ready: Arc<Ready>,
}

impl PollDescriptor {
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }
}

impl AsFd for PollDescriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.descriptor()
    }
}

/// The poll descriptor of a handle, made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Polled(polled::Polled);

impl Polled {
    pub(crate) fn descriptor(&self, membership: &Arc<Membership>, bell: &Bell) -> Result<PollDescriptor> {
        self.0.descriptor(membership, bell).map(|ready| PollDescriptor { ready })
    }

    /// Hands a result of taking a signal on, after making the descriptor say what is left.
    pub(crate) fn following(&self, taken: Result<()>) -> Result<()> {
        self.0.follow();
        taken
    }
}

/// Waits until `take` takes something, or fails other than for want of it.
#[cfg(feature = "tokio")]
pub(crate) async fn wait_async(descriptor: &PollDescriptor, take: impl Fn() -> Result<()>) -> Result<()> {
    wait_readable(own_descriptor(descriptor.as_fd())?, take).await
}

#[cfg(feature = "tokio")]
fn failed(e: std::io::Error) -> crate::Error {
    crate::Error::with(crate::Code::InternalError, format!("cannot wait in this runtime: {e}"))
}

/// A descriptor of its own: tokio knows each only once, and several tasks may wait on one handle.
#[cfg(feature = "tokio")]
pub(crate) fn own_descriptor(descriptor: BorrowedFd<'_>) -> Result<std::os::fd::OwnedFd> {
    descriptor.try_clone_to_owned().map_err(failed)
}

/// [`wait_async`] for anything that can be read when there is something to take.
#[cfg(feature = "tokio")]
pub(crate) async fn wait_readable<T>(own: std::os::fd::OwnedFd, mut take: impl FnMut() -> Result<T>) -> Result<T> {
    use crate::Code;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    // SAFETY: the descriptor is owned by what is registered, which goes at the end of this function; its number means
    // the same file all the while.
    let registered = unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) };
    let readable = registered.map_err(|e| failed(e.into()))?;
    loop {
        match take() {
            Err(error) if error.code() == Code::Timeout => {}
            other => return other,
        }
        // The runtime is told when the descriptor becomes readable, not while it is. Who takes makes it follow, so one
        // that is readable now has something, or is about to say that it has not.
        if !rsm_shm::membership::ready::is_readable(readable.get_ref()) {
            readable.readable().await.map_err(failed)?.clear_ready();
        }
    }
}

impl std::fmt::Debug for PollDescriptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PollDescriptor").field(&std::os::fd::AsRawFd::as_raw_fd(&self.as_fd())).finish()
    }
}
