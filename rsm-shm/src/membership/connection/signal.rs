//! Signals of an import.
#![allow(unsafe_code)]

use super::Connection;
use crate::membership::event::Event;
use crate::membership::flags::Flags;
use crate::parking::Poster;
use rsm_core::bell::Accumulate;
use rsm_core::lens::event::Kind;
use rsm_core::lens::gate;
use rsm_core::{Code, Error, Result};
use std::time::Duration;

impl Connection {
    /// Posts a signal to the export.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut (D-61).
    #[inline]
    pub fn post(&self, accumulate: Accumulate) -> Result<()> {
        if self.is_posted_otherwise() && self.post_otherwise(accumulate)? {
            return Ok(());
        }
        if self.is_aborted() {
            return Err(Error::new(Code::ConnAborted));
        }
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.export_bell.as_ref() }.post(self.export_epoch, accumulate, &Poster)
    }

    /// Whether a signal is not just added to the bell.
    #[inline(always)]
    fn is_posted_otherwise(&self) -> bool {
        self.flags.now().has_any(Flags::WATCHED.and(Flags::DIVERTED))
    }

    /// [`post`](Self::post) where it is a plain one that nothing keeps from being posted, and but for the wake: whether the
    /// caller owes one ([`wake_exporter`](Self::wake_exporter)). `None` where it was not posted.
    #[inline(always)]
    pub fn post_plainly(&self, accumulate: Accumulate) -> Option<bool> {
        if self.is_posted_otherwise() || self.is_aborted() {
            return None;
        }
        let mut owes = false;
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.export_bell.as_ref() }.add(self.export_epoch, accumulate, || owes = true).ok()?;
        Some(owes)
    }

    /// Wakes who sleeps until the export has a signal.
    pub fn wake_exporter(&self) {
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.export_bell.as_ref() }.wake(&Poster);
    }

    /// What comes before a signal that is not plain; whether it has been posted.
    #[cold]
    #[inline(never)]
    fn post_otherwise(&self, accumulate: Accumulate) -> Result<bool> {
        if self.flags.now().has(Flags::WATCHED) {
            self.membership().tell(Event::Posted);
        }
        let Some(way) = self.diverted_now() else { return Ok(false) };
        self.called(gate::Call::Post);
        let began = self.membership().begin_note();
        let live = if self.is_aborted() { Err(Error::new(Code::ConnAborted)) } else { Ok(()) };
        if began.is_some() {
            self.membership().look_at_own();
            // SAFETY: in the exporting node's bells, which the membership keeps mapped.
            let (_, number) = self.membership().number_of(unsafe { self.export_bell.as_ref() });
            self.membership().note(
                began,
                self.what(Kind::Post, number.into(), u64::from(accumulate == Accumulate::Yes)),
                &live,
            );
        }
        live?;
        self.race_posts();
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        Ok(unsafe { way.post(self.export_bell, self.export_epoch, accumulate) })
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
