//! put and get.
#![allow(unsafe_code)]

use super::Connection;
use crate::membership::Membership;
use crate::membership::event::Event;
use crate::membership::flags::Flags;
use crate::membership::race::seen::untold;
use crate::membership::trace::{Noted, PutBytes};
use crate::membership::way::{Diverted, Posted, Way};
use crate::memory::carry::{Elements, LoadBytes, LoadWord, LoadWords, Move, Raw, StoreBytes, StoreWord, StoreWords};
use crate::memory::copy::Word;
use rsm_core::lens::event::Kind;
use rsm_core::lens::gate;
use rsm_core::transfer::{Direction, Reach, Transfer};
use rsm_core::verdict::Snapshot;
use rsm_core::{Code, Error, Result, crash_point};

impl Connection {
    /// Makes a transfer, in implicit mode as a span of its own. A verdict that fails is [told](Self::told), unless the
    /// caller does that: in a loop it costs registers.
    #[inline(always)]
    fn transfer<const TOLD: bool, M: Move>(&self, offset: u64, align: u64, moved: M) -> Result<M::Loaded> {
        let needed = const { Flags::needed_of_connection(M::DIRECTION) };
        let (flags, bytes) = (self.flags.now(), moved.bytes());
        if !self.is_fine(flags, needed, offset, bytes, align) {
            return Connection::not_plain::<TOLD, M>(offset, moved, self, align);
        }
        // SAFETY: offset is at most the length of the mapping.
        let place = unsafe { self.base.add(offset as usize) };
        if flags.has(Flags::EXPLICIT) {
            // SAFETY: range and permission were checked, alignment too (the mapping starts at a page).
            return Ok(unsafe { moved.whole(place) });
        }
        let opened = self.snapshot();
        // SAFETY: as above.
        let loaded = unsafe { moved.whole(place) };
        crash_point!(TransferDone);
        let verdict = match M::DIRECTION {
            Direction::Put => self.verdict_of_put(opened),
            // Nothing was stored that others wait for.
            Direction::Get => self.close_read_span(opened),
        };
        match verdict {
            Ok(()) => Ok(loaded),
            Err(error) => Err(if TOLD { self.told(error) } else { error }),
        }
    }

    /// Whether nothing is wrong with a transfer, and it is just of the kind whose flags are needed: the quick look, of which the
    /// checks that say what is wrong are [`recheck`](Self::recheck)'s.
    #[inline(always)]
    fn is_fine(&self, flags: Flags, needed: Flags, offset: u64, bytes: u64, align: u64) -> bool {
        flags.is_just(needed, Flags::NOT_PLAIN)
            && offset.is_multiple_of(align)
            && self.length.checked_sub(bytes).is_some_and(|last| offset <= last)
    }

    /// What is wrong with a transfer; makes it, its own way, when it only is not plain. Nothing of the plain path comes after
    /// it, which so keeps nothing in registers that outlast a call; and what it is called with is in the order in which
    /// copies want it, so that the plain path has it where it is needed.
    #[cold]
    #[inline(never)]
    fn not_plain<const TOLD: bool, M: Move>(offset: u64, moved: M, this: &Connection, align: u64) -> Result<M::Loaded> {
        if let Some(straight) = this.just_posted(M::DIRECTION, offset, moved.bytes(), align) {
            // SAFETY: offset is at most the length of the mapping.
            let place = unsafe { this.base.add(offset as usize) };
            // SAFETY: the checks of a plain transfer have passed.
            return unsafe { straight.carry_told::<TOLD, M>(place, moved) };
        }
        let way = this.recheck(M::DIRECTION, offset, moved.bytes(), align)?;
        if !TOLD && M::DIRECTION == Direction::Put {
            // Who tells by itself has entries.
            this.check_entry()?;
        }
        // SAFETY: checked a moment ago; a place of a plain transfer is inside of the mapping.
        unsafe { this.carry_out::<TOLD, M>(way, offset, moved) }
    }

    /// The window of another host, for a transfer that is right and that nobody else has to know of.
    #[inline(always)]
    fn just_posted(&self, direction: Direction, offset: u64, bytes: u64, align: u64) -> Option<Straight<'_>> {
        let needed = Flags::needed_of_connection(direction).and(Flags::DIVERTED);
        if self.is_fine(self.flags.now(), needed, offset, bytes, align) { self.straight(direction) } else { None }
    }

    /// The window of another host, for transfers that a layer above finds right; `None` where the connection does not lead
    /// there, somebody has to know of each, or one is to be looked at while it goes on. That nobody watches, and that the agent knows this process, it sees by the flags.
    #[inline(always)]
    pub fn straight(&self, direction: Direction) -> Option<Straight<'_>> {
        let posted = self.diverted.as_ref()?.posted()?;
        (!posted.is_watched() && posted.is_simple(direction)).then_some(Straight { connection: self, posted })
    }

    /// What is wrong with a transfer; which way it goes when it only is not plain.
    #[cold]
    #[inline(never)]
    fn recheck(&self, direction: Direction, offset: u64, bytes: u64, align: u64) -> Result<Way<'_>> {
        let whole = Reach { start: 0, length: self.length, permission: self.permission, is_vouched: true };
        let check = Transfer { direction, local: None, offset, align, bytes: Some(bytes) }.check(|| Ok(whole));
        Membership::noted(check)?;
        self.way(direction, bytes, self.base.wrapping_add(offset as usize))
    }

    /// The cold part of a transfer that was found right, and would go to `place` if it were plain: makes a forked child
    /// known to the agent, tells who watches, and says which way it goes.
    ///
    /// # Errors
    /// As [`adopt_process`](Self::adopt_process).
    pub fn way(&self, direction: Direction, bytes: u64, place: *mut u8) -> Result<Way<'_>> {
        self.adopt_process()?;
        if self.flags.now().has(Flags::WATCHED) {
            self.membership().tell(Event::moved(direction, bytes));
        }
        let Some(diverted) = &self.diverted else { return Ok(Way::Here(place)) };
        self.called(match direction {
            Direction::Put => gate::Call::Put,
            Direction::Get => gate::Call::Get,
        });
        Ok(diverted.way(place))
    }

    /// What keeps an entry of a vector put, found right, from being stored: an import that is not plain may stop there.
    ///
    /// # Errors
    /// BARRIER_FAILURE.
    pub fn check_entry(&self) -> Result<()> {
        if self.diverted.as_ref().is_some_and(Diverted::stops) { Err(Error::new(Code::BarrierFailure)) } else { Ok(()) }
    }

    /// Makes a transfer that goes this way from `offset` of the segment on, in implicit mode as a span of its own.
    ///
    /// # Errors
    /// CONN_ABORTED, BARRIER_FAILURE.
    ///
    /// # Safety
    /// Its checks have passed. To a place: as [`Move::whole`].
    #[cold]
    #[inline(never)]
    pub unsafe fn carry_out<const TOLD: bool, M: Move>(
        &self,
        way: Way<'_>,
        offset: u64,
        moved: M,
    ) -> Result<M::Loaded> {
        if self.is_raced() {
            // SAFETY: the caller's promise.
            return unsafe { self.carry_looked_at::<TOLD, M>(way, offset, moved) };
        }
        // SAFETY: the caller's promise.
        unsafe { self.carry_on::<TOLD, M>(way, offset, moved) }
    }

    /// The same where races are looked for.
    #[inline(never)]
    unsafe fn carry_looked_at<const TOLD: bool, M: Move>(
        &self,
        way: Way<'_>,
        offset: u64,
        mut moved: M,
    ) -> Result<M::Loaded> {
        let explicit = self.flags.now().has(Flags::EXPLICIT);
        let race = self.race_begins_transfer(offset, explicit, &mut moved);
        let source = moved.source().filter(|_| explicit);
        let done = match &race {
            // SAFETY: the caller's promise.
            None => unsafe { self.carry_on::<TOLD, M>(way, offset, moved) },
            // SAFETY: the caller's promise.
            Some(race) => untold(|| unsafe { self.carry_on::<TOLD, _>(way, offset, race.notes(offset, moved)) }),
        };
        if let (Some(race), Some(source), true) = (&race, source, done.is_ok()) {
            // SAFETY: the caller's promise: it has just been put.
            unsafe { self.race_keeps(race, source) };
        }
        self.race_ends_transfer(race, explicit, done.is_ok());
        done
    }

    /// Carries it out, and notes it where calls are noted.
    #[inline(always)]
    unsafe fn carry_on<const TOLD: bool, M: Move>(&self, way: Way<'_>, offset: u64, mut moved: M) -> Result<M::Loaded> {
        let began = self.membership().begin_note();
        let (length, bytes) = (moved.bytes(), began.and_then(|_| self.membership().bytes_to_note(offset, &mut moved)));
        let explicit = self.flags.now().has(Flags::EXPLICIT);
        let opened = self.snapshot();
        // SAFETY: the caller's promise.
        let loaded =
            unsafe { way.carry(offset, moved, explicit, &|how| self.disturb(how), &|| self.still_stands(opened)) };
        // Everything that the transfer stored has been executed.
        let verdict = match loaded {
            Some(_) if explicit => Ok(()),
            Some(_) => self.judge_settled(opened),
            // Whatever has come back since: something of it was not loaded.
            None => self.judge_settled(opened).and(Err(Error::new(Code::BarrierFailure))),
        };
        if began.is_some() {
            let kind = if M::DIRECTION == Direction::Put { Kind::Put } else { Kind::Get };
            let what = self.what(kind, offset, length);
            let more = Noted { in_span: explicit, bytes: bytes.as_ref().map(PutBytes::as_slice) };
            self.membership().note_transfer(began, what, &verdict, more);
        }
        match (verdict, loaded) {
            (Ok(()), Some(loaded)) => Ok(loaded),
            (Err(error), _) => Err(if TOLD { self.told(error) } else { error }),
            (Ok(()), None) => unreachable!("what has stopped is told"),
        }
    }

    /// Whether a window of another host is what it was when a transfer began, so that all-ones may be what is there.
    fn still_stands(&self, opened: Snapshot) -> bool {
        let Some(posted) = self.diverted.as_ref().and_then(Diverted::posted) else { return true };
        !self.is_aborted() && self.snapshot().link == opened.link && posted.answers()
    }

    /// Stores one word.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_put8` to `put64`, reference 1.14.
    #[inline(always)]
    pub fn put_word<W: Word>(&self, offset: u64, value: W) -> Result<()> {
        self.transfer::<true, _>(offset, size_of::<W>() as u64, StoreWord(value))
    }

    /// Stores words in ascending order.
    ///
    /// # Errors
    /// As [`put_word`](Self::put_word).
    #[inline]
    pub fn put_words<W: Word>(&self, offset: u64, values: &[W]) -> Result<()> {
        self.transfer::<true, _>(offset, size_of::<W>() as u64, StoreWords(values))
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_put`, reference 1.14.
    #[inline]
    pub fn put(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.transfer::<true, _>(offset, 1, StoreBytes(bytes))
    }

    /// [`put`](Self::put), with a verdict that says no more than its code.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    #[inline]
    pub fn put_untold(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.transfer::<false, _>(offset, 1, StoreBytes(bytes))
    }

    /// Loads one word.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_get8` to `get64`, reference 1.14.
    #[inline(always)]
    pub fn get_word<W: Word>(&self, offset: u64) -> Result<W> {
        self.transfer::<true, _>(offset, size_of::<W>() as u64, LoadWord(W::default()))
    }

    /// Loads words in ascending order.
    ///
    /// # Errors
    /// As [`get_word`](Self::get_word). What was loaded when a verdict fails is in `values` all the same.
    #[inline]
    pub fn get_words<W: Word>(&self, offset: u64, values: &mut [W]) -> Result<()> {
        self.transfer::<true, _>(offset, size_of::<W>() as u64, LoadWords(values))
    }

    /// Loads bytes.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_get`, reference 1.14.
    #[inline]
    pub fn get(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.transfer::<true, _>(offset, 1, LoadBytes(bytes))
    }

    /// [`get`](Self::get), with a verdict that says no more than its code.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    #[inline]
    pub fn get_untold(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.transfer::<false, _>(offset, 1, LoadBytes(bytes))
    }

    /// Moves bytes of local memory that is named by its address.
    ///
    /// # Errors
    /// As [`put`](Self::put) and [`get`](Self::get).
    pub fn carry_raw<const PUT: bool>(&self, offset: u64, moved: Raw<PUT>) -> Result<()> {
        self.transfer::<true, _>(offset, 1, moved)
    }

    /// [`carry_raw`](Self::carry_raw), with a verdict that says no more than its code.
    ///
    /// # Errors
    /// As there.
    pub fn carry_raw_untold<const PUT: bool>(&self, offset: u64, moved: Raw<PUT>) -> Result<()> {
        self.transfer::<false, _>(offset, 1, moved)
    }

    /// Moves words of local memory that is named by its address, in ascending order.
    ///
    /// # Errors
    /// As [`put_words`](Self::put_words) and [`get_words`](Self::get_words).
    pub fn carry_elements<W: Word, const PUT: bool>(&self, offset: u64, moved: Elements<W, PUT>) -> Result<()> {
        self.transfer::<true, _>(offset, size_of::<W>() as u64, moved)
    }
}

/// The window of another host, through which a transfer goes where it would if it were plain; its verdict is another one.
#[derive(Debug)]
pub struct Straight<'a> {
    connection: &'a Connection,
    posted: &'a Posted,
}

impl Straight<'_> {
    /// Makes a transfer, in implicit mode as a span of its own, with a verdict that says no more than its code.
    ///
    /// # Errors
    /// CONN_ABORTED, BARRIER_FAILURE.
    ///
    /// # Safety
    /// Its checks have passed; as [`Move::whole`].
    #[inline(always)]
    pub unsafe fn carry<M: Move>(self, place: *mut u8, moved: M) -> Result<M::Loaded> {
        // SAFETY: the caller's promise.
        unsafe { self.carry_told::<false, M>(place, moved) }
    }

    /// # Safety
    /// As [`carry`](Self::carry).
    #[inline(always)]
    unsafe fn carry_told<const TOLD: bool, M: Move>(self, place: *mut u8, moved: M) -> Result<M::Loaded> {
        let connection = self.connection;
        if connection.flags.now().has(Flags::EXPLICIT) {
            // SAFETY: the caller's promise.
            return Ok(unsafe { moved.whole(place) });
        }
        let opened = connection.snapshot();
        // SAFETY: as above.
        let loaded = unsafe { moved.whole(place) };
        match connection.judge_one_posted(opened, self.posted) {
            Ok(()) => Ok(loaded),
            Err(error) => Err(if TOLD { connection.told(error) } else { error }),
        }
    }
}
