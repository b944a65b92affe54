//! PEs as one reaches them: where their memory is, and what was put there since the last `shmem_quiet`.
#![allow(unsafe_code)] // an address that was looked up becomes a place

use crate::Call;
use crate::control::Control;
use crate::end;
use crate::job::{DATA, HEAP, Job, job};
use crate::local::Sym;
use crate::order;
use crate::place::Place;
use crate::region::{Region, find, find_at_sight};
use crate::wait;
use rsm_core::registry::LinkWord;
use rsm_core::verdict::{BarrierType, Snapshot};
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::flags::Flags;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, fence};

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
    /// It is about to be told, by a word of the library's, what stands for all that this PE has done.
    #[inline(always)]
    pub(crate) fn is_told(&self, job: &Job) {
        if job.is_lensed {
            self.races(Connection::race_tells);
        }
    }

    /// It has told this PE so.
    #[inline(always)]
    pub(crate) fn has_told(&self, job: &Job) {
        if job.is_lensed {
            self.races(Connection::race_is_told);
        }
    }

    /// A word there is changed, or looked at, by which PEs may tell each other anything: before and after.
    #[inline(always)]
    pub(crate) fn exchanges(&self, job: &Job) {
        if job.is_lensed {
            self.races(Connection::race_exchanges);
        }
    }

    /// What is told where races are looked for. Nothing of the own PE: what is done with its memory past librsm is hidden, and
    /// with each call it learns what others have put there.
    #[cold]
    #[inline(never)]
    fn races(&self, tell: impl Fn(&Connection)) {
        if let Some(connection) = self.sides[HEAP].connection {
            tell(connection);
        }
    }

    /// Whether it can be reached no more.
    pub(crate) fn is_cut(&self) -> bool {
        self.sides.iter().any(|side| side.connection.is_some_and(Connection::is_aborted))
    }
}

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
    puts: [AtomicPtr<u8>; 2],
    /// For each side its base, if gets may come straight from memory.
    gets: [*mut u8; 2],
    lives: [Life; 2],
    pub(crate) peer: Peer,
    /// For each side one more than the link's word when the first put since the last quiet was made; 0 since there was none.
    opened: [AtomicU64; 2],
    /// Something was put, and then ordered.
    ordered: AtomicBool,
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

impl Job {
    /// The region, and where in it.
    pub(crate) fn find(&self, sym: Sym, bytes: usize) -> Option<(usize, usize)> {
        find(&self.regions, sym, bytes)
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
        let begins = [heap, data].into_iter().find(|region| region.has(region.offset(sym), 1));
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
        let own = |side: Side| if side.connection.is_none() { side.base } else { std::ptr::null_mut() };
        let is_plain = |side: Side| !side.connection.is_some_and(Connection::is_diverted);
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

    /// Waits until what was put has arrived, and judges. Whether there was a span to close, the end of which is a full fence.
    pub(crate) fn close(&self, job: &Job, call: &Call) -> bool {
        let mut any = false;
        for ((side, opened), puts) in self.peer.sides.iter().zip(&self.opened).zip(&self.puts) {
            let Some(connection) = side.connection else { continue };
            // Relaxed: as in `spot_to_put`. What another thread is about to store at this very moment through the same context may
            // be in no span: nobody then learns of a link that fails just now. Through a lens, where it may be late although its
            // span is closed already, every close waits for it.
            let word = opened.load(Relaxed);
            if word == 0 && !job.is_late {
                continue;
            }
            opened.store(0, Relaxed);
            // Release: pairs with the Acquire in `Spot::open`, which finds no span any more if it comes after.
            puts.store(std::ptr::null_mut(), Release);
            any = true;
            let snapshot = if word == 0 { connection.snapshot() } else { noted(connection, word) };
            if let Err(error) = connection.close_span(snapshot, BarrierType::Segment) {
                order::lost(job, call, self.peer.pe, &connection.told(error));
            }
        }
        self.ordered.store(false, Relaxed);
        any
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
        wait::stored(self.target.peer.control, self.side, self.offset, bytes);
    }

    /// Ends the job if what was loaded came from nowhere.
    #[inline(always)]
    pub(crate) fn check(&self, call: &'static Call) {
        let life = &self.target.lives[self.side];
        // Pairs with the full fence of who cuts connections: who loaded what was stored after it finds the connection cut. Costs
        // nothing where loads stay in order.
        fence(Acquire);
        // Relaxed: a word of memory that is mapped for reading only, behind the fence.
        if life.word.load(Relaxed) != life.granted {
            cut(call, self.target.peer.pe);
        }
    }
}

/// The end of the job for what was loaded.
#[cold]
#[inline(never)]
extern "C" fn cut(call: &'static Call, pe: usize) -> ! {
    order::cut(job(call), call, pe)
}
