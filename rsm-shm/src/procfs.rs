//! /proc, when it is what it seems to be.
//!
//! What is mounted at /proc may be nothing (a chroot), a directory that only looks like it, or the process file system of
//! another PID namespace, where this process has another number or none. A wrong answer is worse than none, so everything
//! here is reached from the root of a process file system, by the links that the kernel makes for who asks (`self`,
//! `thread-self`), and across no other mount.

use crate::error::from_errno;
use crate::guest::{self, Guest};
use rsm_core::{Code, Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// `PROC_SUPER_MAGIC`.
const MAGIC: u64 = 0x9fa0;
/// The inode of the root of every process file system.
const ROOT: u64 = 1;

/// Opens a file below /proc for reading: `self/maps`, `thread-self/status`, `meminfo`.
///
/// # Errors
/// CTLR_NOT_PRESENT, saying what is missing; PERM_DENIED; INSUFFICIENT_RESOURCES without a free descriptor.
pub fn open(path: &str) -> Result<Guest> {
    let tried = || format!("cannot read /proc/{path}");
    let root = root().map_err(|e| Error::with(e.code(), format!("{}: {}", tried(), e.detail())))?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat2(&root, path, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
        // Refused by a filter that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(&root, path, flags, Mode::empty()),
        other => other,
    };
    opened.and_then(Guest::new).map_err(|e| match e {
        Errno::XDEV => missing(format!("{}: something else is mounted over it", tried())),
        Errno::NOENT if !knows_us(&root) => missing(format!("{}: {STRANGE}", tried())),
        e => from_errno(e, &tried()),
    })
}

/// The whole text of a file below /proc.
///
/// # Errors
/// As [`open`].
pub fn read(path: &str) -> Result<Vec<u8>> {
    let file = open(path)?;
    guest::read_to_end(&file).map_err(|e| {
        let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
        from_errno(errno, &format!("cannot read /proc/{path}"))
    })
}

/// Why this process cannot use /proc; `None` when it can.
pub fn obstacle() -> Option<Error> {
    match root() {
        Ok(root) if knows_us(&root) => None,
        Ok(_) => Some(missing(STRANGE.to_owned())),
        Err(error) => Some(error),
    }
}

const STRANGE: &str =
    "/proc is of a PID namespace that this process is not in (unshare --mount-proc, or mount -t proc proc /proc)";

fn missing(text: String) -> Error {
    Error::with(Code::CtlrNotPresent, text)
}

/// The root of the process file system.
fn root() -> Result<Guest> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/proc", flags, Mode::empty()).and_then(Guest::new);
    let root = root.map_err(|e| match e {
        Errno::NOENT | Errno::NOTDIR => {
            missing("/proc is not there (in a chroot: mount -t proc proc /proc)".to_owned())
        }
        e => from_errno(e, "cannot open /proc"),
    })?;
    let kind = rustix::fs::fstatfs(&root).map_err(|e| from_errno(e, "cannot look at /proc"))?;
    let inode = rustix::fs::fstat(&root).map_err(|e| from_errno(e, "cannot look at /proc"))?.st_ino;
    #[allow(clippy::unnecessary_cast)] // Its type differs between architectures.
    if kind.f_type as u64 != MAGIC || inode != ROOT {
        return Err(missing("/proc is not mounted: no process file system is there".to_owned()));
    }
    Ok(root)
}

fn knows_us(root: impl AsFd) -> bool {
    rustix::fs::statat(root, "self", AtFlags::empty()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_files_are_read() {
        let status = String::from_utf8(read("self/status").unwrap()).unwrap();
        assert!(status.contains(&format!("\nPid:\t{}\n", std::process::id())), "{status}");
        assert!(obstacle().is_none());
        let error = open("self/nothing").unwrap_err();
        assert_eq!(error.code(), Code::CtlrNotPresent);
        assert!(error.to_string().contains("/proc/self/nothing"), "{error}");
    }
}
