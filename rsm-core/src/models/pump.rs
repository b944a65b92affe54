//! Poll descriptors: the pump, the taker, and who waits beside them.

use super::futex::{Ends, Futex, Watch};
use super::{explore, explore_less};
use crate::bell::{Accumulate, Bell};
use crate::pump::{Changes, Made, Pipe, follow, hand_on};
use crate::sync::mutated;
use loom::sync::{Condvar, Mutex};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

#[derive(Default)]
struct Flags {
    full: bool,
    hung_up: bool,
    stop: bool,
}

/// A bell, a descriptor, and what the pump sleeps on.
struct Rig {
    bell: Bell,
    futex: Futex,
    changes: Changes,
    pipe: Mutex<Flags>,
    readable: Condvar,
}

struct Held<'a> {
    flags: &'a mut Flags,
    readable: &'a Condvar,
}

impl Pipe for Held<'_> {
    fn is_full(&self) -> bool {
        self.flags.full
    }
    fn fill(&mut self) {
        self.flags.full = true;
        self.readable.notify_all();
    }
    fn empty(&mut self) {
        self.flags.full = false;
    }
    fn hang_up(&mut self) {
        self.flags.hung_up = true;
        self.readable.notify_all();
    }
}

impl Rig {
    /// With the pump's count on the bell.
    fn new() -> Arc<Rig> {
        let bell = Bell::new();
        bell.enlist();
        let (pipe, readable) = (Mutex::new(Flags::default()), Condvar::new());
        Arc::new(Rig { bell, futex: Futex::new(), changes: Changes::new(), pipe, readable })
    }

    fn notice(&self) {
        self.changes.step();
        self.futex.wake_word(self.changes.word());
    }

    fn follow(&self) -> crate::pump::Seen {
        let mut flags = self.pipe.lock().unwrap();
        follow(&self.bell, &mut Held { flags: &mut flags, readable: &self.readable }, || self.notice())
    }

    /// The pump, as in `rsm_shm`, until it is stopped.
    fn pump(&self) {
        loop {
            let changed = self.changes.seen();
            if self.pipe.lock().unwrap().stop {
                return;
            }
            let seen = self.follow();
            hand_on(&self.bell, seen, &&self.futex);
            let words = [Watch::Whole(self.changes.word(), changed), Watch::Low(self.bell.word(), seen.low)];
            self.futex.sleep_on(&words, Ends::Never);
        }
    }

    fn stop(&self) {
        self.pipe.lock().unwrap().stop = true;
        self.notice();
    }

    /// poll(2) without a timeout; whether the other side is there still.
    fn poll(&self) -> bool {
        let mut flags = self.pipe.lock().unwrap();
        while !flags.full && !flags.hung_up {
            flags = self.readable.wait(flags).unwrap();
        }
        !flags.hung_up
    }
}

fn start(rig: &Arc<Rig>, run: impl FnOnce(&Rig) + 'static) -> JoinHandle<()> {
    let rig = Arc::clone(rig);
    thread::spawn(move || run(&rig))
}

/// Mutations: `pump_no_notice`.
#[test]
fn a_descriptor_is_readable_while_a_signal_is_pending() {
    explore(|| {
        let r = Rig::new();
        let pump = start(&r, Rig::pump);
        for _ in 0..2 {
            r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
            r.poll();
            assert!(r.bell.try_take().unwrap(), "readable with nothing there");
            r.follow();
            assert!(!r.pipe.lock().unwrap().full, "readable with nothing there");
        }
        r.stop();
        pump.join().unwrap();
        assert!(!r.pipe.lock().unwrap().full);
    });
}

/// The fence of the count and of the look: a descriptor made while somebody posts.
///
/// Mutations: `bell_enlist_fence`, `bell_post_fence`.
#[test]
fn a_descriptor_made_during_a_post_hears_of_it() {
    explore(|| {
        let r = Rig::new();
        r.bell.delist();
        let poster = start(&r, |r| r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap());
        let pump = start(&r, |r| {
            r.bell.enlist();
            r.pump();
        });
        r.poll();
        poster.join().unwrap();
        r.stop();
        pump.join().unwrap();
    });
}

/// The pump is one sleeper among others: a wake it gets for nothing goes on to who waits.
///
/// Mutations: `pump_keeps_wake`.
#[test]
fn the_pump_takes_no_wake_from_a_waiter() {
    explore_less(1, || {
        let r = Rig::new();
        let pump = start(&r, Rig::pump);
        let poster = start(&r, |r| r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap());
        r.bell.wait(0, &&r.futex).unwrap();
        r.follow();
        poster.join().unwrap();
        r.stop();
        pump.join().unwrap();
    });
}

/// Mutations: `bell_abort_no_wake`, `bell_abort_wakes_first`.
#[test]
fn a_descriptor_says_that_the_connection_was_cut() {
    explore(|| {
        let r = Rig::new();
        let pump = start(&r, Rig::pump);
        let agent = start(&r, |r| r.bell.abort(&&r.futex));
        assert!(!r.poll());
        agent.join().unwrap();
        r.stop();
        pump.join().unwrap();
    });
}

/// What was signalled before the cut can be taken, and is polled for, beside the hang-up (D-60, D-90).
///
/// Mutations: `pump_abort_hides`.
#[test]
fn a_descriptor_tells_of_signals_before_the_cut() {
    explore_less(1, || {
        let r = Rig::new();
        r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
        let pump = start(&r, Rig::pump);
        let agent = start(&r, |r| r.bell.abort(&&r.futex));
        agent.join().unwrap();
        r.poll();
        r.follow();
        assert!(r.pipe.lock().unwrap().full, "a signal is pending");
        assert!(r.bell.try_take().unwrap());
        r.follow();
        assert!(!r.pipe.lock().unwrap().full);
        r.stop();
        pump.join().unwrap();
        assert!(r.pipe.lock().unwrap().hung_up);
    });
}

/// A post that adds nothing beside a take: it is polled for if it did add something.
///
/// Mutations: `pump_no_notice`.
#[test]
fn a_descriptor_follows_posts_that_do_not_accumulate() {
    explore_less(1, || {
        let r = Rig::new();
        r.bell.post(0, Accumulate::No, &&r.futex).unwrap();
        let pump = start(&r, Rig::pump);
        let poster = start(&r, |r| r.bell.post(0, Accumulate::No, &&r.futex).unwrap());
        r.poll();
        assert!(r.bell.try_take().unwrap());
        r.follow();
        poster.join().unwrap();
        if r.bell.pending() > 0 {
            r.poll();
        }
        r.stop();
        pump.join().unwrap();
    });
}

/// The first descriptor of a handle is made while its only signal is taken: nobody is left to poll for it.
///
/// Mutations: `made_say_fence`, `made_take_fence`, `made_looked_first`.
#[test]
fn a_descriptor_made_during_a_take_does_not_stay_readable() {
    explore(|| {
        let r = Rig::new();
        let made = Arc::new(Made::new());
        r.bell.post(0, Accumulate::Yes, &&r.futex).unwrap();
        let taker = {
            let made = Arc::clone(&made);
            start(&r, move |r| {
                let before = mutated("made_looked_first").then(|| made.is_after_take());
                assert!(r.bell.try_take().unwrap());
                if before.unwrap_or_else(|| made.is_after_take()) {
                    r.follow();
                }
            })
        };
        made.say();
        r.follow();
        taker.join().unwrap();
        assert!(!r.pipe.lock().unwrap().full, "readable with nothing there");
    });
}
