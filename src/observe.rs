//! Looking at running clusters from outside.
//!
//! An observer maps the registry, which needs no help from the nodes: one that hangs is seen hanging.

use crate::{Error, LinkState, Permission, Result};
use rsm_core::Code;
use rsm_core::registry::{ControllerRow, LinkWord, SegmentState};
use rsm_core::sync::Ordering::Relaxed;
use rsm_shm::address::{Address, ENV_CLUSTER};
use rsm_shm::membership::Membership;
use serde::Serialize;
use std::sync::Arc;

/// A running cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ClusterRef {
    /// Its name.
    pub name: String,
    /// The user it runs as.
    pub uid: u32,
}

/// A cluster as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// Connections.
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
    /// Connections it holds.
    pub imports: u32,
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
    /// The segment's id.
    pub segment: u32,
    /// The controller it goes through.
    pub controller: String,
    /// `r`, `w`, `rw` or `-`.
    pub permission: String,
    /// `connected`.
    pub state: String,
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

/// The running clusters, by name. Those of other users are listed; whether one may look at them, their agent says.
///
/// # Errors
/// INTERNAL_ERROR without /proc.
pub fn clusters() -> Result<Vec<ClusterRef>> {
    let table = std::fs::read("/proc/net/unix")
        .map_err(|e| Error::with(Code::InternalError, format!("cannot list clusters: /proc/net/unix: {e}")))?;
    let mut found: Vec<ClusterRef> = String::from_utf8_lossy(&table)
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(7)?.strip_prefix('@'))
        .filter_map(Address::from_abstract_name)
        .map(|address| ClusterRef { name: address.name().to_owned(), uid: address.uid() })
        .collect();
    // A name shows once for each connection as well.
    found.sort();
    found.dedup();
    Ok(found)
}

/// A look at one cluster.
pub struct Observer {
    membership: Arc<Membership>,
}

impl Observer {
    /// Looks at the cluster `name`. Without a name: at the one in the environment, else at the only one that runs.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is none, or more than one to choose from; PERM_DENIED when its agent refuses.
    pub fn attach(name: Option<&str>) -> Result<Observer> {
        let address = match name {
            Some(name) => choose(clusters()?, Some(name))?,
            None => match std::env::var(ENV_CLUSTER) {
                Ok(text) => text.parse()?,
                Err(_) => choose(clusters()?, None)?,
            },
        };
        Ok(Observer { membership: Membership::join(&address, None)? })
    }

    /// Whether the cluster has ended.
    pub fn is_gone(&self) -> bool {
        self.membership.is_gone()
    }

    /// The cluster as a whole.
    pub fn cluster(&self) -> ClusterInfo {
        let registry = self.membership.registry();
        let nodes = self.nodes();
        let (agent_pid, uid) = registry.header.agent();
        ClusterInfo {
            name: registry.header.name(),
            uid,
            agent_pid,
            nodes: registry.header.node_count(),
            joined: nodes.iter().map(|n| u32::from(n.joined)).sum(),
            processes: registry.header.processes(),
            segments: nodes.iter().map(|n| n.exports).sum(),
            connections: nodes.iter().map(|n| n.imports).sum(),
        }
    }

    /// Its nodes, by id.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let registry = self.membership.registry();
        let info = |node: u32| {
            let fields = registry.nodes.get(node as usize)?.fields();
            let joined = fields.processes > 0;
            Some(NodeInfo {
                node,
                joined,
                processes: fields.processes,
                pid: joined.then_some(fields.pid),
                uid: joined.then_some(fields.uid),
                exports: fields.exports,
                imports: fields.imports,
            })
        };
        (1..=registry.header.node_count()).filter_map(info).collect()
    }

    /// Its export segments, by node and id.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let registry = self.membership.registry();
        let used = registry.segments.iter().take(registry.header.segment_high() as usize);
        let mut segments: Vec<SegmentInfo> = used
            .filter_map(|row| {
                let fields = row.fields()?;
                let published = fields.state == SegmentState::Published;
                (fields.state != SegmentState::Free).then(|| SegmentInfo {
                    node: fields.node,
                    id: published.then_some(fields.id),
                    published,
                    controller: self.controller(fields.controller),
                    length: fields.length,
                    pid: fields.pid,
                    uid: fields.uid,
                    importers: row.importers(),
                })
            })
            .collect();
        segments.sort_by_key(|s| (s.node, s.id));
        segments
    }

    /// Its live connections, by importing node. One that was cut is not listed, though its importer may still hold it.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let registry = self.membership.registry();
        let used = registry.connections.iter().take(registry.header.connection_high() as usize);
        let mut connections: Vec<ConnectionInfo> = used
            .filter_map(|row| {
                let fields = row.fields()?;
                let segment = registry.segments.get(fields.segment as usize)?.fields()?;
                let alive = !fields.generation.is_aborted() && fields.generation.serial() > 0;
                (alive && segment.incarnation == fields.segment_incarnation).then(|| ConnectionInfo {
                    importer: fields.importer,
                    importer_pid: fields.pid,
                    exporter: segment.node,
                    segment: segment.id,
                    controller: self.controller(fields.controller),
                    permission: Permission::from_bits(fields.permission).unwrap_or(Permission::None).to_string(),
                    state: "connected".to_owned(),
                })
            })
            .collect();
        connections.sort_by_key(|c| (c.importer, c.exporter, c.segment, c.importer_pid));
        connections
    }

    /// Its links, each direction by itself: imports of node `from` from node `to`.
    pub fn links(&self) -> Vec<LinkInfo> {
        let registry = self.membership.registry();
        let nodes = registry.header.node_count();
        let mut links = Vec::new();
        for (index, row) in (0u32..).zip(registry.controllers).filter(|(_, row)| row.kind().is_some()) {
            for from in 1..=nodes {
                for to in 1..=nodes {
                    // Where a controller has no path there is no link.
                    let word = registry.link(index, from, to).map_or(0, |word| word.load(Relaxed));
                    if word != 0 {
                        let word = LinkWord::from_word(word);
                        let state = match word.state() {
                            LinkState::Active => "active",
                            LinkState::Up => "up",
                            LinkState::Down => "down",
                        };
                        let (state, errors) = (state.to_owned(), word.errors());
                        links.push(LinkInfo { controller: row.name(), from, to, state, errors });
                    }
                }
            }
        }
        links
    }

    fn controller(&self, index: u32) -> String {
        let row = self.membership.registry().controllers.get(index as usize);
        row.map_or_else(String::new, ControllerRow::name)
    }
}

/// Picks a cluster out of those that run: by name, or the only one. One's own come before those of other users.
fn choose(running: Vec<ClusterRef>, name: Option<&str>) -> Result<Address> {
    let none = |text: String| Err(Error::with(Code::CtlrNotPresent, text));
    if let Some(Ok(address)) = name.filter(|name| name.starts_with("rsm:")).map(str::parse) {
        return Ok(address); // an address says which one, whoever's it is
    }
    let me = rsm_shm::address::current_uid();
    let list = |some: &[&ClusterRef]| {
        let show = |c: &&ClusterRef| {
            if c.uid == me { c.name.clone() } else { format!("rsm:{}:{}", c.uid, c.name) }
        };
        some.iter().map(show).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&ClusterRef> = running.iter().collect();
    let fitting: Vec<&ClusterRef> = running.iter().filter(|c| name.is_none_or(|n| n == c.name)).collect();
    let own: Vec<&ClusterRef> = fitting.iter().copied().filter(|c| c.uid == me).collect();
    match (&own[..], &fitting[..], name) {
        ([only], _, _) | ([], [only], _) => Address::new(&only.name, only.uid),
        (_, [], _) if all.is_empty() => none("no cluster is running".to_owned()),
        (_, [], Some(name)) => none(format!("no cluster named {name:?}; running: {}", list(&all))),
        (_, several, _) => none(format!("several clusters are running, name one: {}", list(several))),
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("cluster", &self.membership.address().name()).finish()
    }
}
