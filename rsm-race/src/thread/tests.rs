//! Small stories of threads.

use super::*;
use crate::clock::Who;
use crate::place::{Place, Range};
use crate::report::{Why, races};
use crate::table::Table;
use crate::table::tests::memory;

const PLACE: Place = Place { lines: 0, node: 3, id: 7 };
const DATA: u64 = 64;
const FLAG: u64 = 512;

fn come<'a>(table: Table<'a>, node: u32) -> Process<'a> {
    Process::join(table, Who { node, pid: 100 + node }, node.into(), true).unwrap()
}

fn range(offset: u64, length: u64, site: u16) -> Range {
    Range { place: PLACE, offset, length, site }
}

/// A process whose threads are told apart, with one more.
fn two<'a>(table: Table<'a>, node: u32) -> (Process<'a>, Process<'a>) {
    let first = come(table, node);
    first.tells_threads_apart();
    (first, first.begin_thread().unwrap())
}

fn put(thread: Process<'_>, import: usize, site: u16) {
    thread.put(import, range(DATA, 64, site), None, false);
}

fn found(table: Table<'_>) -> Vec<(u16, u16)> {
    let site = |access: &crate::report::Access| access.frames.first().map_or(0, |(frame, _)| *frame as u16);
    races(table).iter().map(|race| (site(&race.first), site(&race.second))).collect()
}

/// What a story is told by: the threads of node 1, with an import each, and one of node 3, whose segment it is.
struct Story<'a> {
    one: Process<'a>,
    other: Process<'a>,
    imports: [usize; 2],
    lock: Object,
}

/// Tells a story; how many races are found.
fn tell(story: impl Fn(&Story<'_>)) -> usize {
    let memory = memory(4096);
    let table = Table::new(&memory);
    come(table, 3);
    let (one, other) = two(table, 1);
    let imports = [one, other].map(|thread| thread.connect(3).unwrap());
    story(&Story { one, other, imports, lock: Object::default() });
    assert!(races(table).iter().all(|race| race.why != Why::Unseen));
    races(table).len()
}

#[test]
fn two_threads_that_nothing_orders_race() {
    assert_eq!(
        tell(|Story { one, other, imports, .. }| {
            put(*one, imports[0], 1);
            one.close(imports[0], false);
            put(*other, imports[1], 2);
        }),
        1
    );
    assert_eq!(
        tell(|Story { one, other, imports, .. }| {
            put(*other, imports[1], 2);
            other.close(imports[1], false);
            one.join_thread(other.id());
            put(*one, imports[0], 1);
        }),
        0
    );
}

#[test]
fn a_lock_orders_what_was_closed_before_it_was_given_back() {
    for closed in [true, false] {
        let races = tell(|Story { one, other, imports, lock }| {
            put(*one, imports[0], 1);
            if closed {
                one.close(imports[0], false);
            }
            one.tell_object(lock);
            one.close(imports[0], false);
            other.learn_object(lock);
            put(*other, imports[1], 2);
        });
        assert_eq!(races, usize::from(!closed), "closed: {closed}");
    }
}

/// What a process may do with an open span of its own, its threads may that come after it.
#[test]
fn what_is_put_in_an_open_span_may_be_read_by_who_comes_after_it() {
    assert_eq!(
        tell(|Story { one, other, imports, lock }| {
            put(*one, imports[0], 1);
            one.tell_object(lock);
            other.learn_object(lock);
            other.get(range(DATA, 64, 2), None);
            // By the same import.
            put(*other, imports[0], 3);
        }),
        0
    );
    // An order barrier of type NODE orders all imports.
    assert_eq!(
        tell(|Story { one, other, imports, lock }| {
            put(*one, imports[0], 1);
            one.order(imports[0], true);
            one.tell_object(lock);
            other.learn_object(lock);
            put(*other, imports[1], 3);
        }),
        0
    );
    // Who does not come after it races.
    assert_eq!(
        tell(|Story { one, other, imports, .. }| {
            put(*one, imports[0], 1);
            other.get(range(DATA, 64, 2), None);
        }),
        1
    );
}

#[test]
fn what_one_thread_is_told_by_a_node_another_is_not() {
    for ordered in [true, false] {
        let memory = memory(4096);
        let table = Table::new(&memory);
        let (one, other) = two(table, 3);
        let (lock, writer) = (Object::default(), come(table, 1));
        let import = writer.connect(3).unwrap();
        put(writer, import, 1);
        writer.close(import, false);
        writer.put(import, range(FLAG, 8, 2), Some(1), true);
        one.load(range(FLAG, 8, 3), Some(1));
        one.tell_object(&lock);
        if ordered {
            other.learn_object(&lock);
        }
        other.touch(range(DATA, 64, 4), false, None);
        assert_eq!(races(table).len(), usize::from(!ordered), "ordered: {ordered}");
    }
}

/// A word that a thread puts tells another one of its process what it tells any.
#[test]
fn a_word_tells_threads_of_its_own_process() {
    for ordered in [true, false] {
        let memory = memory(4096);
        let table = Table::new(&memory);
        come(table, 3);
        let (one, other) = two(table, 1);
        let imports = [one, other].map(|thread| thread.connect(3).unwrap());
        put(one, imports[0], 1);
        if ordered {
            one.order(imports[0], false);
        }
        one.put(imports[0], range(FLAG, 8, 2), Some(1), false);
        other.get(range(FLAG, 8, 3), Some(1));
        put(other, imports[1], 4);
        assert_eq!(races(table).len(), usize::from(!ordered), "ordered: {ordered}");
    }
}

/// Words that threads of one node store are never a lost value: what they store there is their own business.
#[test]
fn stores_of_words_by_threads_are_no_race() {
    assert_eq!(
        tell(|Story { one, other, imports, .. }| {
            one.put(imports[0], range(FLAG, 8, 1), Some(1), false);
            other.put(imports[1], range(FLAG, 8, 2), Some(2), false);
        }),
        0
    );
}

#[test]
fn threads_of_which_nothing_is_known_are_one() {
    let memory = memory(4096);
    let table = Table::new(&memory);
    let (one, other) = two(table, 3);
    let writer = come(table, 1);
    let import = writer.connect(3).unwrap();
    put(writer, import, 1);
    writer.close(import, false);
    writer.post(3);
    one.takes_threads_together();
    one.waited(3);
    // Both what it was told, and what its thread did.
    one.touch(range(DATA, 64, 2), true, None);
    other.touch(range(DATA, 64, 3), true, None);
    assert_eq!(races(table).len(), 0);
}

#[test]
fn who_is_told_by_one_thread_is_not_told_of_another() {
    for joined in [true, false] {
        let memory = memory(4096);
        let table = Table::new(&memory);
        let owner = come(table, 3);
        let (one, other) = two(table, 1);
        let imports = [one, other].map(|thread| thread.connect(3).unwrap());
        put(other, imports[1], 1);
        other.close(imports[1], false);
        if joined {
            one.join_thread(other.id());
        }
        one.post(3);
        owner.waited(3);
        owner.touch(range(DATA, 64, 2), false, None);
        assert_eq!(races(table).len(), usize::from(!joined), "joined: {joined}");
    }
}

/// A clock goes to another thread, and no report comes of it.
#[test]
fn a_thread_that_has_ended_leaves_its_clock() {
    let memory = memory(4096);
    let table = Table::new(&memory);
    let (one, other) = two(table, 3);
    other.touch(range(DATA, 64, 1), true, None);
    let name = other.id();
    one.join_thread(name);
    let next = one.begin_thread().unwrap();
    assert_eq!(next.id(), name);
    next.touch(range(DATA, 64, 2), true, None);
    assert_eq!(races(table).len(), 0);
    one.touch(range(DATA, 64, 3), true, None);
    assert_eq!(races(table).len(), 1, "it is told apart from the one before");
    assert_eq!(found(table).len(), 1);
}

#[test]
fn there_are_no_more_threads_than_clocks_that_may_be_had() {
    let memory = memory(0);
    let table = Table::new(&memory);
    let one = come(table, 3);
    one.tells_threads_apart();
    let threads = std::iter::from_fn(|| one.begin_thread()).take(1000).count();
    assert!((50..200).contains(&threads), "{threads}");
    let names = crate::clock::count(table);
    assert!((0..1000).all(|_| one.begin_thread().is_none()));
    assert_eq!(crate::clock::count(table), names, "who gets none takes none");
    assert!(!table.lacks(crate::table::Lack::Clocks), "processes still come");
    come(table, 4);
}
