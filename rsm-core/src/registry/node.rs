//! Node rows.

use crate::error::{Code, Error, Result};
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, acquire32};

/// The node of segments that no node owns: the cluster itself. No process is one of it.
pub const CLUSTER: u32 = 0;

/// A node of the cluster.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct NodeRow {
    /// Steps with every publish of the node, when it joins, and when its links change; `connect_within` sleeps on it.
    pub(super) published: AtomicU32,
    pub(super) processes: AtomicU32,
    pub(super) pid: AtomicU32,
    pub(super) uid: AtomicU32,
    pub(super) exports: AtomicU32,
    pub(super) imports: AtomicU32,
    pub(super) incarnation: AtomicU64,
    pub(super) host: AtomicU32,
    spare: AtomicU32,
    reserved: [AtomicU64; 3],
}

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<NodeRow>() == 64);

/// Fields of a node row; each number by itself is true, together they are a snapshot for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFields {
    /// Processes of the node that are members now.
    pub processes: u32,
    /// Process id of the first of them.
    pub pid: u32,
    /// Effective user id of that process.
    pub uid: u32,
    /// Segments its processes export.
    pub exports: u32,
    /// Connections its processes hold.
    pub imports: u32,
    /// Number of times that the node came into being.
    pub incarnation: u64,
    /// The host that it is on, where the cluster has several: from 1, in the order of their lowest nodes. 0 in a cluster of
    /// one host.
    pub host: u32,
}

impl NodeRow {
    pub(super) fn new() -> NodeRow {
        let zero = || AtomicU32::new(0);
        NodeRow {
            published: zero(),
            processes: zero(),
            pid: zero(),
            uid: zero(),
            exports: zero(),
            imports: zero(),
            incarnation: AtomicU64::new(0),
            host: zero(),
            spare: zero(),
            reserved: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The word to sleep on until something of this node may have become reachable.
    pub fn published(&self) -> &AtomicU32 {
        &self.published
    }

    /// Whether a process of the node is a member.
    pub fn is_joined(&self) -> bool {
        acquire32(&self.processes) > 0
    }

    /// Everything the row says.
    pub fn fields(&self) -> NodeFields {
        NodeFields {
            processes: self.processes.load(Relaxed),
            pid: self.pid.load(Relaxed),
            uid: self.uid.load(Relaxed),
            exports: self.exports.load(Relaxed),
            imports: self.imports.load(Relaxed),
            incarnation: self.incarnation.load(Relaxed),
            host: self.host.load(Relaxed),
        }
    }
}

/// Checks that a cluster of `nodes` nodes has this one.
///
/// # Errors
/// REMOTE_NODE_UNREACHABLE.
pub fn check_node(node: u32, nodes: u32) -> Result<()> {
    if (1..=nodes).contains(&node) {
        return Ok(());
    }
    Err(Error::with(Code::RemoteNodeUnreachable, format!("there is no node {node}: nodes are 1 to {nodes}")))
}

/// The error for who wants to be a node that `cluster` does not have.
#[cold]
pub fn no_such_node(cluster: &str, node: u32, nodes: u32) -> Error {
    Error::with(Code::CtlrNotPresent, format!("{cluster} has no node {node}: its nodes are 1 to {nodes}"))
}

impl Default for NodeRow {
    fn default() -> NodeRow {
        NodeRow::new()
    }
}
