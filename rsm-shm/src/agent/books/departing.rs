//! A member that is gone, while it is being forgotten.

use super::owes::Owes;
use rsm_core::generation::EndCause;
use std::collections::BTreeSet;

/// A member that is gone, and what is left of it.
#[derive(Debug)]
pub(in crate::agent) struct Departing {
    pub(in crate::agent) party: u64,
    /// Numbers departures.
    pub(in crate::agent) number: u64,
    pub(in crate::agent) node: Option<u32>,
    /// Rows of segments whose former importers it was.
    pub(in crate::agent) owes: Owes,
    pub(in crate::agent) segments: BTreeSet<u32>,
    pub(in crate::agent) connections: BTreeSet<u32>,
    /// Exporters of connections from this row on are still to be woken; `None` when all are.
    pub(in crate::agent) nudged: Option<u32>,
    pub(in crate::agent) withdrawn: bool,
    /// What those are told who lose a connection with it: to its segments, and of its own.
    pub(in crate::agent) causes: (EndCause, EndCause),
}
