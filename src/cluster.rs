//! A cluster whose agent lives in this process.

use crate::lens::gate::Called;
use crate::lens::races::Looked;
use crate::lens::{Delivered, Injected, Lens};
use crate::lens::{HeldSegment, Noted};
use crate::steer::Steering;
use crate::{Code, Error, Geometry, Node, Result};
use rsm_core::message::Claim;
use rsm_core::registry::{check_node, no_such_node};
use rsm_shm::address::{environment, random_secret, secret_to_text};
use rsm_shm::agent::config::Bridge;
use rsm_shm::agent::{AgentHandle, Config};
use rsm_shm::membership::Membership;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A cluster whose agent is a thread of this process: for tests, for programs that are a whole cluster, and for
/// launchers.
///
/// Nodes join from inside ([`node`](Self::node)), or as child processes started with [`environment`](Self::environment).
/// Dropping it ends the cluster: its members keep what they have mapped, and every call that needs the agent fails
/// with CTLR_NOT_PRESENT.
pub struct Cluster {
    joined: Mutex<BTreeMap<u32, Arc<Membership>>>,
    agent: AgentHandle,
}

/// What a cluster is started with.
#[derive(Clone, Debug)]
#[must_use = "a cluster starts with start()"]
pub struct ClusterBuilder {
    config: Config,
    named: bool,
    /// Asked for to be here, and none of the cluster.
    no_node: Option<u32>,
}

impl Cluster {
    /// Starts a cluster of `nodes` nodes, ids 1 to `nodes`, under a random name.
    ///
    /// # Errors
    /// As [`ClusterBuilder::start`].
    pub fn new(nodes: u32) -> Result<Cluster> {
        Cluster::builder(nodes).start()
    }

    /// A cluster of `nodes` nodes, to be configured.
    pub fn builder(nodes: u32) -> ClusterBuilder {
        ClusterBuilder { config: Config::new("", nodes), named: false, no_node: None }
    }

    /// Name of the cluster, as `rsm-ctl ls` shows it.
    pub fn name(&self) -> &str {
        self.agent.address().name()
    }

    /// Number of nodes; their ids are 1 to this number.
    pub fn node_count(&self) -> u32 {
        self.agent.node_count()
    }

    /// The environment that makes a program a process of `node`.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is no such node.
    pub fn environment(&self, node: u32) -> Result<Vec<(&'static str, String)>> {
        let claim = self.claim(node)?;
        Ok(environment(self.agent.address(), node, self.node_count(), &claim.key))
    }

    /// Node and process id of each process that was killed on purpose, by [`Steering::node_kill`] or a script, in that
    /// order, from before it is dead: so a launcher tells these ends from accidents.
    pub fn kills(&self) -> Vec<(u32, u32)> {
        self.agent.kills()
    }

    /// What the processes of nodes say of what became of their late stores and signals, in a cluster with a
    /// [lens](ClusterBuilder::lens): node, process id, and what; in the order in which they joined, those that have ended
    /// included, the last 256.
    pub fn deliveries(&self) -> Vec<(u32, u32, Delivered)> {
        self.agent.records()
    }

    /// Which faults were injected into the processes of a cluster whose [lens](ClusterBuilder::lens) has any, by their own
    /// account: node, process id, and what; in the order in which they joined, those that have ended too.
    pub fn faults(&self) -> Vec<(u32, u32, Injected)> {
        self.agent.faults()
    }

    /// How long calls of the cluster's processes would have taken on the interconnect of the [lens](ClusterBuilder::lens)'s
    /// profile, where that is only added up, by their own account: node, process id, and what; in the order in which they
    /// joined, those that have ended too.
    pub fn modelled(&self) -> Vec<(u32, u32, Duration)> {
        self.agent.modelled()
    }

    /// What the processes of nodes say of their calls, in a cluster whose [lens](ClusterBuilder::lens) has a
    /// [gate](crate::lens::Gate): node, process id, and what; as above.
    pub fn calls(&self) -> Vec<(u32, u32, Called)> {
        self.agent.calls()
    }

    /// What the processes of nodes noted of their calls since this was last asked, in a cluster whose
    /// [lens](ClusterBuilder::lens) [traces](crate::lens::Lens::trace). Who does not ask for long enough misses the oldest.
    pub fn noted(&self) -> Vec<Noted> {
        self.agent.noted()
    }

    /// Accesses of processes that nothing orders, in a cluster whose [lens](ClusterBuilder::lens) has them
    /// [looked for](crate::lens::Lens::race); those of processes that have ended too.
    pub fn races(&self) -> Option<Looked> {
        self.agent.races()
    }

    /// The memory of segments, in a cluster whose [lens](ClusterBuilder::lens) [notes bytes](crate::lens::Trace::bytes): of those
    /// that are there, and once of those that are gone.
    pub fn held(&self) -> Vec<HeldSegment> {
        self.agent.held()
    }

    /// Node and process id of each process that was killed at the gate of the cluster's [lens](ClusterBuilder::lens), from
    /// before it is dead.
    pub fn gate_kills(&self) -> Vec<(u32, u32)> {
        self.agent.died_at_gate()
    }

    /// Joins as `node` from inside this process. Called again, it gives the same membership.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is no such node; INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub fn node(&self, node: u32) -> Result<Node> {
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(membership) = joined.get(&node) {
            return Ok(Node::new(Arc::clone(membership)));
        }
        let membership = Membership::join(self.agent.address(), Some(self.claim(node)?))?;
        joined.insert(node, Arc::clone(&membership));
        Ok(Node::new(membership))
    }

    /// Waits until the host at the other end of the [bridge](ClusterBuilder::bridge) is there and each knows what the other has,
    /// for at most `patience`. A cluster of one host has nothing to wait for.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE, saying what is in the way.
    pub fn await_bridge(&self, patience: Duration) -> Result<()> {
        match self.agent.await_bridge(patience) {
            None => Ok(()),
            Some(why) => Err(Error::with(Code::RemoteNodeUnreachable, format!("the other host is not there: {why}"))),
        }
    }

    /// The right to disturb the cluster.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub fn steering(&self) -> Result<Steering> {
        Membership::join(self.agent.address(), None).map(Steering::new)
    }

    fn claim(&self, node: u32) -> Result<Claim> {
        let key = self.agent.key(node).ok_or_else(|| no_such_node("the cluster", node, self.node_count()))?;
        Ok(Claim { node, key: *key })
    }
}

impl ClusterBuilder {
    /// Names the cluster: 1 to 64 letters, digits, `.`, `_` or `-`. Without it the name is random.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.config.name);
        self.named = true;
        self
    }

    /// Sets the sizes of the registry's tables.
    pub fn geometry(mut self, geometry: Geometry) -> Self {
        self.config.geometry = geometry;
        self
    }

    /// Tells that this process exists for the agent: raises its limit of open descriptors to the hard one and makes it
    /// non-dumpable, so that other processes of the user cannot write its memory through /proc.
    pub fn dedicated(mut self) -> Self {
        self.config.dedicated = true;
        self
    }

    /// Names the controllers that reach every node, instead of `shm0` alone: a kind and a number each, such as `shm1`. Each
    /// has links of its own. A segment is reached through any of them, whichever it was exported on. `loopback` is always
    /// there.
    pub fn controllers<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.config.controllers = names.into_iter().map(Into::into).collect();
        self
    }

    /// Lets a user other than the agent's own and root look at the cluster, steer it, and be given the keys of its nodes.
    pub fn allow_uid(mut self, uid: u32) -> Self {
        self.config.allow_uids.push(uid);
        self
    }

    /// Lets the members of a group do what [`allow_uid`](Self::allow_uid) lets a user do.
    pub fn allow_gid(mut self, gid: u32) -> Self {
        self.config.allow_gids.push(gid);
        self
    }

    /// Lets every process of the cluster see its memory through a lens: for tests of what a program relies on. See
    /// [`crate::lens`].
    pub fn lens(mut self, lens: Lens) -> Self {
        self.config.lens = Some(lens);
        self
    }

    /// Has only these nodes on this host; the others are on the host at the other end of the [bridge](Self::bridge), whose
    /// agent is started with them and the same number of nodes.
    pub fn here(mut self, nodes: impl IntoIterator<Item = u32>) -> Self {
        let nodes: Vec<u32> = nodes.into_iter().collect();
        // What no set of nodes has would get lost.
        self.no_node = nodes.iter().copied().find(|&node| check_node(node, self.config.node_count).is_err());
        self.config.here = Some(nodes.into_iter().collect());
        self
    }

    /// Reaches the nodes of another host through a controller, one of the cluster's or one more such as `ntb0`, over a device:
    /// `local:NAME` joins two agents of one machine; with the feature `ntb`, `vfio:ADDRESS` is a PCI function, one end of a
    /// non-transparent bridge. The controller reaches the nodes of this host too.
    pub fn bridge(mut self, controller: &str, device: &str) -> Self {
        #[cfg(feature = "ntb")]
        {
            self.config.opener = Some(rsm_ntb::open);
        }
        self.config.bridge = Some(Bridge { controller: controller.to_owned(), device: device.to_owned() });
        self
    }

    /// Starts the cluster, which serves when this returns.
    ///
    /// # Errors
    /// BAD_CONF for a bad name or one that is taken, for controllers that cannot be, and for nodes and bridges that do not go
    /// together; BAD_LENGTH for bad numbers; CTLR_NOT_PRESENT where the kernel
    /// lacks a feature; INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub fn start(mut self) -> Result<Cluster> {
        if let Some(node) = self.no_node {
            let text = format!("node {node} cannot be on this host: nodes are 1 to {}", self.config.node_count);
            return Err(Error::with(Code::BadConf, text));
        }
        if !self.named {
            let random = secret_to_text(&random_secret()?);
            self.config.name = format!("cluster-{}-{}", std::process::id(), &random[..8]);
        }
        Ok(Cluster { joined: Mutex::default(), agent: AgentHandle::start(&self.config)? })
    }
}

/// Without the keys of its nodes.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name()).field("nodes", &self.node_count()).finish()
    }
}
