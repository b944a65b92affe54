//! Who knows what.

use super::{come, memory};
use crate::clock::Row;
use crate::process::{self, Process};
use crate::table::Table;
use loom::thread;
use rsm_core::explore::explore_less;
use rsm_core::sync::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

/// A process tells, and then stores what tells of it; who finds that knows all that was done before.
///
/// Mutations: `race_release_unfenced`, `race_enter_unfenced`.
#[test]
fn who_was_told_knows_what_was_done() {
    explore_less(1, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let (first, second) = (come(table, 1), come(table, 2));
        let (done, signal) = (first.row.now(), Arc::new(AtomicU64::new(0)));
        let (id, shared, posted) = (first.id(), Arc::clone(&memory), Arc::clone(&signal));
        let first = thread::spawn(move || {
            Process::with_id(Table::new(&shared), id).post(2);
            posted.store(1, Relaxed);
        });
        if signal.load(Relaxed) == 1 {
            second.waited(2);
            assert!(second.row.knows(id) >= done, "{} of {done}", second.row.knows(id));
        }
        first.join().unwrap();
    });
}

/// The same, where a program tells by what is not seen, and then does.
fn telling(tell: impl Fn(Process<'_>) + Send + Sync + Copy + 'static, learn: impl Fn(Process<'_>)) {
    let memory = memory(0);
    let table = Table::new(&memory);
    let (first, second) = (come(table, 1), come(table, 2));
    let (done, file) = (first.row.now(), Arc::new(AtomicU64::new(0)));
    let (id, shared, written) = (first.id(), Arc::clone(&memory), Arc::clone(&file));
    let first = thread::spawn(move || {
        tell(Process::with_id(Table::new(&shared), id));
        written.store(1, Relaxed);
    });
    if file.load(Relaxed) == 1 {
        learn(second);
        assert!(second.row.knows(id) >= done, "{} of {done}", second.row.knows(id));
    }
    first.join().unwrap();
}

/// Mutations: `race_token_unfenced`, `race_enter_unfenced`.
#[test]
fn who_learns_by_a_token_knows_what_was_done() {
    explore_less(1, || telling(|process| process.tells_by(7), |process| process.learns_by(7)));
}

/// Mutations: `race_outside_unfenced`, `race_enter_unfenced`.
#[test]
fn who_was_told_outside_knows_what_was_done() {
    explore_less(1, || telling(|process| process.tells_outside(), |process| process.enter()));
}

/// The agent notes an end once; whoever has seen that there was one knows whose.
///
/// Mutations: `race_end_unreleased`.
#[test]
fn who_knows_of_an_end_knows_all_that_was_done() {
    explore_less(1, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let (first, second) = (come(table, 1), come(table, 2));
        let done = first.row.now();
        let shared = Arc::clone(&memory);
        let agent = thread::spawn(move || process::end(Table::new(&shared), 1));
        second.enter();
        if second.row.ends_seen().load(Relaxed) == 1 {
            assert!(second.row.knows(first.id()) >= done);
        }
        agent.join().unwrap();
        second.enter();
        assert!(second.row.knows(first.id()) >= done, "it is not passed over for good");
    });
}

/// What a process knew is written down over what it knew before: who looks for the one finds it whole, or nothing.
///
/// Mutations: `race_snapshot_unfenced`, `race_snapshot_unreleased`.
#[test]
fn what_was_known_is_found_whole() {
    explore_less(0, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let all: Vec<usize> = (0..4).map(|at| come(table, at % 3 + 1).id()).collect();
        let (one, reader, known) = (all[0], all[1], [all[2], all[3]]);
        let (number, shared) = (Arc::new(AtomicU64::new(0)), Arc::clone(&memory));
        let to_say = Arc::clone(&number);
        let writer = thread::spawn(move || {
            let row = Row::of(Table::new(&shared), one);
            for clock in [10, 20] {
                known.iter().for_each(|&id| row.learn(id, clock));
                to_say.store(row.snapshot(), Relaxed);
            }
        });
        let (number, row) = (number.load(Relaxed), Row::of(table, reader));
        if number > 0 && row.learn_snapshot(Row::of(table, one), number) {
            assert_eq!(known.map(|id| row.knows(id)), [10 * number; 2]);
        }
        writer.join().unwrap();
    });
}

/// Two threads of a process learn and write down at once, in the same place: what either of them knew is there, or is not found.
///
/// Mutations: `race_snapshot_shared`, `race_learned_stored`, `race_learned_unreleased`.
#[test]
fn two_write_down_in_one_place() {
    explore_less(0, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let all: Vec<usize> = (0..4).map(|at| come(table, at % 3 + 1).id()).collect();
        let (one, reader, known) = (all[0], all[1], [all[2], all[3]]);
        let write = move |table: Table<'_>, clock: u64| {
            let row = Row::of(table, one);
            known.iter().for_each(|&id| row.learn(id, clock));
            row.snapshot()
        };
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || write(Table::new(&shared), 20));
        let numbers = [(write(table, 10), 10), (other.join().unwrap(), 20)];
        for (number, clock) in numbers {
            let row = Row::of(table, reader);
            if row.learn_snapshot(Row::of(table, one), number) {
                assert!(known.iter().all(|&id| row.knows(id) >= clock), "{number}");
            }
        }
    });
}

/// Two threads of a process learn the same. What one has found known, of which the other one has not yet said that it was learned, is
/// part of what it writes down.
///
/// Mutations: `race_learning_ignored`.
#[test]
fn what_a_thread_knows_is_written_down() {
    explore_less(0, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let all: Vec<usize> = (0..3).map(|at| come(table, at + 1).id()).collect();
        let (one, reader, known) = (all[0], all[1], all[2]);
        Row::of(table, one).snapshot();
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || {
            let table = Table::new(&shared);
            let (row, learner) = (Row::of(table, one), Row::of(table, reader));
            row.learn(known, 10);
            let number = row.snapshot();
            assert!(!learner.learn_snapshot(row, number) || learner.knows(known) >= 10);
        });
        Row::of(table, one).learn(known, 10);
        other.join().unwrap();
    });
}
