//! Descriptors 0, 1 and 2 where a program has closed them. What is opened next would stand there: whoever then writes to
//! its standard output would write into the run.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::fcntl_dupfd_cloexec;

/// Puts /dev/null at those that are closed, for as long as this process lives. For a process without other threads.
pub(super) fn fill() -> io::Result<()> {
    loop {
        let null = open("/dev/null", OFlags::RDWR, Mode::empty())?;
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        let _stays_open = null.into_raw_fd();
    }
}

/// The same file by a descriptor that is none of them.
pub(super) fn beyond(descriptor: impl Into<OwnedFd>) -> io::Result<OwnedFd> {
    let descriptor = descriptor.into();
    if descriptor.as_raw_fd() > 2 { Ok(descriptor) } else { Ok(fcntl_dupfd_cloexec(&descriptor, 3)?) }
}
