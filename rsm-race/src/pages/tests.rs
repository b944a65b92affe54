//! Small stories of an owner that stores without a call, and what is reported of it.

use super::*;
use crate::clock::Who;
use crate::marks::deliver;
use crate::place::Range;
use crate::report::races;
use crate::table::tests::memory;
use crate::table::{STRETCH, Table};

/// Where node 3's segment is.
const PLACE: Place = Place { lines: 0, node: 3, id: 7 };
const DATA: u64 = 64;
const LENGTH: u64 = 16;

fn lines() -> Vec<AtomicU64> {
    memory(512)
}

fn come<'a>(table: Table<'a>, node: u32) -> Process<'a> {
    Process::join(table, Who { node, pid: 100 + node }, node.into(), false).unwrap()
}

fn range(offset: u64, site: u16) -> Range {
    Range { place: PLACE, offset, length: LENGTH, site }
}

/// Node 1, with an import of the segment of node 3.
#[derive(Clone, Copy)]
struct Putter<'a> {
    process: Process<'a>,
    import: usize,
}

impl<'a> Putter<'a> {
    fn come(table: Table<'a>, node: u32) -> Putter<'a> {
        let process = come(table, node);
        Putter { process, import: process.connect(3).unwrap() }
    }

    /// Puts, in a span that stays open. `waits`: nothing of it comes yet.
    fn put(self, offset: u64, waits: bool) {
        self.process.begin_put_to_pages(self.import, range(offset, 5), waits, false);
        self.process.put(self.import, range(offset, 5), None, false);
        self.process.end_put_to_pages(self.import, false);
    }

    fn close(self) {
        let closing = self.process.begin_close(self.import, false);
        self.process.close(self.import, false);
        self.process.end_close(&closing);
    }
}

/// Node 3, and when it has last looked.
struct Owner<'a> {
    process: Process<'a>,
    since: u64,
    from: u16,
}

impl<'a> Owner<'a> {
    fn come(table: Table<'a>) -> Owner<'a> {
        let process = come(table, 3);
        process.look_at_pages();
        Owner { process, since: process.begin_interval(), from: process.site(&[10]) }
    }

    /// Looks, and finds that these lines have changed; says whose doing each was.
    fn look(&mut self, changed: &[u64]) -> Vec<By> {
        let now = self.process.begin_interval();
        let site = self.process.between(self.from, self.process.site(&[20]));
        let Some(mut stores) = Stores::begin(self.process, PLACE, self.since, site) else { return Vec::new() };
        self.since = now;
        let by = |&line: &u64| {
            let by = stores.by(line);
            match by {
                By::Owner(mark) => stores.add(line, 0xff, mark),
                By::Others(mark) => stores.forget(line, mark),
                By::Unknown => {}
            }
            by
        };
        let all = changed.iter().map(by).collect();
        stores.end();
        all
    }

    /// Tells node 1 what it did.
    fn tell(&self) {
        self.process.post(1);
    }
}

fn is_owner(by: &[By]) -> bool {
    !by.is_empty() && by.iter().all(|by| matches!(by, By::Owner(_)))
}

#[test]
fn a_put_by_who_was_told_nothing_of_a_store_races_with_it() {
    for told in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let mut owner = Owner::come(table);
        let putter = Putter::come(table, 1);
        // Whoever connects learns everything: that a time begins, too.
        owner.look(&[]);
        assert!(is_owner(&owner.look(&[DATA / 8, DATA / 8 + 1])));
        if told {
            owner.tell();
            putter.process.waited(1);
        }
        putter.put(DATA, false);
        let found = races(table);
        assert_eq!(found.len(), usize::from(!told), "{found:?}");
        let Some(race) = found.first() else { continue };
        let (first, second) = (&race.first, &race.second);
        assert_eq!((race.segment, race.offset, race.length), ((3, 7), DATA, LENGTH));
        assert_eq!((first.who.node, second.who.node), (3, 1));
        let ends = first.between.as_ref().map(|(from, to)| (from[0].0, to[0].0));
        assert_eq!((ends, second.between.is_some()), (Some((10, 20)), false));
    }
}

/// What is stored in a time may have been told to whoever learned of the owner since that began.
#[test]
fn who_learned_of_the_owner_meanwhile_may_have_been_told() {
    for learned in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let mut owner = Owner::come(table);
        let putter = Putter::come(table, 1);
        if learned {
            owner.look(&[]);
            putter.process.get(range(256, 6), None);
        } else {
            putter.process.get(range(256, 6), None);
            owner.look(&[]);
        }
        owner.look(&[DATA / 8]);
        putter.put(DATA, false);
        assert_eq!(races(table).len(), usize::from(!learned), "learned: {learned}");
    }
}

#[test]
fn what_is_put_is_not_the_owners_doing() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let (one, other) = (Putter::come(table, 1), Putter::come(table, 2));
    owner.look(&[]);
    one.put(DATA, false);
    assert_eq!(owner.look(&[DATA / 8]), [By::Unknown], "it may be on its way");
    one.close();
    assert!(matches!(owner.look(&[DATA / 8])[..], [By::Others(_)]));
    assert!(is_owner(&owner.look(&[DATA / 8])), "it was looked at since");
    // Both, and the one that was first not closed.
    one.put(DATA, false);
    other.put(DATA, false);
    other.close();
    one.close();
    assert_eq!(owner.look(&[DATA / 8]), [By::Unknown]);
    assert!(is_owner(&owner.look(&[DATA / 8 + 3])), "nothing was put there");
    let stores = Stores::begin(owner.process, PLACE, owner.since, 0).unwrap();
    assert!(!stores.is_put_to(DATA / 8) && !stores.is_put_to(DATA / 8 + 3), "nobody ever knows, and nothing");
    one.put(256, true);
    other.put(264, false);
    assert!(stores.is_put_to(32) && stores.is_put_to(34));
}

#[test]
fn where_something_was_put_is_said_once() {
    let memory = memory(3 * STRETCH);
    let table = Table::new(&memory);
    let owner = Owner::come(table);
    let one = Putter::come(table, 1);
    let bytes = 3 * STRETCH as u64 * LINE;
    let put_to = || owner.process.stretches_put_to(PLACE, bytes);
    assert_eq!(put_to(), []);
    one.put(2 * STRETCH as u64 * LINE - 1, false);
    assert_eq!((put_to(), put_to()), (vec![1, 2], vec![]));
    let all = Range { length: bytes, ..range(0, 5) };
    one.process.begin_put_to_pages(one.import, all, false, false);
    assert_eq!(put_to(), [0, 1, 2]);
    let second = Place { lines: STRETCH as u64, ..PLACE };
    one.put(8, false);
    assert_eq!(owner.process.stretches_put_to(second, LINE), [], "that of another segment");
}

/// Whose owner tells by itself what it stores: its memory is never compared.
#[test]
fn what_is_put_to_who_tells_is_not_marked() {
    for whole in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let owner = Process::join(table, Who { node: 3, pid: 103 }, 3, whole).unwrap();
        let one = Putter::come(table, 1);
        one.put(DATA, true);
        deliver(table, PLACE, DATA, 8);
        let mark = |line: u64| Mark(table.mark(line).unwrap().load(Relaxed)).state();
        let marked = if whole { (NOTHING, NOTHING) } else { (COMES, WAITS) };
        assert_eq!((mark(DATA / 8), mark(DATA / 8 + 1)), marked, "whole: {whole}");
        assert_eq!(owner.stretches_put_to(PLACE, 512).is_empty(), whole);
        one.close();
    }
}

#[test]
fn an_order_barrier_says_nothing_of_what_has_come() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    one.put(DATA, false);
    one.process.order(one.import, true);
    assert_eq!(owner.look(&[DATA / 8]), [By::Unknown]);
}

/// Another thread's put, in the same span, is not over with the end of that.
#[test]
fn a_put_that_goes_on_has_not_come_with_the_end_of_its_span() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    one.put(DATA, false);
    one.process.begin_put_to_pages(one.import, range(DATA, 5), false, false);
    one.process.put(one.import, range(DATA, 5), None, false);
    one.close();
    assert_eq!(owner.look(&[DATA / 8]), [By::Unknown]);
    one.process.end_put_to_pages(one.import, false);
    one.close();
    assert!(matches!(owner.look(&[DATA / 8])[..], [By::Others(_)]));
}

/// Nor is one that was begun when the span was about to end.
#[test]
fn the_end_of_a_span_vouches_for_what_was_put_before_it_began() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    one.put(DATA, false);
    let closing = one.process.begin_close(one.import, false);
    one.put(DATA + LENGTH, false);
    one.process.close(one.import, false);
    one.process.end_close(&closing);
    let by = owner.look(&[DATA / 8, DATA / 8 + 2]);
    assert!(matches!(by[..], [By::Others(_), By::Unknown]), "{by:?}");
}

#[test]
fn spans_of_one_put_come_with_it_unless_something_is_late() {
    for late in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let mut owner = Owner::come(table);
        let one = Putter::come(table, 1);
        if late {
            one.put(512, true);
        }
        one.process.begin_put_to_pages(one.import, range(DATA, 5), false, true);
        one.process.put(one.import, range(DATA, 5), None, true);
        one.process.put_arrived(one.import);
        one.process.end_put_to_pages(one.import, true);
        let by = owner.look(&[DATA / 8]);
        assert_eq!(matches!(by[..], [By::Others(_)]), !late, "late: {late}, {by:?}");
    }
}

#[test]
fn a_store_before_anything_of_a_put_has_come_races_with_it() {
    // Nothing of it has come; it has; the owner was told that it has gone wrong; who put it was told of the store.
    for case in 0..4 {
        let memory = lines();
        let table = Table::new(&memory);
        let mut owner = Owner::come(table);
        let one = Putter::come(table, 1);
        owner.look(&[]);
        if case == 3 {
            owner.tell();
            one.process.waited(1);
        }
        one.put(DATA, true);
        if case == 1 {
            deliver(table, PLACE, DATA, 8);
        }
        if case == 2 {
            one.process.close(one.import, false);
            one.process.post(3);
            owner.process.waited(3);
        }
        let by = owner.look(&[DATA / 8]);
        assert_eq!(is_owner(&by), case != 1, "{case}: {by:?}");
        let found = races(table);
        assert_eq!(found.len(), usize::from(case == 0), "{case}: {found:?}");
        if let Some(race) = found.first() {
            assert_eq!((race.offset, race.length, race.why), (DATA, 8, Why::Open));
            assert_eq!((race.first.who.node, race.second.who.node), (1, 3));
            assert!(race.second.between.is_some() && race.first.between.is_none());
        }
    }
}

/// One put is over, and the owner has seen it; of the next one to the same line is known so far that it is about to be made.
#[test]
fn a_put_that_is_over_is_not_taken_for_one_that_begins() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    one.put(DATA, true);
    deliver(table, PLACE, DATA, LENGTH);
    one.close();
    assert!(matches!(owner.look(&[DATA / 8, DATA / 8 + 1])[..], [By::Others(_), By::Others(_)]));
    owner.look(&[]);
    one.process.begin_put_to_pages(one.import, range(DATA, 5), true, false);
    assert!(is_owner(&owner.look(&[DATA / 8])));
    assert_eq!(races(table), []);
    owner.tell();
    one.process.waited(1);
    one.process.put(one.import, range(DATA, 5), None, false);
    one.process.end_put_to_pages(one.import, false);
    owner.look(&[]);
    assert!(is_owner(&owner.look(&[DATA / 8 + 1])));
    assert_eq!(races(table).len(), 1, "that one is not over");
}

#[test]
fn words_and_other_bytes_are_no_races() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    owner.look(&[]);
    assert!(is_owner(&owner.look(&[DATA / 8])));
    one.process.put(one.import, Range { length: 8, ..range(DATA, 5) }, Some(1), false);
    one.put(DATA + 8, false);
    one.process.get(range(DATA, 6), None);
    assert_eq!(races(table), []);
}

#[test]
fn memory_that_others_reach_is_not_looked_at() {
    for case in 0..3 {
        let memory = lines();
        let table = Table::new(&memory);
        let mut owner = Owner::come(table);
        let one = Putter::come(table, 1);
        match case {
            0 => one.process.reaches(3),
            1 => _ = come(table, 3),
            _ => one.process.hides(3),
        }
        assert!(!owner.process.is_alone_with_its_memory());
        assert_eq!(owner.look(&[DATA / 8]), [], "{case}");
    }
    let memory = lines();
    let table = Table::new(&memory);
    let (mut owner, one) = (Owner::come(table), Putter::come(table, 1));
    one.process.maps(3);
    one.process.reaches_part(PLACE, DATA, 8);
    assert_eq!(owner.look(&[DATA / 8]), [By::Unknown]);
    assert!(is_owner(&owner.look(&[DATA / 8 + 1])), "beside what is mapped");
    let memory = lines();
    let table = Table::new(&memory);
    let whole = Process::join(table, Who { node: 3, pid: 1 }, 3, true).unwrap();
    assert!(!whole.is_alone_with_its_memory(), "it tells by itself what it stores");
}

#[test]
fn what_others_left_at_a_line_stays() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    for node in 4..8 {
        Putter::come(table, node).process.get(range(DATA, 5), None);
    }
    let cells = || table.line(DATA / 8).unwrap().iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
    let before = cells();
    assert!(before.iter().all(|word| *word != 0));
    assert!(is_owner(&owner.look(&[DATA / 8])));
    assert_eq!(cells(), before);
    // An own one that is older goes for it.
    owner.look(&[DATA / 8 + 4]);
    owner.tell();
    owner.look(&[]);
    owner.look(&[DATA / 8 + 4]);
    let own = table.line(DATA / 8 + 4).unwrap().iter().filter(|word| word.load(Relaxed) != 0).count();
    assert_eq!(own, 1);
}

#[test]
fn what_was_stored_to_other_memory_is_no_race() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    owner.look(&[]);
    owner.look(&[DATA / 8]);
    owner.process.exchanges_its_memory();
    one.put(DATA, false);
    assert_eq!(races(table), []);
    owner.look(&[]);
    owner.look(&[DATA / 8 + 4]);
    one.put(DATA + 32, false);
    assert_eq!(races(table).len(), 1, "what is stored later is");
}

#[test]
fn nobody_wants_to_hear_of_what_is_benign() {
    let memory = lines();
    let table = Table::new(&memory);
    let mut owner = Owner::come(table);
    let one = Putter::come(table, 1);
    owner.process.benign(PLACE, DATA, 8);
    owner.look(&[]);
    owner.look(&[DATA / 8]);
    one.put(DATA, false);
    assert_eq!(races(table), []);
}
