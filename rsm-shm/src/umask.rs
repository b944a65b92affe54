//! The umask of this process, which no system call tells without changing it.
#![allow(unsafe_code)]

use crate::error::from_errno;
use crate::{private_table, procfs};
use rsm_core::{Code, Error, Result};
use rustix::fs::Mode;
use std::sync::mpsc;

/// Reads it from /proc; where that cannot be used, from a thread that has a copy of what the umask belongs to.
///
/// # Errors
/// What is the matter with /proc, where the kernel gives no such thread either.
pub(crate) fn current() -> Result<u32> {
    from_proc().or_else(|error| from_copy().map_err(|_| error))
}

fn from_proc() -> Result<u32> {
    let tried = "cannot tell the umask from /proc/thread-self/status";
    let unknown = || Error::with(Code::InternalError, tried);
    let status = procfs::open("thread-self/status")?;
    // One read: the kernel writes the whole text for each. The line is the second, after a name of at most 64 bytes.
    let mut start = [0; 256];
    let length = rustix::io::read(&status, &mut start).map_err(|e| from_errno(e, tried))?;
    let text = String::from_utf8_lossy(&start[..length]);
    let line = text.lines().find_map(|line| line.strip_prefix("Umask:")).ok_or_else(unknown)?;
    u32::from_str_radix(line.trim(), 8).map_err(|_| unknown())
}

/// A new thread shares root, working directory and umask with its maker until it asks for its own, which it may change.
fn from_copy() -> Result<u32> {
    let (tell, told) = mpsc::channel();
    let thread = private_table::spawn_quiet("rsm-umask", move || {
        // SAFETY: plain flags; what is no longer shared is this thread's, which ends here.
        let alone = unsafe { libc::unshare(libc::CLONE_FS) } == 0;
        let _ = tell.send(alone.then(|| rustix::process::umask(Mode::empty()).as_raw_mode()));
    })?;
    let umask = told.recv().ok().flatten();
    let _ = thread.join();
    umask.ok_or_else(|| Error::with(Code::InternalError, "the kernel refuses unshare(CLONE_FS)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_say_the_same_and_change_nothing() {
        let first = from_proc().unwrap();
        assert_eq!(from_copy(), Ok(first));
        assert_eq!(from_proc(), Ok(first));
    }
}
