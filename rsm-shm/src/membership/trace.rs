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
use crate::memory::tables::RecordMap;
use crate::ticks;
use rsm_core::bell::Bell;
use rsm_core::lens::Trace;
use rsm_core::lens::event::{Event, Kind};
use rsm_core::lens::fault::Fault;
use rsm_core::lens::inject::Place;
use rsm_core::message::{Answer, Ask};
use rsm_core::transfer::Direction;
use rsm_core::{Code, Result};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// Where this process notes its calls.
#[derive(Debug)]
pub(super) struct Tracing {
    trace: Trace,
    /// As long as the cluster is there.
    lasting: bool,
    /// While calls are noted a number that no other time has in which this process, for any cluster, notes its calls; 0 while
    /// they are not.
    time: AtomicU64,
    /// Null before there is a ring. It leads to one of the maps, which stay as long as this.
    map: AtomicPtr<RecordMap>,
    /// [`fork::count`] of the process that the ring is of.
    process: AtomicU32,
    looks: Looks,
    /// Boxed, as they are led to.
    #[expect(clippy::vec_box)]
    maps: Mutex<Vec<Box<RecordMap>>>,
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
        let trace = trace.unwrap_or_default();
        Tracing { trace, lasting, time, map, process, looks: Looks::new(trace.bytes), maps: Mutex::default() }
    }

    /// Whether calls are noted from the beginning of the cluster to its end.
    pub(super) fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// Whether there is where to note calls, in this process.
    pub(super) fn has_ring(&self) -> bool {
        self.map().is_some_and(|map| map.ring().is_some())
    }

    /// Calls are noted, or no more; what nobody reads any more is freed. One at a time.
    pub(super) fn turn(&self, on: bool) {
        if on == self.is_on() {
            return;
        }
        // Relaxed: what `note` needs it finds, or finds nothing, by itself.
        self.time.store(if on { new_time() } else { 0 }, Relaxed);
        if !on && let Some(map) = self.map() {
            map.free_slots();
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

    /// Notes calls there from now on. The caller holds forks off.
    pub(super) fn note_in(&self, map: RecordMap) {
        let map = Box::new(map);
        if self.process.load(Relaxed) != fork::count() {
            // The parent's goes before this process has any.
            self.map.store(null_mut(), Relaxed);
            // Release: pairs with the Acquire of `map`.
            self.process.store(fork::count(), Release);
        }
        // Release: pairs with the Acquire of `map`.
        self.map.store(std::ptr::from_ref(&*map).cast_mut(), Release);
        lock(&self.maps).push(map);
    }

    /// Not in a forked child that has none of its own yet: the ring is its parent's.
    fn map(&self) -> Option<&RecordMap> {
        // Acquire: pairs with the Release of `note_in`; with the process goes that the map is none of the parent's.
        if self.process.load(Acquire) != fork::count() {
            return None;
        }
        // Acquire: pairs with the Release of `note_in`.
        let map = self.map.load(Acquire);
        // SAFETY: null, or one of the maps, which stay where they are as long as this.
        unsafe { map.as_ref() }
    }

    fn note(&self, began: u64, (kind, node, id, offset, length): What, code: u32, put: Noted<'_>) {
        let Some(ring) = self.map().and_then(RecordMap::ring) else { return };
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
            has_bytes: put.bytes.is_some(),
        };
        ring.append(event.words(), put.bytes.unwrap_or_default());
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
    fn bytes_of<M: Move>(&self, offset: u64, moved: &mut M) -> Option<Vec<u8>> {
        let count = usize::try_from(moved.bytes()).ok()?;
        let most = self.map()?.ring()?.most_bytes();
        if !self.trace.bytes || M::DIRECTION != Direction::Put || count > most {
            return None;
        }
        // Aligned as in the segment: words are moved whole.
        let lead = (offset & 7) as usize;
        let mut words = vec![0u64; (lead + count).div_ceil(8)];
        let place = words.as_mut_ptr().cast::<u8>().wrapping_add(lead);
        // SAFETY: the words have room for all of it, aligned as it is; no word of the data is cut.
        unsafe { moved.part(place, 0, count as u64) };
        // SAFETY: inside of the words, which were all written.
        Some(unsafe { std::slice::from_raw_parts(place, count) }.to_vec())
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

    /// What is looked at at calls.
    pub(super) fn looks(&self) -> Option<&Looks> {
        self.tracing().map(|tracing| &tracing.looks)
    }

    /// A call is noted next, to which it matters what this process's own segments hold: looks at them.
    pub(super) fn look_at_own(&self) {
        if let Some(tracing) = self.tracing()
            && let Some(ring) = tracing.map().and_then(RecordMap::ring)
        {
            tracing.looks.look(ring, thread_number());
        }
    }

    /// The bytes of a transfer that are to be noted with it, before it is made.
    pub(super) fn bytes_to_note<M: Move>(&self, offset: u64, moved: &mut M) -> Option<Vec<u8>> {
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
        tracing.turn(true);
        tracing.begin_wait();
        // As the events thread says at every look.
        tracing.turn(true);
        assert!(tracing.wait_began().is_some(), "it is of this time");
        tracing.begin_wait();
        tracing.turn(false);
        tracing.turn(true);
        assert_eq!(tracing.wait_began(), None, "it was of the time before");
        tracing.begin_wait();
        let other = Tracing::new(Some(Trace::default()));
        assert_eq!(other.wait_began(), None, "it was of another cluster");
    }
}
