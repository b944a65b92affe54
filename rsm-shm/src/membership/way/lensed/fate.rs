//! What becomes of the spans of an import, where things go wrong now and then.
//!
//! What a span is to meet is drawn once for each span in which something is stored, and happens when it is closed: the
//! agent is asked to disturb the connection, and the verdict finds in the words of the registry what that did to them. An
//! error of the link loses some of what is on its way; where nothing is late nothing is, and only the verdict tells. No
//! verdict vouches for what was lost, whether or not the agent did what it was asked for.
//!
//! A put in implicit mode is a span of its own.

use super::Lensed;
use super::posting::Cargo;
use rsm_core::Result;
use rsm_core::lens::inject::{Call, Place};
use rsm_core::lens::log::Posted;
use rsm_core::message::Disturbance;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Asks the agent.
pub(in crate::membership) type Disturb<'a> = &'a dyn Fn(Disturbance) -> Result<()>;

/// The present span of an import.
#[derive(Debug, Default)]
pub(super) struct Span {
    drawn: bool,
    /// What it is to meet, and a number to draw from how.
    fate: Option<(Disturbance, u64)>,
}

/// What is known of the spans of an import.
#[derive(Debug, Default)]
pub(in crate::membership::way) struct Spans {
    /// Under [`Posting::with`](super::posting::Posting::with).
    present: Mutex<Span>,
    /// Mappings through which the program stores to the segment itself.
    direct: AtomicU32,
}

impl Spans {
    fn present(&self) -> MutexGuard<'_, Span> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A mapping comes or goes through which the program stores to the segment itself.
    pub(in crate::membership::way) fn map_directly(&self, comes: bool) {
        // Relaxed: a program that stores through a mapping has made it.
        if comes {
            self.direct.fetch_add(1, Relaxed);
        } else {
            self.direct.fetch_sub(1, Relaxed);
        }
    }

    /// Whether there is any.
    pub(super) fn is_mapped_directly(&self) -> bool {
        self.direct.load(Relaxed) > 0
    }
}

impl Lensed {
    fn place_of_span(&self) -> Place {
        self.place(Call::Close)
    }

    /// Whether spans can meet anything.
    fn spans_are_disturbed(&self) -> bool {
        Disturbance::ALL.iter().any(|how| self.faults().has(how.fault()))
    }

    /// Draws what a span is to meet. Each is drawn, so that none changes the numbers of another.
    fn draw_fate(&self) -> Option<(Disturbance, u64)> {
        let mut faults = self.posting().faults();
        let mut drawn = Disturbance::ALL.map(|how| faults.draw(how.fault(), self.place_of_span()).map(|n| (how, n)));
        drawn.iter_mut().find_map(Option::take)
    }

    fn fate(&self, span: &mut Span) -> Option<(Disturbance, u64)> {
        if !std::mem::replace(&mut span.drawn, true) {
            span.fate = self.draw_fate();
        }
        span.fate
    }

    /// Something is put that is stored at once.
    pub(super) fn note_put(&self) {
        if self.spans_are_disturbed() {
            self.posting().with(|posted| posted.lock().note_store(self.key()));
        }
    }

    /// The span ends: lets happen what it is to meet. Whether everything that was stored is there or on its way, as far as
    /// this knows.
    pub(super) fn meet(&self, disturb: Disturb<'_>) -> bool {
        if !self.spans_are_disturbed() {
            return true;
        }
        let end = |posted: &Posted<Cargo>| {
            let stored = posted.lock().has_stored(self.key()) || self.spans().is_mapped_directly();
            let mut span = self.spans().present();
            let fate = if stored { self.fate(&mut span) } else { None };
            let quiet = self.posting().faults().is_quiet();
            *span = Span::default();
            fate.filter(|_| !quiet)
        };
        let Some(fate) = self.posting().with(end) else { return true };
        let mut loses = false;
        if let Some((how, number)) = fate {
            if how == Disturbance::Error {
                // Before the agent is asked, which takes so long that much would arrive. Who closes a span of another import
                // whose barrier reaches this far waits until the link has its error, and finds it. Refused, it is lost all the
                // same, and this span not vouched for.
                self.posting().with(|posted| self.posting().lose(&mut posted.lock(), self.key(), number));
                loses = true;
            }
            self.disturb(how, disturb);
            self.posting().with(|posted| posted.lock().told_loss(self.key()));
        }
        !loses
    }

    /// A put in implicit mode: lets happen what it is to meet. `store` is told whether it is to store, or what it would store is
    /// lost.
    pub(super) fn meet_put<T>(&self, disturb: Disturb<'_>, store: impl FnOnce(bool) -> T) -> T {
        let fate = if self.spans_are_disturbed() { self.posting().with(|_| self.draw_fate()).flatten() } else { None };
        match fate {
            Some((how, number)) if number % 2 == 0 => store(!self.disturb(how, disturb)),
            Some((how, _)) => {
                let loaded = store(true);
                self.disturb(how, disturb);
                loaded
            }
            None => store(true),
        }
    }

    /// Asks the agent; whether it was done.
    fn disturb(&self, how: Disturbance, disturb: Disturb<'_>) -> bool {
        // Refused, as for a connection that is cut meanwhile, nothing has happened.
        let done = disturb(how).is_ok();
        if done {
            self.posting().with(|_| self.posting().note(how.fault(), self.place_of_span()));
        }
        done
    }
}
