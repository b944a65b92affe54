//! Reading the registry into rows.

use super::Observer;
use super::rows::{ClusterInfo, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, SegmentInfo};
use crate::{LinkState, Permission};
use rsm_core::registry::{ControllerKind, ControllerRow, NONE, SegmentState, Withdrawal};
use rsm_core::sync::acquire32;

impl Observer {
    /// The cluster as a whole.
    pub fn cluster(&self) -> ClusterInfo {
        self.cluster_of(&self.nodes())
    }

    pub(super) fn cluster_of(&self, nodes: &[NodeInfo]) -> ClusterInfo {
        let nodes = nodes.iter().map(|n| (n.joined, n.exports, n.imports));
        super::glance::info(&self.membership.registry(), nodes.collect())
    }

    /// Nodes of the cluster, by id.
    pub fn nodes(&self) -> Vec<NodeInfo> {
        self.nodes_of(&self.segments())
    }

    pub(super) fn nodes_of(&self, segments: &[SegmentInfo]) -> Vec<NodeInfo> {
        let registry = self.membership.registry();
        let info = |node: u32| {
            let fields = registry.nodes.get(node as usize)?.fields();
            let joined = fields.processes > 0;
            let own = segments.iter().filter(|s| s.node == node);
            Some(NodeInfo {
                node,
                joined,
                processes: fields.processes,
                pid: joined.then_some(fields.pid),
                uid: joined.then_some(fields.uid),
                exports: fields.exports,
                imports: fields.imports,
                exported_bytes: own.map(|s| s.length).fold(0, u64::saturating_add),
                incarnation: fields.incarnation,
                host: fields.host,
            })
        };
        (1..=registry.header.node_count()).filter_map(info).collect()
    }

    /// Controllers of the cluster.
    pub fn controllers(&self) -> Vec<ControllerInfo> {
        let info = |row: &ControllerRow| {
            let kind = match row.kind()? {
                ControllerKind::Loopback => "loopback",
                ControllerKind::Shared => "shared",
            };
            let (max_segment_bytes, max_segments, max_imports) = row.limits();
            let (controller, kind) = (row.name(), kind.to_owned());
            Some(ControllerInfo { controller, kind, max_segment_bytes, max_segments, max_imports })
        };
        self.membership.registry().controllers.iter().filter_map(info).collect()
    }

    /// Export segments, by node and id.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let registry = self.membership.registry();
        let used = registry.segments.iter().take(registry.header.segment_high() as usize);
        let mut segments: Vec<SegmentInfo> = used
            .filter_map(|row| {
                let fields = row.fields()?;
                let published = fields.state == SegmentState::Published;
                // Acquire: pairs with the Release of the agent's stores.
                let withdrawal = Withdrawal::from_word(acquire32(row.withdrawal()));
                (fields.state != SegmentState::Free).then(|| SegmentInfo {
                    node: fields.node,
                    id: published.then_some(fields.id),
                    published,
                    // The word of a row that nothing was withdrawn from is 0, which is no number of a withdrawal.
                    withdrawing: !published
                        && withdrawal.number() > 0
                        && withdrawal.outcome(withdrawal.number()).is_none(),
                    controller: self.controller(fields.controller),
                    length: fields.length,
                    pid: fields.pid,
                    uid: fields.uid,
                    importers: row.importers(),
                    serial: fields.incarnation,
                    host: registry.nodes.get(fields.node as usize).map_or(0, |row| row.fields().host),
                })
            })
            .collect();
        segments.sort_by_key(|s| (s.node, s.id, s.serial));
        segments
    }

    /// Connections that importers hold, by importing node.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let registry = self.membership.registry();
        let used = registry.connections.iter().take(registry.header.connection_high() as usize);
        let mut connections: Vec<ConnectionInfo> = used
            .filter_map(|row| {
                let fields = row.fields()?;
                (fields.exporter != NONE).then(|| ConnectionInfo {
                    importer: fields.importer,
                    importer_pid: fields.pid,
                    exporter: fields.exporter,
                    segment: fields.id,
                    controller: self.controller(fields.controller),
                    permission: Permission::from_bits(fields.permission).unwrap_or(Permission::None).to_string(),
                    state: if fields.generation.is_aborted() { "cut" } else { "connected" }.to_owned(),
                    generation: fields.generation.serial(),
                })
            })
            .collect();
        connections.sort_by_key(|c| (c.importer, c.exporter, c.segment, c.generation));
        connections
    }

    /// Links, each direction by itself: imports of node `from` from node `to`.
    pub fn links(&self) -> Vec<LinkInfo> {
        let registry = self.membership.registry();
        let nodes = registry.header.node_count();
        let host = |node: u32| registry.nodes.get(node as usize).map(|row| row.fields().host);
        let mut links = Vec::new();
        for (index, row) in (0u32..).zip(registry.controllers).filter(|(_, row)| row.kind().is_some()) {
            let controller = row.name();
            for from in 1..=nodes {
                for to in 1..=nodes {
                    if let Some(word) = registry.link_now(index, from, to) {
                        let state = match word.state() {
                            LinkState::Active => "active",
                            LinkState::Up => "up",
                            LinkState::Down => "down",
                        };
                        let (controller, state) = (controller.clone(), state.to_owned());
                        let across = host(from) != host(to);
                        links.push(LinkInfo { controller, from, to, state, errors: word.errors(), across });
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
