//! Sleeping on words in shared memory.
#![allow(unsafe_code)]

use rsm_core::bell::Wake;
use rsm_core::sync::{AtomicU32, AtomicU64};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Longest single sleep. Any timeout makes the kernel return EINTR after a signal handler, restarting handlers
/// included (D-77); one that never matters is enough.
const LONG: Duration = Duration::from_secs(3600);

/// Sleeps while `word` holds `expected`, until `deadline`.
///
/// Works on memory that this process maps read-only. Returns [`Wake::Woken`] for no reason at times.
pub fn sleep(word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Wake {
    sleep_at(std::ptr::from_ref(word).cast(), expected, deadline)
}

/// [`sleep`] on the low half of a 64-bit word.
pub fn sleep_low(word: &AtomicU64, expected: u32, deadline: Option<Instant>) -> Wake {
    sleep_at(low_half(word), expected, deadline)
}

/// Wakes up to `count` sleepers of `word`.
pub fn wake(word: &AtomicU32, count: i32) {
    wake_at(std::ptr::from_ref(word).cast(), count);
}

/// [`wake`] for the low half of a 64-bit word.
pub fn wake_low(word: &AtomicU64, count: i32) {
    wake_at(low_half(word), count);
}

/// A word to sleep on together with others, and what it is expected to hold.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Watched {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Watched {
    /// `FUTEX2_SIZE_U32`, shared between processes.
    const FLAGS: u32 = 2;

    pub(crate) fn word(word: &AtomicU32, expected: u32) -> Watched {
        let address = std::ptr::from_ref(word).addr() as u64;
        Watched { value: expected.into(), address, flags: Self::FLAGS, reserved: 0 }
    }

    pub(crate) fn low(word: &AtomicU64, expected: u32) -> Watched {
        let address = low_half(word).addr() as u64;
        Watched { value: expected.into(), address, flags: Self::FLAGS, reserved: 0 }
    }
}

/// Sleeps until one of the words changed or was woken. At most 128 words. `false` where the kernel cannot (before Linux
/// 5.16), or somebody between it and us does not let us: nobody has slept then.
pub(crate) fn sleep_on_any(words: &[Watched]) -> bool {
    // Asked once: tools that do not know a system call complain of each.
    static UNKNOWN: AtomicBool = AtomicBool::new(false);
    // Relaxed: whoever does not see it yet asks too.
    if UNKNOWN.load(Relaxed) {
        return false;
    }
    // SAFETY: the kernel reads the array and the words, which the caller keeps mapped; no timeout.
    let rc = unsafe { libc::syscall(libc::SYS_futex_waitv, words.as_ptr(), words.len(), 0, std::ptr::null::<u8>(), 0) };
    match std::io::Error::last_os_error().raw_os_error() {
        _ if rc >= 0 => true,
        Some(libc::EAGAIN | libc::EINTR) => true,
        Some(libc::ENOSYS) => {
            UNKNOWN.store(true, Relaxed);
            false
        }
        _ => false,
    }
}

/// Wakes every sleeper of the 32-bit word at an address, whatever is mapped there now.
pub(crate) fn wake_address(address: usize) {
    wake_at(std::ptr::without_provenance(address), i32::MAX);
}

/// Wakes every sleeper of the low half of the 64-bit word at an address.
pub(crate) fn wake_address_low(address: usize) {
    wake_at(std::ptr::without_provenance::<u32>(address).wrapping_add(LOW), i32::MAX);
}

/// Wakes up to `count` sleepers of the word at an address, whatever is mapped there now; gives how many there were.
pub(crate) fn wake_some(address: usize, count: u32) -> u32 {
    wake_at(std::ptr::without_provenance(address), count.cast_signed())
}

/// Where the low half of a 64-bit word is.
pub(crate) fn address_of_low(word: &AtomicU64) -> usize {
    low_half(word).addr()
}

/// Where the low half of a 64-bit word lies, in 32-bit words.
const LOW: usize = if cfg!(target_endian = "little") { 0 } else { 1 };

fn low_half(word: &AtomicU64) -> *const u32 {
    std::ptr::from_ref(word).cast::<u32>().wrapping_add(LOW)
}

/// For how long to sleep; `None` when the deadline has passed.
fn timeout(deadline: Option<Instant>) -> Option<libc::timespec> {
    let left = match deadline {
        None => LONG,
        Some(at) => at.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?.min(LONG),
    };
    Some(libc::timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() })
}

fn sleep_at(word: *const u32, expected: u32, deadline: Option<Instant>) -> Wake {
    let Some(timeout) = timeout(deadline) else { return Wake::TimedOut };
    // SAFETY: `word` comes from a reference, so it is mapped and aligned; the kernel only reads it, and the timespec.
    // Not FUTEX_PRIVATE: other processes wake through their own mappings.
    let rc = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, expected, &raw const timeout) };
    woken(if rc == 0 { 0 } else { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) }, deadline)
}

/// What an errno of the system call says.
fn woken(errno: i32, deadline: Option<Instant>) -> Wake {
    match errno {
        libc::EINTR => Wake::Interrupted,
        libc::ETIMEDOUT if deadline.is_some_and(|at| Instant::now() >= at) => Wake::TimedOut,
        _ => Wake::Woken, // 0; EAGAIN: the word changed; the end of a slice of a longer sleep
    }
}

/// A sleep that the thread may be cancelled in.
///
/// When it is, everything between the system call and the thread's start is unwound without running anything, so this
/// is for callers that have nothing to be run: see [`nap`](Self::nap).
#[derive(Clone, Copy, Debug)]
pub struct Nap {
    word: *const u32,
    expected: u32,
    timeout: libc::timespec,
    deadline: Option<Instant>,
}

impl Nap {
    /// A sleep while the low half of `word` holds `expected`; `None` when the deadline has passed.
    pub(crate) fn low(word: &AtomicU64, expected: u32, deadline: Option<Instant>) -> Option<Nap> {
        Some(Nap { word: low_half(word), expected, timeout: timeout(deadline)?, deadline })
    }

    /// Sleeps: a cancellation point (pthreads(7)). Gives the errno, for `ended`.
    ///
    /// # Safety
    /// The word is still mapped, and no frame of a caller up to the thread's start needs to be left in order.
    pub unsafe extern "C-unwind" fn nap(&self) -> i32 {
        let mut before = 0;
        // SAFETY: the kernel reads the word, mapped by the caller's promise, and the timespec. The thread may be
        // cancelled anywhere between the two changes of its type; there is nothing but a system call, and no frame here
        // or above has anything to do then.
        unsafe {
            pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &raw mut before);
            let done = syscall(libc::SYS_futex, self.word, libc::FUTEX_WAIT, self.expected, &raw const self.timeout);
            let errno = if done == 0 { 0 } else { *libc::__errno_location() };
            pthread_setcanceltype(before, &raw mut before);
            errno
        }
    }

    /// What an errno that [`nap`](Self::nap) gave says.
    pub(crate) fn ended(&self, errno: i32) -> Wake {
        woken(errno, self.deadline)
    }
}

/// `PTHREAD_CANCEL_ASYNCHRONOUS` of glibc and musl.
const PTHREAD_CANCEL_ASYNCHRONOUS: libc::c_int = 1;

// As the libc crate has them, but for saying that a thread can be unwound from here.
unsafe extern "C-unwind" {
    fn pthread_setcanceltype(to: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
    fn syscall(number: libc::c_long, ...) -> libc::c_long;
}

fn wake_at(word: *const u32, count: i32) -> u32 {
    // SAFETY: the kernel uses the address as a key and does not access it.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, count) };
    // Where nothing is mapped nobody sleeps.
    u32::try_from(woken).unwrap_or(0)
}
