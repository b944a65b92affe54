//! Looking at this process's own segments at its calls, in a cluster whose trace has the bytes: what their owner has stored, for
//! which no library is called, is then known as of each publication, signal, wait and end of a span. In a trace that began later than
//! the cluster they are also looked at when it begins, and between calls.
//!
//! A segment is compared with a copy of what it was at the look before, and what differs goes into the [ring](super::trace) as one
//! record, so whoever kills the process between two of them takes no more than that one away. The file is read by
//! `rsm-lab/src/trace`: it adds what differs to what the looks before had, and so may miss none of them. As a ring that is read too
//! slowly loses records, a look has, once in half a lap, all there is.
//!
//! Whoever finds that another thread, or the one that a signal handler interrupts, is looking goes on without: then the record of
//! its call has no look, and the trace says so.

use super::fork;
use crate::memory::compared::Compared;
use crate::memory::inspect::Identity;
use crate::ticks;
use rsm_core::lens::event::{Event, Kind};
use rsm_core::lens::ring::{BYTES, Ring};
use rsm_core::message::SegmentName;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Longest segment that is looked at, and all of a process's together, in bytes.
const LONGEST: usize = 1 << 20;
const MOST: usize = 4 << 20;

/// Words between two that differ, at most, that are told with them.
const NEAR: usize = 4;

const WORD: usize = size_of::<u64>();

/// Between calls it is told so often that nothing has changed.
const SELDOM: Duration = Duration::from_secs(1);

/// How long somebody may look.
const PATIENCE: Duration = Duration::from_secs(2);

/// Takes a lock that nobody holds for long. `None`: whoever holds it has been left by `siglongjmp` from a signal handler, or is what
/// this handler interrupts, and may never let go of it.
pub(super) fn lock_for_a_while<T>(lock: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    let mut since = None;
    loop {
        match lock.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
        if since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// What a process looks at.
#[derive(Debug)]
pub(super) struct Looks {
    /// For whom bytes are to be noted, as whoever turns noting on says; 0 for nobody.
    wanted: AtomicU32,
    /// For whom they are looked for. Changes under the lock of `segments`, some time after `wanted` does.
    noted: AtomicU32,
    /// [`fork::count`] of the process whose memory it is.
    process: u32,
    /// There is something to look at.
    watching: AtomicBool,
    /// Nothing is looked at any more.
    stopped: AtomicBool,
    /// Locked last: who has it waits for no other lock of the library's, and nobody waits for it who has one that a fork takes
    /// ([`fork::hold`], the state of a membership). So what is found under one of those, as where a segment's memory is, is found
    /// before.
    segments: Mutex<Segments>,
}

/// See [`Looks`].
#[derive(Debug, Default)]
struct Segments {
    /// Those that are published: to be looked at once bytes are noted. By where they are, and by name: two segments either have the
    /// very same memory or share none.
    published: BTreeMap<(usize, SegmentName), Published>,
    /// Those that are looked at.
    looked: Vec<Looked>,
}

/// A segment that others may import, and where its memory is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) name: SegmentName,
    pub(super) node: u32,
    /// An address, which only the kernel is asked about.
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) object: Identity,
}

/// A segment and what it was.
#[derive(Debug)]
struct Looked {
    name: SegmentName,
    node: u32,
    start: usize,
    memory: Compared,
    /// How far the ring was written at the last look that had all there is; none yet: `None`.
    whole: Option<u64>,
    /// When the last record of it was appended; none yet: `None`.
    told: Option<Instant>,
    /// When the last look began and how long it took, if it was between calls, found nothing, and there is no record of it.
    quiet: Option<(u64, u64)>,
}

impl Segments {
    /// Looks at this one from now on, if there is room for it.
    fn watch(&mut self, Published { name, node, start, length, object }: Published) {
        let all: usize = self.looked.iter().map(|looked| looked.memory.bytes()).sum();
        if length <= LONGEST
            && length <= MOST - all
            && let Some(memory) = Compared::copy_untold(std::ptr::without_provenance_mut(start), length, object)
        {
            self.looked.push(Looked { name, node, start, memory, whole: None, told: None, quiet: None });
        }
    }

    fn look(&mut self, ring: Ring<'_>, thread: u32, between: bool) {
        let now = Instant::now();
        self.looked.iter_mut().for_each(|looked| looked.look(ring, (thread, between), now));
    }
}

impl Looks {
    /// Bytes are noted from the beginning to the end, or nobody's until there is a [turn](Self::turn).
    pub(super) fn new(always: bool) -> Looks {
        let (wanted, noted) = (AtomicU32::new(always.into()), AtomicU32::new(always.into()));
        let (watching, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        Looks { wanted, noted, process: fork::count(), watching, stopped, segments: Mutex::default() }
    }

    /// Bytes are to be noted for somebody else from now on, or for nobody (0): nothing is looked at until who turns
    /// [follows](Self::follow).
    pub(super) fn turn(&self, wanted: u32) {
        // Relaxed, here and below: what is relied on stands under the lock.
        self.wanted.store(wanted, Relaxed);
    }

    fn is_noted(&self) -> bool {
        let noted = self.noted.load(Relaxed);
        noted != 0 && noted == self.wanted.load(Relaxed)
    }

    pub(super) fn is_own(&self) -> bool {
        // Relaxed: as in `turn`.
        self.process == fork::count() && !self.stopped.load(Relaxed)
    }

    /// What the creator of segments changes. None in a forked child, in which a thread of its parent may hold the lock for ever;
    /// nor where somebody does here: then nothing is looked at any more, as what there is to look at is not known.
    fn own(&self) -> Option<MutexGuard<'_, Segments>> {
        if !self.is_own() {
            return None;
        }
        let segments = lock_for_a_while(&self.segments);
        if segments.is_none() {
            self.stopped.store(true, Relaxed);
        }
        segments
    }

    fn set(&self, segments: &Segments) {
        self.watching.store(!segments.looked.is_empty(), Relaxed);
    }

    /// Looks at this one from now on, if bytes are noted, or once they are.
    pub(super) fn add(&self, published: Published) {
        let Some(mut segments) = self.own() else { return };
        segments.published.insert((published.start, published.name), published);
        segments.looked.retain(|looked| (looked.start, looked.name) != (published.start, published.name));
        if self.is_noted() {
            segments.watch(published);
        }
        self.set(&segments);
    }

    /// At none that has its memory here from now on; gives them back.
    pub(super) fn remove(&self, start: usize) -> Vec<Published> {
        let Some(mut segments) = self.own() else { return Vec::new() };
        let first = SegmentName { row: 0, incarnation: 0 };
        let here = segments.published.range((start, first)..).take_while(|((at, _), _)| *at == start);
        let here: Vec<Published> = here.map(|(_, published)| *published).collect();
        for published in &here {
            segments.published.remove(&(start, published.name));
        }
        segments.looked.retain(|looked| looked.start != start);
        self.set(&segments);
        here
    }

    /// Whether this one is, or would be if bytes were noted.
    pub(super) fn has(&self, start: usize, name: SegmentName) -> bool {
        self.own().is_some_and(|segments| segments.published.contains_key(&(start, name)))
    }

    /// Looks at all there is, if there is somebody else by now for whom bytes are to be noted; lets go of it if there is nobody.
    /// For a thread that has no lock: it may take its time.
    pub(super) fn follow(&self, ring: Option<Ring<'_>>) {
        let wanted = self.wanted.load(Relaxed);
        if wanted == self.noted.load(Relaxed) {
            return;
        }
        let Some(mut segments) = self.own() else { return };
        self.noted.store(wanted, Relaxed);
        segments.looked = Vec::new();
        if wanted != 0 {
            let published: Vec<Published> = segments.published.values().copied().collect();
            published.into_iter().for_each(|published| segments.watch(published));
            if let Some(ring) = ring {
                segments.look(ring, 0, true);
            }
        }
        self.set(&segments);
    }

    /// A call is noted next: looks at all of them.
    #[inline]
    pub(super) fn look(&self, ring: Ring<'_>, thread: u32) {
        self.look_unless_busy(ring, thread, false);
    }

    /// The same between two calls.
    pub(super) fn look_between(&self, ring: Ring<'_>) {
        self.look_unless_busy(ring, 0, true);
    }

    fn look_unless_busy(&self, ring: Ring<'_>, thread: u32, between: bool) {
        // Relaxed: as in `turn`.
        if self.watching.load(Relaxed) && self.is_own() {
            // Poisoned or not: nothing panics while it is held.
            let Ok(mut segments) = self.segments.try_lock() else { return };
            if self.is_noted() {
                segments.look(ring, thread, between);
            }
        }
    }
}

impl Looked {
    /// Between calls a look that finds nothing is a record only now and then: an idle process fills no ring.
    fn look(&mut self, ring: Ring<'_>, (thread, between): (u32, bool), now: Instant) {
        let (began, end) = (ticks::now(), ring.end());
        let mut words: Vec<usize> = Vec::new();
        for (at, word) in self.memory.changed_in_all() {
            self.memory.follow(at, word);
            words.push(at);
        }
        // Of a lap the reader has lost the older half at least when it loses what is in the other.
        let half = (ring.most_bytes() / BYTES * 2) as u64;
        let whole = self.whole.is_none_or(|last| end.wrapping_sub(last) >= half);
        if whole {
            self.whole = Some(end);
            words = (0..self.memory.bytes() / WORD).filter(|at| self.memory.known(*at) != 0).collect();
        }
        let took = ticks::now().wrapping_sub(began);
        if between && words.is_empty() && !whole && self.told.is_some_and(|told| now.duration_since(told) < SELDOM) {
            self.quiet = Some((began, took));
            return;
        }
        // What has changed since was not so then.
        if let Some(quiet) = self.quiet.take().filter(|_| !words.is_empty()) {
            self.append(ring, quiet, (0, 2), &[]);
        }
        let bytes = self.runs(&words);
        self.append(ring, (began, took), (thread, u32::from(whole) | u32::from(between) << 1), &bytes);
        self.told = Some(now);
    }

    fn append(&self, ring: Ring<'_>, (began, took): (u64, u64), (thread, code): (u32, u32), bytes: &[u8]) {
        let event = Event {
            began,
            took,
            kind: Kind::Look,
            node: self.node,
            id: self.name.row,
            offset: self.name.incarnation,
            length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            code,
            thread,
            in_span: false,
            has_bytes: !bytes.is_empty(),
        };
        ring.append(event.words(), bytes);
    }

    /// These words, those that are near to each other in one run with what is between them: of each run its first word, how many
    /// they are, and what they hold.
    fn runs(&self, words: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for run in words.chunk_by(|before, at| at - before <= NEAR) {
            let (first, last) = (run[0], run[run.len() - 1]);
            [first, last + 1 - first].iter().for_each(|number| bytes.extend((*number as u32).to_le_bytes()));
            (first..=last).for_each(|at| bytes.extend(self.memory.known(at).to_ne_bytes()));
        }
        bytes
    }
}

#[cfg(test)]
mod tests;
