//! What the agent knows of a node, and the node's bell memory.

use super::rows::Rows;
use super::shares::SHARE;
use crate::memory::memfd::{self, Sealing};
use crate::memory::tables::Bells;
use rsm_core::Result;
use rsm_core::bell::Bell;
use rsm_core::segment_id::AutomaticIds;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What the agent knows of a node.
pub(in crate::agent) struct NodeState {
    pub(in crate::agent) bells: Option<NodeBells>,
    /// Held by the node that waits there: the exporter at an export's, the importer at a connection's.
    pub(in crate::agent) bell_rows: Rows,
    pub(in crate::agent) members: BTreeSet<u64>,
    /// Members that are gone and not yet forgotten.
    pub(in crate::agent) departing: BTreeSet<u64>,
    /// Rows of the connections that its processes hold.
    pub(in crate::agent) imports: BTreeSet<u32>,
    pub(in crate::agent) automatic_ids: AutomaticIds,
    /// Its bells are being nudged; `true`: and once more from the beginning.
    pub(in crate::agent) nudging: Option<bool>,
}

/// The bell memory of a node, created when its first process joins. It stays for the life of the cluster: importers
/// map it, and a node that comes back goes on with it.
pub(in crate::agent) struct NodeBells {
    object: OwnedFd,
    pub(in crate::agent) map: Arc<Bells>,
}

impl NodeBells {
    pub(in crate::agent) fn create(bells: u32) -> Result<NodeBells> {
        let object = memfd::create("rsm-bells", u64::from(bells) * size_of::<Bell>() as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        let map = Arc::new(Bells::open(&object)?);
        map.region().dont_fork()?;
        Ok(NodeBells { object, map })
    }

    pub(in crate::agent) fn object(&self) -> &OwnedFd {
        &self.object
    }
}

impl NodeState {
    pub(in crate::agent) fn new(bells: u32, nodes: u32) -> NodeState {
        NodeState {
            bells: None,
            bell_rows: Rows::new("signal counters", bells, SHARE, nodes),
            members: BTreeSet::new(),
            departing: BTreeSet::new(),
            imports: BTreeSet::new(),
            automatic_ids: AutomaticIds::default(),
            nudging: None,
        }
    }
}
