//! Taps: who watches what this process transfers and signals.
//!
//! A closed set. While there is any, imports have a flag among those that send a transfer to its cold path, where all of
//! them are told; what is no transfer looks at the set. Without one nobody pays.

use super::Membership;
use super::event::Event;
use super::race::Racing;
use super::tally::Tallying;
use super::trace::Tracing;
use crate::cancel::Shield;
use rsm_core::bell::Bell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A tap, as a member of the set.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub(super) enum Tap {
    /// Counts, for observers.
    Tally = 1,
    /// Lets mappings through a lens follow when a signal was taken.
    Lens = 2,
    /// Lets signals take their time.
    Pace = 4,
    /// Counts calls, for a gate: waits tell it before they are made.
    Calls = 8,
    /// Notes calls: so that signals are not taken on the plain path.
    Trace = 16,
    /// Looks for races: likewise.
    Race = 32,
}

/// The taps of a process.
#[derive(Debug, Default)]
pub(super) struct Taps {
    on: AtomicU32,
    pub(super) tallying: Tallying,
    /// Of a process of a node: where calls are noted, in a cluster that is traced or while an observer asks for it.
    pub(super) tracing: Option<Arc<Tracing>>,
    /// In one where races are looked for.
    pub(super) racing: Option<&'static Racing>,
}

impl Taps {
    /// Whether anybody may watch.
    #[inline(always)]
    pub(super) fn is_any(&self) -> bool {
        // Relaxed: what a tap needs it finds, or finds nothing, by itself.
        self.on.load(Relaxed) != 0
    }

    /// Adds a tap, or takes it off.
    pub(super) fn set(&self, tap: Tap, on: bool) {
        if on {
            self.on.fetch_or(tap as u32, Relaxed);
        } else {
            self.on.fetch_and(!(tap as u32), Relaxed);
        }
    }

    fn has(&self, tap: Tap) -> bool {
        self.on.load(Relaxed) & tap as u32 != 0
    }
}

impl Membership {
    /// Tells whoever watches, if anybody does.
    #[cold]
    #[inline(never)]
    pub(super) fn tell(&self, event: Event) {
        let taps = &self.shared.taps;
        if taps.has(Tap::Tally) {
            taps.tallying.tell(event);
        }
    }

    /// Tells whoever watches that a signal was taken from this bell.
    #[cold]
    #[inline(never)]
    pub(super) fn tell_taken_from(&self, bell: &Bell) {
        // Some waits for an arrival sleep.
        let _shield = Shield::raise();
        self.tell(Event::Waited);
        self.note_wait(bell, 0);
        self.race_waited(bell);
        let Some(posting) = &self.shared.posting else { return };
        if let Some(pace) = posting.pace() {
            pace.take(bell);
            posting.note_modelled();
        }
        if self.shared.taps.has(Tap::Lens) {
            posting.look_at_all();
        }
    }
}
