//! `topology`, `show` and JSON: a cluster inside the test, looked at by the real `rsm-ctl`.

use rsm::{AccessList, Cluster, Export, Import, Permission, SegmentId};
use serde_json::Value;

use crate::rig::{ctl, unique};
use crate::schema::Schema;

/// Two nodes of three, a segment, two connections of which one will be cut.
struct Scene {
    name: String,
    _cut: Import,
    _import: Import,
    _withdrawn: Export,
    _export: Export,
    cluster: Cluster,
}

fn scene(what: &str) -> Scene {
    let name = unique(what);
    let cluster = Cluster::builder(3).name(&name).start().unwrap();
    let exporter = cluster.node(1).unwrap().controller("shm0").unwrap();
    let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
    let publish = |id: u32| {
        let export = exporter.export(65536).unwrap();
        export.publish(SegmentId::new(id), &AccessList::everyone()).unwrap();
        export
    };
    let (export, withdrawn) = (publish(0x40_0001), publish(0x40_0002));
    let connect = |id: u32| importer.connect(1, SegmentId::new(id), Permission::ReadWrite).unwrap();
    let (import, cut) = (connect(0x40_0001), connect(0x40_0002));
    withdrawn.unpublish().unwrap();
    Scene { name, _cut: cut, _import: import, _withdrawn: withdrawn, _export: export, cluster }
}

impl Scene {
    fn text(&self, words: &[&str]) -> String {
        let finished = ctl(words).words(&["--cluster", &self.name]).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{words:?}");
        finished.text().to_owned()
    }

    fn json(&self, schema: &str, words: &[&str]) -> Value {
        let value = serde_json::from_str(&self.text(&[words, &["--json"]].concat())).unwrap();
        Schema::of(schema).check(&value);
        value
    }

    fn refused(&self, words: &[&str]) -> (i32, String) {
        let finished = ctl(words).words(&["--cluster", &self.name]).finish();
        assert_eq!(finished.text(), "", "{words:?}");
        (finished.code(), finished.stderr.trim_end().to_owned())
    }
}

#[test]
fn every_json_is_as_its_schema_says() {
    let scene = scene("json");
    for table in ["ls", "nodes", "segments", "connections", "links", "topology"] {
        scene.json(table, &[table]);
    }
    let connections = scene.json("connections", &["connections"]);
    let generation = |at: usize| connections["connections"][at]["generation"].to_string();
    for object in [
        &["cluster"][..],
        &["node", "1"],
        &["node", "3"],
        &["segment", "1", "0x400001"],
        &["segment", "1"],
        &["connection", &generation(0)],
        &["connection", &generation(1)],
        &["link", "1", "2"],
        &["link", "1", "2", "SHM0"],
        &["controller", "loopback"],
    ] {
        let value = scene.json("show", &[&["show"], object].concat());
        assert_eq!(value.as_object().unwrap().len(), 2, "a version and the object: {value}");
    }
    let doctor = ctl(&["doctor", "--json"]).finish();
    Schema::of("doctor").check(&serde_json::from_str(doctor.text()).unwrap());
    // All clusters of the machine, whoever's they are.
    let all = ctl(&["ls", "--json"]).finish();
    Schema::of("ls").check(&serde_json::from_str(all.text()).unwrap());
}

#[test]
fn a_topology_in_every_form() {
    let scene = scene("forms");
    let value = scene.json("topology", &["topology"]);
    let imports = &value["topology"]["imports"][0];
    assert_eq!((&imports["importer"], &imports["exporter"]), (&2.into(), &1.into()));
    assert_eq!((&imports["connections"], &imports["cut"]), (&1.into(), &1.into()));
    let text = scene.text(&["topology"]);
    assert!(text.contains("\n   1  + + .\n   2  + + .\n   3  + + .\n"), "{text}");
    assert!(!text.contains('\x1b'), "no colours into a pipe");
    let dot = scene.text(&["topology", "--dot"]);
    assert!(dot.starts_with(&format!("digraph \"{}\" {{", scene.name)) && dot.contains("n2 -> n1"), "{dot}");
    let svg = scene.text(&["topology", "--svg"]);
    assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>") && svg.contains(&scene.name), "{svg}");
    let (code, line) = scene.refused(&["topology", "--dot", "--svg"]);
    assert!(code == 2 && line.contains("cannot be used with"), "{line}");
}

#[test]
fn sixty_three_nodes() {
    let name = unique("many");
    let cluster = Cluster::builder(63).name(&name).start().unwrap();
    let nodes: Vec<_> = (1..=62).map(|node| cluster.node(node).unwrap()).collect();
    let text = ctl(&["topology", "--cluster", &name]).finish();
    assert_eq!(text.code(), 0);
    assert!(text.text().lines().all(|line| line.chars().count() <= 100), "{}", text.text());
    let svg = ctl(&["topology", "--svg", "--cluster", &name]).finish();
    assert_eq!(svg.text().matches("<circle class=\"node\"").count(), 62);
    let top = ctl(&["top", "--once", "--interval", "50ms", "--cluster", &name]).finish();
    assert_eq!((top.code(), top.text().lines().count()), (0, 3 + 1 + 63), "{}", top.text());
    drop(nodes);
}

#[test]
fn what_is_shown() {
    let scene = scene("shown");
    let node = scene.text(&["show", "node", "1"]);
    let me = std::process::id().to_string();
    assert!(node.contains("joined") && node.contains(&me) && node.contains("0x400001  published"), "{node}");
    assert!(scene.text(&["show", "node", "2"]).contains("cut"), "the connection that was cut");
    assert!(scene.text(&["show", "node", "3"]).contains("not joined"));
    let segment = scene.text(&["show", "segment", "1:0x400001"]);
    assert!(segment.contains("65536 bytes (64 KiB)"), "{segment}");
    // The exporter is this process, whose first thread sleeps or does not.
    let asleep = |text: &str| text.replace("running, ", "sleeping, ");
    assert_eq!(asleep(&scene.text(&["show", "segment", "1", "4194305"])), asleep(&segment));
    assert!(scene.text(&["show", "link", "1", "2"]).contains("shm0        1     2   active  0"));
    assert!(scene.text(&["show", "controller", "shm0"]).contains("6 active, 3 up, 0 down, 0 errors"));
    assert!(scene.text(&["show", "cluster"]).contains(&format!(
        "rsm:{}:{}",
        rustix::process::geteuid().as_raw(),
        scene.name
    )));
}

#[test]
fn what_a_node_waits_for() {
    let scene = scene("waiting");
    assert!(scene.text(&["show", "node", "1"]).contains("\nwhat it waits for:\n  none\n"));
    std::thread::scope(|scope| {
        scope.spawn(|| scene._export.wait(Some(crate::rig::DEADLINE)).unwrap());
        let told = "a signal to its segment 0x400001, none pending, 1 importer\n";
        crate::rig::eventually("somebody who waits", || {
            scene.text(&["show", "node", "1"]).contains(told).then_some(())
        });
        let value = scene.json("show", &["show", "node", "1"]);
        assert_eq!(value["node"]["waits"].as_array().unwrap().len(), 1, "{value:#}");
        assert_eq!(scene.json("show", &["show", "node", "2"])["node"]["waits"], serde_json::json!([]));
        scene._import.signal().unwrap();
    });
}

#[test]
fn what_cannot_be_shown_says_what_could() {
    let scene = scene("unshown");
    for (words, code, part) in [
        (&["node", "9"][..], 1, "has no node 9: its nodes are 1 to 3"),
        (&["segment", "1", "0x400009"], 1, "it publishes: 0x400001"),
        (&["segment", "2", "0x400009"], 1, "nor any other"),
        (&["segment", "9"], 1, "has no node 9"),
        (&["connection", "999999"], 1, "rsm-ctl connections"),
        (&["link", "1", "9"], 1, "has no node 9"),
        (&["link", "1", "2", "eth0"], 1, "it has: loopback, shm0"),
        (&["link", "1", "2", "loopback"], 1, "no link between node 1 and node 2"),
        (&["controller", "eth0"], 1, "it has: loopback, shm0"),
        (&["dragon"], 2, "one of cluster, node"),
        (&["node", "x"], 2, "\"x\" is no node"),
        (&["node"], 2, "show node 2"),
        (&[], 2, "OBJECT"),
    ] {
        let (found, line) = scene.refused(&[&["show"], words].concat());
        assert!(found == code && line.contains(part), "{words:?}: {found} {line}");
    }
}

#[test]
fn a_wrong_name_is_answered_with_the_right_ones() {
    let scene = scene("right-name");
    for words in [&["nodes"][..], &["topology"], &["show", "cluster"], &["watch"], &["top"]] {
        let finished = ctl(words).words(&["--cluster", "wrong-name"]).finish();
        assert_eq!((finished.code(), finished.text()), (1, ""));
        let line = finished.stderr.trim_end();
        assert!(line.starts_with("rsm-ctl: no cluster named \"wrong-name\"; running: "), "{line}");
        assert!(line.contains(&scene.name) && line.lines().count() == 1, "{line}");
    }
    drop(scene.cluster);
}
