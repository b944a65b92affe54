//! An import through the lens of its cluster: what it puts and signals is posted, and arrives later.
//!
//! Implicit transfers are never weak: they come after what the import has posted, and are there when they return.
#![allow(unsafe_code)]

mod fate;
mod pace;
mod posting;
mod twin;

pub(in crate::membership) use fate::Disturb;
pub(in crate::membership) use pace::{Began, Pace};
pub(in crate::membership) use posting::{Posting, now, pause_until};

use crate::cancel::Shield;
use crate::membership::fork;
use crate::memory::carry::Move;
use crate::memory::copy::Word;
use crate::memory::shadow::Shadow;
use fate::Spans;
use posting::{Cargo, Mapped, can_fetch, execute, fetch, place_in, room};
use rsm_core::Result;
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::lens::fault::Fault;
use rsm_core::lens::inject::{Call, Place};
use rsm_core::lens::log::{Key, Posted, Target};
use rsm_core::lens::model::Load;
use rsm_core::lens::profile::Cost;
use rsm_core::lens::{Faults, Model};
use rsm_core::transfer::Direction;
use rsm_core::verdict::BarrierType;
use std::ptr::NonNull;
use std::sync::Arc;
use twin::{Follow, Twin};

/// A signal that is late is so by this to thrice as much, in nanoseconds.
const LATE: u64 = 20_000_000;
/// One that waits for the next waits no longer.
const MERGE: u64 = 20_000_000;
/// One that nobody posted comes up to this later.
const SPURIOUS: u64 = 2_000_000;

/// How often a wait for stores looks whether they have anywhere to go.
const LOOK: u64 = 1_000_000;

/// The window of one import.
#[derive(Debug)]
pub(in crate::membership) struct Lensed {
    /// Where the whole segment is mapped.
    base: *mut u8,
    /// `None`: nothing is late.
    model: Option<Model>,
    key: Key,
    node: u32,
    id: u32,
    /// Which import of the segment it is.
    nth: u64,
    posting: Arc<Posting>,
    spans: Spans,
}

impl Lensed {
    /// # Errors
    /// INSUFFICIENT_RESOURCES without room for a thread.
    ///
    /// # Safety
    /// The whole segment is mapped at `base` until this is dropped, or has settled with nobody left who
    /// could put.
    pub(in crate::membership::way) unsafe fn new(
        posting: &Arc<Posting>,
        base: *mut u8,
        node: u32,
        id: u32,
    ) -> Result<Lensed> {
        let _shield = Shield::raise();
        // SAFETY: the caller's promise; `drop` leaves.
        let (key, nth) = unsafe { posting.enter(node, id) }?;
        let model = posting.lens().model;
        Ok(Lensed { base, model, key, node, id, nth, posting: Arc::clone(posting), spans: Spans::default() })
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn posting(&self) -> &Arc<Posting> {
        &self.posting
    }

    pub(in crate::membership::way) fn spans(&self) -> &Spans {
        &self.spans
    }

    pub(super) fn faults(&self) -> Faults {
        self.posting.lens().faults
    }

    /// A kind of call to this import.
    pub(super) fn place(&self, call: Call) -> Place {
        Place { call, node: self.node, id: self.id, nth: self.nth }
    }

    /// Whether a fault is to happen at this call, which is noted; if so, a number to draw from how much of it.
    pub(super) fn meets(&self, fault: Fault, call: Call) -> Option<u64> {
        self.posting.meets(fault, self.place(call))
    }

    /// A call begins that may be to take its time.
    fn begin(&self) -> Option<(&Pace, Began)> {
        self.posting.pace().map(|pace| (pace, pace.begin()))
    }

    /// It ends.
    fn end(&self, begun: Option<(&Pace, Began)>, cost: Cost, bytes: u64) {
        if let Some((pace, began)) = begun {
            pace.end(began, self.node, cost, bytes);
            self.posting.note_modelled();
        }
    }

    /// Whether what is put in explicit mode arrives later.
    pub(in crate::membership::way) fn is_late(&self) -> bool {
        self.model.is_some() && self.posts()
    }

    /// Whether anything is posted in this process.
    pub(in crate::membership::way) fn posts(&self) -> bool {
        !fork::is_unannounced()
    }

    /// The mappings that a barrier is about.
    fn mapped(&self, kind: BarrierType) -> Mapped {
        match kind {
            BarrierType::Segment => Mapped::Of(self.key),
            BarrierType::Node => Mapped::From(self.node),
        }
    }

    fn look(&self, mapped: Mapped) {
        self.follow(mapped, Follow::Nothing);
    }

    /// Looks at mappings, and sees that somebody else does, too.
    fn follow(&self, mapped: Mapped, follow: Follow) {
        self.posting.with(|posted| {
            self.posting.look(&mut posted.lock(), mapped, follow);
            self.posting.keep_looking();
        });
    }

    /// Whether the program is to be given memory of its own in place of a mapping.
    pub(in crate::membership::way) fn shadows(&self) -> bool {
        self.model.is_some_and(Model::delays_mapped_stores) && self.posts()
    }

    /// Takes in such memory, for the part of the segment from `offset` on. The caller holds forks off.
    ///
    /// # Safety
    /// The part lies inside of the segment.
    pub(in crate::membership::way) unsafe fn shadow(&self, offset: u64, shadow: Shadow) {
        // SAFETY: the caller's promise; it goes before the connection.
        let twin = unsafe { Twin::new((self.key, self.node), self.base.add(offset as usize), offset, shadow) };
        self.posting.enter_twin(twin);
    }

    /// Before such memory is mapped at these addresses. The caller holds forks off.
    pub(in crate::membership::way) fn map_over(&self, start: *mut u8, length: usize) {
        self.posting.map_over(start, length);
    }

    /// Forgets such memory.
    pub(in crate::membership::way) fn unshadow(&self, start: *mut u8) {
        self.posting.leave_twin(self.key, start);
    }

    /// Returns when every store that a barrier of this type waits for has been executed, or has nowhere to go.
    pub(in crate::membership::way) fn settle(&self, kind: BarrierType, is_cut: impl Fn() -> bool) {
        let _shield = Shield::raise();
        self.look(self.mapped(kind));
        // What other threads post meanwhile is not waited for.
        let posted = self.posting.with(|posted| posted.lock().posted()).unwrap_or(0);
        loop {
            if is_cut() {
                self.posting.with(|posted| posted.lock().forget(self.key));
                return;
            }
            let now = now();
            let turn = |log: &Posted<Cargo>| self.posting.settle(log, (self.key, kind, posted), now);
            match self.posting.with(turn).flatten() {
                None => return,
                Some(due) => pause_until(due.min(now + LOOK)),
            }
        }
    }

    /// [`settle`](Self::settle) for a verdict, which takes its time too. Whether the span can be vouched for: not where the
    /// source of a put was gone before it could be read.
    pub(in crate::membership::way) fn close(
        &self,
        kind: BarrierType,
        is_cut: impl Fn() -> bool,
        disturb: Disturb<'_>,
    ) -> bool {
        let _shield = Shield::raise();
        self.look(self.mapped(kind));
        let began = self.begin();
        let whole = self.meet(disturb);
        self.settle(kind, is_cut);
        let end = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            (log.end_span(self.key), self.posting.take_unread(&log, self.key, kind))
        };
        let (delay, unread) = self.posting.with(end).unwrap_or_default();
        pause_until(now() + delay);
        self.end(began, Cost::Check, 0);
        whole && !unread
    }

    pub(in crate::membership::way) fn order(&self, kind: BarrierType) {
        if self.spans.is_mapped_directly() {
            // What is stored through such a mapping is not late.
            self.settle(kind, || false);
        }
        let order = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            self.posting.look(&mut log, self.mapped(kind), Follow::Nothing);
            log.order(self.key, kind);
        };
        let began = self.begin();
        self.posting.with(order);
        self.end(began, Cost::Order, 0);
    }

    /// Delays nothing from now on: the import ends.
    pub(in crate::membership::way) fn quiet(&self) {
        self.posting.quiet();
    }

    /// Posts a signal.
    pub(in crate::membership::way) fn post(&self, bell: NonNull<Bell>, epoch: u32, accumulate: Accumulate) {
        let _shield = Shield::raise();
        let began = self.begin();
        let arrival = began.map_or(0, |(pace, began)| pace.arrival(began));
        let mut by = 0;
        let mut waits = false;
        if accumulate == Accumulate::No && self.meets(Fault::MergeSignal, Call::Signal).is_some() {
            (by, waits) = (MERGE, true);
        }
        if let Some(number) = self.meets(Fault::LateSignal, Call::Signal) {
            by = by.max(LATE + number % (2 * LATE));
        }
        let signal = Cargo::Signal { bell, epoch, accumulate, arrival };
        let mut signals = vec![(signal, by, waits)];
        if let Some(number) = self.meets(Fault::Spurious, Call::Signal) {
            // It wakes whoever waits, whatever was posted.
            signals.insert(
                0,
                (Cargo::Signal { bell, epoch, accumulate: Accumulate::Yes, arrival }, number % SPURIOUS, false),
            );
        }
        self.posting.signal(self.key, Mapped::From(self.node), &signals);
        self.end(began, Cost::Store, 8);
    }

    /// Whether a mapping is refused. The caller holds forks off.
    pub(in crate::membership::way) fn refuses_map(&self) -> bool {
        self.posting.meets_held(Fault::Refuse, self.place(Call::Map)).is_some()
    }

    /// Whether an entry of a vector put is where it stops.
    pub(in crate::membership::way) fn stops(&self) -> bool {
        self.meets(Fault::Partial, Call::Entry).is_some()
    }

    /// # Safety
    /// The transfer lies inside of the segment, and the connection has the permission that it needs.
    pub(in crate::membership::way) unsafe fn carry<M: Move>(
        &self,
        offset: u64,
        moved: M,
        explicit: bool,
        disturb: Disturb<'_>,
    ) -> M::Loaded {
        let _shield = Shield::raise();
        let (began, bytes) = (self.begin(), moved.bytes());
        // SAFETY: the caller's promise.
        let loaded = unsafe {
            match M::DIRECTION {
                Direction::Get => {
                    let loaded = self.get(offset, moved);
                    // Who has seen a flag finds in its mapping what came before it.
                    self.follow(Mapped::Of(self.key), Follow::All);
                    loaded
                }
                Direction::Put if explicit => self.put(offset, moved),
                Direction::Put => {
                    self.settle(BarrierType::Segment, || false);
                    let target = Target::Bytes { offset, length: moved.bytes() };
                    let place = self.base.add(offset as usize);
                    let store = |stores| if stores { moved.whole(place) } else { moved.loaded() };
                    let loaded = self.meet_put(disturb, store);
                    self.posting.follow_bytes(self.key, target);
                    loaded
                }
            }
        };
        match M::DIRECTION {
            Direction::Get => self.end(began, Cost::Load, bytes),
            Direction::Put => {
                self.end(began, Cost::Store, bytes);
                if !explicit {
                    self.end(self.begin(), Cost::Check, 0);
                }
            }
        }
        loaded
    }

    /// # Safety
    /// As [`carry`](Self::carry).
    unsafe fn put<M: Move>(&self, offset: u64, mut moved: M) -> M::Loaded {
        let Some(model) = self.model else {
            self.note_put();
            // SAFETY: the caller's promise.
            return unsafe { moved.whole(self.base.add(offset as usize)) };
        };
        let late = moved.source().filter(|_| model.reads_source_late() && can_fetch());
        let pieces = model.cuts(offset, moved.bytes()).map(|(at, length)| {
            let cargo = match late {
                Some(from) => Cargo::Source { base: self.base, from: from.wrapping_add((at - offset) as usize) },
                None => {
                    let mut words = room(at, length);
                    // SAFETY: the words have room for the piece; no word of the data is cut.
                    unsafe { moved.part(place_in(&mut words, at), at - offset, length) };
                    Cargo::Words { base: self.base, words }
                }
            };
            (Target::Bytes { offset: at, length }, cargo)
        });
        let pieces = pieces.collect();
        // It may have become a child that posts nothing since the way was chosen; then nothing is delayed.
        for (target, cargo) in self.posting.post(self.key, Mapped::Of(self.key), pieces).into_iter().flatten() {
            // Its source is there: the call has not returned.
            let _ = execute(target, &cargo);
        }
        moved.loaded()
    }

    /// # Safety
    /// As [`carry`](Self::carry).
    unsafe fn get<M: Move>(&self, offset: u64, moved: M) -> M::Loaded {
        let bytes = moved.bytes();
        if self.model.is_some_and(|model| model.load() == Load::Pushes) {
            self.settle(BarrierType::Node, || false);
        }
        // What is on its way stays so while the lock is held: either it is seen here, or it is there already.
        let staged = self.posting.with(|posted| {
            let mut log = posted.lock();
            self.posting.look(&mut log, Mapped::Of(self.key), Follow::Nothing);
            let over = log.over(self.key, offset, bytes);
            if over.is_empty() {
                return None;
            }
            let mut words = room(offset, bytes);
            // SAFETY: whole words inside of the mapping, which ends with a page.
            unsafe { load(self.base.add((offset & !7) as usize), &mut words) };
            for piece in over {
                lay_over(&mut words, offset, bytes, piece.target, &piece.cargo);
            }
            Some(words)
        });
        match staged.flatten() {
            // SAFETY: as much as is loaded, aligned as in the segment.
            Some(mut words) => unsafe { moved.whole(place_in(&mut words, offset)) },
            // SAFETY: the caller's promise.
            None => unsafe { moved.whole(self.base.add(offset as usize)) },
        }
    }
}

/// Loads words with one access each.
///
/// # Safety
/// As many words are mapped at `from`, which is aligned.
unsafe fn load(from: *const u8, words: &mut [u64]) {
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *word = unsafe { u64::load(from.add(i * 8)) };
    }
}

/// Puts a piece that is on its way over what was loaded of `bytes` from `offset` on.
fn lay_over(words: &mut [u64], offset: u64, bytes: u64, target: Target, cargo: &Cargo) {
    let Target::Bytes { offset: at, length } = target else { return };
    let fetched;
    let from = match cargo {
        Cargo::Words { words, .. } => words,
        Cargo::Source { from, .. } => match fetch(*from, at, length) {
            Some(words) => {
                fetched = words;
                &fetched
            }
            None => return,
        },
        Cargo::Signal { .. } => return,
    };
    let (start, end) = (at.max(offset), (at + length).min(offset + bytes));
    let source = from.as_ptr().cast::<u8>().wrapping_add((start - (at & !7)) as usize);
    let place = words.as_mut_ptr().cast::<u8>().wrapping_add((start - (offset & !7)) as usize);
    // SAFETY: the range lies in both, by the lines above; they are different memory.
    unsafe { std::ptr::copy_nonoverlapping(source, place, (end - start) as usize) };
}

impl Drop for Lensed {
    fn drop(&mut self) {
        let _shield = Shield::raise();
        self.posting.leave(self.key);
        self.posting.with(|_| self.posting.faults().forget(self.node, self.id, self.nth));
    }
}
