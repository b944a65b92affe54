//! What the threads of a PE sleep for, and who wakes them. [`wait`](crate::wait) says how the two find each other.

use crate::control::Control;
use crate::mutex::lock;
use rsm_core::asleep::{self, Watched};
use rsm_shm::futex;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::compiler_fence;

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

impl Sleepers {
    /// A thread of this PE is about to sleep.
    pub(crate) fn enter(&self, control: &Control, on: On) {
        let mut sleepers = lock(&self.0);
        sleepers.push(on);
        publish(control, &sleepers);
    }

    /// It does not any more.
    pub(crate) fn leave(&self, control: &Control, on: On) {
        let mut sleepers = lock(&self.0);
        if let Some(at) = sleepers.iter().position(|other| *other == on) {
            sleepers.swap_remove(at);
        }
        publish(control, &sleepers);
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
    // Relaxed: ordered by `wait::order_everywhere`, where it matters.
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

#[cold]
#[inline(never)]
pub(crate) extern "C" fn wake(control: &Control) {
    asleep::step(&control.event);
    futex::wake(&control.event, i32::MAX);
}
