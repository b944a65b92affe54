//! PEs as one reaches them: where their memory is, and what was put there since the last `shmem_quiet`.
#![allow(unsafe_code)] // an address that was looked up becomes a place

use crate::Call;
use crate::control::Control;
use crate::end;
use crate::job::{DATA, HEAP, Job};
use crate::local::Sym;
use crate::order;
use crate::place::Place;
use crate::wait;
use rsm_core::registry::LinkWord;
use rsm_core::verdict::{BarrierType, Snapshot};
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::flags::Flags;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A range of this PE's symmetric memory.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    /// Address of its first byte.
    pub(crate) start: usize,
    pub(crate) length: usize,
    /// Where it begins in its segment.
    pub(crate) first: usize,
}

impl Region {
    /// Where so many bytes lie in it.
    #[inline(always)]
    fn find(&self, sym: Sym, bytes: usize) -> Option<usize> {
        let offset = sym.address().wrapping_sub(self.start);
        if offset < self.length && bytes <= self.length - offset { Some(offset) } else { None }
    }
}

/// A region of another PE.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    /// What corresponds to the region's first byte; NULL where that PE has no such region.
    pub(crate) base: *mut u8,
    /// None for the own PE.
    pub(crate) connection: Option<&'static Connection>,
}

/// A PE.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) pe: usize,
    pub(crate) control: &'static Control,
    pub(crate) sides: [Side; 2],
}

// SAFETY: the pointers lead to memory that is made for concurrent use and mapped to the end of the process.
unsafe impl Send for Peer {}
// SAFETY: as above.
unsafe impl Sync for Peer {}

impl Peer {
    /// Whether it can be reached no more.
    pub(crate) fn is_cut(&self) -> bool {
        self.sides.iter().any(|side| side.connection.is_some_and(Connection::is_aborted))
    }
}

/// A PE as a context reaches it.
pub(crate) struct Target {
    pub(crate) peer: Peer,
    /// For each side one more than the link's word when the first put since the last quiet was made; 0 since there was none.
    opened: [AtomicU64; 2],
    /// Something was put, and then ordered.
    ordered: AtomicBool,
}

/// Memory of a PE that a call is about.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    pub(crate) target: &'a Target,
    pub(crate) side: usize,
    /// In the region.
    pub(crate) offset: usize,
    pub(crate) place: Place,
}

impl Job {
    /// The region, and where in it.
    #[inline(always)]
    pub(crate) fn find(&self, sym: Sym, bytes: usize) -> Option<(usize, usize)> {
        if let Some(offset) = self.regions[HEAP].find(sym, bytes) {
            return Some((HEAP, offset));
        }
        self.regions[DATA].find(sym, bytes).map(|offset| (DATA, offset))
    }

    /// Symmetric memory of the own PE, or the end of the job.
    pub(crate) fn own(
        &self,
        call: &Call,
        argument: &str,
        sym: Sym,
        bytes: usize,
        align: usize,
    ) -> (Place, usize, usize) {
        self.on(call, argument, sym, bytes, align, self.me)
    }

    /// Symmetric memory of a PE, by its number in the world, or the end of the job.
    pub(crate) fn on(
        &self,
        call: &Call,
        argument: &str,
        sym: Sym,
        bytes: usize,
        align: usize,
        pe: usize,
    ) -> (Place, usize, usize) {
        if sym.is_null() {
            end::fail(call, format_args!("{argument} is NULL"));
        }
        if !sym.address().is_multiple_of(align) {
            end::fail(
                call,
                format_args!("{argument} {:#x} is no multiple of {align}, as its type must be", sym.address()),
            );
        }
        let Some((side, offset)) = self.find(sym, bytes) else { self.fail_range(call, argument, sym, bytes) };
        let base = self.peers[pe].sides[side].base;
        if base.is_null() {
            end::fail(
                call,
                format_args!("{argument} {:#x} is a global variable, and PE {pe} runs another program", sym.address()),
            );
        }
        // SAFETY: inside of the region, which is mapped as long on that PE.
        (unsafe { Place::new(base.wrapping_add(offset)) }, side, offset)
    }

    #[cold]
    #[inline(never)]
    fn fail_range(&self, call: &Call, argument: &str, sym: Sym, bytes: usize) -> ! {
        let (heap, data) = (&self.regions[HEAP], &self.regions[DATA]);
        let address = sym.address();
        let begins = [heap, data].into_iter().find(|r| r.find(sym, 1).is_some());
        if let Some(region) = begins {
            let left = region.start + region.length - address;
            end::fail(
                call,
                format_args!("{argument} {address:#x} has {bytes} bytes, of which {left} are symmetric memory"),
            );
        }
        let range = |region: &Region| format!("{:#x} to {:#x}", region.start, region.start + region.length);
        end::fail(
            call,
            format_args!(
                "{argument} {address:#x} is not symmetric: neither in the heap ({}) nor a global variable of the program ({})",
                range(heap),
                range(data)
            ),
        )
    }
}

impl Target {
    pub(crate) fn new(peer: Peer) -> Target {
        Target { peer, opened: Default::default(), ordered: AtomicBool::new(false) }
    }

    /// Whether a put may go straight to memory: the own PE, or a plain connection with an open span.
    #[inline(always)]
    fn takes_puts(&self, side: usize) -> bool {
        match self.peer.sides[side].connection {
            None => true,
            // Relaxed: of this PE's own threads, for whom the first put has opened it.
            Some(connection) => {
                !connection.flags().now().has_any(Flags::NOT_PLAIN) && self.opened[side].load(Relaxed) != 0
            }
        }
    }

    /// The spot of a put, if that may go straight to memory.
    #[inline(always)]
    pub(crate) fn spot_to_put(&self, job: &Job, sym: Sym, bytes: usize) -> Option<Spot<'_>> {
        let (side, offset) = job.find(sym, bytes)?;
        if self.takes_puts(side) { self.spot(side, offset) } else { None }
    }

    /// The spot of a get, if that may come straight from memory.
    #[inline(always)]
    pub(crate) fn spot_to_get(&self, job: &Job, sym: Sym, bytes: usize) -> Option<Spot<'_>> {
        let (side, offset) = job.find(sym, bytes)?;
        let is_plain = |connection: &Connection| !connection.flags().now().has_any(Flags::NOT_PLAIN);
        if self.peer.sides[side].connection.is_none_or(is_plain) { self.spot(side, offset) } else { None }
    }

    #[inline(always)]
    fn spot(&self, side: usize, offset: usize) -> Option<Spot<'_>> {
        let base = self.peer.sides[side].base;
        if base.is_null() {
            return None;
        }
        // SAFETY: found inside of the region, which is mapped as long on that PE.
        Some(Spot { target: self, side, offset, place: unsafe { Place::new(base.wrapping_add(offset)) } })
    }

    /// Waits until what was put has arrived, and judges. Whether anything was.
    pub(crate) fn close(&self, job: &Job, call: &Call) {
        for (side, opened) in self.peer.sides.iter().zip(&self.opened) {
            let Some(connection) = side.connection else { continue };
            // Relaxed: as above. Through a lens a put of another thread may be late although its span is closed already.
            let word = opened.swap(0, Relaxed);
            if word == 0 && !job.is_lensed {
                continue;
            }
            let snapshot = if word == 0 { connection.snapshot() } else { noted(connection, word) };
            if let Err(error) = connection.close_span(snapshot, BarrierType::Segment) {
                order::lost(job, call, self.peer.pe, &connection.told(error));
            }
        }
        self.ordered.store(false, Relaxed);
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

    /// Before an atomic operation, which is never late: what was ordered before it has to be there.
    pub(crate) fn settle_for_atomic(&self, job: &Job, call: &Call) {
        if self.ordered.load(Relaxed) {
            self.close(job, call);
        }
    }
}

/// What a put noted when it opened a span.
fn noted(connection: &Connection, word: u64) -> Snapshot {
    connection.opened_with(LinkWord::from_word(word - 1))
}

impl Spot<'_> {
    pub(crate) fn connection(&self) -> Option<&'static Connection> {
        self.target.peer.sides[self.side].connection
    }

    /// Where it is in its segment.
    pub(crate) fn in_segment(&self, job: &Job) -> u64 {
        (job.regions[self.side].first + self.offset) as u64
    }

    /// Opens a span, if none is open.
    pub(crate) fn open(&self) {
        if let Some(connection) = self.connection() {
            let word = connection.snapshot().link.word() + 1;
            // Relaxed: as in `takes_puts`. The first one counts: what it put is in the span.
            let _ = self.target.opened[self.side].compare_exchange(0, word, Relaxed, Relaxed);
        }
    }

    /// Tells whoever sleeps for these bytes that they have changed.
    #[inline(always)]
    pub(crate) fn tell(&self, bytes: usize) {
        wait::stored(self.target.peer.control, self.side, self.offset, bytes);
    }

    /// Ends the job if what was loaded came from nowhere.
    #[inline(always)]
    pub(crate) fn check(&self, job: &Job, call: &Call) {
        if let Some(connection) = self.connection()
            && connection.is_aborted()
        {
            order::cut(job, call, self.target.peer.pe);
        }
    }
}
