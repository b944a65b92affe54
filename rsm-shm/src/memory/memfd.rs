//! Memory objects: anonymous files that live as long as a descriptor or a mapping of them does.

use crate::error::from_errno;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Who may write a memory object that several processes map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Its size is fixed for ever; whoever has it open for writing writes.
    Size,
    /// Its size is fixed, and only mappings made before [`seal`] write.
    SizeAndFutureWrites,
}

/// Creates a zeroed memory object, readable and writable by its owner only.
///
/// # Errors
/// INSUFFICIENT_RESOURCES without a free descriptor, INSUFFICIENT_MEM, CTLR_NOT_PRESENT where the kernel has no sealing.
pub fn create(name: &str, length: u64) -> Result<OwnedFd> {
    let wanted = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = match rustix::fs::memfd_create(name, wanted | MemfdFlags::NOEXEC_SEAL) {
        // Linux before 6.3 does not know the flag.
        Err(Errno::INVAL) => rustix::fs::memfd_create(name, wanted),
        other => other,
    };
    let fd = fd.map_err(|e| match e {
        Errno::NOSYS | Errno::INVAL => Error::with(
            Code::CtlrNotPresent,
            "this kernel has no memory objects with seals (memfd_create, Linux 3.17; rsm needs Linux 5.19)",
        ),
        e => from_errno(e, "cannot create a memory object"),
    })?;
    // The mode of a memory object is 0777 by default: whoever finds it in /proc could open it.
    rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o600)).map_err(|e| from_errno(e, "cannot protect a memory object"))?;
    rustix::fs::ftruncate(&fd, length).map_err(|e| match e {
        Errno::FBIG | Errno::INVAL => {
            Error::with(Code::BadLength, format!("{length} bytes are too much for a memory object"))
        }
        e => from_errno(e, "cannot size a memory object"),
    })?;
    Ok(fd)
}

/// Seals a memory object; nothing can be unsealed or sealed further.
///
/// # Errors
/// CTLR_NOT_PRESENT where the kernel lacks the seal.
pub fn seal(fd: impl AsFd, sealing: Sealing) -> Result<()> {
    let mut seals = SealFlags::SHRINK | SealFlags::GROW;
    if sealing == Sealing::SizeAndFutureWrites {
        seals |= SealFlags::FUTURE_WRITE;
    }
    rustix::fs::fcntl_add_seals(&fd, seals | SealFlags::SEAL).map_err(|e| {
        Error::with(
            Code::CtlrNotPresent,
            format!(
                "this kernel cannot seal memory objects (F_SEAL_FUTURE_WRITE, Linux 5.1; rsm needs Linux 5.19): {e}"
            ),
        )
    })
}

/// Opens a memory object again, as a description of its own with no more rights than `permission` needs.
///
/// The path goes through the *thread's* descriptor table, which for the agent is a private one.
///
/// # Errors
/// INSUFFICIENT_RESOURCES without a free descriptor; CTLR_NOT_PRESENT without /proc.
pub fn reopen(fd: impl AsFd, permission: Permission) -> Result<OwnedFd> {
    // A write-only shared mapping needs a description that reads as well.
    let access = if permission.writes() { OFlags::RDWR } else { OFlags::RDONLY };
    let path = format!("/proc/thread-self/fd/{}", fd.as_fd().as_raw_fd());
    // NONBLOCK: whoever holds a lease on the object could make a plain open wait for it to be broken.
    rustix::fs::open(path, access | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).map_err(|e| match e {
        Errno::AGAIN => Error::with(Code::InsufficientResources, "an importer holds a lease on the segment's memory"),
        Errno::NOENT => Error::with(Code::CtlrNotPresent, "memory cannot be shared: /proc is not mounted"),
        e => from_errno(e, "cannot open a memory object again"),
    })
}

/// The length in bytes of what a descriptor refers to.
///
/// # Errors
/// As `fstat` says.
pub fn length(fd: impl AsFd) -> Result<u64> {
    let stat = rustix::fs::fstat(&fd).map_err(|e| from_errno(e, "cannot look at a memory object"))?;
    u64::try_from(stat.st_size).map_err(|_| Error::with(Code::InternalError, "a memory object has a negative length"))
}
