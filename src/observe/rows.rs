//! What is told of each thing in a cluster.

use rsm_core::message::Process;
use serde::Serialize;

/// A cluster as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterInfo {
    /// Its name.
    pub name: String,
    /// The user it runs as.
    pub uid: u32,
    /// Process id of its agent.
    pub agent_pid: u32,
    /// Nodes it has.
    pub nodes: u32,
    /// Nodes that have joined.
    pub joined: u32,
    /// Processes of all nodes.
    pub processes: u32,
    /// Export segments, published or not.
    pub segments: u32,
    /// Connections that importers hold, cut ones included.
    pub connections: u32,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeInfo {
    /// Its id.
    pub node: u32,
    /// Whether a process of it has joined.
    pub joined: bool,
    /// Processes now.
    pub processes: u32,
    /// The oldest of them.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: Option<u32>,
    /// Segments it exports.
    pub exports: u32,
    /// Connections it holds, cut ones included.
    pub imports: u32,
    /// Bytes of the segments it exports. Two exports of one range count twice.
    pub exported_bytes: u64,
    /// How often it came into being: 0 before its first process joined.
    pub incarnation: u64,
}

/// A process of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessInfo {
    /// Number of its membership; never the same for two of a cluster.
    pub membership: u64,
    /// Its node.
    pub node: u32,
    /// Its process id.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

impl From<&Process> for ProcessInfo {
    fn from(process: &Process) -> ProcessInfo {
        let Process { membership, node, pid, uid } = *process;
        ProcessInfo { membership, node, pid, uid }
    }
}

/// A controller; every node has one of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControllerInfo {
    /// Its name.
    pub controller: String,
    /// `loopback` (the local node only) or `shared` (every node).
    pub kind: String,
    /// Most bytes of a segment.
    pub max_segment_bytes: u64,
    /// Most segments.
    pub max_segments: u64,
    /// Most connections.
    pub max_imports: u64,
}

/// An export segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// The exporting node.
    pub node: u32,
    /// Its id while published.
    pub id: Option<u32>,
    /// Whether it is published.
    pub published: bool,
    /// It was taken back, and importers have not let go yet.
    pub withdrawing: bool,
    /// The controller it was created on.
    pub controller: String,
    /// Bytes.
    pub length: u64,
    /// The exporting process.
    pub pid: u32,
    /// Its user when it created the segment.
    pub uid: u32,
    /// Connections to it.
    pub importers: u32,
    /// Number of this segment; never the same for two of a cluster.
    pub serial: u64,
}

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionInfo {
    /// The importing node.
    pub importer: u32,
    /// The process that connected.
    pub importer_pid: u32,
    /// The exporting node.
    pub exporter: u32,
    /// The id it connected to, which the segment may have lost since.
    pub segment: u32,
    /// The controller it goes through.
    pub controller: String,
    /// `r`, `w`, `rw` or `-`.
    pub permission: String,
    /// `connected`, or `cut` when only the importer still holds it.
    pub state: String,
    /// Its generation: a number that no other connection of the cluster ever has.
    pub generation: u64,
}

/// One direction of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkInfo {
    /// The controller.
    pub controller: String,
    /// The importing node.
    pub from: u32,
    /// The exporting node.
    pub to: u32,
    /// `active`, `up` (the exporting node has not joined) or `down`.
    pub state: String,
    /// Errors so far.
    pub errors: u64,
}
