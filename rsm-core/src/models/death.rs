//! Bells when a poster or a waiter is killed, and the reaper.

use super::bell::{rig, start};
use super::explore;
use super::futex::{Dying, Ends, Watch};
use crate::bell::Accumulate;
use crate::sync::Ordering::{Acquire, Release};

/// A poster killed right after its compare-and-swap: the reaper makes it up. What it did is known to the reaper when the kernel
/// tells of the death: the release and acquire in between.
///
/// Mutations: `bell_nudge_no_wake`, `bell_nudge_fence`.
#[test]
fn a_nudge_makes_up_for_a_dead_poster() {
    explore(|| {
        let r = rig();
        let poster = start(&r, |r| {
            r.bell.word().fetch_add(1, Release); // killed before the fence
            r.data.store(1, Release);
        });
        let reaper = start(&r, |r| {
            if r.data.load(Acquire) == 1 {
                r.bell.nudge(&&r.futex);
                return true;
            }
            false
        });
        // It may not have looked in time, and looks again when there is nothing else to do.
        let waiter = start(&r, |r| r.bell.wait(0, &&r.futex).unwrap());
        poster.join().unwrap();
        if !reaper.join().unwrap() {
            r.bell.nudge(&&r.futex);
        }
        waiter.join().unwrap();
    });
}

/// A poster killed between count and wake: the next one wakes, although it adds nothing.
///
/// Mutations: `bell_full_no_wake`.
#[test]
fn the_next_post_makes_up_for_a_dead_poster() {
    explore(|| {
        let r = rig();
        let waiter = start(&r, |r| r.bell.wait(0, &&r.futex).unwrap());
        r.bell.post(0, Accumulate::Yes, &Dying).unwrap();
        r.bell.post(0, Accumulate::No, &&r.futex).unwrap();
        waiter.join().unwrap();
    });
}

/// A waiter killed at any step of its sleep, maybe with the wake that another one needed: the reaper makes it up.
///
/// Mutations: `bell_nudge_no_wake`.
#[test]
fn a_dead_waiter_keeps_no_wake() {
    explore(|| {
        let r = rig();
        let dead = start(&r, |r| {
            r.bell.enlist();
            let (_, _, low) = r.bell.look();
            r.futex.sleep_on(&[Watch::Low(r.bell.word(), low)], Ends::AtEnd);
        });
        let waiter = start(&r, |r| r.bell.wait(0, &&r.futex).unwrap());
        r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
        r.futex.end();
        dead.join().unwrap();
        r.bell.nudge(&&r.futex);
        waiter.join().unwrap();
        assert_eq!(r.bell.sleepers(), 1, "the dead one stays counted");
    });
}
