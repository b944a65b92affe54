//! What is found in tables.

use super::{come, memory};
use crate::access::Access;
use crate::cell::{Cell, Kind};
use crate::place::Place;
use crate::process::Process;
use crate::report::{self, Found, Why};
use crate::site::{self, Module};
use crate::table::Table;
use crate::words::{History, Stored};
use loom::thread;
use rsm_core::explore::explore_less;
use rsm_core::sync::Ordering::Relaxed;
use std::sync::Arc;

/// Two processes come to a segment at once.
///
/// Mutations: `race_lines_taken_twice`.
#[test]
fn a_segment_has_the_same_lines_for_all() {
    explore_less(0, || {
        let memory = memory(4);
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || Table::new(&shared).lines_of(7, 16));
        let mine = Table::new(&memory).lines_of(7, 16);
        assert!(mine.is_some());
        assert_eq!(mine, other.join().unwrap());
    });
}

/// Two processes store words of one line, by which others may be told something: both are found there.
///
/// Mutations: `race_cell_stored_blindly`.
#[test]
fn no_cell_is_lost() {
    explore_less(1, || {
        let memory = memory(1);
        let table = Table::new(&memory);
        let ids = [come(table, 1).id(), come(table, 2).id()];
        let store = move |table: Table<'_>, at: usize| {
            let process = crate::clock::Row::of(table, ids[at]);
            let place = Place { lines: 0, node: 3, id: 7 };
            let (start, length, clock) = (4 * at as u64, 4, process.now());
            let (id, kind, site, hidden) = (process.id, Kind::Store, 0, false);
            Access { table, process, id, clock, kind, site, place, start, length, hidden }.meet();
        };
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || store(Table::new(&shared), 1));
        store(table, 0);
        other.join().unwrap();
        let cells = table.line(0).expect("a line").iter().filter_map(|word| Cell::from_word(word.load(Relaxed)));
        let mut found: Vec<usize> = cells.map(|cell| cell.id).collect();
        found.sort_unstable();
        assert_eq!(found, ids);
    });
}

/// A process writes all of a line, while another one says that nobody wants to hear of it.
///
/// Mutations: `race_cell_stored_blindly`.
#[test]
fn what_is_benign_stays_so() {
    explore_less(1, || {
        let memory = memory(1);
        let table = Table::new(&memory);
        let (writer, owner) = (come(table, 1), come(table, 2).id());
        let place = Place { lines: 0, node: 3, id: 7 };
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || Process::with_id(Table::new(&shared), owner).benign(place, 0, 8));
        let process = crate::clock::Row::of(table, writer.id());
        let (id, clock, kind, site) = (process.id, process.now(), Kind::Write, 0);
        let access = Access { table, process, id, clock, kind, site, place, start: 0, length: 8, hidden: false };
        access.meet();
        other.join().unwrap();
        assert!(access.is_benign());
    });
}

/// Two processes store to a word, of which one store is remembered, and a third one loads it.
///
/// Mutations: `race_history_shared`, `race_history_unfenced`, `race_history_unreleased`.
#[test]
fn a_store_is_found_whole() {
    explore_less(1, || {
        let memory = memory(0);
        let stored = |n: u64| {
            let (id, by, site) = (n as usize, n as usize, n as u16);
            Stored { id, clock: n, value: n, process: n, site, hidden: n, snapshot: n, by, any: n == 2, alone: n == 3 }
        };
        let history = History::make(Table::new(&memory), 8, 8).expect("room");
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || {
            let history = History::make(Table::new(&shared), 8, 8).expect("room");
            history.push(1, &stored(1));
            history.push(1, &stored(2));
        });
        let whole = |history: History<'_>| history.all().for_each(|(_, there)| assert_eq!(there, stored(there.value)));
        whole(history);
        history.push(2, &stored(3));
        whole(history);
        other.join().unwrap();
        whole(history);
    });
}

/// Mutations: `race_report_unreleased`.
#[test]
fn a_report_is_found_whole() {
    explore_less(0, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let id = come(table, 1).id();
        let cell = Cell { id, clock: 3, site: 0, kind: Kind::Write, bytes: 1 };
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || {
            let found = Found { segment: (3, 7), start: 8, end: 16, first: cell, second: cell, why: Why::Open };
            report::add(Table::new(&shared), &found);
        });
        let is_whole = |race: &report::Race| {
            (race.segment, race.offset, race.length, race.why) == ((3, 7), 8, 8, Why::Open)
                && race.first.kind == Kind::Write
        };
        assert!(report::races(table).iter().all(is_whole));
        other.join().unwrap();
        assert_eq!(report::races(table).len(), 1);
    });
}

/// Mutations: `race_site_unreleased`.
#[test]
fn a_place_is_found_whole() {
    explore_less(0, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let shared = Arc::clone(&memory);
        let other = thread::spawn(move || site::number(Table::new(&shared), 3, &[10, 20]));
        let mine = site::number(table, 3, &[10, 20]);
        let whole = Some((3, vec![10, 20]));
        assert!(site::frames(table, mine).is_none_or(|found| Some(found) == whole));
        assert_eq!(other.join().unwrap(), mine);
        assert_eq!(site::frames(table, mine), whole);
    });
}

/// Mutations: `race_module_unreleased`.
#[test]
fn a_module_is_found_whole() {
    explore_less(0, || {
        let memory = memory(0);
        let table = Table::new(&memory);
        let shared = Arc::clone(&memory);
        let module = || Module { bias: 7, start: 100, end: 200, path: b"/app".to_vec() };
        let other = thread::spawn(move || site::add_module(Table::new(&shared), 3, &module()));
        assert!(site::module(table, 3, 150).is_none_or(|found| found == module()));
        other.join().unwrap();
        assert_eq!(site::module(table, 3, 150), Some(module()));
    });
}
