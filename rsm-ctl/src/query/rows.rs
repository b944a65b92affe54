//! What was found, before it is written in one form or another.

use rsm::observe::{
    ClusterInfo, ClusterRef, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, ProcessInfo, SegmentInfo, WaitInfo,
};
use serde::Serialize;

use crate::query::process::ProcessState;

/// What was found.
pub(crate) enum Rows {
    Clusters(Vec<ClusterRow>),
    Nodes(Vec<NodeInfo>),
    Segments(Vec<SegmentInfo>),
    Connections(Vec<ConnectionInfo>),
    Links(Vec<LinkInfo>),
    Controllers(Vec<ControllerInfo>),
    Processes(Vec<ProcessRow>),
    Waits(Vec<WaitInfo>),
}

/// A running cluster, as far as this user may know it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum ClusterRow {
    Open(ClusterInfo),
    /// Its agent refuses to be looked at, or does not answer.
    Closed(ClusterRef),
}

/// A process of a node, and what the kernel says of it.
#[derive(Serialize)]
pub(crate) struct ProcessRow {
    #[serde(flatten)]
    pub(crate) process: ProcessInfo,
    #[serde(flatten)]
    pub(crate) state: ProcessState,
}
