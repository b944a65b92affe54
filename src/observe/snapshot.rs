//! Everything of a cluster at once.

use super::Observer;
use super::rows::{ClusterInfo, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, ProcessInfo, SegmentInfo};
use serde::Serialize;

/// How often a look that something changed under is taken again.
const TRIES: u32 = 8;

/// A cluster as it stood at one moment, unless it changed faster than one can look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    #[serde(skip)]
    pub(super) changes: u32,
    /// The cluster as a whole.
    pub cluster: ClusterInfo,
    /// Nodes of the cluster.
    pub nodes: Vec<NodeInfo>,
    /// Processes of the nodes; `None` when the agent does not answer.
    pub processes: Option<Vec<ProcessInfo>>,
    /// Controllers of the cluster.
    pub controllers: Vec<ControllerInfo>,
    /// Export segments.
    pub segments: Vec<SegmentInfo>,
    /// Connections that importers hold.
    pub connections: Vec<ConnectionInfo>,
    /// Links, each direction by itself.
    pub links: Vec<LinkInfo>,
}

impl Snapshot {
    /// A cluster with nothing in it: everything there is counts as a change since.
    pub fn empty() -> Snapshot {
        Snapshot { processes: Some(Vec::new()), ..Snapshot::default() }
    }
}

pub(super) fn take(observer: &Observer) -> Snapshot {
    let mut tries = 0;
    loop {
        // Before the rows: what changes from here on makes `Observer::wait` return at once.
        let changes = observer.membership.changes();
        let segments = observer.segments();
        let nodes = observer.nodes_of(&segments);
        let snapshot = Snapshot {
            changes,
            cluster: observer.cluster_of(&nodes),
            nodes,
            processes: observer.processes().ok(),
            controllers: observer.controllers(),
            segments,
            connections: observer.connections(),
            links: observer.links(),
        };
        tries += 1;
        if tries == TRIES || observer.membership.changes() == changes {
            return snapshot;
        }
    }
}
