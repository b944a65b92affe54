//! What is told of each thing in a cluster.

use rsm_core::message::Process;
use serde::Serialize;

/// A cluster as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterInfo {
    /// Name of the cluster.
    pub name: String,
    /// User that the cluster runs as.
    pub uid: u32,
    /// Process id of the agent.
    pub agent_pid: u32,
    /// Number of nodes.
    pub nodes: u32,
    /// Number of nodes that have joined.
    pub joined: u32,
    /// Number of processes of all nodes.
    pub processes: u32,
    /// Number of export segments, published or not.
    pub segments: u32,
    /// Number of connections that importers hold, cut ones included.
    pub connections: u32,
    /// What it is seen through ([`crate::lens`]), in words.
    pub lens: Option<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeInfo {
    /// Id of the node.
    pub node: u32,
    /// Whether a process of it has joined.
    pub joined: bool,
    /// Number of processes now.
    pub processes: u32,
    /// Process id of the oldest process.
    pub pid: Option<u32>,
    /// User of the node.
    pub uid: Option<u32>,
    /// Number of segments that the node exports.
    pub exports: u32,
    /// Number of connections that the node holds, cut ones included.
    pub imports: u32,
    /// Bytes of the segments that the node exports. Two exports of one range count twice.
    pub exported_bytes: u64,
    /// Number of times that the node came into being: 0 before its first process joined.
    pub incarnation: u64,
    /// The host that it is on, from 1, where the cluster has two; 0 where it has one.
    pub host: u32,
}

/// A process of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessInfo {
    /// Number of the membership; no two of a cluster ever have the same.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id.
    pub pid: u32,
    /// User of the process.
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
    /// Name of the controller.
    pub controller: String,
    /// `loopback` (the local node only) or `shared` (every node).
    pub kind: String,
    /// Largest length of a segment in bytes.
    pub max_segment_bytes: u64,
    /// Largest number of segments.
    pub max_segments: u64,
    /// Largest number of connections.
    pub max_imports: u64,
}

/// An export segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// The exporting node.
    pub node: u32,
    /// Id of the segment while it is published.
    pub id: Option<u32>,
    /// Whether the segment is published.
    pub published: bool,
    /// Whether the segment was taken back and importers have not let go yet.
    pub withdrawing: bool,
    /// Controller that the segment was created on.
    pub controller: String,
    /// Length in bytes.
    pub length: u64,
    /// The exporting process.
    pub pid: u32,
    /// User of that process when it created the segment.
    pub uid: u32,
    /// Number of connections to the segment.
    pub importers: u32,
    /// Serial number of the segment; no two of a cluster ever have the same.
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
    /// Segment id that was connected to, which the segment may have lost since.
    pub segment: u32,
    /// Controller that the connection goes through.
    pub controller: String,
    /// `r`, `w`, `rw` or `-`.
    pub permission: String,
    /// `connected`, or `cut` when only the importer still holds it.
    pub state: String,
    /// Generation: a number that no other connection of the cluster ever has.
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
    /// Number of errors so far.
    pub errors: u64,
}
