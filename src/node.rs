//! A node, as one of its processes sees it.

use crate::lens::Lens;
use crate::{LocalController, RemoteController, Result, Topology};
use rsm_core::registry::{ControllerKind, LinkWord};
use rsm_shm::membership::{Membership, default};
use std::sync::Arc;
use std::time::Duration;

/// Membership of this process in a cluster, as one of the processes of a node.
///
/// Cheap to clone; the membership lasts as long as anything made through it.
#[derive(Clone)]
pub struct Node {
    pub(crate) membership: Arc<Membership>,
}

impl Node {
    pub(crate) fn new(membership: Arc<Membership>) -> Node {
        Node { membership }
    }

    /// The node that this process is part of by its environment, as `rsm-ctl run` sets it. Without one, a private
    /// cluster of one node is started in this process; it ends with the process (D-88).
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the environment names a cluster that does not run, or is incomplete.
    pub fn current() -> Result<Node> {
        default::membership().map(Node::new)
    }

    /// Membership of the process, as `rsm_shm` knows it.
    #[doc(hidden)]
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// How long calls of this process would have taken so far, in a cluster whose lens has a profile and virtual time
    /// ([`Lens::virtual_time`](crate::lens::Lens::virtual_time)); `None` in any other. Signals that it took count until
    /// they arrived, on the clock of who posted them.
    pub fn modelled(&self) -> Option<Duration> {
        self.membership.modelled()
    }

    /// The lens that the cluster was started with, if it was with one that this library knows.
    pub fn lens(&self) -> Option<Lens> {
        self.membership.registry().header.lens().ok().flatten()
    }

    /// Id of the node.
    pub fn id(&self) -> u32 {
        // A Node is only made from a membership with a claim.
        self.membership.node().unwrap_or(0)
    }

    /// Number of nodes of the cluster; their ids are 1 to this number. Not all of them need to have joined.
    pub fn node_count(&self) -> u32 {
        self.membership.registry().header.node_count()
    }

    /// Nodes that this node reaches through each controller but loopback. An address is the controller's index in
    /// the high half and the node id in the low half.
    ///
    /// # Errors
    /// None today; the C function has some.
    #[doc(alias = "rsm_get_interconnect_topology")]
    pub fn topology(&self) -> Result<Topology> {
        let registry = self.membership.registry();
        let me = self.id();
        let address = |controller: u32, node: u32| u64::from(controller) << 32 | u64::from(node);
        let mut controllers = Vec::new();
        for (index, row) in (0u32..).zip(registry.controllers) {
            if row.kind() != Some(ControllerKind::Shared) {
                continue;
            }
            let name = row.name();
            // Nodes of another host are reached through the controller of its bridge alone.
            let remotes = (1..=self.node_count()).filter_map(|node| {
                let state = LinkWord::state(registry.link_now(index, me, node)?);
                Some(RemoteController { node, name: name.clone(), address: address(index, node), state })
            });
            controllers.push(LocalController {
                name: name.clone(),
                address: address(index, me),
                remotes: remotes.collect(),
            });
        }
        Ok(Topology { local_node: me, controllers })
    }
}

/// Without what ties it to the cluster, which is secret.
impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cluster = self.membership.address().name();
        f.debug_struct("Node").field("cluster", &cluster).field("node", &self.id()).finish()
    }
}
