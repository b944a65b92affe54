//! Links while they are being changed.

use super::request::Owed;
use rsm_core::registry::LinkChange;

/// Links that are being changed.
#[derive(Debug)]
pub(in crate::agent) struct Relinking {
    pub(in crate::agent) change: LinkChange,
    /// Controller, importing node, exporting node.
    pub(in crate::agent) ways: Vec<(u32, u32, u32)>,
    /// Those that come up again when all is done.
    pub(in crate::agent) again: Vec<(u32, u32, u32)>,
    /// What is done to the last of them.
    pub(in crate::agent) step: Step,
    /// Imports from this row on are still to be looked at.
    pub(in crate::agent) at: u32,
    pub(in crate::agent) count: u32,
    pub(in crate::agent) owed: Owed,
}

/// What is done to a link next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Step {
    /// The generations of its connections are stepped. Before the word: a path that is gone for good is told as
    /// CONN_ABORTED and never as BARRIER_FAILURE, after which a program would only try again; and who is woken by the cut
    /// finds the link down. Nobody connects through it meanwhile.
    Generations,
    /// Its word is changed.
    Link,
    /// Its connections follow: they are cut, or have had an error.
    Connections,
}

impl Step {
    pub(in crate::agent) fn first(change: LinkChange) -> Step {
        if change == LinkChange::Down { Step::Generations } else { Step::Link }
    }
}
