//! Descriptors that are raised, and stay so until that is taken.

use rsm_core::{Code, Error, Result};
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// An event descriptor.
pub(crate) fn raisable() -> Result<OwnedFd> {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(no_room)
}

/// Raises one.
pub(crate) fn raise(event: impl AsFd) {
    // Its count can only be full, and then it is raised.
    let _ = rustix::io::write(event, &1u64.to_ne_bytes());
}

/// Takes what was raised.
pub(crate) fn drain(event: impl AsFd) {
    // Not raised is as good.
    let _ = rustix::io::read(event, &mut [0; 8]);
}

/// Why there is no descriptor.
pub(crate) fn no_room(why: Errno) -> Error {
    Error::with(Code::InsufficientResources, format!("no descriptors for a bridge's events: {why}"))
}
