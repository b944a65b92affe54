//! The word on which an exporter waits for the end of a withdrawal.

use super::explore;
use super::futex::{Ends, Futex, Watch};
use super::tables::{agent, heap, segment};
use crate::registry::heap::Heap;
use crate::registry::{Withdrawal, Withdrawn};
use crate::sync::{AtomicU64, Ordering::Relaxed, acquire32};
use loom::thread;
use std::sync::Arc;

struct Rig {
    heap: Arc<Heap>,
    futex: Futex,
    memory: AtomicU64,
}

/// A withdrawal under way, number 1.
fn rig() -> Arc<Rig> {
    let heap = heap();
    agent(&heap).add_segment(0, &segment(1));
    assert_eq!(agent(&heap).begin_withdrawal(0), 1);
    Arc::new(Rig { heap, futex: Futex::new(), memory: AtomicU64::new(0) })
}

/// As in `rsm_shm`.
fn outcome(rig: &Rig, number: u32) -> Withdrawn {
    let word = rig.heap.segments[0].withdrawal();
    loop {
        let seen = acquire32(word);
        if let Some(how) = Withdrawal::from_word(seen).outcome(number) {
            return how;
        }
        rig.futex.sleep_on(&[Watch::Whole(word, seen)], Ends::Never);
    }
}

/// Who learns that the memory is free sees the last that importers did to it.
///
/// Mutations: `withdrawal_relaxed`.
#[test]
fn free_memory_is_nobody_elses() {
    explore(|| {
        let r = rig();
        let exporter = {
            let r = Arc::clone(&r);
            thread::spawn(move || (outcome(&r, 1), r.memory.load(Relaxed)))
        };
        r.memory.store(7, Relaxed); // what the last importer did, and the agent knows of
        r.futex.wake_word(agent(&r.heap).end_withdrawal(0, Withdrawn::Free));
        assert_eq!(exporter.join().unwrap(), (Withdrawn::Free, 7));
    });
}

/// A waiter that comes to look when the next withdrawal has begun is told the outcome of its own.
///
/// Mutations: `withdrawal_any_number`.
#[test]
fn a_late_waiter_is_told_of_its_own_withdrawal() {
    explore(|| {
        let r = rig();
        let exporter = {
            let r = Arc::clone(&r);
            thread::spawn(move || outcome(&r, 1))
        };
        r.futex.wake_word(agent(&r.heap).end_withdrawal(0, Withdrawn::Free));
        agent(&r.heap).begin_withdrawal(0);
        assert_eq!(exporter.join().unwrap(), Withdrawn::Free);
    });
}

/// Somebody did not let go: the exporter is told so, and has to move its memory.
///
/// Mutations: `withdrawal_always_done`.
#[test]
fn memory_that_somebody_keeps_is_not_called_free() {
    explore(|| {
        let r = rig();
        let exporter = {
            let r = Arc::clone(&r);
            thread::spawn(move || outcome(&r, 1))
        };
        r.futex.wake_word(agent(&r.heap).end_withdrawal(0, Withdrawn::Held));
        assert_eq!(exporter.join().unwrap(), Withdrawn::Held);
    });
}
