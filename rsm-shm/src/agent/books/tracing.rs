//! Who traces a cluster that began without a trace, and which rings are to be told to it.

use rsm_core::message::RingOf;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Most rings of processes that are gone which wait to be asked for; of more, the oldest go.
pub(in crate::agent) const MOST_LEFT: u64 = 256;

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
    pub(in crate::agent) observer: Option<u64>,
    /// By number; those that the observer knows are gone from it.
    pub(in crate::agent) offered: BTreeMap<u64, Offered>,
    /// Processes that have a ring.
    pub(in crate::agent) kept: u64,
    last: u64,
}

impl Tracing {
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
