//! `ls`, `nodes` and the others, asked from outside about a running cluster.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rsm::{AccessList, Permission, SegmentId};

use crate::rig::{Running, ctl, run, unique};
use serde_json::Value;

fn cluster(name: &str, nodes: &str) -> Running {
    let script = "trap 'exit 0' USR1; echo ready; while :; do sleep 0.05 & wait; done";
    let mut running = run(&["-n", nodes, "--name", name], script).stdin(Stdio::null()).start();
    for _ in 0..nodes.parse().unwrap() {
        running.line();
    }
    running
}

fn json(words: &[&str]) -> Value {
    let finished = ctl(words).words(&["--json"]).finish();
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    let value: Value = serde_json::from_str(finished.text()).unwrap();
    assert_eq!(value["version"], 1);
    value
}

#[test]
fn a_running_cluster_is_listed() {
    let name = unique("listed");
    let running = cluster(&name, "3");
    let value = json(&["ls"]);
    let clusters = value["clusters"].as_array().unwrap();
    let row = clusters.iter().find(|row| row["name"] == *name).unwrap_or_else(|| panic!("{name} is not in {value}"));
    assert_eq!((&row["nodes"], &row["agent_pid"]), (&3.into(), &running.warden().as_raw_pid().into()));
    assert_eq!(row["uid"], rustix::process::geteuid().as_raw());
    let finished = ctl(&["ls"]).finish();
    assert!(finished.text().starts_with("NAME "), "{}", finished.text());
    assert!(finished.text().lines().any(|line| line.starts_with(&format!("{name} "))), "{}", finished.text());
    running.signal(rustix::process::Signal::USR1);
    assert_eq!(running.finish().code(), 0);
    let after = json(&["ls"]);
    assert!(after["clusters"].as_array().unwrap().iter().all(|row| row["name"] != *name));
}

/// Anybody may take the name of a cluster, listen, and never answer.
#[test]
fn names_that_say_nothing_are_waited_for_together() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let uid = rustix::process::geteuid().as_raw();
    let names: Vec<String> = (0..20).map(|_| unique("silent")).collect();
    let taken = names.iter().map(|name| {
        let place = SocketAddrUnix::new_abstract_name(format!("rsm/{uid}/{name}").as_bytes()).unwrap();
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let socket = socket.unwrap();
        rustix::net::bind(&socket, &place).unwrap();
        rustix::net::listen(&socket, 8).unwrap();
        socket
    });
    let taken: Vec<_> = taken.collect();
    let begun = Instant::now();
    let value = json(&["ls"]);
    // One after the other they would take 2 s each.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let listed = value["clusters"].as_array().unwrap();
    assert!(names.iter().all(|name| listed.iter().any(|row| row["name"] == **name)), "{value}");
    drop(taken);
}

#[test]
fn its_tables() {
    let name = unique("tables");
    let running = cluster(&name, "3");
    for (table, rows) in [("nodes", Some(3)), ("segments", Some(0)), ("connections", Some(0)), ("links", None)] {
        let value = json(&[table, "--cluster", &name]);
        let found = value[table].as_array().unwrap();
        assert!(rows.is_none_or(|rows| found.len() == rows), "{table}: {value}");
        let finished = ctl(&[table, "--cluster", &name]).finish();
        assert_eq!(finished.text().lines().count(), 1 + found.len(), "{}", finished.text());
        assert!(finished.text().lines().all(|line| line == line.trim_end()));
    }
    let nodes = json(&["nodes", "--cluster", &name]);
    let ids: Vec<u64> = nodes["nodes"].as_array().unwrap().iter().map(|row| row["node"].as_u64().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3]);
    drop(running);
}

#[test]
fn what_nodes_share() {
    let name = unique("shares");
    // A cluster inside this test: two of its nodes, one segment, one connection.
    let cluster = rsm::Cluster::builder(2).name(&name).start().unwrap();
    let exporter = cluster.node(1).unwrap().controller("shm0").unwrap();
    let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
    let export = exporter.export(65536).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let import = importer.connect(1, id, Permission::ReadWrite).unwrap();
    let me = std::process::id();
    let table = |table: &str| json(&[table, "--cluster", &name])[table].take();

    let nodes = table("nodes");
    assert_eq!((&nodes[0]["joined"], &nodes[0]["exports"], &nodes[0]["imports"]), (&true.into(), &1.into(), &0.into()));
    assert_eq!((&nodes[1]["pid"], &nodes[1]["exports"], &nodes[1]["imports"]), (&me.into(), &0.into(), &1.into()));
    let segments = table("segments");
    assert_eq!((&segments[0]["id"], &segments[0]["length"]), (&0x40_0000.into(), &65536.into()));
    assert_eq!((&segments[0]["published"], &segments[0]["importers"]), (&true.into(), &1.into()));
    let connections = table("connections");
    assert_eq!((&connections[0]["importer"], &connections[0]["exporter"]), (&2.into(), &1.into()));
    assert_eq!((&connections[0]["permission"], &connections[0]["state"]), (&"rw".into(), &"connected".into()));
    let links = table("links");
    assert!(links.as_array().unwrap().iter().any(|link| {
        link["controller"] == "shm0" && link["from"] == 2 && link["to"] == 1 && link["state"] == "active"
    }));
    let finished = ctl(&["segments", "--cluster", &name]).finish();
    assert!(finished.text().contains("0x400000  published  shm0"), "{}", finished.text());

    drop(import);
    drop(export);
    assert_eq!((table("segments"), table("connections")), (Value::Array(vec![]), Value::Array(vec![])));
}

#[test]
fn a_cluster_that_does_not_run() {
    for table in ["ls", "nodes", "segments", "connections", "links"] {
        let finished = ctl(&[table, "--cluster", "no-such-cluster"]).finish();
        assert_eq!((finished.code(), finished.text()), (1, ""));
        let line = finished.stderr.trim_end();
        assert!(line.starts_with("rsm-ctl: ") && line.contains("cluster"), "{line}");
    }
}

#[test]
fn a_node_asks_about_its_own_cluster() {
    let name = unique("own");
    let finished =
        run(&["-n", "1", "--name", &name], "exec $CTL ls --json").env("CTL", env!("CARGO_BIN_EXE_rsm-ctl")).finish();
    assert!(finished.text().contains(&name), "{}", finished.text());
    let finished = run(&["-n", "2"], "exec $CTL nodes").env("CTL", env!("CARGO_BIN_EXE_rsm-ctl")).finish();
    assert_eq!((finished.code(), finished.text().lines().count()), (0, 2 * 3), "{}", finished.stderr);
}

#[test]
fn a_reader_that_has_gone_is_no_accident() {
    for words in [&["ls"][..], &["ls", "--json"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let finished = ctl(words).stdout(writer).finish();
        assert_eq!((finished.code(), &*finished.stderr), (141, ""), "{words:?}");
    }
}
