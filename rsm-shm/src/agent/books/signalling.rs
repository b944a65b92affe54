//! The processes of a node, while they are being signalled.

use super::request::Owed;
use rsm_core::message::NodeSignal;
use std::collections::BTreeSet;

/// A node whose processes are being signalled: each member is looked at once for each step.
#[derive(Debug)]
pub(in crate::agent) struct Signalling {
    pub(in crate::agent) node: u32,
    pub(in crate::agent) signal: NodeSignal,
    pub(in crate::agent) owed: Owed,
    pub(in crate::agent) step: Step,
    /// The member that was reached, and the last one.
    pub(in crate::agent) after: u64,
    pub(in crate::agent) last: u64,
    /// Those that were signalled; without a number, by member.
    pub(in crate::agent) processes: BTreeSet<(u32, u64)>,
    pub(in crate::agent) count: u32,
}

/// What is done with each member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Step {
    /// Is it the agent's process? Then nobody is signalled.
    Look,
    /// It is noted that it was killed, which all must be before the first one dies.
    Mark,
    Send,
}

impl Step {
    /// The step after it.
    pub(in crate::agent) fn next(self, signal: NodeSignal) -> Step {
        match (self, signal) {
            (Step::Look, NodeSignal::Kill) => Step::Mark,
            _ => Step::Send,
        }
    }
}
