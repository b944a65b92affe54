//! Memory objects: anonymous files that live as long as a descriptor or a mapping of them does.

use crate::error::from_errno;
use crate::procfs;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use rustix::process::Resource;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Writers that a memory object has, which several processes map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealing {
    /// Its size is fixed for ever; whoever has it open for writing writes.
    Size,
    /// Its size is fixed for ever; more can be sealed later.
    SizeForNow,
    /// Its size is fixed, and only mappings made before [`seal`] write.
    SizeAndFutureWrites,
}

/// Mode of every memory object.
const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);

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
        Errno::NOSYS | Errno::INVAL => {
            Error::with(Code::CtlrNotPresent, "this kernel has no memory objects with seals (memfd_create, Linux 3.17)")
        }
        e => from_errno(e, "cannot create a memory object"),
    })?;
    // The mode of a memory object is 0777 by default: whoever finds it in /proc could open it.
    rustix::fs::fchmod(&fd, OWNER_ONLY).map_err(|e| from_errno(e, "cannot protect a memory object"))?;
    // Asked first: past the limit the kernel sends SIGXFSZ, which ends programs that do not know it.
    let limit = crate::rlimit::limit(Resource::Fsize).ok().and_then(|limit| limit.current);
    if let Some(limit) = limit.filter(|&limit| limit < length) {
        let text = format!(
            "the limit of file sizes, {limit} bytes (`ulimit -f`), counts for memory too: {length} are too much"
        );
        return Err(Error::with(Code::BadLength, text));
    }
    rustix::fs::ftruncate(&fd, length).map_err(|e| match e {
        Errno::FBIG | Errno::INVAL => {
            Error::with(Code::BadLength, format!("{length} bytes are too much for a memory object"))
        }
        e => from_errno(e, "cannot size a memory object"),
    })?;
    Ok(fd)
}

/// Seals a memory object; nothing can be unsealed, nor (but for `SizeForNow`) sealed further.
///
/// # Errors
/// CTLR_NOT_PRESENT where the kernel lacks the seal.
pub fn seal(fd: impl AsFd, sealing: Sealing) -> Result<()> {
    rustix::fs::fcntl_add_seals(&fd, seals_of(sealing)).map_err(|e| match e {
        Errno::INVAL => Error::with(
            Code::CtlrNotPresent,
            format!("this kernel cannot seal memory objects (F_SEAL_FUTURE_WRITE, Linux 5.1): {e}"),
        ),
        e => from_errno(e, "cannot seal a memory object"),
    })
}

fn seals_of(sealing: Sealing) -> SealFlags {
    let size = SealFlags::SHRINK | SealFlags::GROW;
    match sealing {
        Sealing::Size => size | SealFlags::SEAL,
        Sealing::SizeForNow => size,
        Sealing::SizeAndFutureWrites => size | SealFlags::FUTURE_WRITE | SealFlags::SEAL,
    }
}

/// Seals as [`seal`] does, an object that may be sealed like this already.
///
/// # Errors
/// PERM_DENIED when it was sealed in another way, by somebody else who has it open for writing.
pub fn seal_once(fd: impl AsFd, sealing: Sealing) -> Result<()> {
    if seals(&fd)?.contains(seals_of(sealing)) {
        return Ok(());
    }
    seal(&fd, sealing).map_err(|error| Error::with(Code::PermDenied, format!("sealed by somebody else: {error}")))
}

fn seals(fd: impl AsFd) -> Result<SealFlags> {
    rustix::fs::fcntl_get_seals(fd).map_err(|e| from_errno(e, "this is no memory object"))
}

/// Magic numbers of the file systems in which ordinary memory objects live, as `fstatfs` tells them: tmpfs, and ramfs
/// where the kernel has no swappable one. Objects of huge pages from the machine's pool live in another, and fault when
/// the pool is empty.
const OF_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Checks that `fd` is a memory object of at least `length` bytes that nobody can shorten: what is mapped from it can
/// be touched without a fault, whoever sent it.
///
/// # Errors
/// INTERNAL_ERROR, saying what is wrong.
pub fn check_solid(fd: impl AsFd, length: u64) -> Result<()> {
    let bad = |text: String| Err(Error::with(Code::InternalError, text));
    let there = self::length(&fd)?;
    if there < length {
        return bad(format!("the agent sent memory of {there} bytes for {length}"));
    }
    match rustix::fs::fcntl_get_seals(&fd) {
        Ok(seals) if seals.contains(SealFlags::SHRINK) => match rustix::fs::fstatfs(&fd) {
            Ok(system) if OF_MEMORY.contains(&(system.f_type as u64)) => Ok(()),
            Ok(_) => bad("the agent sent memory that is not made of ordinary pages".to_owned()),
            Err(e) => Err(from_errno(e, "cannot look at a memory object")),
        },
        Ok(_) => bad("the agent sent memory that can be shortened".to_owned()),
        Err(_) => bad("the agent sent a descriptor that is no memory object".to_owned()),
    }
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
    let open = || rustix::fs::open(&*path, access | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty());
    let opened = match open() {
        // Every process of the owner may change the mode, whatever it opened the object for; so may we.
        Err(Errno::ACCESS) => {
            rustix::fs::fchmod(&fd, OWNER_ONLY).map_err(|e| match e {
                Errno::PERM => {
                    let text = "cannot open a memory object again: it belongs to another user, such as the one that this \
                                process was when it was made";
                    Error::with(Code::PermDenied, text)
                }
                e => from_errno(e, "cannot open a memory object again"),
            })?;
            open()
        }
        opened => opened,
    };
    let opened = opened.map_err(|e| match e {
        Errno::AGAIN => Error::with(Code::InsufficientResources, "an importer holds a lease on the segment's memory"),
        Errno::NOENT => not_by_proc(),
        e => from_errno(e, "cannot open a memory object again"),
    })?;
    let which = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    // What is at /proc may be anything, and a wrong object worse than none.
    if which(opened.as_fd()) == which(fd.as_fd()) { Ok(opened) } else { Err(not_by_proc()) }
}

fn not_by_proc() -> Error {
    let why = procfs::obstacle().map_or("it leads elsewhere".to_owned(), |error| error.detail().to_owned());
    Error::with(Code::CtlrNotPresent, format!("memory cannot be shared by /proc/thread-self/fd: {why}"))
}

/// The length in bytes of what a descriptor refers to.
///
/// # Errors
/// As `fstat` says.
pub fn length(fd: impl AsFd) -> Result<u64> {
    let stat = rustix::fs::fstat(&fd).map_err(|e| from_errno(e, "cannot look at a memory object"))?;
    u64::try_from(stat.st_size).map_err(|_| Error::with(Code::InternalError, "a memory object has a negative length"))
}
