//! Traces of clusters that began without one: who traces is an observer, and where processes note their calls is memory of the
//! agent's, which each is sent with a look and the observer on request. The events thread turns noting on and off, as the
//! registry says.
//!
//! Where bytes are to be noted it also looks at this process's segments, when that begins and then again and again: who traces is
//! given no segment's memory, so what their owner stores between two calls is known by nothing else.

use super::control::unexpected;
use super::{Membership, Shared, State, lock};
use crate::memory::tables::RecordMap;
use rsm_core::lens::event::Trace;
use rsm_core::lens::ring::{Cursor, Read};
use rsm_core::message::{Answer, Ask, RingOf};
use rsm_core::{Code, Error, Result};
use std::os::fd::OwnedFd;

use super::taps::Tap;

/// Where a process notes its calls, for the observer that traces.
#[derive(Debug)]
pub struct ReadRing {
    of: RingOf,
    map: RecordMap,
    cursor: Cursor,
}

impl ReadRing {
    /// Whose it is.
    pub fn of(&self) -> &RingOf {
        &self.of
    }

    /// What was noted since this was last asked; `last`: the process is gone, and what is half written stays so.
    pub fn read(&mut self, last: bool) -> Read {
        self.map.ring().map_or_else(Read::default, |ring| ring.read(&mut self.cursor, last))
    }
}

impl Membership {
    /// For an observer: the ring whose number comes after this one, 0 at first; `None` when there is none now. Processes note
    /// their calls, and bytes too if the trace has them, from the first time on until this membership ends.
    ///
    /// # Errors
    /// PERM_DENIED for a node, and for who asks for bytes and is neither the user of the cluster nor root; INSUFFICIENT_RESOURCES
    /// when another observer traces; BAD_CONF in a cluster that is traced from its beginning, and where this membership has asked
    /// for another trace; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn next_ring(&self, after: u64, trace: Trace) -> Result<Option<ReadRing>> {
        match self.ask(Ask::NextRing { after, trace })? {
            (Answer::Ring(None), _) => Ok(None),
            (Answer::Ring(Some(of)), _) if of.number <= after => {
                Err(Error::with(Code::InternalError, "the agent tells of rings again and again"))
            }
            (Answer::Ring(Some(of)), descriptors) => {
                let ring = descriptors.into_iter().next();
                let ring = ring.ok_or_else(|| Error::with(Code::InternalError, "a ring did not come along"))?;
                Ok(Some(ReadRing { map: RecordMap::open_to_read(ring)?, cursor: Cursor::at(of.from), of }))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }
}

impl Shared {
    /// A look brought the ring of this process along. A process has one for each kind of trace, whatever else an agent sends. Gives
    /// it back if there is no room for it now: the agent sends it once.
    pub(super) fn take_ring(&self, fd: OwnedFd) -> Option<OwnedFd> {
        let tracing = self.taps.tracing.as_ref()?;
        // Holds forks off: a child must not inherit the list of maps in the middle of a change.
        let _state = lock(&self.state);
        match RecordMap::open(&fd) {
            Ok(map) if tracing.has_ring_of(map.slots()) => {
                tracing::warn!("the agent sent this process a second ring");
            }
            Ok(map) => tracing.note_in(map),
            Err(error) => {
                tracing::warn!(%error, "this process cannot note its calls");
                return (error.code() != Code::InternalError).then_some(fd);
            }
        }
        None
    }

    /// Notes calls or stops, as the registry says.
    pub(super) fn turn_tracing(&self, state: &mut State) {
        let Some(tracing) = self.taps.tracing.as_ref().filter(|tracing| !tracing.is_lasting()) else { return };
        // As with a tally: who finds that calls are noted finds the imports diverted.
        let late = self.map.registry().header.late_trace().filter(|late| tracing.has_ring_for(late.trace));
        if late.is_some() {
            self.taps.set(Tap::Trace, true);
            state.table.watch(true);
            state.table.note(true);
            tracing.turn(late);
        } else {
            tracing.turn(None);
            state.table.note(false);
            self.taps.set(Tap::Trace, false);
            state.table.watch(self.taps.is_any());
        }
    }

    /// Begins to look at the process's segments, or ends, as the last turn has it. For the events thread, which turns.
    pub(super) fn follow_tracing(&self) {
        if let Some(tracing) = &self.taps.tracing {
            tracing.follow();
        }
    }

    /// Whether the process's segments are to be looked at now and then.
    pub(super) fn looks_between(&self) -> bool {
        self.taps.tracing.as_ref().is_some_and(|tracing| tracing.looks_between())
    }

    /// Looks at them.
    pub(super) fn look_between(&self) {
        if let Some(tracing) = self.taps.tracing.as_ref().filter(|tracing| tracing.looks_between()) {
            tracing.look_between();
        }
    }
}
