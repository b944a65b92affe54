//! Lanes: signals between two hosts, with posters that are killed.

use super::explore;
use super::ring::Pages;
use crate::peer::lane::{Counts, Incoming, carry, post, raise};
use crate::peer::{Far, control};
use crate::sync::{AtomicU64, Ordering::Relaxed, acquire, mutated};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

const SIGNAL: Counts = Counts::of(1, 0);
const SINGLE: Counts = Counts::of(0, 1);

/// The outgoing count, the other host with the lane, and what is put there.
struct Rig<F = Arriving> {
    outgoing: AtomicU64,
    there: F,
    data: AtomicU64,
}

/// Stores of one host to one word arrive in some order, whichever threads made them. Two stores that nothing orders have
/// none for loom, which lets each load choose; exchanges have one, and order nothing else.
struct Arriving(Pages);

impl Far for Arriving {
    fn store(&self, _: usize, word: u64) {
        self.0.lane().swap(word, Relaxed);
    }
    fn fence(&self) {
        self.0.fence();
    }
    fn load(&self, at: usize) -> u64 {
        self.0.load(at)
    }
}

fn rig() -> Arc<Rig> {
    Arc::new(Rig { outgoing: AtomicU64::new(0), there: Arriving(Pages::new()), data: AtomicU64::new(0) })
}

fn start<F: 'static, T: 'static>(rig: &Arc<Rig<F>>, run: impl FnOnce(&Rig<F>) -> T + 'static) -> JoinHandle<T> {
    let rig = Arc::clone(rig);
    thread::spawn(move || run(&rig))
}

impl<F: Far> Rig<F> {
    fn post(&self, more: Counts) {
        post(&self.outgoing, &self.there, 0, more);
    }
}

impl Rig {
    fn lane(&self) -> &AtomicU64 {
        self.there.0.lane()
    }

    fn arrived(&self) -> Counts {
        Counts::from_word(self.lane().load(Relaxed))
    }
}

/// Two posters of one lane, each of which may store after the other what it found before.
///
/// Mutations: `lane_stored_once`, `lane_look_fence`, `lane_carry_fence`.
#[test]
fn the_lane_ends_with_the_count() {
    explore(|| {
        let r = rig();
        let other = start(&r, |r| r.post(SIGNAL));
        r.post(SINGLE);
        other.join().unwrap();
        let arrived = r.arrived();
        assert_eq!((arrived.signals, arrived.singles), (1, 1), "a signal that nobody stored");
    });
}

/// A poster killed after it stored what was old by then, or before it stored anything: the agent reaps it.
///
/// Mutations: `lane_not_reaped`.
#[test]
fn signals_of_a_dead_poster_are_carried() {
    explore(|| {
        for stored in [false, true] {
            let r = rig();
            let dead = start(&r, move |r| {
                raise(&r.outgoing, SIGNAL);
                let found = acquire(&r.outgoing);
                if stored {
                    r.there.store(control::lane_at(0), found);
                }
            });
            r.post(SIGNAL);
            dead.join().unwrap();
            if !mutated("lane_not_reaped") {
                carry(&r.outgoing, &r.there, 0);
            }
            assert_eq!(r.arrived().signals, 2, "a signal is left behind, older stored: {stored}");
        }
    });
}

/// Whoever of two posters stores the count of the first.
///
/// Mutations: `lane_put_fence`, `lane_carry_fence`.
#[test]
fn a_signal_across_carries_what_was_put_before() {
    explore(|| {
        let r = Arc::new(Rig { outgoing: AtomicU64::new(0), there: Pages::new(), data: AtomicU64::new(0) });
        let poster = start(&r, |r| {
            r.data.store(7, Relaxed);
            r.post(SINGLE);
        });
        let other = start(&r, |r| r.post(SIGNAL));
        let reader = start(&r, |r| {
            if Incoming::new().take(r.there.lane()).singles == 1 {
                assert_eq!(r.data.load(Relaxed), 7, "a signal overtook what was put before");
            }
        });
        [poster, other, reader].into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A lane may go back, when an older count is stored over a newer one.
///
/// Mutations: `lane_takes_backwards`.
#[test]
fn nothing_is_taken_twice() {
    explore(|| {
        let r = rig();
        let other = start(&r, |r| r.post(SIGNAL));
        let reader = start(&r, |r| {
            let mut incoming = Incoming::new();
            let taken: u64 = (0..2).map(|_| u64::from(incoming.take(r.lane()).signals)).sum();
            (incoming, taken)
        });
        r.post(SIGNAL);
        other.join().unwrap();
        let (mut incoming, taken) = reader.join().unwrap();
        assert_eq!(taken + u64::from(incoming.take(r.lane()).signals), 2);
    });
}
