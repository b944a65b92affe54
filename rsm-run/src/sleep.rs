//! Waiting for descriptors, in loops that look at all of them again.

use std::io;
use std::thread;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

use crate::deadline::MOMENT;
use crate::failure::Failure;

/// Sleeps until something of this happens, or the time is over; or for no reason.
///
/// # Errors
/// That the kernel, or a filter before it, does not let us wait. It has slept for a moment then, so that whoever has to
/// go on looks at all it waits for by a clock, and no processor is kept busy.
pub(crate) fn until_ready(events: &mut [PollFd<'_>], timeout: Option<&Timespec>) -> Result<(), Errno> {
    match poll(events, timeout) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => {
            thread::sleep(MOMENT);
            // There may be memory the next time.
            if matches!(errno, Errno::NOMEM | Errno::AGAIN) { Ok(()) } else { Err(errno) }
        }
    }
}

/// Whether this process may wait at all, asked before anything is started that it would have to wait for.
///
/// # Errors
/// That it may not; `what` cannot be done then.
pub(crate) fn check(what: &str) -> Result<(), Failure> {
    until_ready(&mut [], Some(&Timespec::default())).map_err(|errno| refused(what, errno))
}

/// What to say of an error of [`until_ready`].
pub(crate) fn refused(what: &str, errno: Errno) -> Failure {
    Failure::call(what, "poll", io::Error::from(errno))
}
