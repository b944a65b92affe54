//! Spans of an import, and whether it was cut.
#![allow(unsafe_code)]

use super::Connection;
use crate::membership::flags::Flags;
use crate::membership::way::{Diverted, Posted};
use crate::memory::fence;
use rsm_core::generation::{EndCause, Generation};
use rsm_core::lens::event::Kind;
use rsm_core::lens::gate;
use rsm_core::registry::LinkWord;
use rsm_core::sync::{AtomicU64, acquire};
use rsm_core::verdict::{BarrierType, Snapshot};
use rsm_core::{Code, Error, Result, crash_point};
use std::sync::atomic::Ordering::Relaxed;

/// Where a process may die that closes a span.
#[inline(always)]
fn closing() {
    crash_point!(SpanClosing);
}

impl Connection {
    /// What the end of a span is compared with: the generation, or what never matches.
    #[inline(always)]
    pub(super) fn generation(&self) -> &AtomicU64 {
        // Relaxed: both places that it leads to are there from before it was made.
        // SAFETY: in the registry, which the membership keeps mapped, or static.
        unsafe { &*self.generation.load(Relaxed) }
    }

    pub(super) fn true_generation(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.truth.as_ref() }
    }

    pub(super) fn link_word(&self) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.link.as_ref() }
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
    pub fn close_span(&self, opened: Snapshot, kind: BarrierType) -> Result<()> {
        result(self.close_span_number(opened, kind))
    }

    /// [`close_span`](Self::close_span) for C: 0, or the number of the error.
    #[inline]
    pub fn close_span_number(&self, opened: Snapshot, kind: BarrierType) -> i32 {
        closing();
        self.judge_stores(opened, kind)
    }

    /// Whether a span of a plain connection can be vouched for at first sight; where not, closing it says what is the matter.
    #[inline(always)]
    pub fn is_vouched_for(&self, opened: Snapshot) -> bool {
        closing();
        fence::full();
        opened.judge(self.generation(), self.link_word()).is_ok()
    }

    /// A full fence, then the verdict, as a number. A number needs nothing to be dropped, and the cold branch is jumped to.
    #[inline(always)]
    fn judge_stores(&self, opened: Snapshot, kind: BarrierType) -> i32 {
        fence::full();
        match opened.judge(self.generation(), self.link_word()) {
            Ok(()) => 0,
            Err(error) => judge_again(self, opened.link.word(), error.code().number(), kind),
        }
    }

    /// The verdict of one put.
    #[inline(always)]
    pub(super) fn verdict_of_put(&self, opened: Snapshot) -> Result<()> {
        result(self.judge_stores(opened, BarrierType::Segment))
    }

    /// The verdict of a transfer that has gone its way, whichever that was.
    pub(super) fn judge_settled(&self, opened: Snapshot) -> Result<()> {
        closing();
        match self.diverted.as_ref().and_then(Diverted::posted) {
            Some(posted) => self.judge_posted(opened, posted, false),
            None => opened.judge_settled(self.true_generation(), self.link_word(), || {}),
        }
    }

    /// The verdict of one transfer to or from another host.
    #[inline]
    pub(super) fn judge_one_posted(&self, opened: Snapshot, posted: &Posted) -> Result<()> {
        closing();
        self.judge_posted(opened, posted, false)
    }

    /// The verdict of another host's seal. `drained`: a full fence was executed after the last store.
    #[inline]
    fn judge_posted(&self, opened: Snapshot, posted: &Posted, drained: bool) -> Result<()> {
        opened.judge_posted(self.true_generation(), self.link_word(), posted.seal(), &posted.verdict(drained))
    }

    /// Makes stores before it visible before stores after it.
    #[inline]
    pub fn order(&self, kind: BarrierType) {
        if self.flags.now().has(Flags::DIVERTED) {
            self.order_otherwise(kind);
        }
        fence::full();
    }

    #[cold]
    #[inline(never)]
    fn order_otherwise(&self, kind: BarrierType) {
        if let Some(way) = self.diverted_now() {
            self.called(gate::Call::Order);
            let began = self.membership().begin_note();
            self.race_orders(kind);
            way.order(kind);
            self.membership().note_number(began, self.what(Kind::Order, 0, 0), 0);
        }
    }

    /// Ends a span of loads: orders them before the verdict, and gives it.
    ///
    /// # Errors
    /// CONN_ABORTED, BARRIER_FAILURE.
    #[inline]
    pub fn close_read_span(&self, opened: Snapshot) -> Result<()> {
        result(self.close_read_span_number(opened))
    }

    /// [`close_read_span`](Self::close_read_span) for C: 0, or the number of the error.
    #[inline]
    pub fn close_read_span_number(&self, opened: Snapshot) -> i32 {
        match opened.judge_loads(self.generation(), self.link_word()) {
            Ok(()) => 0,
            Err(error) => judge_loads_again(self, opened.link.word(), error.code().number(), BarrierType::Segment),
        }
    }

    /// The word that says whether the connection was cut, and what it holds while it is not: for who has these two at hand where
    /// [`is_aborted`](Self::is_aborted) would have to look for them. Who compares orders its loads before.
    pub fn life(&self) -> (&AtomicU64, u64) {
        (self.true_generation(), self.granted.word())
    }

    /// Whether the exporter, or the loss of it, has cut the connection.
    #[inline(always)]
    pub fn is_aborted(&self) -> bool {
        acquire(self.true_generation()) != self.granted.word()
    }

    /// Whether it was cut, here or by the other host, of which the agent of this one may not have heard yet: then it waits until it
    /// has, for a while.
    pub fn has_ended(&self) -> bool {
        let is_taken_back = |posted| {
            let verdict = self.judge_posted(self.snapshot(), posted, false);
            verdict.is_err_and(|error| error.code() == Code::ConnAborted)
        };
        self.is_aborted() || self.diverted.as_ref().and_then(Diverted::posted).is_some_and(is_taken_back)
    }

    /// Why the connection was cut; `None` while it was not.
    pub fn end_cause(&self) -> Option<EndCause> {
        let now = Generation::from_word(acquire(self.true_generation()));
        // The row of a connection that nobody holds any more may be another's: a forked child that the agent does not
        // know holds none.
        if now.serial() == self.granted.serial() { now.cause() } else { Some(EndCause::Disconnected) }
    }
}

/// [`judge_again`] for a span of loads, at whose end there was no full fence.
#[cold]
#[inline(never)]
extern "C" fn judge_loads_again(connection: &Connection, link: u64, number: i32, kind: BarrierType) -> i32 {
    fence::full();
    judge_again(connection, link, number, kind)
}

/// The verdict of a comparison that failed, as a number: what it said of a plain connection. Of any other it says nothing. The
/// caller has executed a full fence. A C function, which never unwinds, so that it is jumped to from others.
#[cold]
#[inline(never)]
extern "C" fn judge_again(connection: &Connection, link: u64, number: i32, kind: BarrierType) -> i32 {
    // It was compared with what never matches, and who traced has gone since.
    let was_watched = || number == Code::ConnAborted.number() && !connection.is_aborted();
    let Some(way) = connection.diverted_now().or_else(|| was_watched().then_some(&connection.watched)) else {
        return number;
    };
    connection.called(gate::Call::Close);
    let began = connection.membership().begin_note();
    let opened = connection.opened_with(LinkWord::from_word(link));
    let mut whole = true;
    let closing = connection.race_will_close(kind);
    let verdict = match way.posted() {
        Some(posted) => connection.judge_posted(opened, posted, true),
        None => {
            let settle = || whole = way.close(kind, || connection.is_aborted(), &|how| connection.disturb(how));
            opened.judge_settled(connection.true_generation(), connection.link_word(), settle)
        }
    };
    let number = match verdict {
        Err(error) => error.code().number(),
        Ok(()) if whole => 0,
        Ok(()) => Code::BarrierFailure.number(),
    };
    connection.race_closes(kind, closing, number == 0);
    connection.membership().look_at_own();
    connection.membership().note_number(began, connection.what(Kind::Close, 0, 0), number.unsigned_abs());
    number
}

/// What a verdict's number says.
#[inline(always)]
fn result(number: i32) -> Result<()> {
    if number == 0 { Ok(()) } else { Err(Error::new(code(number))) }
}

#[cold]
#[inline(never)]
fn code(number: i32) -> Code {
    Code::from_number(number).unwrap_or(Code::InternalError)
}
