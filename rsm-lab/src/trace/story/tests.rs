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

    fn note(&mut self, membership: u64, kind: Kind, times: (u64, u64), code: u32) {
        let slot = self.slot(kind, times, code);
        self.add(Piece::Slots { membership, slots: vec![slot] });
    }

    fn slot(&self, kind: Kind, (began, end): (u64, u64), code: u32) -> [u64; 4] {
        let (id, offset, length) = if kind == Kind::Wait { (BELL, 0, 0) } else { (ID, BELL.into(), 1) };
        let (took, thread, in_span, has_bytes) = (end - began, 1, kind == Kind::Put, false);
        let event = Event { began, took, kind, node: 1, id, offset, length, code, thread, in_span, has_bytes };
        let [first, rest @ ..] = event.words();
        [first | BEGINS, rest[0], rest[1], rest[2]]
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

    fn story(mut self) -> Story {
        self.add(Piece::Ends);
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, true).unwrap();
        self.0.iter().for_each(|piece| writer.add(piece).unwrap());
        let story = Story::read(&file).unwrap();
        assert_eq!(story.wrong, None);
        story
    }

    /// When the ends of spans began that say what became of each put, in the order in which those began.
    fn closes(self) -> Vec<Option<u64>> {
        let story = self.story();
        let puts = story.calls().filter(|(.., call)| call.kind == Kind::Put);
        puts.map(|(.., call)| call.close.map(|close| story.happenings[close].at)).collect()
    }

    /// When the signals were posted that waits took, in the order in which those began that took one.
    fn told(self) -> Vec<Option<u64>> {
        let story = self.story();
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

/// A look of process 1 at its segment of 64 bytes: one word of it, at a time; 1 for all there is, 2 between two calls.
fn look(at: u64, code: u32, place: u8, value: u8) -> Vec<[u64; 4]> {
    let bytes = [place, 0, 0, 0, 1, 0, 0, 0, value, 0, 0, 0, 0, 0, 0, 0];
    let event = Event {
        began: at,
        took: 1,
        kind: Kind::Look,
        node: 1,
        id: 0,
        offset: 1,
        length: bytes.len() as u32,
        code,
        thread: 1,
        in_span: false,
        has_bytes: true,
    };
    let [first, rest @ ..] = event.words();
    let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let words: Vec<u64> = bytes.chunks(7).map(word).collect();
    vec![[first | BEGINS, rest[0], rest[1], rest[2]], [words[0], words[1], words[2], 0]]
}

#[test]
fn what_differs_from_a_look_that_is_missing_says_nothing() {
    let mut late = Late::new();
    let mut slots = [look(10, 1, 0, 1), look(20, 0, 1, 2)].concat();
    slots.push(GAP);
    slots.extend(look(30, 0, 2, 3));
    // Cut in the middle.
    slots.extend(&look(35, 1, 2, 3)[..1]);
    slots.extend(look(40, 0, 2, 4));
    slots.extend(look(50, 1, 3, 5));
    slots.extend(look(60, 0, 0, 6));
    late.add(Piece::Slots { membership: 1, slots });
    // What others see is theirs.
    let length = 64;
    let looks = [(15, vec![(0, vec![9]), (8, vec![8])]), (55, vec![(16, vec![7])])];
    for (ticks, runs) in looks {
        late.add(Piece::Look { node: 1, row: 0, incarnation: 1, ticks, length, runs });
    }
    let mut story = late.story();
    story.beginning.bytes = true;
    let segment = crate::trace::Segment { node: 1, id: ID };
    let at = |time| story.bytes_at(segment, time).unwrap().into_iter().step_by(8).take(4).collect::<Vec<_>>();
    assert_eq!(at(9), [0, 0, 0, 0]);
    assert_eq!(at(10), [1, 0, 0, 0]);
    assert_eq!(at(15), [9, 8, 0, 0], "seen by who writes it down");
    for time in [20, 30, 40, 49] {
        assert_eq!(at(time), [1, 2, 0, 0]);
    }
    assert_eq!(at(50), [0, 0, 0, 5], "all there is");
    assert_eq!(at(55), [9, 8, 7, 0]);
    assert_eq!(at(60), [6, 0, 0, 5]);
    assert_eq!(story.looks.iter().map(|look| look.at).collect::<Vec<_>>(), [10, 15, 20, 50, 55, 60]);
    let who = |offset, time| story.who(segment, offset, time).unwrap();
    use crate::trace::bytes::Writer::{Before, Store};
    // The segment is older than the trace: what the first look saw may have been there.
    assert_eq!([who(0, 10), who(0, 15), who(8, 15), who(8, 10)], [Before, Store(10, 15), Store(10, 15), Before]);
    assert_eq!((who(0, 20), who(24, 50)), (Store(15, 20), Store(20, 50)));
}

#[test]
fn whose_puts_are_noted_from_when_on_is_told() {
    let note = |late: &mut Late, membership, at| late.note(membership, Kind::Notes, (at, at), 0);
    let mut late = Late::new();
    note(&mut late, 1, 10);
    note(&mut late, 3, 15);
    let story = late.story();
    assert_eq!(
        (story.noted_from, story.happenings.len()),
        (None, 0),
        "2 was there, and has not said that it notes its calls"
    );
    let mut late = Late::new();
    note(&mut late, 2, 20);
    note(&mut late, 1, 10);
    note(&mut late, 3, 30);
    late.posts(2, 25);
    assert_eq!(late.story().noted_from, Some(20), "3 came later, and notes from its first call on");
    let mut late = Late::new();
    late.posts(2, 25);
    late.add(Piece::Left { membership: 1, ticks: 40 });
    assert_eq!(late.story().noted_from, Some(40), "who is gone does nothing any more");
}

/// What an owner stored while it was in a call is known as of the end of that only if it was looked at for it.
#[test]
fn a_look_in_the_middle_of_a_call_is_not_that_of_the_call() {
    let mut late = Late::new();
    late.waits_in_vain(1, 10, 50);
    late.add(Piece::Slots { membership: 1, slots: [look(5, 1, 0, 1), look(30, 2, 0, 2)].concat() });
    let mut story = late.story();
    story.beginning.bytes = true;
    let segment = crate::trace::Segment { node: 1, id: ID };
    use crate::trace::bytes::Seen::{Before, Then};
    assert_eq!(story.seen(segment, Some(0)), Ok(Before(30)));
    assert_eq!(story.bytes_at(segment, 50).unwrap()[0], 2, "it is what was seen last all the same");
    let mut late = Late::new();
    late.waits_in_vain(1, 10, 50);
    late.add(Piece::Slots { membership: 1, slots: [look(5, 1, 0, 1), look(50, 0, 0, 2)].concat() });
    assert_eq!(late.story().seen(segment, Some(0)), Ok(Then));
}

#[test]
fn the_next_end_of_a_span_says_whether_a_put_arrived() {
    let mut late = Late::new();
    for (kind, times) in [(Kind::Put, (1, 2)), (Kind::Put, (3, 9)), (Kind::Close, (4, 6)), (Kind::Put, (10, 11))] {
        late.note(1, kind, times, 0);
    }
    // Of somebody else; one that failed; and one that had none.
    late.note(2, Kind::Close, (12, 13), 0);
    late.note(1, Kind::Close, (14, 15), Code::BarrierFailure.number().unsigned_abs());
    late.note(1, Kind::Put, (16, 17), 0);
    late.note(1, Kind::Disconnect, (18, 19), 0);
    late.note(1, Kind::Close, (20, 21), 0);
    assert_eq!(late.closes(), [Some(4), Some(14), Some(14), None], "the second one was under way at 6");
}

#[test]
fn of_two_imports_nobody_knows_whose_span_it_was() {
    let mut late = Late::new();
    late.note(1, Kind::Connect, (1, 2), 0);
    late.note(1, Kind::Put, (3, 4), 0);
    late.note(1, Kind::Connect, (5, 6), 0);
    late.note(1, Kind::Close, (7, 8), 0);
    late.note(1, Kind::Put, (9, 10), 0);
    late.note(1, Kind::Disconnect, (11, 12), 0);
    late.note(1, Kind::Put, (13, 14), 0);
    late.note(1, Kind::Close, (15, 16), 0);
    assert_eq!(late.closes(), [None, None, Some(15)]);
}

#[test]
fn a_record_that_is_missing_may_have_been_the_end() {
    let mut late = Late::new();
    let mut slots = vec![late.slot(Kind::Put, (1, 2), 0), GAP];
    slots.extend([(Kind::Put, (3, 4)), (Kind::Close, (5, 6))].map(|(kind, times)| late.slot(kind, times, 0)));
    late.add(Piece::Slots { membership: 1, slots });
    assert_eq!(late.closes(), [None, Some(5)]);
}
