//! Which process a descriptor is of that a joining process sends, by the kernel's word: where the kernel itself does not
//! name who is at the other end of a socket (before Linux 6.5).
//!
//! /proc has a text for each descriptor, in which the process's number stands. Before Linux 5.14 this text is root's in a
//! process that may not be dumped, as the agent's own is: it could not read what it may ask. So the text of one number is
//! opened while that is possible, and what is to be looked at is put there. The kernel writes the text when it is read, of
//! the descriptor that the number is of by then.

use crate::error::from_errno;
use crate::guest::Guest;
use crate::procfs;
use rsm_core::{Code, Error, Result};
use rustix::io::{DupFlags, Errno};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What tells whose a process descriptor is; of the thread that made it.
#[derive(Debug)]
pub(super) struct Naming {
    /// A descriptor of this process, and for a moment the one that is looked at.
    place: OwnedFd,
    /// Where the former goes meanwhile.
    own: OwnedFd,
    text: Guest,
}

impl Naming {
    /// Opens what it takes. To be called before this process may no more be dumped.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT without a /proc that knows us, or where `pidfd_open` is refused; PERM_DENIED where this process may
    /// not look at its own descriptors; INSUFFICIENT_RESOURCES.
    pub(super) fn open() -> Result<Naming> {
        let own = || pidfd_open(getpid(), PidfdFlags::empty());
        let (place, own) = own()
            .and_then(|place| Ok((place, own()?)))
            .map_err(|e| from_errno(e, "cannot open a process descriptor"))?;
        let text = procfs::open(&format!("thread-self/fdinfo/{}", place.as_raw_fd()))?;
        let naming = Naming { place, own, text };
        // /proc counts as the PID namespace does that it was mounted in: it is ours if it calls us what the kernel does.
        match naming.told()? {
            Some(number) if number == std::process::id() => Ok(naming),
            _ => Err(Error::with(Code::CtlrNotPresent, "/proc does not tell processes from each other by our numbers")),
        }
    }

    /// Whether `process` is a descriptor of the process with this number. Not of one that has no number here: the text is
    /// the same for every such process.
    ///
    /// # Errors
    /// The text cannot be read.
    pub(super) fn is_of(&mut self, process: impl AsFd, number: u32) -> Result<bool> {
        let put = |what: &dyn AsFd, place: &mut OwnedFd| {
            rustix::io::dup3(what, place, DupFlags::CLOEXEC).map_err(|e| from_errno(e, "cannot look at a descriptor"))
        };
        put(&process, &mut self.place)?;
        let told = self.told();
        put(&self.own, &mut self.place)?;
        Ok(number != 0 && told? == Some(number))
    }

    /// The number in the text; `None` of what is no process descriptor.
    fn told(&self) -> Result<Option<u32>> {
        let mut bytes = [0; 1024];
        let length = loop {
            match rustix::io::pread(&self.text, &mut bytes, 0) {
                Err(Errno::INTR) => {}
                read => break read.map_err(|e| from_errno(e, "cannot read what a descriptor is of"))?,
            }
        };
        let text = String::from_utf8_lossy(&bytes[..length]);
        Ok(text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Pid;
    use std::process::{Command, Stdio};

    #[test]
    fn a_descriptor_is_of_one_process() {
        let mut naming = Naming::open().unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let theirs = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let socket = crate::socket::packet_pair().unwrap().0;
        for _ in 0..2 {
            assert!(naming.is_of(&theirs, child.id()).unwrap());
            assert!(!naming.is_of(&theirs, std::process::id()).unwrap());
            assert!(naming.is_of(&own, std::process::id()).unwrap());
            assert!(!naming.is_of(&own, child.id()).unwrap());
            assert!(!naming.is_of(&socket, std::process::id()).unwrap(), "no process's");
            assert!(!naming.is_of(&own, 0).unwrap());
        }
        drop(child.stdin.take());
        child.wait().unwrap();
        // It was this process's, and is nobody's now.
        assert!(!naming.is_of(&theirs, child.id()).unwrap());
    }
}
