//! Poll descriptors: a pipe that is readable while signals are pending on a handle.
//!
//! The pipe never leaves the process that asked for it. One thread of the library, the pump of [`rsm_core::pump`], sleeps
//! on all bells that have a descriptor, and writes a byte where a signal is pending and the pipe is empty. The same thread
//! serves descriptors that follow something else (`Served`).
//!
//! A pipe and not an eventfd: an eventfd never reports POLLRDNORM (D-63).
#![allow(unsafe_code)]

use super::{Membership, fork, lock};
use crate::error::from_errno;
use crate::futex;
use crate::guest::Guest;
use crate::parking::Poster;
use crate::private_table;
use rsm_core::Result;
use rsm_core::bell::Bell;
use rsm_core::crash_point;
use rsm_core::pump::{self, Seen};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

/// A handle that can be polled.
#[derive(Debug)]
pub struct Ready {
    bell: NonNull<Bell>,
    read: Guest,
    pipe: Mutex<Pipe>,
    pump: OnceLock<Arc<pumps::Pump>>,
    /// [`fork::count`] of the process whose pump serves it.
    process: u32,
    /// Keeps the bell mapped.
    membership: Arc<Membership>,
}

#[derive(Debug)]
struct Pipe {
    /// Gone once the handle was aborted: the reader sees POLLHUP (D-60).
    write: Option<Guest>,
    full: bool,
}

// SAFETY: the bell is made of atomics and stays mapped with the membership.
unsafe impl Send for Ready {}
// SAFETY: as above; the rest is behind a lock.
unsafe impl Sync for Ready {}

/// Something with a descriptor that the pump keeps up to date.
pub(super) trait Served: std::fmt::Debug + Send + Sync {
    /// Makes the descriptor follow; returns what to sleep on until that has to be done again.
    fn serve(&self) -> futex::Watched;
    /// What keeps the words mapped that are slept on.
    fn membership(&self) -> &Arc<Membership>;
}

impl Served for Ready {
    fn serve(&self) -> futex::Watched {
        let seen = self.follow();
        pump::hand_on(self.bell(), seen, &Poster);
        futex::Watched::low(self.bell().word(), seen.low)
    }

    fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }
}

/// A pipe whose ends are above the standard streams.
pub(super) fn pipe() -> Result<(Guest, Guest)> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        .and_then(|(read, write)| Ok((Guest::new(read)?, Guest::new(write)?)))
        .map_err(|e| from_errno(e, "cannot make a poll descriptor"))
}

/// Whether a descriptor can be read at this moment.
pub fn is_readable(descriptor: impl AsFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&at_once)) != Ok(0)
}

/// Writes a byte. A kernel that has no page for it is waited for: nobody would come by again.
fn put(pipe: impl AsFd) -> rustix::io::Result<usize> {
    loop {
        match rustix::io::write(&pipe, &[1]) {
            Err(Errno::INTR) => {}
            Err(Errno::NOMEM) => std::thread::sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
}

/// Takes every byte out of a pipe.
pub(super) fn drain(read: &Guest) {
    let mut byte = [0; 8];
    while rustix::io::read(read, &mut byte).is_ok_and(|n| n > 0) {}
}

impl Ready {
    /// Makes a descriptor for a bell and starts serving it.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for a thread.
    pub fn new(membership: &Arc<Membership>, bell: &Bell) -> Result<Arc<Ready>> {
        let (read, write) = pipe()?;
        let ready = Arc::new(Ready {
            bell: NonNull::from(bell),
            read,
            pipe: Mutex::new(Pipe { write: Some(write), full: false }),
            pump: OnceLock::new(),
            process: fork::count(),
            membership: Arc::clone(membership),
        });
        bell.enlist();
        crash_point!(PollCounted);
        let served: Arc<dyn Served> = Arc::<Ready>::clone(&ready);
        match pumps::add(&served) {
            Ok(pump) => {
                ready.pump.get_or_init(|| pump).notice();
                crash_point!(PollServed);
            }
            // Dropping what was made takes it off the bell again.
            Err(error) => return Err(error),
        };
        Ok(ready)
    }

    /// The end of the pipe to poll. It stands in the program's table; see [`is_usable`](Self::is_usable).
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Whether this process is the one that the descriptor was made in.
    pub fn is_current(&self) -> bool {
        self.process == fork::count()
    }

    /// Whether it is also still there: the program may have closed it, or have a file of its own at its number.
    pub fn is_usable(&self) -> bool {
        self.is_current() && self.read.is_ours() && lock(&self.pipe).write.as_ref().is_none_or(Guest::is_ours)
    }

    fn bell(&self) -> &Bell {
        // SAFETY: mapped as long as the membership.
        unsafe { self.bell.as_ref() }
    }

    /// Makes the pipe follow the bell.
    pub fn follow(&self) -> Seen {
        let mut pipe = PipeOf { ready: self, held: lock(&self.pipe) };
        let notice = || {
            if let Some(pump) = self.pump.get() {
                pump.notice();
            }
        };
        pump::follow(self.bell(), &mut pipe, notice)
    }
}

/// A pipe whose lock is held.
struct PipeOf<'a> {
    ready: &'a Ready,
    held: MutexGuard<'a, Pipe>,
}

impl pump::Pipe for PipeOf<'_> {
    fn is_full(&self) -> bool {
        self.held.full
    }
    fn fill(&mut self) {
        self.held.full = self.held.write.as_ref().is_some_and(fill);
    }
    fn empty(&mut self) {
        drain(&self.ready.read);
        self.held.full = false;
    }
    fn hang_up(&mut self) {
        if !crate::strict::is_on() {
            self.held.write = None;
        }
    }
}

/// Writes a byte. Where the program has closed the other end, the SIGPIPE of it reaches nobody.
pub(super) fn fill(write: &Guest) -> bool {
    // SAFETY: plain calls on initialised sets, and a mask that is put back. A SIGPIPE that was pending before is left
    // pending; one that is ours goes to this thread, which takes it.
    unsafe {
        let (mut pipe, mut before, mut pending): (libc::sigset_t, libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigemptyset(&raw mut pipe);
        libc::sigaddset(&raw mut pipe, libc::SIGPIPE);
        libc::sigpending(&raw mut pending);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, &raw mut before);
        let written = put(write);
        if written == Err(Errno::PIPE) && libc::sigismember(&raw const pending, libc::SIGPIPE) == 0 {
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(&raw const pipe, std::ptr::null_mut(), &raw const now);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        written.is_ok()
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        // In a forked child the count is the parent's.
        if self.is_current() {
            self.bell().delist();
            // It keeps alive what it sleeps on.
            if let Some(pump) = self.pump.get() {
                pump.notice();
            }
        }
    }
}

pub(super) mod pumps {
    //! Threads that sleep on many words; each serves as many as one system call can name.
    use super::*;

    /// `FUTEX_WAITV_MAX` is 128; one is the pump's own word.
    const MOST: usize = 120;
    /// How often a pump looks where the kernel cannot sleep on several words at once.
    const LOOK_AGAIN: Duration = Duration::from_millis(5);

    #[derive(Debug)]
    pub(in super::super) struct Pump {
        /// Steps when the list changes, or a pipe was emptied.
        changed: pump::Changes,
        list: Mutex<Vec<Weak<dyn Served>>>,
        process: u32,
    }

    impl Pump {
        /// Makes the pump look again.
        pub(in super::super) fn notice(&self) {
            self.changed.step();
            futex::wake(self.changed.word(), 1);
        }
    }

    /// Locked under [`fork::hold`] only.
    static PUMPS: Mutex<Vec<Arc<Pump>>> = Mutex::new(Vec::new());

    pub(in super::super) fn add(ready: &Arc<dyn Served>) -> Result<Arc<Pump>> {
        let _hold = fork::hold();
        let mut pumps = lock(&PUMPS);
        // A forked child has none of its parent's threads.
        pumps.retain(|pump| pump.process == fork::count());
        for pump in pumps.iter() {
            let mut list = lock(&pump.list);
            list.retain(|r| r.strong_count() > 0);
            if list.len() < MOST {
                list.push(Arc::downgrade(ready));
                return Ok(Arc::clone(pump));
            }
        }
        let pump = Arc::new(Pump {
            changed: pump::Changes::new(),
            list: Mutex::new(vec![Arc::downgrade(ready)]),
            process: fork::count(),
        });
        let served = Arc::clone(&pump);
        private_table::spawn_quiet("rsm-pump", move || run(&served))?;
        pumps.push(Arc::clone(&pump));
        Ok(pump)
    }

    /// Makes every pump look again: a cluster has ended, which no word tells.
    pub(in super::super) fn notice_all() {
        let _hold = fork::hold();
        lock(&PUMPS).iter().filter(|pump| pump.process == fork::count()).for_each(|pump| pump.notice());
    }

    fn run(pump: &Pump) {
        loop {
            let changed = pump.changed.seen();
            let served: Vec<Arc<dyn Served>> = lock(&pump.list).iter().filter_map(Weak::upgrade).collect();
            let mut words = vec![futex::Watched::word(pump.changed.word(), changed)];
            words.extend(served.iter().map(|one| one.serve()));
            // A handle that goes meanwhile must be able to: we hold only what keeps its words mapped.
            let bells: Vec<Arc<Membership>> = served.iter().map(|one| Arc::clone(one.membership())).collect();
            drop(served);
            if !futex::sleep_on_any(&words) {
                futex::sleep(pump.changed.word(), changed, Some(Instant::now() + LOOK_AGAIN));
            }
            drop(bells);
        }
    }
}
