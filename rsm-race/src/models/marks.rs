//! What was put, and what the owner who compares its memory takes for its own doing.

use super::{look_at, memory};
use crate::clock::Row;
use crate::marks::{self, COMES, Mark};
use crate::pages::{By, Stores};
use crate::place::{Place, Range};
use crate::process::Process;
use crate::table::{LINE, Table};
use loom::thread;
use rsm_core::explore::explore_less;
use rsm_core::lens::Lens;
use rsm_core::lens::log::{Log, Piece, Posted, Target};
use rsm_core::sync::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

const PLACE: Place = Place { lines: 0, node: 2, id: 7 };
const RANGE: Range = Range { place: PLACE, offset: 0, length: LINE, site: 0 };

/// Puts to a line, in a span that stays open.
fn put_to(process: Process<'_>, import: usize, line: u64, data: &AtomicU64) {
    process.begin_put_to_pages(import, Range { offset: line * LINE, ..RANGE }, false, false);
    let row = Row::of(process.table, import);
    row.note_hidden(row.clock());
    data.store(1, Relaxed);
    process.end_put_to_pages(import, false);
}

/// The same, to the one line.
fn put(process: Process<'_>, import: usize, data: &AtomicU64) {
    put_to(process, import, 0, data);
}

/// One thread puts and another one closes the span, while the owner looks: what has changed is never taken for its doing, and
/// once that is known to be there it is found there.
///
/// Mutations: `race_mark_unfenced`, `race_look_unfenced`, `race_arrived_unreleased`.
#[test]
fn what_was_put_is_not_the_owners() {
    explore_less(0, || {
        let memory = memory(1);
        let table = Table::new(&memory);
        let (putter, owner) = (look_at(table, 1), look_at(table, 2));
        let (import, data) = (putter.connect(2).expect("a name"), Arc::new(AtomicU64::new(0)));
        Row::of(table, import).note_hidden(1);
        let id = putter.id();
        let (shared, to_put) = (Arc::clone(&memory), Arc::clone(&data));
        let puts = thread::spawn(move || put(Process::with_id(Table::new(&shared), id), import, &to_put));
        let shared = Arc::clone(&memory);
        let closes = thread::spawn(move || {
            let closer = Process::with_id(Table::new(&shared), id);
            closer.end_close(&closer.begin_close(import, false));
        });
        let has_changed = data.load(Relaxed) != 0;
        let stores = Stores::begin(owner, PLACE, 1, 0).expect("nobody else reaches it");
        match stores.by(0) {
            By::Owner(_) => assert!(!has_changed),
            By::Others(mark) => {
                assert_eq!(data.load(Relaxed), 1);
                stores.forget(0, mark);
            }
            By::Unknown => {}
        }
        puts.join().unwrap();
        closes.join().unwrap();
    });
}

/// One thread puts while another one closes the span: what the close vouches for is there.
///
/// Mutations: `race_put_begins_unfenced`, `race_put_ends_unfenced`, `race_seal_unfenced`.
#[test]
fn a_close_vouches_for_what_was_put_before() {
    explore_less(0, || {
        let memory = memory(1);
        let table = Table::new(&memory);
        let (putter, _owner) = (look_at(table, 1), look_at(table, 2));
        let (import, data) = (putter.connect(2).expect("a name"), Arc::new(AtomicU64::new(0)));
        Row::of(table, import).note_hidden(1);
        let (id, shared, to_put) = (putter.id(), Arc::clone(&memory), Arc::clone(&data));
        let other = thread::spawn(move || put(Process::with_id(Table::new(&shared), id), import, &to_put));
        let closing = putter.begin_close(import, false);
        putter.end_close(&closing);
        let mark = Mark(table.mark(0).expect("a line").load(Relaxed));
        if mark.state() == COMES && mark.has_arrived(table) {
            assert_eq!(data.load(Relaxed), 1);
        }
        other.join().unwrap();
    });
}

/// One thread posts and closes the span, another one delivers, while the owner looks: what has changed is never taken for its doing,
/// and once that is known to be there it is found there.
///
/// Mutations: `race_deliver_unfenced`, `race_look_unfenced`, `race_arrived_unreleased`, `lens_delivers_unlocked`.
#[test]
fn what_is_delivered_is_not_the_owners() {
    explore_less(0, || {
        let memory = memory(1);
        let table = Table::new(&memory);
        let (putter, owner) = (look_at(table, 1), look_at(table, 2));
        let (import, data) = (putter.connect(2).expect("a name"), Arc::new(AtomicU64::new(0)));
        let posted = Arc::new(Posted::new(Log::new(&Lens::chaos(1), 1)));
        let key = posted.lock().enter(2, 7);
        let delivery = || {
            let (memory, data) = (Arc::clone(&memory), Arc::clone(&data));
            move |_: &Piece<()>| {
                marks::deliver(Table::new(&memory), PLACE, 0, LINE);
                data.store(1, Relaxed);
            }
        };
        let (id, shared, to_post, deliver) = (putter.id(), Arc::clone(&memory), Arc::clone(&posted), delivery());
        let puts = thread::spawn(move || {
            let process = Process::with_id(Table::new(&shared), id);
            process.begin_put_to_pages(import, RANGE, true, false);
            let row = Row::of(process.table, import);
            row.note_hidden(row.clock());
            to_post.lock().post(key, Target::Bytes { offset: 0, length: LINE }, (), 0);
            process.end_put_to_pages(import, false);
            let closing = process.begin_close(import, false);
            to_post.turn(u64::MAX, deliver);
            process.end_close(&closing);
        });
        let (to_deliver, deliver) = (Arc::clone(&posted), delivery());
        let courier = thread::spawn(move || to_deliver.turn(u64::MAX, deliver));
        let has_changed = data.load(Relaxed) != 0;
        let stores = Stores::begin(owner, PLACE, 1, 0).expect("nobody else reaches it");
        match stores.by(0) {
            By::Owner(_) => assert!(!has_changed),
            By::Others(_) => assert_eq!(data.load(Relaxed), 1),
            By::Unknown => {}
        }
        puts.join().unwrap();
        courier.join().unwrap();
    });
}

/// Two threads put to lines of one stretch, each through an import, while the owner looks where something was put: it finds all of
/// it, then or the next time.
///
/// Mutations: `race_stretch_stored`, `race_stretch_unreleased`, `race_look_unfenced`.
#[test]
fn what_was_put_to_a_stretch_is_looked_at() {
    explore_less(1, || {
        let memory = memory(2);
        let table = Table::new(&memory);
        let (putter, owner) = (look_at(table, 1), look_at(table, 2));
        let (id, data) = (putter.id(), Arc::new([AtomicU64::new(0), AtomicU64::new(0)]));
        let imports = [putter.connect(2), putter.connect(2)].map(|import| import.expect("a name"));
        let puts = imports.into_iter().enumerate().map(|(line, import)| {
            let (shared, data) = (Arc::clone(&memory), Arc::clone(&data));
            thread::spawn(move || {
                let process = Process::with_id(Table::new(&shared), id);
                put_to(process, import, line as u64, &data[line]);
                process.end_close(&process.begin_close(import, false));
            })
        });
        let puts: Vec<_> = puts.collect();
        let (mut known, mut is_put_to) = ([0, 0], false);
        let mut look = || {
            is_put_to |= !owner.stretches_put_to(PLACE, 2 * LINE).is_empty();
            if is_put_to {
                let stores = Stores::begin(owner, PLACE, 1, 0).expect("nobody else reaches it");
                is_put_to = stores.settle(0..2, |line| known[line as usize] = data[line as usize].load(Relaxed));
            }
        };
        look();
        puts.into_iter().for_each(|put| put.join().unwrap());
        look();
        assert_eq!(known, [1, 1], "what was put is not known to who compares");
    });
}

/// A process begins to store by itself to what `reach` says that it reaches: the owner that finds it does not take it for its own doing.
fn reaching(reach: impl Fn(Process<'_>) + Send + Sync + Copy + 'static) {
    let memory = memory(1);
    let table = Table::new(&memory);
    let (maps, owner) = (look_at(table, 1), look_at(table, 2));
    let (id, shared, data) = (maps.id(), Arc::clone(&memory), Arc::new(AtomicU64::new(0)));
    let to_store = Arc::clone(&data);
    let other = thread::spawn(move || {
        reach(Process::with_id(Table::new(&shared), id));
        to_store.store(1, Relaxed);
    });
    if data.load(Relaxed) == 1 {
        let stores = Stores::begin(owner, PLACE, 1, 0);
        assert!(stores.is_none_or(|stores| stores.by(0) == By::Unknown));
    }
    other.join().unwrap();
}

/// Mutations: `race_reached_unfenced`, `race_look_unfenced`.
#[test]
fn what_may_be_stored_to_a_node_is_not_the_owners() {
    explore_less(0, || reaching(|process| process.reaches(2)));
}

/// Mutations: `race_reached_unfenced`, `race_look_unfenced`.
#[test]
fn what_may_be_stored_to_a_part_is_not_the_owners() {
    explore_less(0, || reaching(|process| process.reaches_part(PLACE, 0, LINE)));
}
