//! Events: what a [ring] holds of a call, in four words.

use super::gate::Call;
use super::ring::{self, BEGINS};
use serde::{Deserialize, Serialize};

/// What a cluster notes of its processes' calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The bytes of puts too.
    pub bytes: bool,
}

/// A trace of a cluster that began without one, while somebody writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LateTrace {
    /// Which one: it is not that of the trace before.
    pub number: u32,
    /// What it has.
    pub trace: Trace,
}

impl LateTrace {
    /// In one word, which is not 0.
    pub fn word(self) -> u32 {
        self.number << 2 | u32::from(self.trace.bytes) << 1 | 1
    }

    /// Reads a word; 0 is none.
    pub fn of(word: u32) -> Option<LateTrace> {
        let trace = Trace { bytes: word & 2 != 0 };
        (word & 1 != 0).then_some(LateTrace { number: word >> 2, trace })
    }
}

/// Slots of a ring, and of one that has the bytes of puts too: 8 and 32 MiB.
pub const SLOTS: usize = 1 << 18;
/// See [`SLOTS`].
pub const SLOTS_WITH_BYTES: usize = 1 << 20;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A put, or an entry of a vector put: `offset`, `length`.
    Put,
    /// The same for a get.
    Get,
    /// An order barrier.
    Order,
    /// The end of a span.
    Close,
    /// An importer signals: `offset` is the number of the export's bell; `length` 1 if signals add up.
    Post,
    /// A signal is waited for: `node` and `id` are whose bell it is, and its number. `length` is 0.
    Wait,
    /// An export is created: `id` is its row, `offset` says which of those that had it, `length` its size.
    Create,
    /// It is published: `id` is its id, `offset` its row.
    Publish,
    /// Its access list is replaced: `id` is its row, here and in what follows.
    Republish,
    /// It is taken back.
    Unpublish,
    /// It gets other memory.
    Rebind,
    /// It is destroyed.
    Destroy,
    /// A segment is connected to: `offset` is the number of its bell and, 24 bits above, that of the import's; `length` is
    /// how long it is.
    Connect,
    /// A connection is given back.
    Disconnect,
    /// An exporter signals all its importers: `id` is its row; `length` 1 if signals add up.
    PostAll,
    /// A part of an import is mapped: `offset`, `length`.
    Map,
    /// It is mapped no longer.
    Unmap,
    /// No call, but a fault of the lens that happened at one: `offset` is its number in the table of faults, `length` that of
    /// the [kind of call](super::inject::Call); `node` is 0 where no other one is concerned.
    Fault,
    /// No call, but what a process saw of a segment of its own at one, before the record of that: `id` is its row, `offset` says which
    /// of those that had it. The bytes are what differs from its look before, or with `code` 1 from zeroes: runs of words of 8 bytes,
    /// of each the number of its first one and how many they are, 4 bytes each, and the words. `length` is how many bytes that is.
    /// With 2 in the `code` it was not at a call, but at some time in between.
    Look,
    /// No call, but that the process notes all its calls from here on: in a trace with bytes that began later than the cluster.
    Notes,
}

impl Kind {
    /// All of them, with their names, in the order of their numbers.
    pub const ALL: [(&'static str, Kind); 20] = [
        ("put", Kind::Put),
        ("get", Kind::Get),
        ("order", Kind::Order),
        ("close", Kind::Close),
        ("post", Kind::Post),
        ("wait", Kind::Wait),
        ("create", Kind::Create),
        ("publish", Kind::Publish),
        ("republish", Kind::Republish),
        ("unpublish", Kind::Unpublish),
        ("rebind", Kind::Rebind),
        ("destroy", Kind::Destroy),
        ("connect", Kind::Connect),
        ("disconnect", Kind::Disconnect),
        ("post all", Kind::PostAll),
        ("map", Kind::Map),
        ("unmap", Kind::Unmap),
        ("fault", Kind::Fault),
        ("look", Kind::Look),
        ("notes", Kind::Notes),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Kind::ALL[self as usize].0
    }
}

impl From<Call> for Kind {
    fn from(call: Call) -> Kind {
        Kind::ALL[call as usize].1
    }
}

/// A call that has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it began, by the clock of the processor: its low 56 bits.
    pub began: u64,
    /// How long it took, by the same; 2^32 - 1 for longer, 2^64 - 1 for a wait.
    pub took: u64,
    /// What it was.
    pub kind: Kind,
    /// Which node's segment it was about.
    pub node: u32,
    /// And which of its segments.
    pub id: u32,
    /// What [`Kind`] says; below 2^48.
    pub offset: u64,
    /// Likewise; 2^32 - 1 for more.
    pub length: u32,
    /// The number of the error that it returned; 0 for none.
    pub code: u32,
    /// Which thread of the process made it, modulo 16.
    pub thread: u32,
    /// Of a transfer: whether it was made in explicit mode, so that the end of a span says whether it arrived.
    pub in_span: bool,
    /// Whether the bytes follow.
    pub has_bytes: bool,
}

const HAS_BYTES: u64 = 1 << 7;
const IN_SPAN: u64 = 1 << 6;

/// The lower half of a word.
const LOW: u64 = u32::MAX as u64;

impl Event {
    /// Its words in a ring.
    pub fn words(&self) -> [u64; 4] {
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let kind = self.kind as u64 | flag(self.has_bytes, HAS_BYTES) | flag(self.in_span, IN_SPAN);
        let (node, code, thread) = (u64::from(self.node & 63), u64::from(self.code & 63), u64::from(self.thread & 15));
        // A wait has no length: it leaves its place to the upper half of how long it took, which may be for hours.
        let (took, length) = match self.kind {
            Kind::Wait => (self.took & LOW, self.took >> 32),
            _ => (self.took.min(LOW), u64::from(self.length)),
        };
        [
            self.began & ring::MASK,
            took | kind << 32 | node << 40 | code << 46 | thread << 52,
            self.offset & ((1 << 48) - 1) | length >> 24 << 48,
            u64::from(self.id) | (length & 0xff_ffff) << 32,
        ]
    }

    /// Reads words of a ring. `None` where no record begins, and for what no process of this library writes.
    pub fn of(words: [u64; 4]) -> Option<Event> {
        let [began, what, place, id] = words;
        let kind = what >> 32 & 0xff;
        let &(_, known) = Kind::ALL.get((kind & !(HAS_BYTES | IN_SPAN)) as usize)?;
        let length = ((place >> 48 & 0xff) << 24 | id >> 32 & 0xff_ffff) as u32;
        let (took, length) = match known {
            Kind::Wait => (u64::from(length) << 32 | what & LOW, 0),
            _ => (what & LOW, length),
        };
        (began & BEGINS != 0).then_some(Event {
            began: began & ring::MASK,
            took,
            kind: known,
            node: (what >> 40 & 63) as u32,
            id: id as u32,
            offset: place & ((1 << 48) - 1),
            length,
            code: (what >> 46 & 63) as u32,
            thread: (what >> 52 & 15) as u32,
            in_span: kind & IN_SPAN != 0,
            has_bytes: kind & HAS_BYTES != 0,
        })
    }

    /// Slots that its bytes take after its own.
    pub fn slots_of_bytes(&self) -> usize {
        if self.has_bytes { (self.length as usize).div_ceil(ring::BYTES) } else { 0 }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn events_come_back() {
        for (at, (name, kind)) in Kind::ALL.into_iter().enumerate() {
            assert_eq!((kind as usize, kind.name()), (at, name));
            for big in [false, true] {
                let of = |most: u64, small: u64| if big { most } else { small };
                let is_wait = kind == Kind::Wait;
                let event = Event {
                    began: of(ring::MASK, 5),
                    took: of(if is_wait { u64::MAX } else { LOW }, 7),
                    kind,
                    node: of(63, 1) as u32,
                    id: of(u32::MAX.into(), 0x40_0001) as u32,
                    offset: of((1 << 48) - 1, 4096),
                    length: if is_wait { 0 } else { of(LOW, 8) as u32 },
                    code: of(63, 0) as u32,
                    thread: of(15, 2) as u32,
                    in_span: at % 2 == 0,
                    has_bytes: big,
                };
                let [first, rest @ ..] = event.words();
                let [b, c, d] = rest;
                assert!([first, b, c, d].iter().all(|word| *word <= ring::MASK));
                assert_eq!(Event::of([first | BEGINS, b, c, d]), Some(event));
                assert_eq!(Event::of([first, b, c, d]), None, "no record begins here");
            }
        }
        let long = Event { took: LOW + 2, ..Event::of([BEGINS, 0, 0, 0]).unwrap() };
        let took = |kind| {
            let [began, rest @ ..] = Event { kind, ..long }.words();
            Event::of([began | BEGINS, rest[0], rest[1], rest[2]]).unwrap().took
        };
        assert_eq!((took(Kind::Wait), took(Kind::Connect)), (LOW + 2, LOW));
        for (at, (name, call)) in Call::ALL.into_iter().enumerate() {
            assert_eq!((Kind::from(call) as usize, Kind::from(call).name()), (at, name));
        }
        assert_eq!(Event::of([BEGINS, 20 << 32, 0, 0]), None, "there is no such kind");
    }

    #[test]
    fn a_late_trace_is_a_word() {
        for number in [0, 1, 5, u32::MAX >> 2] {
            for bytes in [false, true] {
                let late = LateTrace { number, trace: Trace { bytes } };
                assert_ne!(late.word(), 0);
                assert_eq!(LateTrace::of(late.word()), Some(late));
            }
        }
        assert_eq!(LateTrace::of(0), None);
    }
}
