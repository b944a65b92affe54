//! A posted window: memory of another host.
//!
//! Stores go where they would if it were plain memory. That they came is said by a load of the grant's seal through the same
//! window (`rsm_core::verdict`), which the end of each span makes; of a device it counts only while no link event waits for the
//! agent.

use crate::cancel::Shield;
use crate::memory::fence;
use crate::memory::pages::SealPages;
use rsm_core::peer::seal::Seal;
use rsm_core::verdict::Window;
use rsm_core::{Code, Error, Result, crash_point};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long the agent of this host has to say what became of a link that does not answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two looks at whether it has, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));

/// A grant of another host.
#[derive(Debug)]
pub(in crate::membership) struct Posted {
    seals: SealPages,
    slot: u32,
    seal: Seal,
    /// Its calls are noted, or looked at.
    watched: bool,
}

impl Posted {
    pub(super) fn new(seals: SealPages, slot: u32, seal: u64, watched: bool) -> Result<Posted> {
        let none = || Error::with(Code::InternalError, "the agent granted memory of another host without a seal");
        Ok(Posted { seals, slot, seal: Seal::from_word(seal).ok_or_else(none)?, watched })
    }

    /// Whether somebody has to know of each call.
    pub(in crate::membership) fn is_watched(&self) -> bool {
        self.watched
    }

    /// What tells that the grant holds.
    pub(in crate::membership) fn seal(&self) -> Seal {
        self.seal
    }

    /// For one verdict; `drained` says that its thread has executed a full fence after the last store of the span.
    #[inline]
    pub(in crate::membership) fn verdict(&self, drained: bool) -> Waiting<'_> {
        Waiting { posted: self, drained, since: Cell::new(None) }
    }
}

/// One verdict, and since when it waits for the agent.
#[derive(Debug)]
pub(in crate::membership) struct Waiting<'a> {
    posted: &'a Posted,
    drained: bool,
    since: Cell<Option<Instant>>,
}

impl Window for Waiting<'_> {
    #[inline]
    fn fence(&self) {
        if !self.drained {
            fence::full();
        }
    }

    #[inline]
    fn load_seal(&self) -> u64 {
        let seal = self.posted.seals.load(self.posted.slot);
        crash_point!(SealLoaded);
        seal
    }

    #[inline]
    fn fence_load(&self) {
        self.posted.seals.fence_load();
    }

    fn wait(&self) -> bool {
        let since = self.since.get().unwrap_or_else(Instant::now);
        self.since.set(Some(since));
        let waited = since.elapsed();
        if waited >= PATIENCE {
            return false;
        }
        // A transfer is no cancellation point.
        let _shield = Shield::raise();
        std::thread::sleep(waited.clamp(PAUSES.0, PAUSES.1));
        true
    }
}
