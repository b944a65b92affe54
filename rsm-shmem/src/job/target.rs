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
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
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
    /// For each side one more than the link's word when the first put since the last quiet was made; 0 since there was none.
    pub(crate) opened: [AtomicU64; 2],
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
            opened: Default::default(),
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

    /// Whether something was put since the last quiet.
    pub(crate) fn is_open(&self) -> bool {
        self.opened.iter().any(|opened| opened.load(Relaxed) != 0)
    }

    /// Orders what was put before what is put after.
    pub(crate) fn order(&self) {
        // Of the node, so that one stands for both sides.
        if let Some(connection) = self.peer.sides[HEAP].connection.filter(|_| self.is_open()) {
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

    /// Opens a span, if none is open.
    pub(crate) fn open(&self) {
        if let Some(connection) = self.connection() {
            let (opened, puts) = (&self.target.opened[self.side], &self.target.puts[self.side]);
            loop {
                let word = connection.snapshot().link.word() + 1;
                // Relaxed: as in `spot_to_put`. Of threads that open it at the same time the last one counts. It has noted its word
                // before it saw that there was no span, and so before any of them puts.
                if opened.load(Relaxed) == 0 {
                    opened.store(word, Relaxed);
                }
                if connection.flags().now().has_any(Flags::NOT_PLAIN) {
                    break;
                }
                // Acquire: pairs with the Release in `close`. Another thread may have closed the span since: either it takes this
                // address away after, or it is seen here that there is no span, so that none is ever left without.
                puts.swap(self.target.peer.sides[self.side].base, AcqRel);
                if opened.load(Relaxed) != 0 {
                    break;
                }
            }
        }
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
