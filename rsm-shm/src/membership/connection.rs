//! One import: the data path.
//!
//! After a connect everything a transfer needs stands in one aligned record: where the memory is mapped, how long it
//! is, the granted generation and where the current one is found. A transfer is a few compares, the access, and in
//! implicit mode a fence and two more compares. It makes no system call, takes no lock, allocates nothing.
//!
//! The memory is mapped whole when the connection is made, and its descriptor closed: an import costs no descriptor,
//! and there is none that the events thread, with its private table, could not close when the import is cut off.
#![allow(unsafe_code)]

use super::{Membership, deadline, fork, lock};
use crate::memory::copy::{self, Word};
use crate::memory::fence;
use crate::memory::region::Region;
use crate::parking::{BellPark, Poster};
use rsm_core::access::Permission;
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::crash_point;
use rsm_core::generation::{EndCause, Generation};
use rsm_core::message::{Ask, Connected, ConnectionName};
use rsm_core::registry::LinkWord;
use rsm_core::sync::Ordering::{Acquire, Relaxed};
use rsm_core::sync::{AtomicU32, AtomicU64, acquire};
use rsm_core::tally::TallyRow;
use rsm_core::verdict::Snapshot;
use rsm_core::{Code, Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const READ: u32 = 0o400;
const WRITE: u32 = 0o200;
/// Transfers are bare; the program opens spans itself.
pub const EXPLICIT: u32 = 1;
/// Somebody watches: transfers are tallied.
pub const TALLIED: u32 = 2;
/// This process is a forked child that the agent does not know as a holder of the connection yet.
pub const INHERITED: u32 = 4;
/// What makes a transfer take its cold path, the plain one paying nothing for it.
pub const NOT_PLAIN: u32 = TALLIED | INHERITED;
/// Flags from here up mean nothing to a connection: they are for who made it.
pub const FREE_FLAGS: u32 = 16;

/// Who vouches for transfers (reference 3.6).
#[doc(alias = "rsm_barrier_mode_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierMode {
    /// The program opens and closes spans; put and get only move data.
    Explicit,
    /// Each put and get is a span of its own, and reports its verdict. The default.
    Implicit,
}

/// An import. It ends, and the exporter is told, when this is dropped.
///
/// What a transfer reads comes first and fills one cache line.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Connection {
    flags: AtomicU32,
    export_epoch: u32,
    base: *mut u8,
    length: u64,
    granted: Generation,
    generation: NonNull<AtomicU64>,
    link: NonNull<AtomicU64>,
    export_bell: NonNull<Bell>,
    import_bell: NonNull<Bell>,
    node: u32,
    permission: Permission,
    tie: Tie,
}

/// What holds the connection at the agent and in the table. A part of its own, so that dropping it borrows nothing that
/// the events thread, through the table, still uses.
#[derive(Debug)]
struct Tie {
    name: ConnectionName,
    controller: u32,
    id: u32,
    given_back: AtomicBool,
    membership: Arc<Membership>,
}

/// What a connection is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) connected: &'a Connected,
    pub(super) whole: Arc<Region>,
    pub(super) generation: &'a AtomicU64,
    pub(super) link: &'a AtomicU64,
    pub(super) export_bell: &'a Bell,
    pub(super) import_bell: &'a Bell,
    pub(super) controller: u32,
    pub(super) node: u32,
    pub(super) id: u32,
    pub(super) permission: Permission,
}

// SAFETY: the pointers lead into mappings that live as long as the membership and the table's entry, which the tie
// removes; what they lead to is made of atomics or accessed as shared memory.
unsafe impl Send for Connection {}
// SAFETY: as above; the fields that change are atomics.
unsafe impl Sync for Connection {}

impl Connection {
    /// Builds an import and enters it in the table.
    ///
    /// # Errors
    /// INTERNAL_ERROR when the agent gave it the name of another, whose memory would go with the entry.
    pub(super) fn new(membership: &Arc<Membership>, parts: Parts<'_>) -> Result<Arc<Connection>> {
        let connected = parts.connected;
        let table = &mut lock(&membership.shared.state).table;
        if table.whole(connected.connection).is_some() {
            return Err(Error::with(Code::InternalError, "the agent granted the same connection twice"));
        }
        let connection = Arc::new(Connection {
            flags: AtomicU32::new(parts.permission.bits()),
            export_epoch: connected.export_epoch,
            base: parts.whole.as_ptr(),
            length: connected.length,
            granted: Generation::from_word(connected.connection.generation),
            generation: NonNull::from(parts.generation),
            link: NonNull::from(parts.link),
            export_bell: NonNull::from(parts.export_bell),
            import_bell: NonNull::from(parts.import_bell),
            node: parts.node,
            permission: parts.permission,
            tie: Tie {
                name: connected.connection,
                controller: parts.controller,
                id: parts.id,
                given_back: AtomicBool::new(false),
                membership: Arc::clone(membership),
            },
        });
        let (flags, registry) = (NonNull::from(&connection.flags), membership.registry());
        // SAFETY: the flags stay where they are until the last owner of the connection drops it; the tie is dropped
        // then, and takes the entry out before anything is freed.
        unsafe { table.enter(&registry, connected.connection, flags, parts.whole, parts.permission) };
        Ok(connection)
    }

    /// The name the agent knows it by.
    pub(super) fn name(&self) -> ConnectionName {
        self.tie.name
    }

    /// The flags. Those from [`FREE_FLAGS`] up are the caller's.
    #[inline(always)]
    pub fn flags(&self) -> &AtomicU32 {
        &self.flags
    }

    /// Bytes of the segment.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The exporting node.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// The controller that it goes through.
    pub(super) fn controller(&self) -> u32 {
        self.tie.controller
    }

    /// The id that it connected to.
    pub fn id(&self) -> u32 {
        self.tie.id
    }

    /// What was asked for and granted.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Sets who vouches for transfers from the next one on.
    pub fn set_mode(&self, mode: BarrierMode) {
        match mode {
            BarrierMode::Explicit => self.flags.fetch_or(EXPLICIT, Relaxed),
            BarrierMode::Implicit => self.flags.fetch_and(!EXPLICIT, Relaxed),
        };
    }

    /// Who vouches for transfers.
    pub fn mode(&self) -> BarrierMode {
        if self.flags.load(Relaxed) & EXPLICIT != 0 { BarrierMode::Explicit } else { BarrierMode::Implicit }
    }

    fn generation(&self) -> &AtomicU64 {
        // SAFETY: in the registry, which the membership keeps mapped.
        unsafe { self.generation.as_ref() }
    }

    fn link_word(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.link.as_ref() }
    }

    /// Where the whole segment is mapped.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// The bell that the exporter posts to, for who waits on many.
    pub fn bell(&self) -> &Bell {
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.import_bell.as_ref() }
    }

    /// The membership it was made through.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.tie.membership
    }

    /// Ends a span of loads: orders them before the verdict, and gives it.
    ///
    /// # Errors
    /// CONN_ABORTED, BARRIER_FAILURE.
    #[inline]
    pub fn close_read_span(&self, opened: Snapshot) -> Result<()> {
        opened.judge_loads(self.generation(), self.link_word())
    }

    /// Whether the exporter, or the loss of it, has cut the connection.
    pub fn is_aborted(&self) -> bool {
        acquire(self.generation()) != self.granted.word()
    }

    /// Why the connection was cut; `None` while it was not.
    pub fn end_cause(&self) -> Option<EndCause> {
        let now = Generation::from_word(acquire(self.generation()));
        // The row of a connection that nobody holds any more may be another's: a forked child that the agent does not
        // know holds none.
        if now.serial() == self.granted.serial() { now.cause() } else { Some(EndCause::Disconnected) }
    }

    /// Notes where a span begins.
    #[inline]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { granted: self.granted, link: LinkWord::from_word(acquire(self.link_word())) }
    }

    /// What [`snapshot`](Self::snapshot) noted when the link word was this.
    #[inline(always)]
    pub fn opened_with(&self, link: LinkWord) -> Snapshot {
        Snapshot { granted: self.granted, link }
    }

    /// Ends a span: a full fence, then the verdict.
    ///
    /// # Errors
    /// CONN_ABORTED, BARRIER_FAILURE.
    #[inline]
    pub fn close_span(&self, opened: Snapshot) -> Result<()> {
        crash_point!(SpanClosing);
        fence::full();
        opened.judge(self.generation(), self.link_word())
    }

    /// Checks a transfer in the reference's order (1.14) and, in implicit mode, makes it a span of its own. A verdict that
    /// fails is [told](Self::told), unless the caller does that: in a loop it costs registers.
    #[inline(always)]
    fn transfer<const NEED: u32, const TOLD: bool>(
        &self,
        offset: u64,
        bytes: u64,
        align: u64,
        access: impl FnOnce(*mut u8),
    ) -> Result<()> {
        let flags = self.flags.load(Relaxed);
        let fine = offset.is_multiple_of(align)
            && flags & (NEED | NOT_PLAIN) == NEED
            && self.length.checked_sub(bytes).is_some_and(|last| offset <= last);
        if !fine {
            self.recheck::<NEED>(offset, bytes, align)?;
        }
        // SAFETY: offset is at most the length of the mapping.
        let place = unsafe { self.base.add(offset as usize) };
        if flags & EXPLICIT != 0 {
            access(place);
            return Ok(());
        }
        let opened = self.snapshot();
        access(place);
        crash_point!(TransferDone);
        let verdict = if NEED == WRITE {
            fence::full();
            opened.judge(self.generation(), self.link_word())
        } else {
            // Nothing was stored that others wait for.
            opened.judge_loads(self.generation(), self.link_word())
        };
        if TOLD { verdict.map_err(|error| self.told(error)) } else { verdict }
    }

    /// What is wrong with a transfer; `Ok` when it only is not plain.
    #[cold]
    #[inline(never)]
    fn recheck<const NEED: u32>(&self, offset: u64, bytes: u64, align: u64) -> Result<()> {
        if !offset.is_multiple_of(align) {
            return Err(Error::with(Code::BadMemAlignment, format!("offset {offset} is no multiple of {align}")));
        }
        if self.flags.load(Relaxed) & NEED == 0 {
            let what = if NEED == WRITE { "put" } else { "get" };
            let text = format!("{what} through an import with permission {}", self.permission);
            return Err(Error::with(Code::PermDenied, text));
        }
        if bytes > self.length || offset > self.length - bytes {
            return Err(Error::with(
                Code::BadOffset,
                format!("{bytes} bytes at offset {offset} of a segment of {} bytes", self.length),
            ));
        }
        self.not_plain(|row| if NEED == WRITE { row.put(bytes) } else { row.got(bytes) })
    }

    /// The cold part of a transfer that was found right: makes a forked child known to the agent, and tallies.
    ///
    /// # Errors
    /// As [`adopt_process`](Self::adopt_process).
    pub fn not_plain(&self, note: impl FnOnce(&TallyRow)) -> Result<()> {
        self.adopt_process()?;
        if self.flags.load(Relaxed) & TALLIED != 0 {
            self.membership().tally(note);
        }
        Ok(())
    }

    /// In a forked child: makes the agent know this process, so that it is told when the connection is cut.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or threads for it.
    pub fn adopt_process(&self) -> Result<()> {
        if self.flags.load(Relaxed) & INHERITED == 0 {
            return Ok(());
        }
        // Transfers come here unshielded, and this joins.
        let _shield = crate::cancel::Shield::raise();
        match self.membership().link_in_a_moment() {
            Ok(Some(_)) => {}
            // The agent does not answer now: what the registry says of the connection holds meanwhile.
            Ok(None) => return Ok(()),
            // Without an agent nothing is ever cut: what is mapped goes on working.
            Err(error) if error.code() == Code::CtlrNotPresent => {}
            Err(error) => return Err(error),
        }
        self.flags.fetch_and(!INHERITED, Relaxed);
        Ok(())
    }

    /// Stores one word.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_put8` to `put64`, reference 1.14.
    #[inline]
    pub fn put_word<W: Word>(&self, offset: u64, value: W) -> Result<()> {
        let size = size_of::<W>() as u64;
        self.transfer::<WRITE, true>(offset, size, size, |place| {
            // SAFETY: `transfer` checked range, alignment (the mapping starts at a page) and permission.
            unsafe { W::store(place, value) }
        })
    }

    /// Stores words in ascending order.
    ///
    /// # Errors
    /// As [`put_word`](Self::put_word).
    #[inline]
    pub fn put_words<W: Word>(&self, offset: u64, values: &[W]) -> Result<()> {
        self.transfer::<WRITE, true>(offset, size_of_val(values) as u64, size_of::<W>() as u64, |place| {
            // SAFETY: as in `put_word`, for all of them.
            unsafe { copy::write_words(place, values) }
        })
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_put`, reference 1.14.
    #[inline]
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.transfer::<WRITE, true>(offset, bytes.len() as u64, 1, |place| {
            // SAFETY: `transfer` checked range and permission; a Rust slice lies in no segment.
            unsafe { copy::write_bytes(place, bytes) }
        })
    }

    /// [`put`](Self::put), with a verdict that says no more than its code.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    #[inline]
    pub fn put_untold(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.transfer::<WRITE, false>(offset, bytes.len() as u64, 1, |place| {
            // SAFETY: as in `put`.
            unsafe { copy::write_bytes(place, bytes) }
        })
    }

    /// Loads one word.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_get8` to `get64`, reference 1.14.
    #[inline]
    pub fn get_word<W: Word>(&self, offset: u64) -> Result<W> {
        let size = size_of::<W>() as u64;
        let mut value = W::default();
        self.transfer::<READ, true>(offset, size, size, |place| {
            // SAFETY: as in `put_word`, for reading.
            value = unsafe { W::load(place) };
        })?;
        Ok(value)
    }

    /// Loads words in ascending order.
    ///
    /// # Errors
    /// As [`get_word`](Self::get_word). What was loaded when a verdict fails is in `values` all the same.
    #[inline]
    pub fn get_words<W: Word>(&self, offset: u64, values: &mut [W]) -> Result<()> {
        self.transfer::<READ, true>(offset, size_of_val(values) as u64, size_of::<W>() as u64, |place| {
            // SAFETY: as in `get_word`, for all of them.
            unsafe { copy::read_words(place, values) }
        })
    }

    /// Loads bytes.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_get`, reference 1.14.
    #[inline]
    pub fn get(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.transfer::<READ, true>(offset, bytes.len() as u64, 1, |place| {
            // SAFETY: `transfer` checked range and permission; a Rust slice lies in no segment.
            unsafe { copy::read_bytes(place, bytes) }
        })
    }

    /// [`get`](Self::get), with a verdict that says no more than its code.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    pub fn get_untold(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.transfer::<READ, false>(offset, bytes.len() as u64, 1, |place| {
            // SAFETY: as in `get`.
            unsafe { copy::read_bytes(place, bytes) }
        })
    }

    /// Posts a signal to the export.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut (D-61).
    #[inline]
    pub fn post(&self, accumulate: Accumulate) -> Result<()> {
        if self.flags.load(Relaxed) & TALLIED != 0 {
            self.membership().tally(TallyRow::posted);
        }
        if self.is_aborted() {
            return Err(Error::new(Code::ConnAborted));
        }
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.export_bell.as_ref() }.post(self.export_epoch, accumulate, &Poster)
    }

    /// Takes one signal that the exporter posted; waits for at most `timeout`.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED; CONN_ABORTED when nothing is pending and the connection was cut; CTLR_NOT_PRESENT when
    /// the cluster has ended.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.membership().wait_on(self.bell(), timeout)
    }
}

impl Connection {
    /// Ends the connection.
    ///
    /// # Errors
    /// SEG_STILL_MAPPED while a [`Window`](super::window::Window) of it exists, which then ends it; CTLR_NOT_PRESENT when the cluster has
    /// ended, and the connection with it.
    pub fn disconnect(self: Arc<Connection>) -> Result<()> {
        // We own one and nobody can make another of nothing: if it is the only one it stays so.
        if Arc::strong_count(&self) > 1 {
            return Err(Error::with(Code::SegStillMapped, "a mapping of the import still exists"));
        }
        // What threads did through owners that are gone comes before the unmapping: pairs with the Release of their drop.
        rsm_core::sync::fence(Acquire);
        self.tie.give_back()
    }
}

impl Tie {
    fn give_back(&self) -> Result<()> {
        if self.given_back.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        if fork::is_unannounced() {
            return Ok(()); // the parent's, whose lock may be held for ever here
        }
        let (windows, process) = {
            let state = &mut *lock(&self.membership.shared.state);
            (state.table.remove(self.name), state.link.process)
        };
        // Unmapped before the agent is told: it may ask the kernel right away whether the memory is free.
        drop(windows);
        crash_point!(DisconnectUnmapped);
        // A forked child that the agent does not know has no share in it to give back.
        if process != fork::count() {
            return Ok(());
        }
        match self.membership.ask_done(Ask::Disconnect { connection: self.name }) {
            // Cut, and given back by its other holders, while this child was joining.
            Err(error) if error.code() == Code::BadSegHndl => Ok(()),
            other => other,
        }
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        // Fails when the cluster has ended, and then there is nobody to tell.
        let _ = self.give_back();
    }
}

impl Membership {
    /// Takes a signal from a bell of this process.
    pub(super) fn wait_on(&self, bell: &Bell, timeout: Option<Duration>) -> Result<()> {
        if self.take(bell) { Ok(()) } else { self.wait_longer(bell, timeout) }
    }

    /// Takes a signal that is pending.
    #[inline]
    pub fn take(&self, bell: &Bell) -> bool {
        let taken = bell.try_take() == Ok(true);
        if taken && self.shared.tallying.is_on() {
            self.tally(TallyRow::waited);
        }
        taken
    }

    #[inline(never)]
    fn wait_longer(&self, bell: &Bell, timeout: Option<Duration>) -> Result<()> {
        let deadline = deadline(timeout);
        match self.take_until(bell, timeout, deadline) {
            Err(error) if error.code() == Code::ConnAborted && crate::strict::is_on() => {
                // In silence, for as long as was asked for.
                let nobody_wakes = AtomicU32::new(0);
                loop {
                    self.sleep(&nobody_wakes, 0, deadline)?;
                }
            }
            taken => {
                if self.shared.tallying.is_on() && taken.is_ok() {
                    self.tally(TallyRow::waited);
                }
                taken
            }
        }
    }

    fn take_until(&self, bell: &Bell, timeout: Option<Duration>, deadline: Option<Instant>) -> Result<()> {
        let processes = self.registry().header.processes();
        if bell.try_take()?
            || timeout != Some(Duration::ZERO) && self.shared.spinning.spin(processes, || bell.try_take())?
        {
            return Ok(());
        }
        let parking = self.parking(deadline)?;
        let park = BellPark { parking: &parking, deadline };
        bell.wait(0, &park).map_err(|error| match error.code() {
            Code::CtlrNotPresent => super::gone(&self.shared.address),
            _ => error,
        })
    }
}
