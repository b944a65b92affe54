//! A cluster as a graph.

use std::collections::BTreeMap;

use rsm::observe::{ClusterInfo, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, Snapshot};
use serde::Serialize;

/// A cluster as a graph.
#[derive(Debug, Serialize)]
pub(super) struct Topology {
    pub(super) cluster: ClusterInfo,
    pub(super) nodes: Vec<NodeInfo>,
    pub(super) controllers: Vec<ControllerInfo>,
    pub(super) links: Vec<LinkInfo>,
    pub(super) imports: Vec<Imports>,
}

/// The connections of one node to segments of another.
#[derive(Debug, Serialize)]
pub(super) struct Imports {
    pub(super) importer: u32,
    pub(super) exporter: u32,
    pub(super) controller: String,
    /// Those that work.
    pub(super) connections: u32,
    /// Those that were cut and that the importer still holds.
    pub(super) cut: u32,
}

impl Topology {
    pub(super) fn of(snapshot: Snapshot) -> Topology {
        let Snapshot { cluster, nodes, controllers, links, connections, .. } = snapshot;
        Topology { cluster, nodes, controllers, links, imports: imports(&connections) }
    }

    /// The controllers that reach other nodes.
    pub(super) fn shared(&self) -> impl Iterator<Item = &ControllerInfo> {
        self.controllers.iter().filter(|controller| controller.kind == "shared")
    }

    /// The links through a controller, by importing and exporting node.
    pub(super) fn links_of(&self, controller: &str) -> BTreeMap<(u32, u32), &LinkInfo> {
        let through = self.links.iter().filter(|link| link.controller == controller);
        through.map(|link| ((link.from, link.to), link)).collect()
    }
}

fn imports(connections: &[ConnectionInfo]) -> Vec<Imports> {
    let mut counts: BTreeMap<(u32, u32, &str), (u32, u32)> = BTreeMap::new();
    // What the cluster itself owns is at no place.
    for connection in connections.iter().filter(|connection| connection.exporter != rsm::CLUSTER_NODE) {
        let count = counts.entry((connection.importer, connection.exporter, &connection.controller)).or_default();
        if connection.state == "cut" { count.1 += 1 } else { count.0 += 1 }
    }
    let imports = counts.into_iter().map(|((importer, exporter, controller), (connections, cut))| Imports {
        importer,
        exporter,
        controller: controller.to_owned(),
        connections,
        cut,
    });
    imports.collect()
}

#[cfg(test)]
pub(super) mod example {
    use super::*;

    /// A cluster of this many nodes; the last has not joined, link 1 to 2 is down, link 2 to 1 had 3 errors.
    pub(crate) fn topology(nodes: u32) -> Topology {
        let node = |node| {
            let joined = node != nodes;
            NodeInfo {
                node,
                joined,
                processes: u32::from(joined),
                pid: joined.then_some(100 + node),
                uid: joined.then_some(0),
                exports: u32::from(joined),
                imports: 0,
                exported_bytes: if joined { 8192 } else { 0 },
                incarnation: u64::from(joined),
                host: 0,
            }
        };
        let link = |from, to| LinkInfo {
            controller: "shm0".to_owned(),
            from,
            to,
            state: if (from, to) == (1, 2) {
                "down"
            } else if to == nodes {
                "up"
            } else {
                "active"
            }
            .to_owned(),
            errors: if (from, to) == (2, 1) { 3 } else { 0 },
            across: false,
        };
        let connection = |importer, exporter, state: &str, generation| ConnectionInfo {
            importer,
            importer_pid: 1,
            exporter,
            segment: 0x40_0000,
            controller: "shm0".to_owned(),
            permission: "rw".to_owned(),
            state: state.to_owned(),
            generation,
        };
        let connections =
            [connection(2, 1, "connected", 1), connection(2, 1, "connected", 2), connection(1, 2, "cut", 3)];
        let controller = |name: &str, kind: &str| ControllerInfo {
            controller: name.to_owned(),
            kind: kind.to_owned(),
            max_segment_bytes: 1 << 30,
            max_segments: 100,
            max_imports: 100,
        };
        Topology {
            cluster: ClusterInfo { name: "a<b>&\"c".to_owned(), nodes, joined: nodes - 1, ..ClusterInfo::default() },
            nodes: (1..=nodes).map(node).collect(),
            controllers: vec![controller("loopback", "loopback"), controller("shm0", "shared")],
            links: (1..=nodes).flat_map(|from| (1..=nodes).map(move |to| link(from, to))).collect(),
            imports: imports(&connections),
        }
    }
}
