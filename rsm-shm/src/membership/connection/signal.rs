//! Signals of an import.
#![allow(unsafe_code)]

use super::Connection;
use crate::membership::flags::Flags;
use crate::membership::taps::Event;
use crate::parking::Poster;
use rsm_core::bell::Accumulate;
use rsm_core::sync::{AtomicU64, acquire};
use rsm_core::{Code, Error, Result};
use std::time::Duration;

impl Connection {
    /// Posts a signal to the export.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut (D-61).
    #[inline]
    pub fn post(&self, accumulate: Accumulate) -> Result<()> {
        let not_plain = self.flags.now().has_any(Flags::WATCHED.and(Flags::DIVERTED));
        let generation = if not_plain { self.before_post() } else { self.generation() };
        if acquire(generation) != self.granted.word() {
            return Err(Error::new(Code::ConnAborted));
        }
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.export_bell.as_ref() }.post(self.export_epoch, accumulate, &Poster)
    }

    /// What comes before a signal that is not plain; gives the true generation. What was put before is where it goes
    /// when the signal is.
    #[cold]
    #[inline(never)]
    fn before_post(&self) -> &AtomicU64 {
        if self.flags.now().has(Flags::WATCHED) {
            self.membership().tell(Event::Posted);
        }
        self.settle();
        self.true_generation()
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
