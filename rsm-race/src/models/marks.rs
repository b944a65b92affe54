//! What was put, and what the owner who compares its memory takes for its own doing.

use super::{look_at, memory};
use crate::clock::Row;
use crate::marks::{COMES, Mark};
use crate::pages::{By, Stores};
use crate::place::{Place, Range};
use crate::process::Process;
use crate::table::{LINE, Table};
use loom::thread;
use rsm_core::explore::explore_less;
use rsm_core::sync::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

const PLACE: Place = Place { lines: 0, node: 2, id: 7 };
const RANGE: Range = Range { place: PLACE, offset: 0, length: LINE, site: 0 };

/// Puts to the one line, in a span that stays open.
fn put(process: Process<'_>, import: usize, data: &AtomicU64) {
    process.begin_put_to_pages(import, RANGE, false, false);
    let row = Row::of(process.table, import);
    row.note_hidden(row.clock());
    data.store(1, Relaxed);
    process.end_put_to_pages(import, false);
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
