//! The pace of a membership: how long its calls take, where the cluster has a profile.
//!
//! A call takes as long as the [profile](rsm_core::lens::profile) says from when it began, whatever this machine needed for
//! it meanwhile. What is beyond the first bytes of a transfer occupies the way to the other node, which so has a bandwidth:
//! who comes while it is occupied waits for it. Each process has ways of its own.
//!
//! With *virtual* time nobody waits: each process has a clock that only such calls move. A signal carries the time at which it
//! arrives, in the bell, and who takes it finds its clock put forward to that. So a run gives a modelled time that this
//! machine's processors have no part in, nor what the program computes.
//!
//! The time in a bell is what some process wrote there: with a real clock nobody waits for it longer than a signal takes.

use crate::cancel::Shield;
use rsm_core::bell::Bell;
use rsm_core::lens::Lens;
use rsm_core::lens::profile::{Cost, Profile};
use rustix::thread::{current_timer_slack, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Nodes of a cluster at most, and one.
const NODES: usize = 64;

/// Shorter than this is spun; longer is slept but for half of this: a processor that has gone to sleep takes that long.
const SPIN: u64 = 100_000;

/// The clock of a membership, and its ways to other nodes.
#[derive(Debug)]
pub(in crate::membership) struct Pace {
    profile: Profile,
    /// Nanoseconds that calls have taken, where they do not take them.
    virtual_now: Option<AtomicU64>,
    /// When the way to each node is free.
    free: [AtomicU64; NODES],
    /// Nanoseconds that a call takes before its beginning is noted and after its end has come: as long as one that is to take
    /// no time.
    spare: u64,
}

/// When a call began.
#[derive(Clone, Copy, Debug)]
pub(in crate::membership) struct Began(u64);

// Relaxed everywhere: times say nothing about other memory.
impl Pace {
    /// That of a cluster, if it has one.
    pub(super) fn of(lens: &Lens) -> Option<Pace> {
        let profile = lens.profile?;
        let virtual_now = lens.is_virtual.then(|| AtomicU64::new(0));
        let pace = Pace { profile, virtual_now, free: std::array::from_fn(|_| AtomicU64::new(0)), spare: 0 };
        let spare = pace.time_of_nothing();
        Some(Pace { spare, ..pace })
    }

    /// How long a call takes that is to take no time.
    fn time_of_nothing(&self) -> u64 {
        const CALLS: u64 = 16;
        let some = |_| {
            let before = monotonic();
            for _ in 0..CALLS {
                let _shield = Shield::raise();
                self.reach(self.begin().0);
            }
            (monotonic() - before) / CALLS
        };
        // The shortest: others may have been interrupted.
        (0..16).map(some).min().unwrap_or_default()
    }

    /// A call begins.
    pub(in crate::membership) fn begin(&self) -> Began {
        Began(self.now())
    }

    fn now(&self) -> u64 {
        self.virtual_now.as_ref().map_or_else(monotonic, |now| now.load(Relaxed))
    }

    /// The time of the clock that only calls move.
    pub(in crate::membership) fn modelled(&self) -> Option<Duration> {
        self.virtual_now.as_ref().map(|now| Duration::from_nanos(now.load(Relaxed)))
    }

    /// Returns when a call with so many bytes to a node, which has been carried out, is to end.
    pub(in crate::membership) fn end(&self, began: Began, node: u32, cost: Cost, bytes: u64) {
        let time = self.profile.time(cost, bytes);
        let busy = time - self.profile.time(cost, 0).min(time);
        let mut start = began.0;
        if busy > 0
            && let Some(free) = self.free.get(node as usize)
        {
            let occupy = |free: u64| Some(free.max(began.0).saturating_add(busy));
            let before = free.fetch_update(Relaxed, Relaxed, occupy).unwrap_or_default();
            start = start.max(before);
        }
        self.reach(start.saturating_add(time));
    }

    /// When a signal arrives that is posted now.
    pub(in crate::membership) fn arrival(&self, began: Began) -> u64 {
        began.0.saturating_add(self.profile.time(Cost::Signal, 0))
    }

    /// A signal was taken from this bell: returns when it has arrived.
    pub(in crate::membership) fn take(&self, bell: &Bell) {
        let arrival = bell.arrival();
        match self.virtual_now {
            Some(_) => self.reach(arrival),
            None => self.reach(arrival.min(self.arrival(self.begin()))),
        }
    }

    fn reach(&self, time: u64) {
        match &self.virtual_now {
            Some(now) => {
                now.fetch_max(time, Relaxed);
            }
            None => pause_until(time.saturating_sub(self.spare)),
        }
    }
}

/// Nanoseconds of a clock that all processes share.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

fn pause_until(time: u64) {
    loop {
        match time.saturating_sub(monotonic()) {
            0 => return,
            left if left <= SPIN => std::hint::spin_loop(),
            left => nap(left - SPIN / 2),
        }
    }
}

/// Sleeps for so many nanoseconds, as exactly as the kernel can.
fn nap(time: u64) {
    let slack = current_timer_slack().ok().and_then(NonZeroU64::new);
    // Without it the sleep is longer, that is all.
    let _ = set_current_timer_slack(NonZeroU64::new(1000));
    std::thread::sleep(Duration::from_nanos(time));
    let _ = set_current_timer_slack(slack);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(is_virtual: bool) -> Pace {
        Pace::of(&Lens { profile: Some(Profile::DolphinNtb), is_virtual, ..Lens::clear(1) }).unwrap()
    }

    fn modelled(pace: &Pace) -> u64 {
        pace.modelled().unwrap().as_nanos() as u64
    }

    #[test]
    fn calls_move_a_virtual_clock_and_signals_put_it_forward() {
        let (poster, waiter, bell) = (pace(true), pace(true), Bell::new());
        for _ in 0..10 {
            poster.end(poster.begin(), 2, Cost::Store, 8);
        }
        assert_eq!(modelled(&poster), 3000);
        let began = poster.begin();
        bell.arrives(poster.arrival(began));
        waiter.take(&bell);
        assert_eq!(modelled(&waiter), 3000 + 2160);
        waiter.end(waiter.begin(), 2, Cost::Load, 8);
        waiter.take(&bell);
        assert_eq!(modelled(&waiter), 3000 + 2160 + 1780, "an arrival that is over changes nothing");
        assert_eq!(pace(false).modelled(), None);
    }

    #[test]
    fn a_way_has_a_bandwidth_for_all_who_use_it() {
        let pace = pace(true);
        let (first, second) = (pace.begin(), pace.begin());
        pace.end(first, 2, Cost::Store, 4096);
        assert_eq!(modelled(&pace), 1290);
        // It began when the first did, and waits for what is beyond that one's first bytes.
        pace.end(second, 2, Cost::Store, 4096);
        assert_eq!(modelled(&pace), 1290 + 990);
        // The way to another node is another one.
        pace.end(second, 3, Cost::Store, 4096);
        assert_eq!(modelled(&pace), 1290 + 990);
    }

    #[test]
    fn calls_take_their_time_and_false_arrivals_no_more_than_a_signal() {
        let (pace, bell) = (pace(false), Bell::new());
        let began = monotonic();
        pace.end(pace.begin(), 2, Cost::Connect, 0);
        assert!(monotonic() - began >= 300_000 - pace.spare);
        bell.arrives(u64::MAX);
        // Ends, which is all that can be said of it.
        pace.take(&bell);
    }
}
