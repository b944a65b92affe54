//! Holding stores back: userfaultfd write protection by raw system calls.
//!
//! A thread that stores to protected memory waits in the kernel, whatever signals it blocks, until it is woken; then it
//! takes the store up again and finds whatever is mapped there by then. Nobody reads the descriptor.
//!
//! Whom it holds back depends on how the kernel lets us open one:
//!
//! | mode | when | a store by user code | a store by the kernel for another thread, such as `read(2)` |
//! |---|---|---|---|
//! | [`Mode::Full`] | CAP_SYS_PTRACE, `vm.unprivileged_userfaultfd=1`, or access to `/dev/userfaultfd` | waits | waits |
//! | [`Mode::UserOnly`] | else (Linux 5.11) | waits | the call fails with EFAULT, or is short |
//!
//! Not held back, as they do not look at page tables: devices and rings that were given the pages before (O_DIRECT
//! reads under way, io_uring's registered buffers), and other processes that share the memory.
#![allow(unsafe_code)]

use crate::guest::Guest;
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
struct Range {
    start: u64,
    length: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_writeprotect`.
#[repr(C)]
struct Protect {
    range: Range,
    mode: u64,
}

const GROUP: u8 = 0xAA;
const API: u64 = 0xAA;
const NEW: u64 = rustix::ioctl::opcode::none(GROUP, 0x00) as u64;
const UFFDIO_API: u64 = rustix::ioctl::opcode::read_write::<Api>(GROUP, 0x3F) as u64;
const UFFDIO_REGISTER: u64 = rustix::ioctl::opcode::read_write::<Register>(GROUP, 0x00) as u64;
const UFFDIO_UNREGISTER: u64 = rustix::ioctl::opcode::read::<Range>(GROUP, 0x01) as u64;
const UFFDIO_WAKE: u64 = rustix::ioctl::opcode::read::<Range>(GROUP, 0x02) as u64;
const UFFDIO_WRITEPROTECT: u64 = rustix::ioctl::opcode::read_write::<Protect>(GROUP, 0x06) as u64;

const USER_MODE_ONLY: libc::c_int = 1;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1;

const FEATURE_WP: u64 = 1;
const FEATURE_WP_SHMEM: u64 = 1 << 12;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;

/// Sets of features worth having, the best first: Linux 6.4, 5.19, 5.7.
const FEATURES: [u64; 3] =
    [FEATURE_WP | FEATURE_WP_SHMEM | FEATURE_WP_UNPOPULATED, FEATURE_WP | FEATURE_WP_SHMEM, FEATURE_WP];

/// Write protection that the kernel lifts by itself, and remembers; pages never touched too (Linux 6.7).
const ASYNC: u64 = FEATURE_WP | FEATURE_WP_SHMEM | FEATURE_WP_UNPOPULATED | 1 << 15;

/// Protection that tells which pages were stored to, and holds nobody back.
#[derive(Debug)]
pub(crate) struct AsyncProtection(Guest);

impl AsyncProtection {
    /// Opens one.
    ///
    /// # Errors
    /// As [`WriteProtection::open`].
    pub(crate) fn open() -> Result<AsyncProtection, Errno> {
        let (fd, _) = open()?;
        let mut api = Api { api: API, features: ASYNC, ioctls: 0 };
        // SAFETY: as in `WriteProtection::open`.
        unsafe { request(&fd, UFFDIO_API, &mut api) }?;
        Ok(AsyncProtection(fd))
    }

    /// Watches a range from now on.
    ///
    /// # Errors
    /// As the kernel says: then nothing is told of it, and nothing else that watches it has changed.
    pub(crate) fn watch(&self, start: usize, length: usize) -> Result<(), Errno> {
        let mut register = Register { range: range(start, length), mode: REGISTER_MODE_WP, ioctls: 0 };
        let mut protect = Protect { range: range(start, length), mode: WRITEPROTECT_MODE_WP };
        // SAFETY: as in `WriteProtection`; with this feature nobody waits for anything.
        unsafe { request(&self.0, UFFDIO_REGISTER, &mut register) }?;
        // SAFETY: likewise.
        unsafe { request(&self.0, UFFDIO_WRITEPROTECT, &mut protect) }.inspect_err(|_| self.leave(start, length))
    }

    /// Watches it no more. Only what [`watch`](Self::watch) watches and nothing else was mapped to since: kernels before 6.17 do not
    /// ask whose userfaultfd it is, and that of the program would lose it.
    pub(crate) fn leave(&self, start: usize, length: usize) {
        // Refused where nothing of it is watched any more, which is what was wanted.
        // SAFETY: the argument is one `struct uffdio_range`; nobody was held back.
        let _ = unsafe { request(&self.0, UFFDIO_UNREGISTER, &mut range(start, length)) };
    }
}

/// Threads whose stores are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// User code's and the kernel's.
    Full,
    /// User code's; system calls that store to protected memory fail with EFAULT.
    UserOnly,
}

/// Which memory can be protected besides private pages that were touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Shared memory (Linux 5.19).
    pub shared: bool,
    /// Pages that were never touched (Linux 6.4).
    pub unpopulated: bool,
}

/// An open userfaultfd that protects memory of this process.
///
/// # Crash
/// Threads that wait are woken, and protection ends, when the last descriptor goes: a child that is forked meanwhile
/// holds one until it ends or execs, so whoever is done says so with [`wake`](Self::wake) and
/// [`unregister`](Self::unregister) instead of relying on `drop`. Protection is not inherited by children.
#[derive(Debug)]
pub(crate) struct WriteProtection {
    fd: Guest,
    mode: Mode,
    reach: Reach,
}

impl WriteProtection {
    /// Opens one in the best mode and with the best features that this kernel gives this process.
    ///
    /// # Errors
    /// ENOSYS or EPERM where there is none (some containers), EINVAL where it knows no write protection, EMFILE.
    pub(crate) fn open() -> Result<WriteProtection, Errno> {
        let (fd, mode) = open()?;
        let mut last = Errno::INVAL;
        for features in FEATURES {
            let mut api = Api { api: API, features, ioctls: 0 };
            // A refused set leaves the descriptor as it was, ready for the next try.
            // SAFETY: the argument of this request is one `struct uffdio_api`, which the kernel reads and fills.
            match unsafe { request(&fd, UFFDIO_API, &mut api) } {
                Ok(()) => {
                    let reach = Reach {
                        shared: features & FEATURE_WP_SHMEM != 0,
                        unpopulated: features & FEATURE_WP_UNPOPULATED != 0,
                    };
                    return Ok(WriteProtection { fd, mode, reach });
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Makes it possible to protect a range of whole pages; `false` for memory that cannot be protected (private mappings
    /// of files, SysV memory), and where somebody else's userfaultfd watches the range.
    ///
    /// # Errors
    /// Those that [may pass](may_pass).
    pub(crate) fn register(&self, start: usize, length: usize) -> Result<bool, Errno> {
        let mut register = Register { range: range(start, length), mode: REGISTER_MODE_WP, ioctls: 0 };
        // SAFETY: the argument is one `struct uffdio_register`. Registering changes no contents and no access.
        unless_it_may_pass(unsafe { request(&self.fd, UFFDIO_REGISTER, &mut register) })
    }

    /// Ends protection of what is left of a registered range, and wakes who waits for it.
    pub(crate) fn unregister(&self, start: usize, length: usize) {
        // Refused where nothing of the range is registered any more, which is what was wanted.
        // SAFETY: the argument is one `struct uffdio_range`. Accesses that were held back become possible.
        let _ = unsafe { request(&self.fd, UFFDIO_UNREGISTER, &mut range(start, length)) };
    }

    /// Holds back stores to a registered range from now on: when this returns, none is under way. `false` where the kernel
    /// refuses to; then, and after an error, none is held back.
    ///
    /// Before Linux 6.4, private pages that were never touched are left out: load from every page before.
    ///
    /// # Safety
    /// Until [`unprotect`](Self::unprotect), or until something else was mapped there and [`wake`](Self::wake) was
    /// called, the calling thread stores nothing to the range, nor waits for a thread that may: it would wait for
    /// itself for ever.
    ///
    /// # Errors
    /// Those that [may pass](may_pass).
    pub(crate) unsafe fn protect(&self, start: usize, length: usize) -> Result<bool, Errno> {
        let mut protect = Protect { range: range(start, length), mode: WRITEPROTECT_MODE_WP };
        // SAFETY: the argument is one `struct uffdio_writeprotect`; who stores waits, by the caller's promise not us.
        let done = unsafe { request(&self.fd, UFFDIO_WRITEPROTECT, &mut protect) };
        if done.is_err() {
            // Part of it may be protected.
            self.unprotect(start, length);
            self.wake(start, length);
        }
        unless_it_may_pass(done)
    }

    /// Lets stores to the range go on where they were going.
    pub(crate) fn unprotect(&self, start: usize, length: usize) {
        let mut protect = Protect { range: range(start, length), mode: 0 };
        // SAFETY: as in `protect`; accesses become possible.
        let _ = unsafe { request(&self.fd, UFFDIO_WRITEPROTECT, &mut protect) };
    }

    /// Wakes who waits for the range, which may be mapped to something else by now.
    ///
    /// Nobody is missed: a thread enters the queue while it holds the lock of the mapping it found, which whoever maps
    /// something else takes for writing.
    pub(crate) fn wake(&self, start: usize, length: usize) {
        // SAFETY: the argument is one `struct uffdio_range`; threads that are woken try their access again.
        let _ = unsafe { request(&self.fd, UFFDIO_WAKE, &mut range(start, length)) };
    }
}

/// Whether what the kernel refuses now it may grant the next time: no reason to move memory unprotected, and so to lose
/// stores. EBADF is a descriptor that the program closed or replaced.
pub(crate) fn may_pass(errno: Errno) -> bool {
    matches!(errno, Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE | Errno::BADF)
}

/// Whether it was done, or the error if asking again may help.
fn unless_it_may_pass(done: Result<(), Errno>) -> Result<bool, Errno> {
    match done {
        Err(e) if may_pass(e) => Err(e),
        done => Ok(done.is_ok()),
    }
}

/// Way in which this process can hold stores back now, and the memory where it can.
///
/// # Errors
/// As the kernel says: stores that other threads make while their memory is adopted can be lost then.
pub fn probe() -> Result<(Mode, Reach), Errno> {
    WriteProtection::open().map(|u| (u.mode, u.reach))
}

fn range(start: usize, length: usize) -> Range {
    Range { start: start as u64, length: length as u64 }
}

fn open() -> Result<(Guest, Mode), Errno> {
    if !super::twice::is_possible() {
        return Err(Errno::NOSYS);
    }
    match create(0) {
        Err(Errno::PERM) => {}
        other => return other.map(|fd| (fd, Mode::Full)),
    }
    match create_by_device() {
        Ok(fd) => return Ok((fd, Mode::Full)),
        // Next time the kernel's own stores may be held back as well.
        Err(e) if may_pass(e) => return Err(e),
        Err(_) => {}
    }
    create(USER_MODE_ONLY).map(|fd| (fd, Mode::UserOnly))
}

fn create(flags: libc::c_int) -> Result<Guest, Errno> {
    // SAFETY: the call takes flags only and makes a descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK | flags) };
    owned(fd)
}

/// Linux 6.1: who may open the device may do without the capability.
fn create_by_device() -> Result<Guest, Errno> {
    use rustix::fs::{Mode, OFlags};
    let device =
        rustix::fs::open("/dev/userfaultfd", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).and_then(Guest::new)?;
    // SAFETY: the request's argument is flags for the descriptor that it makes.
    let fd = unsafe { libc::ioctl(device.as_fd().as_raw_fd(), NEW as _, libc::O_CLOEXEC | libc::O_NONBLOCK) };
    owned(libc::c_long::from(fd))
}

fn owned(fd: libc::c_long) -> Result<Guest, Errno> {
    match libc::c_int::try_from(fd) {
        // SAFETY: the kernel just made it, for us.
        Ok(fd) if fd >= 0 => Guest::new(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(last_errno()),
    }
}

/// # Safety
/// `argument` must be what the request takes, and its effects wanted.
unsafe fn request<T>(fd: &Guest, request: u64, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: `argument` is valid for reads and writes of the structure whose size the request's number names.
    let done = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), request as _, std::ptr::from_mut(argument)) };
    if done == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_numbers_of_the_kernel_header() {
        if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert_eq!(UFFDIO_API, 0xC018_AA3F);
            assert_eq!(UFFDIO_REGISTER, 0xC020_AA00);
            assert_eq!(UFFDIO_UNREGISTER, 0x8010_AA01);
            assert_eq!(UFFDIO_WAKE, 0x8010_AA02);
            assert_eq!(UFFDIO_WRITEPROTECT, 0xC018_AA06);
            assert_eq!(NEW, 0xAA00);
        }
    }

    #[test]
    fn a_probe_leaves_no_descriptor() {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        // Other tests of this process open and close descriptors meanwhile: the smallest difference counts.
        let grown = (0..20).map(|_| {
            let before = count();
            let _ = probe();
            count() as i64 - before as i64
        });
        assert!(grown.min().unwrap() <= 0);
    }
}
