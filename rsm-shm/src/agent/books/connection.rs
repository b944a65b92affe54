//! What the agent knows of a connection.

use std::collections::BTreeSet;

/// What the agent knows of a connection.
#[derive(Debug)]
pub(in crate::agent) struct Connection {
    /// The generation word it was granted with.
    pub(in crate::agent) generation: u64,
    /// Row of the segment while the connection is alive.
    pub(in crate::agent) segment: Option<u32>,
    pub(in crate::agent) controller: u32,
    pub(in crate::agent) importer: u32,
    pub(in crate::agent) exporter: u32,
    /// Its bell among those of the exporting node.
    pub(in crate::agent) bell: u32,
    /// Number that it has at the other host, where one end is there.
    pub(in crate::agent) across: Option<u64>,
    /// The importer is there.
    pub(in crate::agent) is_theirs: bool,
    /// Memberships that hold it: the one that connected, and forked children of its process.
    pub(in crate::agent) holders: BTreeSet<u64>,
}
