//! Who woke whom in traces that begin late: told only when it is sure.

use super::super::file::Writer;
use super::*;

const ID: u32 = 0x40_0001;
const BELL: u32 = 7;

/// A trace of nanoseconds in which a segment of node 1 was there already, and the processes 1 and 2; 3 comes later.
struct Late(Vec<Piece>);

impl Late {
    fn new() -> Late {
        let mut late = Late(Vec::new());
        let name = "late".to_owned();
        late.add(Piece::Begins(Beginning { name, nodes: 2, bytes: false, ticks: 0, wall: 0, late: true }));
        let (row, incarnation, length, importers) = (0, 1, 4096, Vec::new());
        late.add(Piece::Standing(Standing { node: 1, row, incarnation, length, id: ID, bell: BELL, importers }));
        for membership in [1, 2] {
            late.add(Piece::Process { membership, node: 1, pid: 10 });
        }
        late.add(Piece::Clock { ticks: 1000, ns: 1000 });
        late.add(Piece::Process { membership: 3, node: 2, pid: 30 });
        late
    }

    fn add(&mut self, piece: Piece) {
        self.0.push(piece);
    }

    fn note(&mut self, membership: u64, kind: Kind, (began, end): (u64, u64), code: u32) {
        let (id, offset, length) = if kind == Kind::Wait { (BELL, 0, 0) } else { (ID, BELL.into(), 1) };
        let (took, thread, has_bytes) = (end - began, 1, false);
        let event = Event { began, took, kind, node: 1, id, offset, length, code, thread, has_bytes };
        let [first, rest @ ..] = event.words();
        let slot = [first | BEGINS, rest[0], rest[1], rest[2]];
        self.add(Piece::Slots { membership, slots: vec![slot] });
    }

    fn posts(&mut self, membership: u64, at: u64) {
        self.note(membership, Kind::Post, (at, at), 0);
    }

    fn waits(&mut self, membership: u64, began: u64, end: u64) {
        self.note(membership, Kind::Wait, (began, end), 0);
    }

    fn waits_in_vain(&mut self, membership: u64, began: u64, end: u64) {
        self.note(membership, Kind::Wait, (began, end), TIMEOUT);
    }

    /// When the signals were posted that waits took, in the order in which those began that took one.
    fn told(mut self) -> Vec<Option<u64>> {
        self.add(Piece::Ends);
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, true).unwrap();
        self.0.iter().for_each(|piece| writer.add(piece).unwrap());
        let story = Story::read(&file).unwrap();
        assert_eq!(story.wrong, None);
        let taken = story.calls().filter(|(.., call)| call.kind == Kind::Wait && call.code == 0);
        taken.map(|(.., call)| call.from.map(|from| story.happenings[from].at)).collect()
    }
}

#[test]
fn a_wait_in_vain_says_that_there_was_nothing() {
    let mut late = Late::new();
    late.posts(2, 1);
    late.waits(1, 2, 3);
    late.waits_in_vain(1, 10, 20);
    late.posts(3, 30);
    late.waits(1, 25, 31);
    // Longer than half of a word of ticks.
    late.posts(2, 1 << 34);
    late.waits(1, 40, (1 << 34) + 5);
    assert_eq!(late.told(), [None, Some(30), Some(1 << 34)]);
}

#[test]
fn but_not_while_somebody_there_does_not_note_its_calls_yet() {
    let mut late = Late::new();
    late.waits_in_vain(1, 10, 20);
    // The first one that is noted of 2; there may have been others.
    late.posts(2, 30);
    late.waits(1, 25, 31);
    late.waits_in_vain(1, 40, 45);
    late.posts(2, 50);
    late.waits(1, 49, 51);
    assert_eq!(late.told(), [None, Some(50)]);
}

#[test]
fn who_has_left_is_not_waited_for() {
    let mut late = Late::new();
    late.add(Piece::Left { membership: 2, ticks: 5 });
    late.waits_in_vain(1, 10, 20);
    late.posts(3, 30);
    late.waits(1, 25, 31);
    assert_eq!(late.told(), [Some(30)]);
}

#[test]
fn what_came_while_it_waited_may_have_been_taken() {
    let mut late = Late::new();
    late.waits_in_vain(1, 10, 20);
    late.posts(3, 12);
    late.waits(2, 11, 13);
    late.posts(3, 30);
    late.waits(1, 25, 31);
    late.waits_in_vain(1, 40, 45);
    late.posts(3, 50);
    late.waits(1, 49, 51);
    assert_eq!(late.told(), [None, None, Some(50)]);
}
