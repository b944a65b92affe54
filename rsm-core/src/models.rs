//! loom models of the lock-free protocols.
//!
//! Each names the mutations ([`mutated`]) that make it fail; `ci/loom.sh` runs both. loom explores
//! interleavings and what the memory model allows, up to a bound on preemptions; it does not reorder loads with later
//! stores, so a model that passes is evidence, not proof. Sleeping is modelled: a thread that nobody wakes is a
//! deadlock, which loom reports.

use crate::bell::{Accumulate, Bell, Park, Wake};
use crate::error::Code;
use crate::generation::Generation;
use crate::registry::heap::Heap;
use crate::registry::{
    ControllerKind, Found, Geometry, LinkState, LinkWord, NewConnection, SegmentFields, Writer, seq, walk_connections,
};
use crate::sync::{AtomicU64, Ordering, mutated};
use crate::verdict::{self, Snapshot};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

/// A futex: compare and sleep in one step, under a lock; a wake for nobody is forgotten.
struct Futex {
    sleeping: Mutex<u32>,
    wakes: Mutex<u64>,
    condition: Condvar,
}

impl Futex {
    fn new() -> Futex {
        Futex { sleeping: Mutex::new(0), wakes: Mutex::new(0), condition: Condvar::new() }
    }

    fn wake(&self) {
        let sleeping = self.sleeping.lock().unwrap();
        if *sleeping > 0 {
            *self.wakes.lock().unwrap() += 1;
            self.condition.notify_all();
        }
    }
}

impl Park for &Futex {
    fn sleep(&self, word: &AtomicU64, expected: u32) -> Wake {
        let mut sleeping = self.sleeping.lock().unwrap();
        // The kernel's compare is totally ordered with other operations on the same word, and promises no more: a
        // relaxed read-modify-write.
        if word.fetch_add(0, Ordering::Relaxed) as u32 != expected {
            return Wake::Woken;
        }
        *sleeping += 1;
        let before = *self.wakes.lock().unwrap();
        while *self.wakes.lock().unwrap() == before {
            sleeping = self.condition.wait(sleeping).unwrap();
        }
        *sleeping -= 1;
        Wake::Woken
    }
    fn wake_one(&self, _: &AtomicU64) {
        self.wake();
    }
    fn wake_all(&self, _: &AtomicU64) {
        self.wake();
    }
}

/// Mutations: `bell_post_fence`, `bell_sleep_fence`.
#[test]
fn a_sleeper_is_never_left_behind() {
    loom::model(|| {
        let bell = Arc::new((Bell::new(), Futex::new()));
        let poster = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.0.post(0, Accumulate::Yes, &&bell.1).unwrap())
        };
        bell.0.wait(0, &&bell.1).unwrap();
        poster.join().unwrap();
        assert_eq!(bell.0.pending(), 0);
        assert_eq!(bell.0.sleepers(), 0);
    });
}

/// Two posters, one waiter that takes both; one poster does not accumulate, so one or two arrive.
#[test]
fn posts_are_counted() {
    loom::model(|| {
        let bell = Arc::new((Bell::new(), Futex::new()));
        let posters = [Accumulate::Yes, Accumulate::No].map(|accumulate| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.0.post(0, accumulate, &&bell.1).unwrap())
        });
        bell.0.wait(0, &&bell.1).unwrap();
        for poster in posters {
            poster.join().unwrap();
        }
        assert!(bell.0.pending() <= 1);
    });
}

/// Mutation: `bell_release`.
#[test]
fn a_signal_carries_what_was_put_before_it() {
    loom::model(|| {
        let shared = Arc::new((Bell::new(), Futex::new(), AtomicU64::new(0)));
        let poster = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.2.store(7, Ordering::Relaxed);
                shared.0.post(0, Accumulate::Yes, &&shared.1).unwrap();
            })
        };
        shared.0.wait(0, &&shared.1).unwrap();
        assert_eq!(shared.2.load(Ordering::Relaxed), 7);
        poster.join().unwrap();
    });
}

/// Mutation: `bell_abort_no_wake`.
#[test]
fn an_abort_reaches_every_sleeper() {
    loom::model(|| {
        let bell = Arc::new((Bell::new(), Futex::new()));
        let waiter = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.0.wait(0, &&bell.1).unwrap_err().code())
        };
        bell.0.abort(&&bell.1);
        assert_eq!(waiter.join().unwrap(), Code::ConnAborted);
    });
}

/// A poster killed between count and wake: the reaper's nudge makes it up.
#[test]
fn a_nudge_makes_up_for_a_dead_poster() {
    struct Dead;
    impl Park for Dead {
        fn sleep(&self, _: &AtomicU64, _: u32) -> Wake {
            Wake::TimedOut
        }
        fn wake_one(&self, _: &AtomicU64) {} // died just before
        fn wake_all(&self, _: &AtomicU64) {}
    }
    loom::model(|| {
        let bell = Arc::new((Bell::new(), Futex::new()));
        let waiter = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.0.wait(0, &&bell.1).unwrap())
        };
        bell.0.post(0, Accumulate::Yes, &Dead).unwrap();
        // The kernel tells of a death only after everything the dead did: a full fence lies in between.
        crate::sync::fence(Ordering::SeqCst);
        bell.0.nudge(&&bell.1);
        waiter.join().unwrap();
    });
}

/// Mutation: `bell_post_ignores_epoch`.
#[test]
fn a_late_post_does_not_reach_the_next_connection() {
    loom::model(|| {
        let bell = Arc::new((Bell::new(), Futex::new()));
        let late = {
            let bell = Arc::clone(&bell);
            thread::spawn(move || {
                let _ = bell.0.post(0, Accumulate::Yes, &&bell.1);
            })
        };
        bell.0.step_epoch();
        bell.0.renew();
        assert!(!bell.0.try_take().unwrap());
        late.join().unwrap();
        assert!(!bell.0.try_take().unwrap(), "a signal of the connection before");
    });
}

/// Small tables: corners are reached, and loom has few words to follow.
const TINY: Geometry = Geometry { nodes: 2, controllers: 2, segments: 2, connections: 2, buckets: 1, bells: 2 };

fn heap() -> Arc<Heap> {
    let heap = Heap::new(TINY);
    Writer::open(heap.registry(), TINY, "m", 1, (1, 0)).add_controller(1, "s", ControllerKind::Shared, (1, 1, 1));
    Arc::new(heap)
}

fn segment(incarnation: u64) -> SegmentFields {
    // Length and incarnation go together, so that a torn read shows.
    SegmentFields::bound(incarnation, incarnation << 12, 1, 1, (1, 0), 0)
}

fn connection(serial: u64) -> NewConnection {
    NewConnection { serial, segment: 0, bell: 0, epoch: 0, importer: 1, pid: 1, controller: 1, permission: 0 }
}

/// The protocol alone, with two fields, so that every order of their visibility is explored.
///
/// Mutations: `seq_begin`, `seq_end`.
#[test]
fn a_sequence_number_guards_its_fields() {
    loom::model(|| {
        let words = Arc::new((AtomicU64::new(0), AtomicU64::new(1), AtomicU64::new(1)));
        let writer = {
            let words = Arc::clone(&words);
            thread::spawn(move || {
                seq::write(&words.0, || {
                    words.1.store(2, Ordering::Relaxed);
                    words.2.store(2, Ordering::Relaxed);
                });
            })
        };
        let pair = seq::read(&words.0, || (words.1.load(Ordering::Relaxed), words.2.load(Ordering::Relaxed)));
        if let Some((first, second)) = pair {
            assert_eq!(first, second);
        }
        writer.join().unwrap();
    });
}

/// Mutation: `seq_begin`.
#[test]
fn a_row_is_read_as_it_stood_at_one_moment() {
    loom::model(|| {
        let heap = heap();
        Writer::over(heap.registry()).add_segment(0, &segment(1));
        let agent = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || Writer::over(heap.registry()).add_segment(0, &segment(2)))
        };
        if let Some(fields) = heap.segments[0].fields() {
            assert_eq!(fields.length, fields.incarnation << 12);
        }
        agent.join().unwrap();
    });
}

/// Mutation: `lookup_trusts_links`.
#[test]
fn a_published_segment_is_not_missed() {
    loom::model(|| {
        let heap = heap();
        let writer = Writer::over(heap.registry());
        // One bucket: row 1 heads the chain, row 0 is behind it and stays published throughout.
        writer.add_segment(0, &segment(1));
        writer.publish(0, 0x40_0000);
        writer.add_segment(1, &segment(2));
        writer.publish(1, 0x40_0001);
        let agent = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let writer = Writer::over(heap.registry());
                writer.withdraw(1);
                writer.remove_segment(1);
                writer.add_segment(1, &segment(3));
            })
        };
        let found = heap.registry().find(1, 0x40_0000);
        assert!(matches!(found, Found::Unsure | Found::Segment(0, _)), "{found:?}");
        agent.join().unwrap();
    });
}

/// Mutation: `walk_ignores_progress`.
#[test]
fn a_walk_posts_to_nobody_twice() {
    loom::model(|| {
        let heap = heap();
        let writer = Writer::over(heap.registry());
        writer.add_segment(0, &segment(1));
        writer.link_connection(0, &connection(10));
        writer.link_connection(1, &connection(11));
        let agent = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let writer = Writer::over(heap.registry());
                writer.unlink_connection(0);
                writer.remove_connection(0);
                writer.link_connection(0, &connection(12));
            })
        };
        let mut met = Vec::new();
        let mut below = u64::MAX;
        walk_connections(&heap.registry(), 0, 1, &mut below, |f| met.push(f.generation.serial()));
        agent.join().unwrap();
        let mut once = met.clone();
        once.dedup();
        assert_eq!(met, once);
        assert!(met.windows(2).all(|pair| pair[0] > pair[1]), "{met:?}");
    });
}

/// A chain that changes is left out of, at most, what changed: the connection that stays is met.
#[test]
fn a_walk_forgets_nobody_who_stays() {
    loom::model(|| {
        let heap = heap();
        let writer = Writer::over(heap.registry());
        writer.add_segment(0, &segment(1));
        writer.link_connection(0, &connection(10));
        writer.link_connection(1, &connection(11));
        let agent = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let writer = Writer::over(heap.registry());
                writer.abort_connection(1);
                writer.unlink_connection(1);
            })
        };
        let mut met = Vec::new();
        let mut below = u64::MAX;
        let complete = walk_connections(&heap.registry(), 0, 1, &mut below, |f| met.push(f.generation.serial()));
        agent.join().unwrap();
        assert!(!complete || met.contains(&10), "{met:?}");
    });
}

/// The importer's half is as in `rsm_shm`: store, full fence, verdict.
///
/// Mutations: `verdict_importer_fence`, `verdict_agent_fence`.
#[test]
fn a_complete_verdict_means_the_store_came_first() {
    loom::model(|| {
        let words = Arc::new((
            AtomicU64::new(Generation::live(1).word()),
            AtomicU64::new(LinkWord::new(LinkState::Active).word()),
            AtomicU64::new(0),
        ));
        let importer = {
            let words = Arc::clone(&words);
            thread::spawn(move || {
                let link = LinkWord::from_word(words.1.load(Ordering::Relaxed));
                let opened = Snapshot { granted: Generation::live(1), link };
                words.2.store(7, Ordering::Relaxed);
                if !mutated("verdict_importer_fence") {
                    crate::sync::fence(Ordering::SeqCst);
                }
                opened.judge(&words.0, &words.1).is_ok()
            })
        };
        verdict::abort(&words.0);
        // From here on the agent waits for importers, then gives the memory back: what it reads now is what counts.
        let arrived = words.2.load(Ordering::Relaxed) == 7;
        let vouched = importer.join().unwrap();
        assert!(!vouched || arrived, "a store that was vouched for came after the revocation");
    });
}
