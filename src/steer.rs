//! Disturbing a running cluster from outside: links, nodes, segments.
//!
//! For tests of what programs do when something breaks, and for people who look into it. What happens is what the
//! original's programs met when it happened by itself.
//!
//! ```
//! use rsm::steer::Links;
//! use rsm::{AccessList, Cluster, Code, Permission, SegmentId};
//!
//! # fn main() -> rsm::Result<()> {
//! let cluster = Cluster::new(2)?;
//! let exporter = cluster.node(1)?.controller("shm0")?;
//! let importer = cluster.node(2)?.controller("shm0")?;
//! let export = exporter.export(65536)?;
//! let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
//! let import = importer.connect(1, id, Permission::ReadWrite)?;
//!
//! let steering = cluster.steering()?;
//! let span = import.open_barrier()?;
//! steering.link_error(&Links::between(1, 2))?;
//! assert_eq!(span.close().unwrap_err().code(), Code::BarrierFailure); // do it again
//! import.put_u64(0, 1)?;
//!
//! steering.link_down(&Links::between(1, 2))?;
//! assert_eq!(import.put_u64(0, 2).unwrap_err().code(), Code::ConnAborted); // connect again
//! assert_eq!(importer.connect(1, id, Permission::Read).unwrap_err().code(), Code::RemoteNodeUnreachable);
//!
//! steering.link_up(&Links::between(1, 2))?;
//! importer.connect(1, id, Permission::ReadWrite)?.put_u64(0, 2)?;
//! # Ok(())
//! # }
//! ```

use crate::observe::{self, ClusterRef, Purpose};
use crate::{Result, SegmentId};
use rsm_core::message::NodeSignal;
use rsm_core::registry::LinkChange;
use rsm_shm::address::{Address, environment};
use rsm_shm::membership::Membership;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The links between two nodes: one direction or both, through one controller or all.
///
/// A direction belongs to the imports of one node from another: `one_way(1, 2)` is what the imports of node 1 from node
/// 2 go through. A node has links to itself as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    from: u32,
    to: u32,
    both: bool,
    controller: Option<String>,
}

impl Links {
    /// The links between nodes `a` and `b` in both directions, through every controller but loopback.
    #[must_use]
    pub fn between(a: u32, b: u32) -> Links {
        Links { from: a, to: b, both: true, controller: None }
    }

    /// The links of imports of node `from` from node `to` only, through every controller but loopback.
    #[must_use]
    pub fn one_way(from: u32, to: u32) -> Links {
        Links { from, to, both: false, controller: None }
    }

    /// Limits the links to those through this controller, which may be loopback where `from` and `to` are one node.
    #[must_use]
    pub fn through(mut self, controller: &str) -> Links {
        self.controller = Some(controller.to_owned());
        self
    }
}

/// For `rsm-lab`.
#[doc(hidden)]
impl Links {
    pub fn ends(&self) -> (u32, u32) {
        (self.from, self.to)
    }

    pub fn are_both_ways(&self) -> bool {
        self.both
    }

    pub fn controller(&self) -> Option<&str> {
        self.controller.as_deref()
    }
}

/// As in `link down 1 2 one-way through shm1`.
impl std::fmt::Display for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.from, self.to)?;
        if !self.both {
            write!(f, " one-way")?;
        }
        self.controller.as_ref().map_or(Ok(()), |controller| write!(f, " through {controller}"))
    }
}

/// The cluster `name` for somebody who changes or ends it: found as [`observe::find`] does, but only among one's own. That
/// of another user is found by its address, `rsm:UID:NAME`: nobody should take it for an own one that has just ended.
///
/// # Errors
/// As [`observe::find`].
pub fn find(name: Option<&str>) -> Result<ClusterRef> {
    observe::find_for(Purpose::Change, name)
}

/// User and process at the other end of a socket, as they are called here: 0 for a process that this PID namespace does not
/// show. For `rsm-run`.
#[doc(hidden)]
pub fn peer(socket: impl AsFd) -> Result<(u32, u32)> {
    rsm_shm::socket::peer(socket).map(|(credentials, process)| (credentials.uid, process))
}

/// The process at the other end of a socket, as [`peer`] gives it, if it is one of the user that the cluster is of. For
/// `rsm-run`.
#[doc(hidden)]
pub fn peer_of(cluster: &ClusterRef, socket: impl AsFd) -> Result<u32> {
    let (user, process) = peer(socket)?;
    rsm_shm::user::check_agent(&Address::new(&cluster.name, cluster.uid)?, user)?;
    Ok(process)
}

/// The right to disturb a cluster: whoever the agent lets look without being a node, which is its own user, root, and
/// whom it was told to allow. The processes of a node may not, unless they attach as such a user.
///
/// Every call is one round trip to the agent (one for each controller where [`Links`] names none); what it changes is
/// in force when it returns, while processes that sleep or are stopped learn of it when they run.
pub struct Steering {
    membership: Arc<Membership>,
}

impl Steering {
    /// Takes hold of the cluster that [`find`] finds.
    ///
    /// # Errors
    /// As [`Observer::attach`](observe::Observer::attach).
    pub fn attach(name: Option<&str>) -> Result<Steering> {
        observe::join(Purpose::Change, name).map(Steering::new)
    }

    pub(crate) fn new(membership: Arc<Membership>) -> Steering {
        Steering { membership }
    }

    /// An observer of the same cluster, without joining a second time.
    pub fn observer(&self) -> observe::Observer {
        observe::Observer::new(Arc::clone(&self.membership))
    }

    /// Takes links down, until [`link_up`](Self::link_up): nodes that leave and join do not bring them up. Imports
    /// through them are aborted as by an unpublish, connects say REMOTE_NODE_UNREACHABLE, the topology says
    /// [`LinkState::Down`](crate::LinkState::Down). An importer that does not run lets go when it does; until then it
    /// reaches the memory, which stays where it is for the sake of the others. Returns how many imports were aborted.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is no such controller, or the cluster has ended; REMOTE_NODE_UNREACHABLE when there
    /// is no such node or link; PERM_DENIED. Nothing was changed then. Taking a link down twice is no error.
    pub fn link_down(&self, links: &Links) -> Result<u32> {
        self.set_links(links, LinkChange::Down)
    }

    /// Brings links up that were taken down: connects work again. What was aborted stays aborted.
    ///
    /// # Errors
    /// As [`link_down`](Self::link_down). A link that is up stays so.
    pub fn link_up(&self, links: &Links) -> Result<()> {
        self.set_links(links, LinkChange::Up).map(drop)
    }

    /// Counts an error on links: every span and implicit transfer that is under way through them says BARRIER_FAILURE;
    /// connections go on.
    ///
    /// # Errors
    /// As [`link_down`](Self::link_down).
    pub fn link_error(&self, links: &Links) -> Result<()> {
        self.set_links(links, LinkChange::Error).map(drop)
    }

    /// For `rsm-lab`.
    #[doc(hidden)]
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// The controllers that are meant.
    #[doc(hidden)]
    pub fn controllers(&self, links: &Links) -> Result<Vec<u32>> {
        match &links.controller {
            Some(name) => self.membership.controller(name).map(|index| vec![index]),
            None => Ok(self.membership.shared_controllers()),
        }
    }

    #[doc(hidden)]
    pub fn signal(&self, node: u32, signal: NodeSignal) -> Result<u32> {
        self.membership.signal_node(node, signal)
    }

    #[doc(hidden)]
    pub fn set_links(&self, links: &Links, change: LinkChange) -> Result<u32> {
        let mut aborted = 0;
        for controller in self.controllers(links)? {
            aborted += self.membership.set_link(controller, links.from, links.to, links.both, change)?;
        }
        Ok(aborted)
    }

    /// Kills (SIGKILL) every process of a node that has joined. Returns how many there were; their exports and imports
    /// are gone a moment later.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE when there is no such node, or no process of it has joined; PERM_DENIED when the node
    /// lives in the agent's own process, and where the agent's user may not signal it; CTLR_NOT_PRESENT when the cluster
    /// has ended.
    pub fn node_kill(&self, node: u32) -> Result<u32> {
        self.signal(node, NodeSignal::Kill)
    }

    /// Stops (SIGSTOP) every process of a node that has joined, until [`node_cont`](Self::node_cont). Others go on
    /// connecting to it and using its memory. Returns how many there were.
    ///
    /// # Errors
    /// As [`node_kill`](Self::node_kill).
    pub fn node_stop(&self, node: u32) -> Result<u32> {
        self.signal(node, NodeSignal::Stop)
    }

    /// Lets every process of a node go on (SIGCONT). Returns how many there were.
    ///
    /// # Errors
    /// As [`node_kill`](Self::node_kill).
    pub fn node_cont(&self, node: u32) -> Result<u32> {
        self.signal(node, NodeSignal::Cont)
    }

    /// Takes a segment from its exporter: its imports are aborted, its id is free, nobody connects any more. The exporter
    /// keeps the memory and may publish it again, or unpublish it, which then says that nobody reaches it. An importer
    /// that does not run lets go when it does, or when the exporter does either. Returns how many imports were aborted.
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED, naming what the node publishes; REMOTE_NODE_UNREACHABLE when there is no such node;
    /// CTLR_NOT_PRESENT when the cluster has ended.
    pub fn revoke_segment(&self, node: u32, id: SegmentId) -> Result<u32> {
        self.membership.revoke(node, id.get())
    }

    /// The environment that makes a program a process of `node`, key included.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE when there is no such node; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn environment(&self, node: u32) -> Result<Vec<(&'static str, String)>> {
        let key = self.membership.node_key(node)?;
        Ok(environment(self.membership.address(), node, self.membership.registry().header.node_count(), &key))
    }
}

impl std::fmt::Debug for Steering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steering").field("cluster", &self.membership.address().name()).finish()
    }
}
