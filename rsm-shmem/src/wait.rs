//! Waiting: spinning by what was met before, then sleeping, until something is so or a PE has died.
//!
//! Who sleeps says for what: nudges of the library, or a range of its memory. Who stores there looks whether that range is one
//! that somebody sleeps for, which costs a load, and wakes. A store and the look after it are not ordered on their own; the
//! sleeper, who has time, orders them on every processor that runs a PE (`membarrier`), between saying what it sleeps for and
//! looking once more (`rsm_core::asleep`, with a model). Where the kernel does not do that, and for stores that come by other ways (the program's own threads,
//! through a lens, through `shmem_ptr`), it looks again after a while.
#![allow(unsafe_code)] // membarrier, sysconf

use crate::control::Control;
use crate::job::{Job, lock};
use crate::{Call, end, order};
use rsm_core::asleep::{self, Watched};
use rsm_core::{Code, Error};
use rsm_shm::futex;
use rsm_shm::memory::fence::full;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{compiler_fence, fence};
use std::time::{Duration, Instant};

/// After so long a sleeper looks again, whoever wakes it.
const LOOKS: Duration = Duration::from_millis(20);
/// The same where it may be woken too late, or by nobody.
const LOOKS_OFTEN: Duration = Duration::from_millis(1);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// Nudges of the library.
    Nudges,
    /// Bytes of a region of the own PE.
    Bytes { side: usize, first: usize, end: usize },
}

/// What the threads of this PE sleep for.
#[derive(Default)]
pub(crate) struct Sleepers(Mutex<Vec<On>>);

/// One of them.
struct Sleeper<'a> {
    job: &'a Job,
    on: On,
}

impl<'a> Sleeper<'a> {
    fn enter(job: &'a Job, on: On) -> Sleeper<'a> {
        let mut sleepers = lock(&job.sleepers.0);
        sleepers.push(on);
        publish(job.control(), &sleepers);
        drop(sleepers);
        if on == On::Nudges && job.spinning.is_crowded() {
            // Pairs with the fence in `nudged`.
            fence(SeqCst);
        } else {
            order_everywhere();
        }
        Sleeper { job, on }
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let mut sleepers = lock(&self.job.sleepers.0);
        if let Some(at) = sleepers.iter().position(|on| *on == self.on) {
            sleepers.swap_remove(at);
        }
        publish(self.job.control(), &sleepers);
    }
}

/// Says what is slept for: the hull of the ranges.
fn publish(control: &Control, sleepers: &[On]) {
    let mut hulls = [(u64::MAX, 0); 2];
    let mut nudges = 0;
    for on in sleepers {
        match *on {
            On::Nudges => nudges += 1,
            On::Bytes { side, first, end } => {
                let hull = &mut hulls[side];
                *hull = (hull.0.min(first as u64), hull.1.max(end as u64));
            }
        }
    }
    // Relaxed: ordered by `order_everywhere`, where it matters.
    control.awaits_nudges.store(nudges, Relaxed);
    for (watched, hull) in control.watched.iter().zip(hulls) {
        watched.say(hull);
    }
}

/// Tells a PE that bytes of it were stored.
#[inline(always)]
pub(crate) fn stored(control: &'static Control, side: usize, offset: usize, bytes: usize) {
    // The store before and the load after: the compiler must keep them so, and the sleeper orders them on the processor.
    compiler_fence(SeqCst);
    let watched = &control.watched[side];
    if watched.may_concern((offset + bytes) as u64) {
        wake_watched(control, watched, offset as u64);
    }
}

#[cold]
#[inline(never)]
extern "C" fn wake_watched(control: &Control, watched: &Watched, offset: u64) {
    if watched.concerns(offset) {
        wake(control);
    }
}

/// Tells a PE that it was nudged.
#[inline(always)]
pub(crate) fn nudged(job: &Job, control: &'static Control) {
    if job.spinning.is_crowded() {
        // Where nearly every wait sleeps, a fence here is cheaper than a system call there. Pairs with the one in `enter`.
        full();
    } else {
        // As in `stored`.
        compiler_fence(SeqCst);
    }
    if control.awaits_nudges.load(Relaxed) != 0 {
        wake(control);
    }
}

#[cold]
#[inline(never)]
extern "C" fn wake(control: &Control) {
    asleep::step(&control.event);
    futex::wake(&control.event, i32::MAX);
}

/// Waits until `look` finds something.
#[inline]
pub(crate) fn until<T>(job: &Job, call: &Call, on: On, mut look: impl FnMut() -> Option<T>) -> T {
    match look() {
        Some(found) => found,
        None => longer(job, call, on, look),
    }
}

#[cold]
#[inline(never)]
fn longer<T>(job: &Job, call: &Call, on: On, mut look: impl FnMut() -> Option<T>) -> T {
    if let Some(found) = job.spinning.look_at_once(&mut look) {
        return found;
    }
    let began = Instant::now();
    if let Some(found) = job.spinning.spin(began, &mut look) {
        return found;
    }
    let _sleeper = Sleeper::enter(job, on);
    let pause = if job.is_lensed || !can_order_everywhere() { LOOKS_OFTEN } else { LOOKS };
    let found = asleep::sleep_until(&job.control().event, &mut look, |event, look| {
        look_around(job, call, look);
        futex::sleep(&job.control().event, event, Some(Instant::now() + pause));
    });
    job.spinning.learn(began);
    found
}

/// Ends the job if a PE is gone, unless what it was waited for is there: it may have been its last deed.
fn look_around<T>(job: &Job, call: &Call, look: &mut impl FnMut() -> Option<T>) {
    let gone = job.peers.iter().find(|peer| peer.is_cut() && !has_departed(job, peer.pe));
    if let Some(gone) = gone
        && look().is_none()
    {
        order::cut(job, call, gone.pe);
    }
    end::follow(job);
}

/// Whether a PE has come to the end of `shmem_finalize`. What it says of that it says before it goes, and being cut is loaded
/// with acquire.
fn has_departed(job: &Job, pe: usize) -> bool {
    job.control().departed.load(Acquire) & 1 << pe != 0
}

/// Why a PE is reached no more.
pub(crate) fn why_cut(job: &Job, pe: usize) -> String {
    let cut = job.peers[pe].sides.iter().filter_map(|side| side.connection).find(|connection| connection.is_aborted());
    cut.map_or_else(String::new, |connection| order::in_words(job, pe, &connection.told(Error::new(Code::ConnAborted))))
}

/// `MEMBARRIER_CMD_GLOBAL_EXPEDITED`.
const EXPEDITED: libc::c_long = 1 << 1;
/// `MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED`.
const REGISTER: libc::c_long = 1 << 2;

fn membarrier(command: libc::c_long) -> bool {
    // SAFETY: takes numbers, and changes no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Whether [`order_everywhere`] does; registers this process with those for which it does.
pub(crate) fn can_order_everywhere() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    *CAN.get_or_init(|| membarrier(REGISTER) && membarrier(EXPEDITED))
}

/// A full fence on every processor that runs a PE.
fn order_everywhere() {
    fence(SeqCst);
    if can_order_everywhere() {
        membarrier(EXPEDITED);
    }
}

/// Processors that run; not those that this thread may use, for the other PEs may be pinned to others.
pub(crate) fn processors() -> usize {
    // SAFETY: takes a number, and changes nothing.
    let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(online).unwrap_or(1)
}
