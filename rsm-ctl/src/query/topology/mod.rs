//! The nodes of a cluster and what connects them: [`text`], [`dot`], [`svg`], or JSON.

mod dot;
mod svg;
mod text;

use std::collections::BTreeMap;

use clap::Args;
use rsm::observe::{ClusterInfo, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, Snapshot};
use serde::Serialize;

use super::{attach, json};
use crate::colour::Palette;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// What `topology` can be told.
#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    /// Write a graph for Graphviz: `rsm-ctl topology --dot | circo -Tpng > topology.png`
    #[arg(long, group = "form")]
    dot: bool,
    /// Write a picture that a browser shows
    #[arg(long, group = "form")]
    svg: bool,
    /// Write JSON (see docs/json.md)
    #[arg(long, group = "form")]
    json: bool,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// A cluster as a graph.
#[derive(Debug, Serialize)]
pub(crate) struct Topology {
    cluster: ClusterInfo,
    nodes: Vec<NodeInfo>,
    controllers: Vec<ControllerInfo>,
    links: Vec<LinkInfo>,
    imports: Vec<Imports>,
}

/// The connections of one node to segments of another.
#[derive(Debug, Serialize)]
struct Imports {
    importer: u32,
    exporter: u32,
    controller: String,
    /// Those that work.
    connections: u32,
    /// Those that were cut and that the importer still holds.
    cut: u32,
}

impl Topology {
    fn of(snapshot: Snapshot) -> Topology {
        let Snapshot { cluster, nodes, controllers, links, connections, .. } = snapshot;
        Topology { cluster, nodes, controllers, links, imports: imports(&connections) }
    }

    /// The controllers that reach other nodes.
    fn shared(&self) -> impl Iterator<Item = &ControllerInfo> {
        self.controllers.iter().filter(|controller| controller.kind == "shared")
    }

    /// The links through a controller, by importing and exporting node.
    fn links_of(&self, controller: &str) -> BTreeMap<(u32, u32), &LinkInfo> {
        let through = self.links.iter().filter(|link| link.controller == controller);
        through.map(|link| ((link.from, link.to), link)).collect()
    }
}

fn imports(connections: &[ConnectionInfo]) -> Vec<Imports> {
    let mut counts: BTreeMap<(u32, u32, &str), (u32, u32)> = BTreeMap::new();
    for connection in connections {
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

/// Writes the topology in the form that was asked for.
pub(crate) fn perform(args: &TopologyArgs) -> Result<ExitCode, Failure> {
    let topology = Topology::of(attach(args.cluster.as_deref())?.snapshot());
    print::answer(&if args.json {
        json::document("topology", &topology)
    } else if args.dot {
        dot::render(&topology)
    } else if args.svg {
        svg::render(&topology)
    } else {
        text::render(&topology, Palette::of_stdout())
    })
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
