//! /proc, when it is what it seems to be.
//!
//! What is mounted at /proc may be nothing (a chroot), a directory that only looks like it, or the process file system of
//! another PID namespace, where this process has another number or none. A wrong answer is worse than none, so everything
//! here is reached from the root of a process file system, by the links that the kernel makes for who asks (`self`,
//! `thread-self`), and across no other mount.

use crate::error::from_errno;
use crate::guest::{self, Guest};
use rsm_core::{Code, Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
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
    let whole = format!("/proc/{path}");
    let tried = format!("cannot read {whole}");
    let root = root().map_err(|e| Error::with(e.code(), format!("{tried}: {}", e.detail())))?;
    let opened = rustix::fs::open(&*whole, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).and_then(Guest::new);
    let opened = opened.map_err(|e| match e {
        Errno::NOENT if !knows_us().unwrap_or(true) => missing(format!("{tried}: {STRANGE}")),
        e => from_errno(e, &tried),
    })?;
    let place = mount_of(&opened, "", AtFlags::EMPTY_PATH).map_err(|e| from_errno(e, &tried))?;
    if place == root { Ok(opened) } else { Err(missing(format!("{tried}: something else is mounted over it"))) }
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

/// Reason why this process cannot use /proc; `None` when it can. CTLR_NOT_PRESENT and PERM_DENIED stay for good, others may
/// be over the next time.
pub fn obstacle() -> Option<Error> {
    match root().and_then(|_| knows_us()) {
        Ok(true) => None,
        Ok(false) => Some(missing(STRANGE.to_owned())),
        Err(error) => Some(error),
    }
}

const STRANGE: &str =
    "/proc is of a PID namespace that this process is not in (unshare --mount-proc, or mount -t proc proc /proc)";

fn missing(text: String) -> Error {
    Error::with(Code::CtlrNotPresent, text)
}

/// Where the process file system is mounted: what the files in it have in common.
fn root() -> Result<u64> {
    let absent = || missing("/proc is not there (in a chroot: mount -t proc proc /proc)".to_owned());
    let failed = |e| match e {
        Errno::NOENT | Errno::NOTDIR => absent(),
        e => from_errno(e, "cannot look at /proc"),
    };
    let kind = rustix::fs::statfs("/proc").map_err(failed)?.f_type;
    let inode = rustix::fs::stat("/proc").map_err(failed)?.st_ino;
    #[allow(clippy::unnecessary_cast)] // Its type differs between architectures.
    if kind as u64 != MAGIC || inode != ROOT {
        return Err(missing("/proc is not mounted: no process file system is there".to_owned()));
    }
    mount_of(rustix::fs::CWD, "/proc", AtFlags::empty()).map_err(failed)
}

/// The number of the mount that something is found in. 0 where the kernel does not say: before Linux 5.8, or where a
/// filter refuses the call.
fn mount_of(from: impl AsFd, path: &str, flags: AtFlags) -> rustix::io::Result<u64> {
    match rustix::fs::statx(from, path, flags, StatxFlags::MNT_ID) {
        Ok(found) => Ok(found.stx_mnt_id),
        Err(Errno::NOSYS | Errno::PERM) => Ok(0),
        Err(error) => Err(error),
    }
}

fn knows_us() -> Result<bool> {
    match rustix::fs::stat("/proc/self") {
        Err(Errno::NOENT) => Ok(false),
        looked => looked.map(|_| true).map_err(|e| from_errno(e, "cannot look at /proc")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused;

    #[test]
    fn our_own_files_are_read() {
        let status = String::from_utf8(read("self/status").unwrap()).unwrap();
        assert!(status.contains(&format!("\nPid:\t{}\n", std::process::id())), "{status}");
        assert!(obstacle().is_none());
        let error = open("self/nothing").unwrap_err();
        assert_eq!(error.code(), Code::CtlrNotPresent);
        assert!(error.to_string().contains("/proc/self/nothing"), "{error}");
    }

    #[test]
    fn what_cannot_be_looked_at_now_is_not_missing() {
        let code = |call, work: fn() -> Option<Error>| refused::on_a_thread(call, Errno::NOMEM, work).map(|e| e.code());
        assert_eq!(code(libc::SYS_statfs, obstacle), Some(Code::InsufficientMem));
        assert_eq!(code(libc::SYS_newfstatat, || knows_us().err()), Some(Code::InsufficientMem));
    }
}
