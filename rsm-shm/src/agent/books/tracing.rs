//! Who traces a cluster that began without a trace, and which rings are to be told to it.

use rsm_core::lens::event::{LateTrace, Trace};
use rsm_core::message::RingOf;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Most rings of processes that are gone which wait to be asked for; of more, the oldest go.
pub(in crate::agent) const MOST_LEFT: u64 = 256;

/// The rings of a process, which it keeps: one for each kind of trace. Bytes get only into one of those that have them, which nobody
/// is given who may not have them.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct KeptRings {
    plain: Option<Arc<OwnedFd>>,
    with_bytes: Option<Arc<OwnedFd>>,
}

impl KeptRings {
    /// That for this trace.
    pub(in crate::agent) fn of(&self, trace: Trace) -> Option<&Arc<OwnedFd>> {
        if trace.bytes { self.with_bytes.as_ref() } else { self.plain.as_ref() }
    }

    /// Keeps one for this trace.
    pub(in crate::agent) fn keep(&mut self, trace: Trace, object: Arc<OwnedFd>) {
        let place = if trace.bytes { &mut self.with_bytes } else { &mut self.plain };
        debug_assert!(place.is_none(), "a process has one");
        *place = Some(object);
    }

    pub(in crate::agent) fn count(&self) -> u64 {
        [&self.plain, &self.with_bytes].into_iter().flatten().count() as u64
    }
}

/// Who traces, and for which trace.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct Observing {
    pub(in crate::agent) party: u64,
    pub(in crate::agent) late: LateTrace,
}

/// A ring that is to be told.
#[derive(Debug)]
pub(in crate::agent) struct Offered {
    pub(in crate::agent) of: RingOf,
    pub(in crate::agent) object: Arc<OwnedFd>,
}

/// See above.
#[derive(Debug, Default)]
pub(in crate::agent) struct Tracing {
    /// Who traces.
    pub(in crate::agent) observer: Option<Observing>,
    /// By number; those that the observer knows are gone from it.
    pub(in crate::agent) offered: BTreeMap<u64, Offered>,
    /// Rings of processes that are there.
    pub(in crate::agent) kept: u64,
    last: u64,
    traces: u32,
}

impl Tracing {
    /// Somebody traces from now on.
    pub(in crate::agent) fn begin(&mut self, party: u64, trace: Trace) {
        self.traces = self.traces.wrapping_add(1);
        self.observer = Some(Observing { party, late: LateTrace { number: self.traces, trace } });
    }

    /// For which trace processes are to note their calls.
    pub(in crate::agent) fn late(&self) -> Option<LateTrace> {
        self.observer.map(|observing| observing.late)
    }

    /// Offers the ring of this process (membership, node, process id), which begins there.
    pub(in crate::agent) fn offer(
        &mut self,
        (membership, node, pid): (u64, u32, u32),
        from: u64,
        object: Arc<OwnedFd>,
    ) {
        self.last += 1;
        let of = RingOf { number: self.last, membership, node, pid, from };
        self.offered.insert(self.last, Offered { of, object });
    }

    /// The observer has those up to this number.
    pub(in crate::agent) fn known_up_to(&mut self, number: u64) {
        self.offered = self.offered.split_off(&number.saturating_add(1));
    }

    /// Descriptors that it holds: of processes, and of some that are gone.
    pub(in crate::agent) fn held(&self) -> u64 {
        self.kept + self.offered.len() as u64
    }
}
