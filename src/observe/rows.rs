//! What is told of each thing in a cluster.

use rsm_core::message::Process;
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::report::Report;
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
    /// Hosts that its nodes are on: 1, or 2 with a bridge between them.
    pub hosts: u32,
}

/// The bridge to another host, as the agent of this one knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BridgeInfo {
    /// Controller that reaches the other host.
    pub controller: String,
    /// The device, as it was given to the agent.
    pub device: String,
    /// Number of this host.
    pub host: u32,
    /// Nodes of this host.
    pub here: Vec<u32>,
    /// `open` when each host knows what the other has; before that `hello` while nobody fit is there, and `syncing`; `closed` for
    /// the moment between the end of a link and the next beginning.
    pub state: String,
    /// Why it is not open, in words.
    pub trouble: Option<String>,
    /// Name of the other agent's cluster, as it says, while it is there.
    pub peer: Option<String>,
    /// How often another agent was met.
    pub lives: u64,
    /// Bytes of the window through which each reaches the other's memory.
    pub window_bytes: u64,
    /// What offsets and lengths in it are multiples of, in bytes.
    pub granule_bytes: u64,
    /// Segments of this host that the other one can reach now; one that some only read and others write counts twice.
    pub slots: u32,
    /// Segments of the other host that are known here.
    pub mirrors: u32,
    /// Those of them, published to nodes of this host, that are larger than the window has room for: who connects is told
    /// INSUFFICIENT_RESOURCES.
    pub mirrors_too_large: u32,
    /// Segments of this host, published to nodes of the other, that are larger than its window has room for.
    pub exports_too_large: u32,
    /// Connections of this host to segments of the other.
    pub imports: u32,
    /// Connections of the other host to segments of this one.
    pub exports: u32,
    /// Loads through the window that the agent made. Those of importers it does not see.
    pub loads: u64,
    /// Stores that the agent made.
    pub stores: u64,
    /// Doorbells that the agent rang.
    pub doorbells: u64,
}

impl From<Report> for BridgeInfo {
    fn from(report: Report) -> BridgeInfo {
        let here = Nodes::from_bits(report.here).unwrap_or_default();
        BridgeInfo {
            controller: report.controller,
            device: report.device,
            host: report.host,
            here: here.iter().collect(),
            state: report.state,
            trouble: report.trouble,
            peer: report.peer,
            lives: report.lives,
            window_bytes: report.window,
            granule_bytes: report.granule,
            slots: report.slots,
            mirrors: report.mirrors,
            mirrors_too_large: report.mirrors_too_large,
            exports_too_large: report.exports_too_large,
            imports: report.imports,
            exports: report.exports,
            loads: report.traffic.loads,
            stores: report.traffic.stores,
            doorbells: report.traffic.doorbells,
        }
    }
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
    /// The host of the exporting node, from 1, where the cluster has two; 0 where it has one.
    pub host: u32,
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
    /// Whether the two nodes are on different hosts.
    pub across: bool,
}
