//! Noting every call of this process in its [ring](rsm_core::lens::ring), in a cluster that is traced: from its beginning, as
//! its lens says, or while an observer asks for it ([`super::rings`]).
//!
//! One of the [taps](super::taps). Imports of such a cluster are diverted, for good or for as long as somebody traces, so transfers, orders, signals and the ends of
//! spans come by where they leave the plain path; requests are noted where they are asked, waits where they look at the taps.
//! A call is noted when it has returned; a signal before it is posted, so that nobody takes it before it is there.
#![allow(unsafe_code)]

use super::looks::Looks;
use super::{Membership, fork, lock};
use crate::memory::carry::Move;
use crate::memory::tables::{Parts, RecordMap};
use crate::ticks;
use rsm_core::bell::Bell;
use rsm_core::lens::Trace;
use rsm_core::lens::event::{Event, Kind, LateTrace};
use rsm_core::lens::fault::Fault;
use rsm_core::lens::inject::Place;
use rsm_core::lens::ring::Ring;
use rsm_core::message::{Answer, Ask};
use rsm_core::transfer::Direction;
use rsm_core::{Code, Result};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64};

/// Where this process notes its calls.
#[derive(Debug)]
pub(super) struct Tracing {
    /// The bytes of puts are noted too.
    bytes: AtomicBool,
    /// As long as the cluster is there.
    lasting: bool,
    /// The trace for which calls are noted where they are not from the beginning on, as a [word](LateTrace::word); 0 for none.
    late: AtomicU32,
    /// While calls are noted a number that no other time has in which this process, for any cluster, notes its calls; 0 while
    /// they are not.
    time: AtomicU64,
    /// Null before there is a ring for the trace that is noted. It leads to one of the maps, which stay as long as this.
    map: AtomicPtr<RecordMap>,
    /// [`fork::count`] of the process that the ring is of.
    process: AtomicU32,
    looks: Looks,
    /// Those there are, with [`fork::count`] of the process that each is of; boxed, as they are led to.
    maps: Mutex<Vec<(u32, Box<RecordMap>)>>,
}

/// A call is being made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Began(u64);

/// What a call was about: what it was, whose segment, which, and what [`Kind`] says.
pub(super) type What = (Kind, u32, u32, u64, u64);

/// What is noted of a transfer besides.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted<'a> {
    /// It was made in explicit mode.
    pub(super) in_span: bool,
    /// The bytes that were put, where they are noted.
    pub(super) bytes: Option<&'a [u8]>,
}

thread_local! {
    /// This thread's number in its process, from 1; 0 before it has any.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// When the wait that this thread is in began, and in which [time](Tracing::time): one that ends when nobody notes it leaves
    /// this behind.
    static WAIT: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// A number for a time in which calls are noted.
fn new_time() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Relaxed: a number that nobody else has is all that is asked for.
    NEXT.fetch_add(1, Relaxed)
}

fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.try_with(|number| {
        if number.get() == 0 {
            // Relaxed: a number that nobody else has is all that is asked for.
            number.set(NEXT.fetch_add(1, Relaxed));
        }
        number.get()
    });
    number.unwrap_or(0)
}

impl Tracing {
    /// What the lens says, or nothing until somebody comes.
    pub(super) fn new(trace: Option<Trace>) -> Tracing {
        let (map, process) = (AtomicPtr::default(), AtomicU32::new(fork::count()));
        let (lasting, time) = (trace.is_some(), AtomicU64::new(trace.map_or(0, |_| new_time())));
        let bytes = trace.unwrap_or_default().bytes;
        let (late, looks, maps) = (AtomicU32::new(0), Looks::new(bytes), Mutex::default());
        Tracing { bytes: AtomicBool::new(bytes), lasting, late, time, map, process, looks, maps }
    }

    /// Whether calls are noted from the beginning of the cluster to its end.
    pub(super) fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Whether there is where to note what this trace has, in this process.
    pub(super) fn has_ring_for(&self, trace: Trace) -> bool {
        self.has_ring_of(Parts::slots_for(trace))
    }

    /// Whether there is a ring of this length, in this process.
    pub(super) fn has_ring_of(&self, slots: usize) -> bool {
        lock(&self.maps).iter().any(|(process, map)| *process == fork::count() && map.slots() == slots)
    }

    /// Calls are noted for this trace, or no more; what nobody reads any more is freed. One at a time, with forks held off.
    pub(super) fn turn(&self, late: Option<LateTrace>) {
        let word = late.map_or(0, LateTrace::word);
        // Relaxed, and below: what `note` needs it finds, or finds nothing, by itself.
        if word == self.late.load(Relaxed) {
            return;
        }
        self.looks.turn(0);
        let before = self.map();
        self.bytes.store(late.is_some_and(|late| late.trace.bytes), Relaxed);
        self.late.store(word, Relaxed);
        self.choose();
        self.time.store(late.map_or(0, |_| new_time()), Relaxed);
        if let Some(before) = before
            && self.map().is_none_or(|map| !std::ptr::eq(map, before))
        {
            before.free_slots();
        }
        if self.ring_for_bytes().is_some() {
            // What this process puts is noted from here on; before, somebody may take it for what an owner has stored.
            self.note(ticks::now(), (Kind::Notes, 0, 0, 0, 0), 0, Noted::default());
            self.looks.turn(word);
        }
    }

    /// Where bytes may be noted. Others than who may have them may read the rest: nothing of a segment gets there, whatever is
    /// under way while one trace ends and another begins.
    fn ring_for_bytes(&self) -> Option<Ring<'_>> {
        self.map().filter(|map| map.has_bytes()).and_then(RecordMap::ring)
    }

    /// Whether segments are to be looked at between calls as well: in a trace of somebody who has no segment's memory.
    pub(super) fn looks_between(&self) -> bool {
        // Relaxed: as in `turn`.
        LateTrace::of(self.late.load(Relaxed)).is_some_and(|late| late.trace.bytes)
    }

    /// Begins to look at them, or ends, as the last turn has it: for the thread that turns, while it has no lock.
    pub(super) fn follow(&self) {
        self.looks.follow(self.ring_for_bytes());
    }

    /// Looks at them; not at a call.
    pub(super) fn look_between(&self) {
        if let Some(ring) = self.ring_for_bytes() {
            self.looks.look_between(ring);
        }
    }

    fn is_on(&self) -> bool {
        self.time() != 0
    }

    fn time(&self) -> u64 {
        // Relaxed: as in `turn`.
        self.time.load(Relaxed)
    }

    /// A wait begins, in this thread.
    fn begin_wait(&self) {
        let _ = WAIT.try_with(|wait| wait.set(Some((ticks::now(), self.time()))));
    }

    /// When the wait that ends in this thread began, if it was since calls are noted.
    fn wait_began(&self) -> Option<u64> {
        let (began, time) = WAIT.try_with(Cell::take).ok().flatten()?;
        (time == self.time()).then_some(began)
    }

    /// Notes calls there from now on, or when there is a trace for which it is. The caller holds forks off.
    pub(super) fn note_in(&self, map: RecordMap) {
        lock(&self.maps).push((fork::count(), Box::new(map)));
        self.choose();
    }

    /// Notes calls in the ring for the trace that there is, if this process has it.
    fn choose(&self) {
        if self.process.load(Relaxed) != fork::count() {
            // The parent's goes before this process has any.
            self.map.store(null_mut(), Relaxed);
            // Release: pairs with the Acquire of `map`.
            self.process.store(fork::count(), Release);
        }
        let late = LateTrace::of(self.late.load(Relaxed)).map(|late| Parts::slots_for(late.trace));
        let is_it = |map: &RecordMap| self.lasting || late == Some(map.slots());
        let maps = lock(&self.maps);
        let chosen = maps.iter().find(|(process, map)| *process == fork::count() && is_it(map));
        let chosen = chosen.map_or(null_mut(), |(_, map)| std::ptr::from_ref(&**map).cast_mut());
        // Release: pairs with the Acquire of `map`.
        self.map.store(chosen, Release);
    }

    /// Not in a forked child that has none of its own yet: the ring is its parent's.
    fn map(&self) -> Option<&RecordMap> {
        // Acquire: pairs with the Release of `choose`; with the process goes that the map is none of the parent's.
        if self.process.load(Acquire) != fork::count() {
            return None;
        }
        // Acquire: pairs with the Release of `choose`.
        let map = self.map.load(Acquire);
        // SAFETY: null, or one of the maps, which stay where they are as long as this.
        unsafe { map.as_ref() }
    }

    fn note(&self, began: u64, (kind, node, id, offset, length): What, code: u32, put: Noted<'_>) {
        let Some(map) = self.map() else { return };
        let Some(ring) = map.ring() else { return };
        // As `ring_for_bytes` says.
        let bytes = put.bytes.filter(|_| map.has_bytes());
        let event = Event {
            began,
            took: ticks::now().wrapping_sub(began),
            kind,
            node,
            id,
            offset,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            code,
            thread: thread_number(),
            in_span: put.in_span,
            has_bytes: bytes.is_some(),
        };
        ring.append(event.words(), bytes.unwrap_or_default());
    }

    /// Notes that a fault happens.
    pub(super) fn note_fault(&self, fault: Fault, place: Place) {
        if !self.is_on() {
            return;
        }
        let what = (Kind::Fault, place.node, place.id, fault as u64, place.call as u64);
        let now = ticks::now();
        self.note(now, what, 0, Noted::default());
    }

    /// The bytes that are about to be put, where they are wanted and there is room for them.
    fn bytes_of<M: Move>(&self, offset: u64, moved: &mut M) -> Option<PutBytes> {
        let count = usize::try_from(moved.bytes()).ok()?;
        let most = self.map()?.ring()?.most_bytes();
        // Relaxed: as in `turn`.
        if !self.bytes.load(Relaxed) || M::DIRECTION != Direction::Put || count > most {
            return None;
        }
        // Aligned as in the segment: words are moved whole.
        let lead = (offset & 7) as usize;
        let mut bytes = PutBytes { few: [0; FEW], many: Vec::new(), lead, count };
        let words = (lead + count).div_ceil(8);
        if words > FEW {
            bytes.many.resize(words, 0);
        }
        let place = bytes.words().as_mut_ptr().cast::<u8>().wrapping_add(lead);
        // SAFETY: the words have room for all of it, aligned as it is; no word of the data is cut.
        unsafe { moved.part(place, 0, count as u64) };
        Some(bytes)
    }
}

/// Words that need no memory to be asked for: those of a put of 64 bytes, wherever it begins.
const FEW: usize = 9;

/// The bytes of a put.
#[derive(Debug)]
pub(super) struct PutBytes {
    few: [u64; FEW],
    /// In place of them, if they are more.
    many: Vec<u64>,
    lead: usize,
    count: usize,
}

impl PutBytes {
    fn words(&mut self) -> &mut [u64] {
        if self.many.is_empty() { &mut self.few } else { &mut self.many }
    }

    /// They.
    pub(super) fn as_slice(&self) -> &[u8] {
        let words: &[u64] = if self.many.is_empty() { &self.few } else { &self.many };
        let place = words.as_ptr().cast::<u8>().wrapping_add(self.lead);
        // SAFETY: inside of the words, which were all written.
        unsafe { std::slice::from_raw_parts(place, self.count) }
    }
}

/// The number of an error, 0 for none.
fn code_of<T>(result: &Result<T>) -> u32 {
    result.as_ref().err().map_or(0, |error| error.code().number().unsigned_abs())
}

impl Membership {
    fn tracing(&self) -> Option<&Tracing> {
        self.shared.taps.tracing.as_deref().filter(|tracing| tracing.is_on())
    }

    /// Whether calls are noted, or looked at, as long as the cluster is there: imports are diverted for it.
    pub(super) fn is_watched(&self) -> bool {
        let traced = self.shared.taps.tracing.as_ref().is_some_and(|tracing| tracing.is_lasting());
        traced || self.shared.taps.racing.is_some()
    }

    /// A call begins, which is to be noted at its end if calls are.
    pub(super) fn begin_note(&self) -> Option<Began> {
        self.tracing().map(|_| Began(ticks::now()))
    }

    /// It has returned.
    pub(super) fn note<T>(&self, began: Option<Began>, what: What, result: &Result<T>) {
        self.note_number(began, what, code_of(result));
    }

    /// [`note`](Self::note) with the number of the error.
    pub(super) fn note_number(&self, began: Option<Began>, what: What, code: u32) {
        if let (Some(Began(began)), Some(tracing)) = (began, self.tracing()) {
            tracing.note(began, what, code, Noted::default());
        }
    }

    /// What is looked at at calls, or will be if somebody traces.
    pub(super) fn looks(&self) -> Option<&Looks> {
        self.shared.taps.tracing.as_ref().map(|tracing| &tracing.looks)
    }

    /// A call is noted next, to which it matters what this process's own segments hold: looks at them.
    pub(super) fn look_at_own(&self) {
        if let Some(tracing) = self.tracing()
            && let Some(ring) = tracing.ring_for_bytes()
        {
            tracing.looks.look(ring, thread_number());
        }
    }

    /// The bytes of a transfer that are to be noted with it, before it is made.
    pub(super) fn bytes_to_note<M: Move>(&self, offset: u64, moved: &mut M) -> Option<PutBytes> {
        self.tracing()?.bytes_of(offset, moved)
    }

    /// A transfer was made.
    pub(super) fn note_transfer<T>(&self, began: Option<Began>, what: What, result: &Result<T>, more: Noted<'_>) {
        if let (Some(Began(began)), Some(tracing)) = (began, self.tracing()) {
            tracing.note(began, what, code_of(result), more);
        }
    }

    /// A wait begins, in this thread.
    pub(super) fn begin_wait(&self) {
        if let Some(tracing) = self.tracing() {
            tracing.begin_wait();
        }
    }

    /// It ends.
    pub(super) fn note_wait(&self, bell: &Bell, code: u32) {
        let Some(tracing) = self.tracing() else { return };
        let began = tracing.wait_began().unwrap_or_else(ticks::now);
        let (node, number) = self.number_of(bell);
        self.look_at_own();
        tracing.note(began, (Kind::Wait, node, number, 0, 0), code, Noted::default());
    }

    /// A wait ends with an error.
    pub(super) fn note_wait_failed(&self, bell: &Bell, code: Code) {
        self.race_wait_failed(code);
        self.note_wait(bell, code.number().unsigned_abs());
    }

    /// What a request is about, where it is one to note; what only its answer says is still missing.
    pub(super) fn what_is_asked(&self, ask: &Ask) -> Option<What> {
        let me = self.node().ok()?;
        Some(match *ask {
            Ask::Create { length, .. } => (Kind::Create, me, 0, 0, length),
            Ask::Publish { segment, id, .. } => (Kind::Publish, me, id, segment.row.into(), 0),
            Ask::Republish { segment, .. } => (Kind::Republish, me, segment.row, 0, 0),
            Ask::Unpublish { segment } => (Kind::Unpublish, me, segment.row, 0, 0),
            Ask::EndRebind { segment } => (Kind::Rebind, me, segment.row, 0, 0),
            Ask::Destroy { segment, .. } => (Kind::Destroy, me, segment.row, 0, 0),
            Ask::Connect { node, id, .. } => (Kind::Connect, node, id, 0, 0),
            _ => return None,
        })
    }

    /// It was answered.
    pub(super) fn note_answer<T>(&self, began: Option<Began>, what: Option<What>, result: &Result<(Answer, T)>) {
        let Some((kind, node, mut id, mut offset, mut length)) = what else { return };
        match result {
            Ok((Answer::Created { segment, .. }, _)) => (id, offset) = (segment.row, segment.incarnation),
            Ok((Answer::Published { id: given }, _)) => id = *given,
            Ok((Answer::Connected(connected), _)) => {
                offset = u64::from(connected.import_bell) << 24 | u64::from(connected.export_bell & 0xff_ffff);
                length = connected.length;
            }
            _ => {}
        }
        self.look_at_own();
        self.note(began, (kind, node, id, offset, length), result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_nobody_noted_is_not_the_beginning_of_a_later_one() {
        let tracing = Tracing::new(None);
        let late = |number| Some(LateTrace { number, trace: Trace::default() });
        tracing.turn(late(1));
        tracing.begin_wait();
        // As the events thread says at every look.
        tracing.turn(late(1));
        assert!(tracing.wait_began().is_some(), "it is of this time");
        tracing.begin_wait();
        tracing.turn(None);
        tracing.turn(late(1));
        assert_eq!(tracing.wait_began(), None, "it was of the time before");
        tracing.begin_wait();
        tracing.turn(late(2));
        assert_eq!(tracing.wait_began(), None, "it was for another who traced, and whose end nobody saw");
        tracing.begin_wait();
        let other = Tracing::new(Some(Trace::default()));
        assert_eq!(other.wait_began(), None, "it was of another cluster");
    }
}
