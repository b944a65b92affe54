//! Everything known of one object.

use rsm::observe::{ConnectionInfo, LinkInfo, Observer, SegmentInfo, Snapshot};

use super::object::Object;
use super::sheet::Sheet;
use crate::number::counted;
use crate::query::rows::{ProcessRow, Rows};
use crate::query::table::{identifier, state};
use crate::query::{json, process};
use crate::size;

pub(super) fn find(observer: &Observer, now: &Snapshot, object: &Object) -> Result<Sheet, String> {
    match object {
        Object::Cluster => Ok(cluster(observer, now)),
        Object::Node(node) => self::node(observer, now, *node),
        Object::Segment { node, id } => segments(observer, now, *node, *id),
        Object::Connection(generation) => connection(observer, now, *generation),
        Object::Link { from, to, controller } => link(now, *from, *to, controller.as_deref()),
        Object::Controller(name) => controller(now, name),
    }
}

fn cluster(observer: &Observer, now: &Snapshot) -> Sheet {
    let cluster = &now.cluster;
    let mut details = Sheet::new("cluster", cluster);
    let address = format!("rsm:{}:{}", cluster.uid, cluster.name);
    let agent = process::look(observer, cluster.agent_pid);
    let geometry = observer.geometry();
    details.json["address"] = address.clone().into();
    details.json["agent"] = json::value(&agent);
    details.json["geometry"] = json::value(&geometry);
    details.field("name", &cluster.name);
    details.field("address", address);
    details
        .field("agent", format!("pid {}, user {}, {}, {}", cluster.agent_pid, cluster.uid, agent.state, agent.command));
    details.field("lens", cluster.lens.as_deref().unwrap_or("none"));
    details.field("nodes", format!("{}, {} joined", cluster.nodes, cluster.joined));
    details.field("hosts", cluster.hosts);
    details.field("processes", cluster.processes);
    details.field("segments", format!("{} of at most {}", cluster.segments, geometry.segments));
    details.field("connections", format!("{} of at most {}", cluster.connections, geometry.connections));
    details
        .field("exported", size::bytes(now.nodes.iter().map(|node| node.exported_bytes).fold(0, u64::saturating_add)));
    details.rows("nodes", "node_list", now.nodes.clone(), Rows::Nodes);
    details.rows("controllers", "controllers", now.controllers.clone(), Rows::Controllers);
    details
}

fn node(observer: &Observer, now: &Snapshot, number: u32) -> Result<Sheet, String> {
    let node = now.nodes.iter().find(|node| node.node == number).ok_or_else(|| no_node(now, number))?;
    let mut details = Sheet::new("node", node);
    details.field("node", format!("{number} of cluster {}", now.cluster.name));
    details.field("state", if node.joined { "joined" } else { "not joined" });
    on_host(&mut details, node.host);
    details.field(
        "came into being",
        match node.incarnation {
            0 => "never".to_owned(),
            1 => "once".to_owned(),
            times => format!("{times} times"),
        },
    );
    details.field("exports", format!("{}, {}", node.exports, size::bytes(node.exported_bytes)));
    details.field("imports", node.imports);
    match &now.processes {
        Some(processes) => {
            let own = processes.iter().filter(|process| process.node == number);
            let rows: Vec<ProcessRow> = own
                .map(|process| ProcessRow { process: process.clone(), state: process::look(observer, process.pid) })
                .collect();
            let resident = process::resident_together(rows.iter().map(|row| &row.state));
            details.field("memory in use", resident.map_or_else(|| "not known here".to_owned(), size::bytes));
            details.rows("processes", "process_list", rows, Rows::Processes);
        }
        None => {
            details.field("processes", format!("{} (the agent, which knows them, does not answer)", node.processes));
        }
    }
    if let Ok(waits) = observer.waits() {
        let own = waits.into_iter().filter(|wait| wait.node == number).collect();
        details.rows("what it waits for", "waits", own, Rows::Waits);
    }
    let of = |wanted: &dyn Fn(&ConnectionInfo) -> bool| now.connections.iter().filter(|c| wanted(c)).cloned().collect();
    let segments = now.segments.iter().filter(|segment| segment.node == number).cloned().collect();
    details.rows("segments", "segments", segments, Rows::Segments);
    details.rows("connections it holds", "imported", of(&|c| c.importer == number), Rows::Connections);
    details.rows("connections to it", "imported_by", of(&|c| c.exporter == number), Rows::Connections);
    let odd =
        |link: &&LinkInfo| (link.from == number || link.to == number) && (link.state == "down" || link.errors > 0);
    let odd = now.links.iter().filter(odd).cloned().collect();
    details.rows("links that are down or had errors", "links", odd, Rows::Links);
    Ok(details)
}

/// Says where something is, if there is a choice.
fn on_host(details: &mut Sheet, host: u32) {
    if host > 0 {
        details.field("host", host);
    }
}

fn no_node(now: &Snapshot, number: u32) -> String {
    format!("cluster {} has no node {number}: its nodes are 1 to {}", now.cluster.name, now.cluster.nodes)
}

fn segments(observer: &Observer, now: &Snapshot, node: u32, id: Option<u32>) -> Result<Sheet, String> {
    if !now.nodes.iter().any(|row| row.node == node) {
        return Err(no_node(now, node));
    }
    let own: Vec<&SegmentInfo> = now.segments.iter().filter(|segment| segment.node == node).collect();
    let Some(id) = id else {
        let mut details = Sheet::new("segments", &serde_json::json!({ "node": node }));
        details.field("node", node);
        details.rows("segments", "segments", own.into_iter().cloned().collect(), Rows::Segments);
        return Ok(details);
    };
    let segment = own.iter().find(|segment| segment.id == Some(id)).ok_or_else(|| {
        let published: Vec<String> = own.iter().filter_map(|segment| segment.id).map(identifier).collect();
        match published[..] {
            [] => format!("node {node} publishes no segment {}, nor any other", identifier(id)),
            _ => format!("node {node} publishes no segment {}; it publishes: {}", identifier(id), published.join(", ")),
        }
    })?;
    let mut details = Sheet::new("segment", segment);
    let owner = process::look(observer, segment.pid);
    details.json["owner"] = json::value(&owner);
    details.field("segment", format!("{} of node {node}", identifier(id)));
    details.field("state", state(segment));
    on_host(&mut details, segment.host);
    details.field("length", format!("{} bytes ({})", segment.length, size::bytes(segment.length)));
    details.field("controller", &segment.controller);
    details.field("exporter", format!("pid {}, user {}, {}, {}", segment.pid, segment.uid, owner.state, owner.command));
    details.field("serial", segment.serial);
    details.field("importers", segment.importers);
    let to_it = now.connections.iter().filter(|c| c.exporter == node && c.segment == id).cloned().collect();
    details.rows("connections to it", "connections", to_it, Rows::Connections);
    Ok(details)
}

fn connection(observer: &Observer, now: &Snapshot, generation: u64) -> Result<Sheet, String> {
    let connection = now.connections.iter().find(|c| c.generation == generation).ok_or_else(|| {
        format!(
            "nobody holds a connection with generation {generation}: `rsm-ctl connections` shows those that are held"
        )
    })?;
    let mut details = Sheet::new("connection", connection);
    let importer = process::look(observer, connection.importer_pid);
    details.json["importer_process"] = json::value(&importer);
    details.field("connection", generation);
    let what = if connection.state == "cut" { "cut: its importer holds it, and reaches nothing" } else { "connected" };
    details.field("state", what);
    let who = format!(
        "node {}, pid {}, {}, {}",
        connection.importer, connection.importer_pid, importer.state, importer.command
    );
    details.field("importer", who);
    let of_cluster = connection.exporter == rsm::CLUSTER_NODE;
    details
        .field("exporter", if of_cluster { "the cluster".to_owned() } else { format!("node {}", connection.exporter) });
    details.field("permission", &connection.permission);
    details.field("controller", &connection.controller);
    let is_its = |s: &&SegmentInfo| s.node == connection.exporter && s.id == Some(connection.segment);
    let segment = now.segments.iter().filter(is_its).cloned().collect();
    details.rows("segment published under its id", "segments", segment, Rows::Segments);
    let (from, to) = (connection.importer, connection.exporter);
    let is_its = |l: &&LinkInfo| l.controller == connection.controller && (l.from, l.to) == (from, to);
    details.rows("link", "links", now.links.iter().filter(is_its).cloned().collect(), Rows::Links);
    Ok(details)
}

fn link(now: &Snapshot, from: u32, to: u32, through: Option<&str>) -> Result<Sheet, String> {
    for node in [from, to] {
        if !now.nodes.iter().any(|row| row.node == node) {
            return Err(no_node(now, node));
        }
    }
    if let Some(name) = through {
        controller(now, name)?;
    }
    let through = |name: &str| through.is_none_or(|wanted| wanted.eq_ignore_ascii_case(name));
    let between = |a: u32, b: u32| (a, b) == (from, to) || (a, b) == (to, from);
    let links: Vec<LinkInfo> =
        now.links.iter().filter(|l| through(&l.controller) && between(l.from, l.to)).cloned().collect();
    if links.is_empty() {
        return Err(format!("there is no link between node {from} and node {to} through that controller"));
    }
    let mut details = Sheet::new("link", &serde_json::json!({ "from": from, "to": to }));
    details.field("link", format!("node {from} and node {to}"));
    details.field("errors", links.iter().map(|link| link.errors).fold(0, u64::saturating_add));
    details.rows("directions", "directions", links, Rows::Links);
    let held = now.connections.iter().filter(|c| through(&c.controller) && between(c.importer, c.exporter));
    details.rows("connections through it", "connections", held.cloned().collect(), Rows::Connections);
    Ok(details)
}

fn controller(now: &Snapshot, name: &str) -> Result<Sheet, String> {
    let controller = now.controllers.iter().find(|c| c.controller.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<&str> = now.controllers.iter().map(|c| c.controller.as_str()).collect();
        format!("cluster {} has no controller \"{name}\"; it has: {}", now.cluster.name, names.join(", "))
    })?;
    let mut details = Sheet::new("controller", controller);
    let name = &controller.controller;
    details.field("controller", name);
    details.field("reaches", if controller.kind == "loopback" { "the local node only" } else { "every node" });
    details.field("largest segment", size::bytes(controller.max_segment_bytes));
    details.field("most segments", controller.max_segments);
    details.field("most imports", controller.max_imports);
    let links = now.links.iter().filter(|link| link.controller == *name);
    let (mut active, mut up, mut down, mut errors) = (0_u32, 0_u32, 0_u32, 0_u64);
    for link in links.clone() {
        match &*link.state {
            "active" => active += 1,
            "up" => up += 1,
            _ => down += 1,
        }
        errors += link.errors;
    }
    details.field("links", format!("{active} active, {up} up, {down} down, {}", counted(errors, "error", "errors")));
    details.json["link_counts"] = serde_json::json!({ "active": active, "up": up, "down": down, "errors": errors });
    let segments = now.segments.iter().filter(|segment| segment.controller == *name).cloned().collect();
    details.rows("segments", "segments", segments, Rows::Segments);
    let connections = now.connections.iter().filter(|c| c.controller == *name).cloned().collect();
    details.rows("connections", "connections", connections, Rows::Connections);
    let odd = links.filter(|link| link.state == "down" || link.errors > 0).cloned().collect();
    details.rows("links that are down or had errors", "links", odd, Rows::Links);
    Ok(details)
}
