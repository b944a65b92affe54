//! Generations against transfers and verdicts.
//!
//! The importer's half of a span of stores is as in `rsm_shm`, whose fence is an instruction of its own: store, full
//! fence, verdict. An implicit put is such a span of one store.

use super::explore;
use super::futex::Futex;
use super::tables::{agent, connection, heap, member, segment};
use crate::bell::{Accumulate, Bell};
use crate::error::Code;
use crate::generation::{EndCause, Generation};
use crate::lens::Lens;
use crate::lens::log::{Key, Log, Piece, Posted, Target};
use crate::registry::{LinkState, LinkWord};
use crate::sync::{AtomicU64, Ordering::Relaxed, acquire, fence, mutated};
use crate::verdict::{self, BarrierType, Snapshot};
use loom::thread;
use std::sync::Arc;

/// A connection's generation, its link, and the segment's memory.
struct Words {
    generation: AtomicU64,
    link: AtomicU64,
    memory: AtomicU64,
}

fn words() -> Arc<Words> {
    Arc::new(Words {
        generation: AtomicU64::new(Generation::live(1).word()),
        link: AtomicU64::new(LinkWord::new(LinkState::Active).word()),
        memory: AtomicU64::new(0),
    })
}

fn snapshot(link: &AtomicU64) -> Snapshot {
    Snapshot { granted: Generation::live(1), link: LinkWord::from_word(acquire(link)) }
}

fn full_fence() {
    if !mutated("verdict_importer_fence") {
        fence(crate::sync::Ordering::SeqCst);
    }
}

/// Mutations: `verdict_importer_fence`, `verdict_agent_fence`.
#[test]
fn a_complete_verdict_means_the_store_came_first() {
    explore(|| {
        let w = words();
        let importer = {
            let w = Arc::clone(&w);
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                w.memory.store(7, Relaxed);
                full_fence();
                opened.judge(&w.generation, &w.link).is_ok()
            })
        };
        verdict::abort(&w.generation, EndCause::Withdrawn);
        // From here on the agent waits for importers, then gives the memory back: what it reads now is what counts.
        let arrived = w.memory.load(Relaxed) == 7;
        let vouched = importer.join().unwrap();
        assert!(!vouched || arrived, "a store that was vouched for came after the withdrawal");
    });
}

/// A get, or a span of loads, that is vouched for saw nothing of what the exporter wrote after the withdrawal (D-84).
///
/// Mutations: `verdict_load_fence`, `verdict_agent_fence`.
#[test]
fn a_vouched_load_saw_nothing_later() {
    explore(|| {
        let w = words();
        let importer = {
            let w = Arc::clone(&w);
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                let value = w.memory.load(Relaxed);
                (value, opened.judge_loads(&w.generation, &w.link).is_ok())
            })
        };
        verdict::abort(&w.generation, EndCause::Withdrawn);
        w.memory.store(9, Relaxed); // the exporter's own again
        let (value, vouched) = importer.join().unwrap();
        assert!(!vouched || value == 0, "a load that was vouched for came after the withdrawal");
    });
}

/// The same where the exporter is a thread of its own, which the agent tells of the cut in whatever way.
///
/// Mutations: `verdict_load_fence`, `verdict_owner_fence`.
#[test]
fn a_vouched_load_saw_nothing_that_another_stored_later() {
    explore(|| {
        let w = words();
        let told = Arc::new(AtomicU64::new(0));
        let importer = {
            let w = Arc::clone(&w);
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                let value = w.memory.load(Relaxed);
                (value, opened.judge_loads(&w.generation, &w.link).is_ok())
            })
        };
        let exporter = {
            let (w, told) = (Arc::clone(&w), Arc::clone(&told));
            thread::spawn(move || {
                if acquire(&told) == 1 {
                    verdict::begin_owning();
                    w.memory.store(9, Relaxed);
                }
            })
        };
        verdict::abort(&w.generation, EndCause::Withdrawn);
        told.store(1, crate::sync::Ordering::Release);
        let (value, vouched) = importer.join().unwrap();
        exporter.join().unwrap();
        assert!(!vouched || value == 0, "a load that was vouched for came after the withdrawal");
    });
}

/// The row goes to another connection at once: the old import is told all the same.
///
/// Mutations: `serial_used_again`, `verdict_importer_fence`.
#[test]
fn a_row_used_again_vouches_for_nobody_else() {
    explore(|| {
        let heap = heap();
        agent(&heap).add_segment(0, &segment(1));
        agent(&heap).link_connection(0, &connection(1, 0));
        let w = words();
        let importer = {
            let w = Arc::clone(&w);
            member(&heap, move |heap| {
                let opened = snapshot(&w.link);
                w.memory.store(7, Relaxed);
                full_fence();
                opened.judge(heap.connections[0].generation(), &w.link).is_ok()
            })
        };
        agent(&heap).abort_connection(0, EndCause::Withdrawn);
        agent(&heap).unlink_connection(0, None);
        let arrived = w.memory.load(Relaxed) == 7;
        agent(&heap).remove_connection(0);
        agent(&heap).link_connection(0, &connection(2, 0));
        let vouched = importer.join().unwrap();
        assert!(!vouched || arrived, "another connection's generation vouched for a late store");
    });
}

const OLD: u64 = 1;
const PUT: u64 = 7;
const NEW: u64 = 9;

/// What a rebind does to memory that holds `OLD`, or what came later, and is to hold `NEW`; gives what the old range
/// gets.
fn rebind(w: &Words) -> u64 {
    if !mutated("rebind_unsuspended") {
        verdict::suspend(&w.link);
    }
    let kept = w.memory.load(Relaxed);
    w.memory.store(NEW, Relaxed);
    verdict::resume(&w.link);
    kept
}

/// While a rebind copies the old contents out and the new ones in, an importer puts.
///
/// Mutations: `verdict_importer_fence`, `verdict_suspend_fence`, `verdict_resume_same`, `rebind_unsuspended`.
#[test]
fn a_store_that_is_vouched_for_is_in_old_or_new_memory() {
    explore(|| {
        let w = words();
        w.memory.store(OLD, Relaxed);
        let importer = {
            let w = Arc::clone(&w);
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                w.memory.store(PUT, Relaxed);
                full_fence();
                opened.judge(&w.generation, &w.link).is_ok()
            })
        };
        let kept = rebind(&w);
        let vouched = importer.join().unwrap();
        let (in_old, in_new) = (kept == PUT, w.memory.load(Relaxed) == PUT);
        assert!(
            !vouched || in_old != in_new,
            "a put that was vouched for: in the old range {in_old}, in the new {in_new}"
        );
    });
}

/// While a rebind copies the old contents out and the new ones in, an importer gets: the old or the new, as the word it
/// opened with says.
///
/// Mutations: `verdict_load_fence`, `verdict_suspend_fence`, `verdict_resume_relaxed`, `verdict_resume_same`.
#[test]
fn a_load_that_is_vouched_for_is_of_old_or_new_memory() {
    explore(|| {
        let w = words();
        w.memory.store(OLD, Relaxed);
        let importer = {
            let w = Arc::clone(&w);
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                let value = w.memory.load(Relaxed);
                (opened.link.errors() > 0, value, opened.judge_loads(&w.generation, &w.link).is_ok())
            })
        };
        rebind(&w);
        let (after, value, vouched) = importer.join().unwrap();
        assert!(!vouched || value == if after { NEW } else { OLD }, "a get that was vouched for saw {value}");
    });
}

/// A span that a cut met, and then a rebind, is told of the cut, after which trying again does not help.
///
/// Mutations: `verdict_agent_fence`.
#[test]
fn a_cut_before_a_rebind_wins() {
    explore(|| {
        let w = words();
        let importer = {
            let w = Arc::clone(&w);
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                opened.judge(&w.generation, &w.link).map_err(|error| error.code())
            })
        };
        verdict::abort(&w.generation, EndCause::Withdrawn);
        verdict::suspend(&w.link);
        verdict::resume(&w.link);
        assert_ne!(importer.join().unwrap(), Err(Code::BarrierFailure));
    });
}

/// A put is on its way, and another thread of the importer delivers at the same time.
///
/// Mutations: `lens_delivers_unlocked`, `diverted_judges_first`, `diverted_fence`, `verdict_agent_fence`.
#[test]
fn a_posted_store_that_is_vouched_for_came_first() {
    explore(|| {
        let (w, posted, key) = posted();
        let store = |w: &Arc<Words>| {
            let w = Arc::clone(w);
            move |_: &Piece<()>| w.memory.store(7, Relaxed)
        };
        let importer = {
            let (w, posted, store) = (Arc::clone(&w), Arc::clone(&posted), store(&w));
            thread::spawn(move || {
                let opened = snapshot(&w.link);
                posted.lock().post(key, WORD, (), NOW);
                let settle = || settle(&posted, key, &store);
                opened.judge_settled(&w.generation, &w.link, settle).is_ok()
            })
        };
        let courier = {
            let (posted, store) = (Arc::clone(&posted), store(&w));
            thread::spawn(move || posted.turn(LATER, store))
        };
        verdict::abort(&w.generation, EndCause::Withdrawn);
        let arrived = w.memory.load(Relaxed) == 7;
        let vouched = importer.join().unwrap();
        courier.join().unwrap();
        assert!(!vouched || arrived, "a posted store that was vouched for came after the withdrawal");
    });
}

/// A put that is closed, then a signal: who takes the signal sees the put, whichever thread delivers either.
///
/// Mutations: `lens_delivers_unlocked`.
#[test]
fn a_signal_comes_after_what_was_closed_before() {
    explore(|| {
        let (w, posted, key) = posted();
        let bell = Arc::new(Bell::new());
        let deliver = |w: &Arc<Words>, bell: &Arc<Bell>| {
            let (w, bell) = (Arc::clone(w), Arc::clone(bell));
            move |piece: &Piece<()>| match piece.target {
                Target::Bell => bell.post(0, Accumulate::Yes, &&Futex::new()).unwrap(),
                Target::Bytes { .. } => w.memory.store(7, Relaxed),
            }
        };
        posted.lock().post(key, WORD, (), NOW);
        let poster = {
            let (posted, deliver) = (Arc::clone(&posted), deliver(&w, &bell));
            thread::spawn(move || {
                settle(&posted, key, &deliver);
                posted.lock().post(key, Target::Bell, (), NOW);
                posted.turn(LATER, deliver);
            })
        };
        let courier = {
            let (posted, deliver) = (Arc::clone(&posted), deliver(&w, &bell));
            thread::spawn(move || posted.turn(LATER, deliver))
        };
        poster.join().unwrap();
        assert_eq!(bell.try_take(), Ok(true));
        assert_eq!(w.memory.load(Relaxed), 7, "a signal overtook a put that was closed");
        courier.join().unwrap();
    });
}

/// What a barrier does before its verdict.
fn settle(posted: &Posted<()>, key: Key, deliver: impl FnMut(&Piece<()>)) {
    let log = posted.turn_with(posted.lock(), LATER, deliver);
    assert_eq!(log.last_due_of(key, BarrierType::Node, u64::MAX), None);
}

const NOW: u64 = 0;
/// By then everything is due.
const LATER: u64 = u64::MAX;
const WORD: Target = Target::Bytes { offset: 0, length: 8 };

/// The words of a connection, and the log of its importer.
fn posted() -> (Arc<Words>, Arc<Posted<()>>, Key) {
    let posted = Posted::new(Log::new(&Lens::chaos(1), 1));
    let key = posted.lock().enter(2, 7);
    (words(), Arc::new(posted), key)
}
