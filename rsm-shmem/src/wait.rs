//! Waiting: spinning by what was met before, then sleeping, until something is so or a PE has died.
//!
//! Who sleeps says for what: nudges of the library, or a range of its memory. Who stores there looks whether that range is one
//! that somebody sleeps for, which costs a load, and wakes. A store and the look after it are not ordered on their own; the
//! sleeper, who has time, orders them on every processor that runs a PE (`membarrier`), between saying what it sleeps for and
//! looking once more (`rsm_core::asleep`, with a model). Where the kernel does not do that, and for stores that come by other ways (the program's own threads,
//! through a lens, through `shmem_ptr`), it looks again after a while.
#![allow(unsafe_code)] // membarrier, sysconf

use crate::control::Control;
use crate::job::Job;
use crate::job::sleepers::{On, wake};
use crate::{Call, exit, order};
use rsm_core::asleep;
use rsm_shm::futex;
use rsm_shm::memory::fence::full;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{compiler_fence, fence};
use std::time::{Duration, Instant};

/// After so long a sleeper looks again, whoever wakes it.
const LOOKS: Duration = Duration::from_millis(20);
/// The same where it may be woken too late, or by nobody.
const LOOKS_OFTEN: Duration = Duration::from_millis(1);

/// A thread of this PE that sleeps.
struct Sleeper<'a> {
    job: &'a Job,
    on: On,
}

impl<'a> Sleeper<'a> {
    fn enter(job: &'a Job, on: On) -> Sleeper<'a> {
        job.sleepers.enter(job.control(), on);
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
        self.job.sleepers.leave(self.job.control(), self.on);
    }
}

/// Tells a PE that it was nudged.
#[inline(always)]
pub(crate) fn nudged(job: &Job, control: &'static Control) {
    if job.spinning.is_crowded() {
        // Where waits often come to a sleep, a fence here is cheaper than a system call there. Pairs with the one in `enter`.
        full();
    } else {
        // As in `sleepers::stored`.
        compiler_fence(SeqCst);
    }
    if control.awaits_nudges.load(Relaxed) != 0 {
        wake(control);
    }
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
    exit::follow(job);
}

/// Whether a PE has come to the end of `shmem_finalize`. What it says of that it says before it goes, and being cut is loaded
/// with acquire.
fn has_departed(job: &Job, pe: usize) -> bool {
    job.control().departed.load(Acquire) & 1 << pe != 0
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
