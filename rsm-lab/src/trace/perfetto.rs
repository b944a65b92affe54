//! A trace for Perfetto (ui.perfetto.dev): protobuf, written by hand, as only a few of its messages are needed.
//!
//! A track for each node's process, and below it one for each of its threads, on which calls are slices that nest. A signal is a flow from
//! the post to the wait that took it. Names are written once and then meant by number.

use super::story::{Story, What};
use super::tracks::{Track, end, tracks};
use rsm_core::lens::event::Kind;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

/// Numbers of fields, as the public schema has them: of the whole, and of a packet.
const PACKET: u64 = 1;
const TIMESTAMP: u64 = 8;
const SEQUENCE_ID: u64 = 10;
const TRACK_EVENT: u64 = 11;
const INTERNED_DATA: u64 = 12;
const SEQUENCE_FLAGS: u64 = 13;
const TRACK_DESCRIPTOR: u64 = 60;
/// Of a track.
const UUID: u64 = 1;
const PROCESS: u64 = 3;
const THREAD: u64 = 4;
const PARENT: u64 = 5;
/// Of its process and thread.
const PID: u64 = 1;
const TID: u64 = 2;
const PROCESS_NAME: u64 = 6;
const THREAD_NAME: u64 = 5;
/// Of an event.
const ANNOTATION: u64 = 4;
const TYPE: u64 = 9;
const NAME_NUMBER: u64 = 10;
const TRACK: u64 = 11;
const FLOW: u64 = 47;
const LAST_FLOW: u64 = 48;
/// Of an annotation: a name by its number, and what it is.
const ANNOTATION_NAME: u64 = 1;
const ANNOTATION_NUMBER: u64 = 3;
const ANNOTATION_TEXT: u64 = 6;
/// Of what is meant by number.
const EVENT_NAMES: u64 = 2;
const ANNOTATION_NAMES: u64 = 3;

/// Types of events.
const BEGIN: u64 = 1;
const END: u64 = 2;
const INSTANT: u64 = 3;

/// What slices have beside their name, in the order of their numbers.
const ANNOTATIONS: [&str; 6] = ["event", "segment", "offset", "length", "error", "fault"];
/// What is no call has these names, after those of the calls.
const OTHERS: [&str; 3] = ["left", "ended", "records missing"];

/// Which packet comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    time: u64,
    /// A slice begins, and does not end.
    begins: bool,
    /// Where its other end is: of beginnings the longest slice comes first, of ends the shortest.
    longest: Reverse<u64>,
    /// Its index, backwards for ends.
    index: i64,
}

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn fixed(mut self, field: u64, value: u64) -> Message {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn message(self, field: u64, message: Message) -> Message {
        self.bytes(field, &message.0)
    }
}

fn new() -> Message {
    Message::default()
}

fn packet() -> Message {
    new().number(SEQUENCE_ID, 1)
}

fn names(field: u64, names: impl Iterator<Item = &'static str>) -> Message {
    let named = names.zip(1..).map(|(name, number)| new().number(1, number).bytes(2, name.as_bytes()));
    named.fold(new(), |all, name| all.message(field, name))
}

fn annotation(at: usize) -> Message {
    new().number(ANNOTATION_NAME, at as u64 + 1)
}

/// The trace as a file of Perfetto.
pub fn perfetto(story: &Story) -> Vec<u8> {
    let mut whole = new();
    // Numbers of tracks: those of processes, then those of threads.
    let of_process = |process: usize| process as u64 + 1;
    let tracks = tracks(story);
    let threads: BTreeSet<Track> = tracks.values().copied().collect();
    let mut numbers: HashMap<Track, u64> = HashMap::new();
    for (process, known) in story.processes.iter().enumerate() {
        let late = if story.beginning.late { ", traced from the middle on" } else { "" };
        let name = format!("node {}{late}", known.node);
        let its = new().number(PID, known.pid.into()).bytes(PROCESS_NAME, name.as_bytes());
        let described = new().number(UUID, of_process(process)).message(PROCESS, its);
        whole = whole.message(PACKET, packet().message(TRACK_DESCRIPTOR, described));
    }
    let mut threads_of: HashMap<u32, u64> = HashMap::new();
    for track in threads {
        // Which thread it is for the kernel is not noted; the process's own id is that of its first. The numbers are below 2^31, as
        // ids of processes are below 2^22.
        let pid = story.processes[track.process].pid;
        let count = threads_of.entry(pid).or_default();
        let number = u64::from(pid) * 512 + (*count).min(511);
        *count += 1;
        let its = new().number(PID, pid.into()).number(TID, number).bytes(THREAD_NAME, track.name().as_bytes());
        let uuid = (story.processes.len() + numbers.len()) as u64 + 1;
        numbers.insert(track, uuid);
        let described = new().number(UUID, uuid).number(PARENT, of_process(track.process));
        whole = whole.message(PACKET, packet().message(TRACK_DESCRIPTOR, described.message(THREAD, its)));
    }
    let called = Kind::ALL.into_iter().map(|(name, _)| name).chain(OTHERS);
    let mut meant = names(EVENT_NAMES, called);
    meant.0.extend(names(ANNOTATION_NAMES, ANNOTATIONS.into_iter()).0);
    whole = whole.message(PACKET, packet().number(SEQUENCE_FLAGS, 1).message(INTERNED_DATA, meant));

    // A flow of a signal has the number of the wait that it leads to, one of a put that of the put, above all those.
    let (takers, closed) = (story.takers(), story.closed());
    let of_put = |put: usize| 1 << 32 | put as u64;
    // By time; of what is at the same time, ends come first, and so that each slice is in the one that was begun before it.
    let mut packets: Vec<(Order, Message)> = Vec::new();
    let event = |kind: u64, track: u64| new().number(TYPE, kind).number(TRACK, track);
    let at = |time: u64, event: Message| {
        packet().number(SEQUENCE_FLAGS, 2).number(TIMESTAMP, time).message(TRACK_EVENT, event)
    };
    for (index, happening) in story.happenings.iter().enumerate() {
        let (time, process) = (happening.at, happening.process);
        let instantly = Order { time, begins: true, longest: Reverse(time), index: index as i64 };
        let numbered = annotation(0).number(ANNOTATION_NUMBER, index as u64 + 1);
        let instant =
            |other: u64| event(INSTANT, of_process(process)).number(NAME_NUMBER, Kind::ALL.len() as u64 + other);
        match &happening.what {
            What::Call(call) => {
                let track = numbers[&tracks[&index]];
                let mut begins =
                    event(BEGIN, track).number(NAME_NUMBER, call.kind as u64 + 1).message(ANNOTATION, numbered);
                if let Some(id) = call.id {
                    let name = super::text::segment(call.node, id);
                    begins = begins.message(ANNOTATION, annotation(1).bytes(ANNOTATION_TEXT, name.as_bytes()));
                }
                if matches!(call.kind, Kind::Put | Kind::Get | Kind::Map | Kind::Unmap) {
                    begins = begins
                        .message(ANNOTATION, annotation(2).number(ANNOTATION_NUMBER, call.offset))
                        .message(ANNOTATION, annotation(3).number(ANNOTATION_NUMBER, call.length));
                }
                if let Some(fault) = call.fault() {
                    begins =
                        begins.message(ANNOTATION, annotation(5).bytes(ANNOTATION_TEXT, fault.to_string().as_bytes()));
                }
                if call.code != 0 {
                    begins = begins.message(ANNOTATION, annotation(4).number(ANNOTATION_NUMBER, call.code.into()));
                }
                for taker in takers.get(&index).into_iter().flatten() {
                    begins = begins.fixed(FLOW, *taker as u64 + 1);
                }
                if call.close.is_some() {
                    begins = begins.fixed(FLOW, of_put(index));
                }
                let mut ends = event(END, track);
                for put in closed.get(&index).into_iter().flatten() {
                    ends = ends.fixed(LAST_FLOW, of_put(*put));
                }
                if call.from.is_some() {
                    ends = ends.fixed(LAST_FLOW, index as u64 + 1);
                }
                let end = end(time, happening.took);
                packets.push((Order { longest: Reverse(end), ..instantly }, at(time, begins)));
                let order = Order { time: end, begins: false, longest: Reverse(time), index: -(index as i64) };
                packets.push((order, at(end, ends)));
            }
            What::Left => packets.push((instantly, at(time, instant(1)))),
            What::Ended(..) => packets.push((instantly, at(time, instant(2)))),
            What::Missing(lost, torn) => {
                let missing = annotation(3).number(ANNOTATION_NUMBER, lost + torn);
                packets.push((instantly, at(time, instant(3).message(ANNOTATION, missing))));
            }
        }
    }
    packets.sort_by_key(|(order, _)| *order);
    for (_, packet) in packets {
        whole = whole.message(PACKET, packet);
    }
    whole.0
}
