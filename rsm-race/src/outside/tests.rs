//! Small stories of nodes that tell each other something beside the RSMAPI.

use super::*;
use crate::clock::Who;
use crate::place::{Place, Range};
use crate::report::races;
use crate::table::Table;
use crate::table::tests::memory;

const PLACE: Place = Place { lines: 0, node: 3, id: 7 };

fn come<'a>(table: Table<'a>, node: u32, whole: bool) -> Process<'a> {
    Process::join(table, Who { node, pid: 100 + node }, node.into(), whole).unwrap()
}

/// Nodes 1 and 2, with an import each, and node 3, whose segment it is.
fn with_nodes(whole: bool, story: impl FnOnce([(Process<'_>, usize); 2], Process<'_>)) -> usize {
    let memory = memory(4096);
    let table = Table::new(&memory);
    let owner = come(table, 3, whole);
    let nodes = [1, 2].map(|node| {
        let process = come(table, node, whole);
        (process, process.connect(3).unwrap())
    });
    story(nodes, owner);
    races(table).len()
}

fn range(length: u64, site: u16) -> Range {
    Range { place: PLACE, offset: 64, length, site }
}

fn put((process, import): (Process<'_>, usize), site: u16) {
    process.put(import, range(64, site), None, false);
}

fn close((process, import): (Process<'_>, usize)) {
    process.close(import, false);
}

#[test]
fn what_was_there_before_one_told_others_is_known() {
    for whole in [true, false] {
        for (closed, tells, expected) in [(true, true, 0), (true, false, 1), (false, true, 1), (false, false, 1)] {
            let found = with_nodes(whole, |[one, two], _| {
                put(one, 1);
                if closed {
                    close(one);
                }
                if tells {
                    one.0.tells_outside();
                }
                put(two, 2);
            });
            assert_eq!(found, expected, "whole: {whole}, closed: {closed}, tells: {tells}");
        }
    }
}

#[test]
fn what_comes_after_it_is_not() {
    let found = with_nodes(true, |[one, two], _| {
        one.0.tells_outside();
        put(one, 1);
        close(one);
        put(two, 2);
    });
    assert_eq!(found, 1);
}

/// The owner has seen it in its memory, and says so: by whatever means, and without a call in between.
#[test]
fn what_its_owner_has_seen_and_told_is_known() {
    for means in 0..4 {
        let found = with_nodes(false, |[one, two], owner| {
            one.0.put(one.1, range(8, 1), Some(1), false);
            match means {
                0 => owner.tells_outside(),
                1 => {
                    owner.tells_by(5);
                    two.0.learns_by(5);
                }
                2 => owner.leaks(),
                _ => {
                    owner.post(2);
                    two.0.waited(2);
                }
            }
            two.0.put(two.1, range(8, 2), Some(2), false);
        });
        assert_eq!(found, 0, "means {means}");
    }
}

#[test]
fn who_leaks_tells_all_that_is_closed_at_any_time() {
    for (leaks, expected) in [(true, 0), (false, 1)] {
        let found = with_nodes(true, |[one, two], _| {
            if leaks {
                one.0.leaks();
            }
            put(one, 1);
            close(one);
            put(two, 2);
        });
        assert_eq!((found, leaks), (expected, leaks));
    }
    let found = with_nodes(true, |[one, two], _| {
        one.0.leaks();
        put(one, 1);
        put(two, 2);
    });
    assert_eq!(found, 1, "what is still on its way is told to nobody");
}

#[test]
fn an_owner_that_reads_learns_of_leaks() {
    let found = with_nodes(true, |[one, _], owner| {
        one.0.leaks();
        put(one, 1);
        close(one);
        owner.touch(range(64, 3), false, None);
    });
    assert_eq!(found, 0);
}

#[test]
fn a_token_tells_who_learns_by_the_same() {
    for (told, learned, expected) in [(7, Some(7), 0), (7, None, 1), (7, Some(8), 1)] {
        let found = with_nodes(true, |[one, two], _| {
            put(one, 1);
            close(one);
            one.0.tells_by(told);
            learned.into_iter().for_each(|token| two.0.learns_by(token));
            put(two, 2);
        });
        assert_eq!(found, expected, "{told} {learned:?}");
    }
    assert_ne!(place_of(7), place_of(8), "the test is one of two places");
}
