//! PEs as a context reaches them: where their memory is, and what was put there since the last `shmem_quiet`.
#![allow(unsafe_code)] // an address that was looked up becomes a place

use super::peer::{Peer, Side};
use super::sleepers::stored;
use crate::local::Sym;
use crate::place::Place;
use crate::region::{HEAP, Region, find_at_sight};
use rsm_core::verdict::BarrierType;
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::flags::Flags;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, fence};

/// Whether a region of another PE is still there.
#[derive(Clone, Copy)]
struct Life {
    word: &'static AtomicU64,
    /// What the word holds as long as it is.
    granted: u64,
}

impl Life {
    fn of(side: Side) -> Life {
        /// Of the own PE, which is there.
        static OWN: AtomicU64 = AtomicU64::new(0);
        let (word, granted) = side.connection.map_or((&OWN, 0), Connection::life);
        Life { word, granted }
    }
}

/// A PE as a context reaches it. What a get needs comes first, and fills a cache line.
#[repr(C, align(128))] // found by a shift
pub(crate) struct Target {
    /// For each side its base while puts may go straight to memory: always on the own PE, otherwise while a span is open and
    /// nobody watches. NULL otherwise.
    pub(crate) puts: [AtomicPtr<u8>; 2],
    /// For each side its base, if gets may come straight from memory.
    gets: [*mut u8; 2],
    lives: [Life; 2],
    pub(crate) peer: Peer,
    /// For each side the link's word as it was when the span was opened, or is to be opened with, if the link has not changed.
    pub(crate) noted: [AtomicU64; 2],
    /// For each side whether a span is open in which puts may not go straight to memory.
    pub(crate) aside: [AtomicBool; 2],
    /// Something was put, and then ordered.
    pub(crate) ordered: AtomicBool,
}

// SAFETY: as for Peer, whose addresses it has.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// Memory of a PE that a call is about.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) target: &'a Target,
    pub(crate) side: usize,
    /// In the region.
    pub(crate) offset: usize,
    pub(crate) place: Place,
}

impl Target {
    pub(crate) fn new(peer: Peer) -> Target {
        let is_own = |side: Side| side.connection.is_none() && !peer.is_told_of;
        let own = |side: Side| if is_own(side) { side.base } else { std::ptr::null_mut() };
        // Not by whether somebody traces just now: a target lasts longer than that.
        let is_plain = |side: Side| side.connection.map_or(is_own(side), |connection| !connection.is_always_diverted());
        let plain = |side: Side| if is_plain(side) { side.base } else { std::ptr::null_mut() };
        Target {
            puts: peer.sides.map(own).map(AtomicPtr::new),
            gets: peer.sides.map(plain),
            lives: peer.sides.map(Life::of),
            peer,
            noted: Default::default(),
            aside: Default::default(),
            ordered: AtomicBool::new(false),
        }
    }

    /// The spot of a put, if that may go straight to memory.
    #[inline(always)]
    pub(crate) fn spot_to_put(&self, regions: &[Region; 2], sym: Sym, bytes: usize) -> Option<Spot<'_>> {
        let (side, offset) = find_at_sight(regions, sym, bytes)?;
        // Relaxed: of this PE's own threads, for whom the first put has opened the span.
        self.spot(self.puts[side].load(Relaxed), side, offset)
    }

    /// The spot of a get or an atomic operation, if that may reach memory straight away.
    #[inline(always)]
    pub(crate) fn spot_to_get(&self, regions: &[Region; 2], sym: Sym, bytes: usize) -> Option<Spot<'_>> {
        let (side, offset) = find_at_sight(regions, sym, bytes)?;
        self.spot(self.gets[side], side, offset)
    }

    #[inline(always)]
    fn spot(&self, base: *mut u8, side: usize, offset: usize) -> Option<Spot<'_>> {
        if base.is_null() {
            return None;
        }
        // SAFETY: found inside of the region, which is mapped as long on that PE.
        Some(Spot { target: self, side, offset, place: unsafe { Place::new(base.wrapping_add(offset)) } })
    }

    /// Whether something was put there since the last quiet. Asked of other PEs only.
    #[inline(always)]
    pub(crate) fn is_open(&self, side: usize) -> bool {
        // Acquire: pairs with the Release in `open`, whose word is there for who closes, and with the one in `close`.
        !self.puts[side].load(Acquire).is_null() || self.aside[side].load(Acquire)
    }

    /// Orders what was put before what is put after.
    pub(crate) fn order(&self) {
        // Of the node, so that one stands for both sides.
        if let Some(connection) = self.peer.sides[HEAP].connection.filter(|_| self.is_open(0) || self.is_open(1)) {
            connection.order(BarrierType::Node);
            self.ordered.store(true, Relaxed);
        }
    }
}

impl Spot<'_> {
    pub(crate) fn connection(&self) -> Option<&'static Connection> {
        self.target.peer.sides[self.side].connection
    }

    /// Where it is in its segment.
    pub(crate) fn in_segment(&self, regions: &[Region; 2]) -> u64 {
        (regions[self.side].first + self.offset) as u64
    }

    /// Opens a span, if none is open. Of threads that do so while another one closes, each finds none and opens one, or has put in the
    /// one that is closed.
    pub(crate) fn open(&self) {
        let Some(connection) = self.connection() else { return };
        let (target, side) = (self.target, self.side);
        let noted = &target.noted[side];
        // Read in this order, each with Acquire: a span that another thread has opened and put in before the link had an error that is
        // in the word is then seen to be open, and its note left as it is. The word itself the agent writes.
        let before = noted.load(Acquire);
        let word = connection.snapshot().link.word();
        if before != word && !target.is_open(side) {
            // AcqRel: who finds another's note has all that was done before it. That note is the older one, or the same.
            let _ = noted.compare_exchange(before, word, AcqRel, Acquire);
        }
        // Release: pairs with the Acquire in `is_open`.
        if connection.flags().now().has_any(Flags::NOT_PLAIN) {
            target.aside[side].store(true, Release);
        } else {
            target.puts[side].store(target.peer.sides[side].base, Release);
        }
        // What is put is stored after: whoever loads the link's word after an error that may have lost it finds the span open.
        fence(Release);
    }

    /// Tells whoever sleeps for these bytes that they have changed.
    #[inline(always)]
    pub(crate) fn tell(&self, bytes: usize) {
        stored(self.target.peer.control, self.side, self.offset, bytes);
    }

    /// Whether the PE could be reached by the time when something was loaded from there.
    #[inline(always)]
    pub(crate) fn is_there(&self) -> bool {
        let life = &self.target.lives[self.side];
        // Pairs with the full fence of who cuts connections: who loaded what was stored after it finds the connection cut. Costs
        // nothing where loads stay in order.
        fence(Acquire);
        // Relaxed: a word of memory that is mapped for reading only, behind the fence.
        life.word.load(Relaxed) == life.granted
    }
}
