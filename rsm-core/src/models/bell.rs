//! Bells: posts, waits, timeouts, aborts, epochs.

use super::explore;
use super::futex::{Futex, Timed};
use crate::bell::{Accumulate, Bell, MAX_COUNT, Relayed};
use crate::error::Code;
use crate::generation::{EndCause, Generation};
use crate::registry::{LinkState, LinkWord};
use crate::sync::{AtomicU64, Ordering::Relaxed, acquire};
use crate::verdict;
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

/// A bell, where to sleep on it, and a word of the program's.
pub(super) struct Rig {
    pub(super) bell: Bell,
    pub(super) futex: Futex,
    pub(super) data: AtomicU64,
}

pub(super) fn rig() -> Arc<Rig> {
    Arc::new(Rig { bell: Bell::new(), futex: Futex::new(), data: AtomicU64::new(0) })
}

pub(super) fn start<T: 'static>(rig: &Arc<Rig>, run: impl FnOnce(&Rig) -> T + 'static) -> JoinHandle<T> {
    let rig = Arc::clone(rig);
    thread::spawn(move || run(&rig))
}

/// Mutations: `bell_post_fence`, `bell_sleep_fence`.
#[test]
fn a_sleeper_is_never_left_behind() {
    explore(|| {
        let r = rig();
        let poster = start(&r, |r| r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap());
        r.bell.wait(0, &&r.futex).unwrap();
        poster.join().unwrap();
        assert_eq!(r.bell.pending(), 0);
        assert_eq!(r.bell.sleepers(), 0);
    });
}

/// Two posters, two waiters: each waiter takes one.
///
/// Mutations: `bell_post_fence`, `bell_sleep_fence`.
#[test]
fn as_many_are_taken_as_were_posted() {
    explore(|| {
        let r = rig();
        let poster = start(&r, |r| r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap());
        let waiter = start(&r, |r| r.bell.wait(0, &&r.futex).unwrap());
        r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
        r.bell.wait(0, &&r.futex).unwrap();
        poster.join().unwrap();
        waiter.join().unwrap();
        assert_eq!((r.bell.pending(), r.bell.sleepers()), (0, 0));
    });
}

/// Two posters that do not accumulate leave one signal (D-57), and a third adds to it.
///
/// Mutations: `bell_blind_add`.
#[test]
fn posts_that_do_not_accumulate_leave_one() {
    explore(|| {
        let r = rig();
        let other = start(&r, |r| r.bell.post(0, Accumulate::No, &&r.futex).unwrap());
        r.bell.post(0, Accumulate::No, &&r.futex).unwrap();
        other.join().unwrap();
        assert_eq!(r.bell.pending(), 1);
    });
}

/// What is posted for a waiter on another host, by two posters, one of which does not accumulate: all of it is taken, unless the
/// other one's was on its way.
///
/// Mutations: `bell_relay_no_single`, `bell_post_ignores_epoch`.
#[test]
fn what_is_posted_for_another_host_is_taken() {
    explore(|| {
        let r = rig();
        let epoch = r.bell.renew_relayed();
        let other = start(&r, move |r| r.bell.post(epoch, Accumulate::Yes, &&r.futex).unwrap());
        let taker = start(&r, |r| r.bell.take_relayed());
        assert!(r.bell.post(epoch.wrapping_sub(1), Accumulate::Yes, &&r.futex).is_err());
        r.bell.post(epoch, Accumulate::No, &&r.futex).unwrap();
        other.join().unwrap();
        let taken = [taker.join().unwrap(), r.bell.take_relayed()];
        assert_eq!(taken[0].signals + taken[1].signals, 1);
        let singles = taken.iter().filter(|taken| taken.single).count();
        // Absorbed by the other one, where that was taken with it or after it.
        let absorbed = taken[1] == Relayed { signals: 1, single: false } || taken[0].signals == 1;
        assert!(singles == 1 || singles == 0 && absorbed, "{taken:?}");
        r.bell.post(epoch, Accumulate::No, &&r.futex).unwrap();
        assert_eq!(r.bell.take_relayed(), Relayed { signals: 0, single: true });
    });
}

/// A taker for the other host, while this thread posts.
fn taken_for_another_host_with_what_was_put(accumulate: Accumulate) {
    let r = rig();
    let epoch = r.bell.renew_relayed();
    let taker = start(&r, |r| {
        if r.bell.take_relayed() != Relayed::default() {
            assert_eq!(r.data.load(Relaxed), 7, "a signal overtook what was put before");
        }
    });
    r.data.store(7, Relaxed);
    r.bell.post(epoch, accumulate, &&r.futex).unwrap();
    taker.join().unwrap();
}

/// Mutations: `bell_relay_relaxed`, `bell_release`.
#[test]
fn what_is_taken_for_another_host_carries_what_was_put_before() {
    explore(|| taken_for_another_host_with_what_was_put(Accumulate::Yes));
}

/// A signal that does not accumulate, likewise.
///
/// Mutations: `bell_relay_relaxed`.
#[test]
fn a_single_for_another_host_carries_what_was_put_before() {
    explore(|| taken_for_another_host_with_what_was_put(Accumulate::No));
}

/// Signals that come together wake all who wait for one.
///
/// Mutations: `bell_sleep_fence`, `bell_many_wakes_one`.
#[test]
fn signals_that_come_together_wake_as_many() {
    explore(|| {
        let r = rig();
        let waiters = [(); 2].map(|()| start(&r, |r| r.bell.wait(0, &&r.futex).unwrap()));
        r.bell.post_many(0, 2, &&r.futex).unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert_eq!((r.bell.pending(), r.bell.sleepers()), (0, 0));
    });
}

/// Mutations: `bell_release`.
#[test]
fn a_signal_carries_what_was_put_before_it() {
    explore(|| {
        let r = rig();
        let poster = start(&r, |r| {
            r.data.store(7, Relaxed);
            r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
        });
        r.bell.wait(0, &&r.futex).unwrap();
        assert_eq!(r.data.load(Relaxed), 7);
        poster.join().unwrap();
    });
}

/// A post that adds nothing, since `pending` signals are there already: who took one without seeing what was put before
/// the post finds a signal added after its take.
fn nothing_is_added_and_nothing_lost(accumulate: Accumulate, pending: u32) {
    let r = rig();
    for _ in 0..pending {
        r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
    }
    let poster = start(&r, move |r| {
        r.data.store(7, Relaxed);
        r.bell.post(0, accumulate, &&r.futex).unwrap();
    });
    assert!(r.bell.try_take().unwrap());
    let seen = r.data.load(Relaxed) == 7;
    poster.join().unwrap();
    assert!(seen || r.bell.pending() == pending, "nobody will come to look again");
}

/// Mutations: `bell_full_unwritten`, `bell_release`.
#[test]
fn a_post_that_does_not_accumulate_carries_what_was_put_before_it() {
    explore(|| nothing_is_added_and_nothing_lost(Accumulate::No, 1));
}

/// Mutations: `bell_full_unwritten`, `bell_release`.
#[test]
fn a_post_beyond_the_highest_count_carries_what_was_put_before_it() {
    explore(|| nothing_is_added_and_nothing_lost(Accumulate::Yes, MAX_COUNT));
}

/// Whether the deadline or the signal comes first, the signal is taken once or is still there, and nobody stays
/// counted as a sleeper.
///
/// Mutations: `bell_timeout_stays_counted`.
#[test]
fn a_deadline_loses_no_signal() {
    explore(|| {
        let r = rig();
        let poster = start(&r, |r| r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap());
        let clock = start(&r, |r| r.futex.end());
        let taken = r.bell.wait(0, &Timed(&r.futex));
        poster.join().unwrap();
        clock.join().unwrap();
        match taken {
            Ok(()) => assert_eq!(r.bell.pending(), 0),
            Err(error) => assert_eq!((error.code(), r.bell.pending()), (Code::Timeout, 1)),
        }
        assert_eq!(r.bell.sleepers(), 0);
    });
}

/// Mutations: `bell_abort_no_wake`, `bell_abort_wakes_first`.
#[test]
fn an_abort_reaches_every_sleeper() {
    explore(|| {
        let r = rig();
        let waiters = [(); 2].map(|()| start(&r, |r| r.bell.wait(0, &&r.futex).unwrap_err().code()));
        r.bell.abort(&&r.futex);
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), Code::ConnAborted);
        }
    });
}

/// A post that succeeded is delivered, the abort is told after it (D-60, D-90).
///
/// Mutations: `bell_abort_first`.
#[test]
fn an_abort_swallows_no_signal() {
    explore(|| {
        let r = rig();
        let poster = start(&r, |r| r.bell.post(0, Accumulate::Yes, &&r.futex).is_ok());
        let agent = start(&r, |r| r.bell.abort(&&r.futex));
        let mut taken = 0;
        while r.bell.wait(0, &&r.futex).is_ok() {
            taken += 1;
        }
        agent.join().unwrap();
        assert_eq!(taken, u32::from(poster.join().unwrap()));
    });
}

/// Who was told CONN_ABORTED by a wait finds every later transfer and barrier failing too.
///
/// Mutations: `bell_abort_acquire`.
#[test]
fn who_is_told_of_an_abort_finds_the_connection_cut() {
    explore(|| {
        let r = rig();
        r.data.store(Generation::live(1).word(), Relaxed);
        let waiter = start(&r, |r| r.bell.try_take().is_ok() || Generation::from_word(acquire(&r.data)).is_aborted());
        verdict::abort(&r.data, EndCause::Withdrawn);
        r.bell.abort(&&r.futex);
        assert!(waiter.join().unwrap());
    });
}

/// What an exporter stores after it was told CONN_ABORTED is seen by no load of the importer that is vouched for.
///
/// Mutations: `bell_abort_release`, `verdict_load_fence`.
#[test]
fn what_is_stored_after_an_abort_was_told_is_not_vouched_for() {
    explore(|| {
        let r = rig();
        let link = Arc::new(AtomicU64::new(LinkWord::new(LinkState::Active).word()));
        let generation = Arc::new(AtomicU64::new(Generation::live(1).word()));
        let importer = {
            let (link, generation) = (Arc::clone(&link), Arc::clone(&generation));
            start(&r, move |r| {
                let word = LinkWord::from_word(acquire(&link));
                let opened = verdict::Snapshot { granted: Generation::live(1), link: word };
                let value = r.data.load(Relaxed);
                value == 0 || opened.judge_loads(&generation, &link).is_err()
            })
        };
        let exporter = start(&r, |r| {
            if r.bell.try_take().is_err() {
                r.data.store(9, Relaxed);
            }
        });
        verdict::abort(&generation, EndCause::LinkDown);
        r.bell.abort(&&r.futex);
        exporter.join().unwrap();
        assert!(importer.join().unwrap(), "a load that was vouched for came after the cut");
    });
}

/// Mutations: `bell_post_ignores_epoch`, `bell_blind_add`.
#[test]
fn a_late_post_does_not_reach_the_next_connection() {
    explore(|| {
        let r = rig();
        let late = start(&r, |r| {
            let _ = r.bell.post(0, Accumulate::Yes, &&r.futex);
        });
        r.bell.step_epoch();
        r.bell.renew();
        assert!(!r.bell.try_take().unwrap());
        late.join().unwrap();
        assert!(!r.bell.try_take().unwrap(), "a signal of the connection before");
    });
}

/// What an old owner of a bell counted for itself, and takes back late, is not taken from the new owner.
///
/// Mutations: `bell_renew_forgets_sleepers`.
#[test]
fn a_late_sleeper_of_an_old_owner_leaves_the_new_one_counted() {
    explore(|| {
        let r = rig();
        r.bell.enlist();
        let old = start(&r, |r| r.bell.delist());
        let epoch = r.bell.renew();
        let poster = start(&r, move |r| r.bell.post(epoch, Accumulate::Yes, &&r.futex).unwrap());
        r.bell.wait(0, &&r.futex).unwrap();
        old.join().unwrap();
        poster.join().unwrap();
        assert_eq!(r.bell.sleepers(), 0);
    });
}
