//! Small stories of nodes, and what is reported of them.

use super::*;
use crate::report::{Why, races};
use crate::table::tests::memory;
use rsm_core::sync::AtomicU64;

/// Where node 3's segment is.
const PLACE: Place = Place { lines: 0, node: 3, id: 7 };
const DATA: u64 = 64;
const FLAG: u64 = 512;

fn lines() -> Vec<AtomicU64> {
    memory(4096)
}

/// A node with an import of the segment of node 3.
#[derive(Clone, Copy)]
struct Node1<'a> {
    process: Process<'a>,
    import: usize,
}

fn come<'a>(table: Table<'a>, node: u32, whole: bool) -> Process<'a> {
    Process::join(table, Who { node, pid: 100 + node }, node.into(), whole).unwrap()
}

fn party<'a>(table: Table<'a>, node: u32, whole: bool) -> Node1<'a> {
    let process = come(table, node, whole);
    Node1 { process, import: process.connect(3).unwrap() }
}

fn range(offset: u64, length: u64, site: u16) -> Range {
    Range { place: PLACE, offset, length, site }
}

impl Node1<'_> {
    fn put(self, offset: u64, site: u16) {
        self.process.put(self.import, range(offset, 64, site), None, false);
    }

    fn put_word(self, offset: u64, value: u64, site: u16) {
        self.process.put(self.import, range(offset, 8, site), Some(value), false);
    }

    fn get(self, offset: u64, site: u16) {
        self.process.get(range(offset, 64, site), None);
    }

    fn get_word(self, offset: u64, value: u64, site: u16) {
        self.process.get(range(offset, 8, site), Some(value));
    }

    fn close(self) {
        self.process.close(self.import, false);
    }

    fn order(self) {
        self.process.order(self.import, false);
    }
}

/// The sites of the races that were found.
fn found(table: Table<'_>) -> Vec<(u32, u32, Why)> {
    races(table).into_iter().map(|race| (race.first.who.node, race.second.who.node, race.why)).collect()
}

#[test]
fn a_flag_after_an_order_barrier_tells_and_one_without_does_not() {
    for ordered in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, writer) = (come(table, 3, true), party(table, 1, true));
        writer.put(DATA, 1);
        if ordered {
            writer.order();
        }
        writer.put_word(FLAG, 1, 2);
        writer.close();
        owner.load(range(FLAG, 8, 3), Some(1));
        owner.touch(range(DATA, 64, 4), false, None);
        let expected = if ordered { vec![] } else { vec![(1, 3, Why::Untold)] };
        assert_eq!(found(table), expected, "ordered: {ordered}");
    }
}

#[test]
fn a_flag_that_has_not_come_tells_nothing() {
    let memory = lines();
    let table = Table::new(&memory);
    let (owner, writer) = (come(table, 3, true), party(table, 1, true));
    writer.put(DATA, 1);
    writer.close();
    writer.put_word(FLAG, 1, 2);
    owner.load(range(FLAG, 8, 3), Some(0));
    owner.touch(range(DATA, 64, 4), false, None);
    assert_eq!(found(table), [(1, 3, Why::Untold)]);
}

#[test]
fn a_signal_tells_what_was_closed_before() {
    for closed in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, writer) = (come(table, 3, true), party(table, 1, true));
        writer.put(DATA, 1);
        if closed {
            writer.close();
        }
        writer.process.post(3);
        owner.waited(3);
        owner.touch(range(DATA, 64, 4), true, None);
        let expected = if closed { vec![] } else { vec![(1, 3, Why::Open)] };
        assert_eq!(found(table), expected, "closed: {closed}");
    }
}

#[test]
fn who_polls_may_have_seen_a_signal_that_it_has_not_taken() {
    for polls in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        come(table, 3, false);
        let (one, other) = (party(table, 1, false), party(table, 2, false));
        if polls {
            other.process.polls();
        }
        one.put(DATA, 1);
        one.close();
        one.process.post(2);
        other.put(DATA, 2);
        let expected = if polls { vec![] } else { vec![(1, 2, Why::Untold)] };
        assert_eq!(found(table), expected, "polls: {polls}");
    }
}

#[test]
fn two_who_know_nothing_of_each_other_race() {
    for whole in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        come(table, 3, whole);
        let (one, other) = (party(table, 1, whole), party(table, 2, whole));
        one.put(DATA, 1);
        one.close();
        other.put(DATA + 32, 2);
        assert_eq!(found(table), [(1, 2, Why::Untold)], "whole: {whole}");
        let race = &races(table)[0];
        assert_eq!((race.segment, race.offset, race.length), ((3, 7), DATA + 32, 32));
    }
}

/// Bytes that one of the two did not touch are no part of it, whether they are in a line of their own or beside others.
#[test]
fn a_race_is_told_with_the_bytes_that_both_touched() {
    for (others, expected) in [
        (&[(0, 8), (24, 16)][..], (DATA, 8)),
        (&[(8, 8), (16, 8), (40, 8)], (DATA + 8, 16)),
        (&[(2, 3), (5, 3), (8, 4), (13, 3)], (DATA + 2, 10)),
        (&[(0, 200)], (DATA, 64)),
        (&[(60, 10)], (DATA + 60, 4)),
    ] {
        let memory = lines();
        let table = Table::new(&memory);
        come(table, 3, true);
        let (one, other) = (party(table, 1, true), party(table, 2, true));
        for (offset, length) in others {
            one.process.put(one.import, range(DATA + offset, *length, 1), None, false);
        }
        other.put(DATA, 2);
        let races = races(table);
        assert_eq!(races.len(), 1, "{others:?}: {races:?}");
        assert_eq!(((races[0].offset, races[0].length), races[0].times), (expected, 1), "{others:?}");
    }
}

#[test]
fn what_is_put_in_an_epoch_that_was_empty_was_told_to_nobody() {
    for told in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let (one, two) = (party(table, 1, true), party(table, 2, true));
        if told {
            // A span without a put, and a signal.
            one.close();
            one.process.post(2);
            two.process.waited(2);
        } else {
            // What others reach of its memory has arrived.
            two.process.taken_back();
        }
        one.put(DATA, 1);
        two.put(DATA, 2);
        assert_eq!(found(table), [(1, 2, Why::Open)], "told: {told}");
    }
}

#[test]
fn what_its_owner_may_have_told_is_no_race() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, false);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    one.put(DATA, 1);
    // The owner may have seen every byte of it, and left a word that says so.
    other.get_word(FLAG, 1, 3);
    other.put(DATA, 2);
    assert_eq!(found(table), []);
}

#[test]
fn what_is_read_by_calls_races_with_what_is_put() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, false);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    one.get(DATA, 1);
    other.put(DATA, 2);
    assert_eq!(found(table), [(1, 2, Why::Untold)]);
}

#[test]
fn bytes_side_by_side_and_boards_of_words_are_no_races() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, false);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    one.process.put(one.import, range(DATA, 3, 1), None, false);
    other.process.put(other.import, range(DATA + 3, 5, 2), None, false);
    one.get(FLAG, 3);
    other.put_word(FLAG + 8, 4, 4);
    one.get(FLAG, 5);
    assert_eq!(found(table), []);
}

#[test]
fn a_word_that_is_handed_over_before_its_close_races() {
    for closed in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        come(table, 3, false);
        let (one, other) = (party(table, 1, false), party(table, 2, false));
        let to_other = one.process.connect(2).unwrap();
        let turn = Range { place: Place { lines: 1000, node: 2, id: 7 }, offset: 0, length: 8, site: 5 };
        one.put_word(DATA, 1, 1);
        if closed {
            one.close();
        }
        one.process.put(to_other, turn, Some(1), true);
        one.process.put_arrived(to_other);
        other.put_word(DATA, 2, 2);
        let expected = if closed { vec![] } else { vec![(1, 2, Why::Unseen)] };
        assert_eq!(found(table), expected, "closed: {closed}");
    }
}

#[test]
fn a_count_that_is_lost_is_found_and_one_that_was_seen_is_not() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, false);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    one.put_word(DATA, 1, 1);
    one.close();
    other.get_word(DATA, 1, 2);
    other.put_word(DATA, 2, 3);
    other.close();
    assert_eq!(found(table), []);
    one.get_word(DATA, 2, 4);
    one.put_word(DATA, 3, 5);
    other.get_word(DATA, 2, 6);
    other.put_word(DATA, 3, 7);
    assert_eq!(found(table), [], "both stored the same");
    other.close();
    other.get_word(DATA, 3, 6);
    assert_eq!(found(table), []);
}

/// Where there is no room for more places a value that is lost is found as ever, and is not one of an update.
#[test]
fn a_value_that_is_lost_is_found_at_a_place_that_is_not_remembered() {
    for updated in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let owner = come(table, 3, true);
        let (one, other) = (party(table, 1, true), party(table, 2, true));
        owner.touch(range(FLAG, 8, 1), false, None);
        if updated {
            one.process.store(range(DATA, 8, 0), Some(1), true, Some(one.import));
        } else {
            one.put_word(DATA, 1, 0);
        }
        other.put_word(DATA, 2, 0);
        let expected = if updated { vec![] } else { vec![(1, 2, Why::Unseen)] };
        assert_eq!(found(table), expected, "updated: {updated}");
        let race = races(table);
        assert!(race.iter().all(|race| race.first.frames.is_empty() && race.second.frames.is_empty()));
    }
}

#[test]
fn a_count_over_one_that_had_not_come_is_found() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, false);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    other.put_word(DATA, 4, 1);
    other.close();
    one.get_word(DATA, 4, 2);
    one.put_word(DATA, 5, 3);
    // That is on its way.
    other.get_word(DATA, 4, 4);
    other.put_word(DATA, 9, 5);
    assert_eq!(found(table), [(1, 2, Why::Unseen)]);
}

#[test]
fn who_comes_later_or_after_an_end_knows_all() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, true);
    let (one, other) = (party(table, 1, true), party(table, 2, true));
    one.put(DATA, 1);
    end(table, 1);
    other.put(DATA, 2);
    other.close();
    party(table, 4, true).put(DATA, 3);
    assert_eq!(found(table), []);
}

#[test]
fn an_import_that_was_given_back_is_known_to_who_takes_memory_back() {
    let memory = lines();
    let table = Table::new(&memory);
    let (owner, one) = (come(table, 3, true), party(table, 1, true));
    one.put(DATA, 1);
    one.process.disconnect(one.import, 3);
    owner.taken_back();
    owner.touch(range(DATA, 64, 2), true, None);
    assert_eq!(found(table), []);
    let again = Node1 { import: one.process.connect(3).unwrap(), ..one };
    assert_eq!(again.import, one.import);
    again.put(DATA, 3);
    assert_eq!(found(table), []);
    owner.touch(range(DATA, 64, 4), true, None);
    assert_eq!(found(table), [(1, 3, Why::Open)]);
}

#[test]
fn what_is_benign_is_not_reported() {
    let memory = lines();
    let table = Table::new(&memory);
    let (owner, one) = (come(table, 3, true), party(table, 1, true));
    owner.benign(PLACE, DATA, 64);
    one.put(DATA, 1);
    owner.touch(range(DATA, 64, 4), false, None);
    assert_eq!(found(table), []);
    one.put(DATA + 64, 1);
    owner.touch(range(DATA + 64, 64, 4), false, None);
    assert_eq!(found(table).len(), 1);
}

#[test]
fn a_value_that_is_lost_in_a_benign_word_is_not_reported() {
    for benign in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        let owner = come(table, 3, false);
        let (one, other) = (party(table, 1, false), party(table, 2, false));
        if benign {
            owner.benign(PLACE, DATA, 8);
        }
        one.put_word(DATA, 1, 1);
        other.put_word(DATA, 2, 2);
        let expected = if benign { vec![] } else { vec![(1, 2, Why::Unseen)] };
        assert_eq!(found(table), expected, "benign: {benign}");
        // The next word is none of it.
        one.put_word(DATA + 8, 1, 3);
        other.put_word(DATA + 8, 2, 4);
        assert_eq!(found(table).len(), expected.len() + 1, "benign: {benign}");
    }
}

#[test]
fn an_update_that_is_not_carried_is_told_once_and_apart_from_a_race_of_its_place() {
    let memory = lines();
    let table = Table::new(&memory);
    let (owner, one, other) = (come(table, 3, true), party(table, 1, true), party(table, 2, true));
    let word = range(FLAG, 8, 9);
    for node in [one, other, one] {
        node.process.updates_afar(word, node.import);
    }
    let told = races(table);
    assert_eq!(found(table), [(1, 1, Why::Update)], "one of a place, by whom it was first");
    assert_eq!((told[0].times, told[0].segment, told[0].offset, told[0].length), (3, (3, 7), FLAG, 8));
    assert!(told[0].first == told[0].second && told[0].first.through_import);
    // The same place, and both store a word.
    one.process.store(word, Some(1), false, Some(one.import));
    other.process.store(word, Some(2), false, Some(other.import));
    assert_eq!(found(table), [(1, 1, Why::Update), (1, 2, Why::Unseen)]);
    assert_eq!(races(table)[0].times, 3);
    owner.benign(PLACE, DATA, 8);
    one.process.updates_afar(range(DATA, 8, 10), one.import);
    assert_eq!(found(table).len(), 2, "nobody wants to hear of it");
    one.process.updates_afar(range(DATA + 8, 8, 10), one.import);
    assert_eq!(found(table).len(), 3);
}

#[test]
fn what_is_put_from_memory_that_changes_is_not_reported_where_it_is_benign() {
    for (benign, reported) in [(0, true), (56, true), (64, false)] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, one) = (come(table, 3, true), party(table, 1, true));
        owner.benign(PLACE, DATA, benign);
        one.put(DATA, 1);
        one.process.changed_source(one.import, range(DATA, 64, 1), 2);
        assert_eq!(found(table).len(), usize::from(reported), "{benign} bytes are benign");
    }
}

/// A word tells what it has to also where races of it are nobody's concern: whoever gets it in a block, or updates it.
#[test]
fn a_benign_word_tells_what_was_released_with_it() {
    for (ordered, updates) in [(true, false), (true, true), (false, false), (false, true)] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, writer) = (come(table, 3, true), party(table, 1, true));
        owner.benign(PLACE, FLAG, 8);
        writer.put(DATA, 1);
        if ordered {
            writer.order();
        }
        writer.put_word(FLAG, 1, 2);
        if updates {
            owner.store(range(FLAG, 8, 3), Some(2), true, None);
        } else {
            owner.get(range(FLAG - 16, 64, 3), None);
        }
        owner.touch(range(DATA, 64, 4), false, None);
        let expected = if ordered { vec![] } else { vec![(1, 3, Why::Open)] };
        assert_eq!(found(table), expected, "ordered: {ordered}, updates: {updates}");
    }
}

#[test]
fn a_mapping_lets_nodes_tell_each_other() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, true);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    one.process.maps(3);
    other.process.maps(3);
    one.put(DATA, 1);
    one.close();
    other.put(DATA, 2);
    assert_eq!(found(table), [], "a word in memory that both have mapped may have told");
}

#[test]
fn each_race_is_told_once() {
    let memory = lines();
    let table = Table::new(&memory);
    come(table, 3, false);
    let (one, other) = (party(table, 1, false), party(table, 2, false));
    for _ in 0..5 {
        one.put(DATA, 1);
        other.put(DATA, 2);
    }
    assert_eq!(found(table).len(), 1);
    assert!(races(table)[0].times > 1);
}

/// A load whose value is not known tells what was released with any store so far, and no more.
#[test]
fn a_word_of_which_the_value_is_not_known_tells_what_was_released_with_any() {
    for ordered in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, writer) = (come(table, 3, true), party(table, 1, true));
        owner.load(range(FLAG, 8, 3), None);
        writer.put(DATA, 1);
        if ordered {
            writer.order();
        }
        writer.put_word(FLAG, 1, 2);
        owner.load(range(FLAG, 8, 3), None);
        owner.touch(range(DATA, 64, 4), false, None);
        let expected = if ordered { vec![] } else { vec![(1, 3, Why::Open)] };
        assert_eq!(found(table), expected, "ordered: {ordered}");
    }
}

/// Whatever is loaded, it may be what was stored without its value being known.
#[test]
fn a_store_of_which_the_value_is_not_known_is_found_by_any() {
    for (ordered, value) in [(true, Some(1)), (true, None), (false, Some(1)), (false, None)] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, writer) = (come(table, 3, true), party(table, 1, true));
        writer.process.touch(range(DATA, 64, 1), true, Some(writer.import));
        if ordered {
            writer.close();
        }
        writer.process.store(range(FLAG, 4, 2), None, false, Some(writer.import));
        owner.load(range(FLAG, 4, 3), value);
        owner.touch(range(DATA, 64, 4), false, None);
        let expected = if ordered { vec![] } else { vec![(1, 3, Why::Open)] };
        assert_eq!(found(table), expected, "ordered: {ordered}, {value:?}");
    }
}

/// Of many stores by one, those that are remembered say what the others did; of stores by several, anything may have been
/// told.
#[test]
fn stores_that_are_forgotten_are_made_up_for() {
    for others in [false, true] {
        let memory = lines();
        let table = Table::new(&memory);
        let (owner, writer, other) = (come(table, 3, true), party(table, 1, true), party(table, 2, true));
        writer.put(DATA, 1);
        writer.order();
        writer.put_word(FLAG, 1, 2);
        // Ordered before none of the words.
        writer.put(DATA + 128, 5);
        for value in 2..20 {
            if others { other.put_word(FLAG, value, 3) } else { writer.put_word(FLAG, value, 3) }
        }
        owner.load(range(FLAG, 8, 3), None);
        let of_owner = || found(table).into_iter().filter(|(_, second, _)| *second == 3).count();
        owner.touch(range(DATA, 64, 4), false, None);
        assert_eq!(of_owner(), 0, "others: {others}");
        owner.touch(range(DATA + 128, 64, 4), false, None);
        assert_eq!(of_owner(), 1, "others: {others}");
    }
}

/// Each of those who find a word in a block is told by it, not only the first.
#[test]
fn a_word_in_a_block_tells_all_who_get_it() {
    for ordered in [true, false] {
        let memory = lines();
        let table = Table::new(&memory);
        let nodes = [3, 4, 5].map(|node| come(table, node, true));
        let (writer, reader) = (party(table, 1, true), party(table, 2, true));
        writer.put(DATA, 1);
        if ordered {
            writer.order();
        }
        writer.put_word(FLAG, 1, 2);
        // As a word, and then in blocks.
        reader.get_word(FLAG, 1, 3);
        for process in nodes {
            process.get(range(FLAG - 16, 64, 3), None);
            process.get(range(DATA, 64, 4), None);
        }
        let expected = if ordered { vec![] } else { vec![(1, 3, Why::Open), (1, 4, Why::Open), (1, 5, Why::Open)] };
        let mut races = found(table);
        races.sort_by_key(|(_, second, _)| *second);
        assert!(
            races.iter().all(|race| expected.contains(race)) && races.is_empty() == ordered,
            "{ordered}: {races:?}"
        );
    }
}
