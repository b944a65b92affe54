//! What a node can reach (reference 1.4, 2.5; D-08, D-89).

/// Controllers of a node and what each one reaches. Loopback is not listed (D-08).
#[doc(alias = "rsm_topology_t")]
#[doc(alias = "rsm_free_interconnect_topology")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The node that asked.
    pub local_node: u32,
    /// Controllers of the local node.
    pub controllers: Vec<LocalController>,
}

/// A controller of the local node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalController {
    /// Name to open it with.
    pub name: String,
    /// Hardware address of the controller, unique on the interconnect.
    pub address: u64,
    /// The controllers it has a path to, the local node's own included when it reaches itself.
    pub remotes: Vec<RemoteController>,
}

/// A controller at the other end of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteController {
    /// The node it belongs to.
    pub node: u32,
    /// Name of the controller there.
    pub name: String,
    /// Hardware address of that controller.
    pub address: u64,
    /// State of the path.
    pub state: crate::registry::LinkState,
}
