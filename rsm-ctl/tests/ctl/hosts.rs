//! A cluster of two hosts, which here are two agents of one machine.

use std::time::Duration;

use rsm::{AccessList, Cluster, Import, Node, Permission, SegmentId};
use serde_json::Value;

use crate::rig::{Scratch, ctl, eventually, run, unique};
use crate::schema::Schema;

/// Two agents, with the nodes 1 and 2, and 3 and 4.
struct Hosts {
    names: [String; 2],
    bridge: String,
    clusters: [Option<Cluster>; 2],
}

impl Hosts {
    fn start(what: &str) -> Hosts {
        let bridge = format!("local:{}", unique(what));
        let names = ["one", "two"].map(|host| unique(&format!("{what}-{host}")));
        let start = |name: &str, nodes: [u32; 2]| {
            Cluster::builder(4).name(name).here(nodes).bridge("ntb0", &bridge).start().unwrap()
        };
        let clusters = [Some(start(&names[0], [1, 2])), Some(start(&names[1], [3, 4]))];
        let hosts = Hosts { names, bridge, clusters };
        hosts.wait_for(0, "open");
        hosts.wait_for(1, "open");
        hosts
    }

    fn wait_for(&self, host: usize, state: &str) {
        eventually(state, || (self.json(host, "bridge")["state"] == state).then_some(()));
    }

    fn node(&self, node: u32) -> Node {
        self.clusters[(node as usize - 1) / 2].as_ref().unwrap().node(node).unwrap()
    }

    /// What a command says of one host's cluster to programs.
    fn json(&self, host: usize, command: &str) -> Value {
        let finished = ctl(&[command, "--json", "--cluster", &self.names[host]]).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""));
        let value: Value = serde_json::from_str(finished.text()).unwrap();
        Schema::of(command).check(&value);
        value[command].clone()
    }

    /// What it says to people.
    fn text(&self, host: usize, words: &[&str]) -> String {
        let finished = ctl(words).words(&["--cluster", &self.names[host]]).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""));
        finished.text().to_owned()
    }
}

/// A segment of node 3 that node 1 has connected to.
fn across(hosts: &Hosts) -> (rsm::Export, Import) {
    let export = hosts.node(3).controller("ntb0").unwrap().export(65536).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let controller = hosts.node(1).controller("ntb0").unwrap();
    let import = controller.connect_within(3, id, Permission::ReadWrite, Duration::from_secs(30)).unwrap();
    (export, import)
}

#[test]
fn what_there_is_is_on_a_host() {
    let hosts = Hosts::start("where");
    let (export, import) = across(&hosts);
    let text = hosts.text(0, &["nodes"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("IMPORTS  HOST") && lines[1].ends_with("1"), "{text}");
    assert!(lines[3].starts_with("3     yes") && lines[3].ends_with("2"), "{text}");
    let nodes = hosts.json(0, "nodes");
    let of_hosts: Vec<&Value> = nodes.as_array().unwrap().iter().map(|node| &node["host"]).collect();
    assert_eq!(of_hosts, [1, 1, 2, 2]);
    for host in [0, 1] {
        let segments = hosts.json(host, "segments");
        assert_eq!((&segments[0]["node"], &segments[0]["host"]), (&3.into(), &2.into()), "{segments}");
        let text = hosts.text(host, &["segments"]);
        assert!(text.lines().next().unwrap().ends_with("HOST") && text.contains("0x400000"), "{text}");
    }
    // There is no link from one host to the other but through the bridge.
    let links = hosts.json(0, "links");
    let through: Vec<&str> = links
        .as_array()
        .unwrap()
        .iter()
        .filter(|link| link["from"] == 1 && link["to"] == 3)
        .map(|link| link["controller"].as_str().unwrap())
        .collect();
    assert_eq!(through, ["ntb0"]);
    let across = |link: &&Value| link["across"] == true;
    assert_eq!(
        links.as_array().unwrap().iter().filter(across).count(),
        8,
        "from each of two to each of two, both ways"
    );
    let text = hosts.text(0, &["links"]);
    assert!(text.lines().next().unwrap().ends_with("ERRORS  ACROSS") && text.contains("yes"), "{text}");
    assert_eq!(hosts.json(1, "topology")["nodes"][0]["host"], 1);
    assert!(hosts.text(1, &["topology"]).contains("IMPORTED BY  HOST"));
    assert!(hosts.text(0, &["topology", "--dot"]).contains("\\nhost 2"));
    assert!(hosts.text(1, &["topology", "--svg"]).contains(">host 2</text>"));
    let top = |view| hosts.text(0, &["top", "--once", "--interval", "50ms", "--view", view]);
    // Three lines of summary, the columns, and the nodes.
    let lines: Vec<String> = top("nodes").lines().map(str::to_owned).collect();
    assert!(lines[3].ends_with("ERRORS  HOST") && lines[4].ends_with("1") && lines[7].ends_with("2"), "{lines:?}");
    assert!(top("segments").contains("PID") && top("segments").contains("HOST"));
    assert!(top("connections").lines().any(|line| line.ends_with("yes")));
    assert!(top("links").lines().any(|line| line.contains("ntb0") && line.ends_with("yes")));
    let text = hosts.text(0, &["show", "node", "3"]);
    assert!(text.contains("host:") && text.contains(" 2\n"), "{text}");
    assert!(hosts.text(0, &["show", "cluster"]).contains("hosts:"));
    let listed = hosts.text(0, &["ls"]);
    assert!(listed.lines().next().unwrap().ends_with("LENS  HOSTS") && listed.trim_end().ends_with('2'), "{listed}");
    drop((export, import));
}

#[test]
fn the_bridge_tells_who_is_at_its_other_end() {
    let mut hosts = Hosts::start("told");
    let before = hosts.json(0, "bridge");
    assert_eq!((&before["controller"], &before["device"]), (&"ntb0".into(), &hosts.bridge.clone().into()));
    assert_eq!((&before["host"], &before["here"]), (&1.into(), &serde_json::json!([1, 2])));
    assert_eq!((&before["peer"], &before["lives"]), (&hosts.names[1].clone().into(), &1.into()));
    assert_eq!((&before["imports"], &before["exports"], &before["slots"]), (&0.into(), &0.into(), &0.into()));
    let (export, import) = across(&hosts);
    let (one, two) = (hosts.json(0, "bridge"), hosts.json(1, "bridge"));
    assert_eq!((&one["imports"], &one["exports"], &one["mirrors"]), (&1.into(), &0.into(), &1.into()), "{one}");
    assert_eq!((&two["imports"], &two["exports"], &two["slots"]), (&0.into(), &1.into(), &1.into()), "{two}");
    let count = |value: &Value, what: &str| value[what].as_u64().unwrap();
    for what in ["loads", "stores", "doorbells"] {
        assert!(count(&one, what) > 0 && count(&one, what) >= count(&before, what), "{what}: {before} {one}");
    }
    let text = hosts.text(0, &["bridge"]);
    assert!(text.contains("state:        open") && text.contains("1 connection of this host"), "{text}");
    drop((export, import));
    drop(hosts.clusters[1].take());
    hosts.wait_for(0, "hello");
    let text = hosts.text(0, &["bridge"]);
    assert!(text.contains("peer:         not there") && text.contains("why:"), "{text}");
    assert!(hosts.text(0, &["nodes"]).lines().nth(3).unwrap().starts_with("3     no"));
}

#[test]
fn memory_that_no_node_owns_is_not_across_hosts() {
    let hosts = Hosts::start("common");
    for controller in ["shm0", "ntb0"] {
        let controller = hosts.node(1).controller(controller).unwrap();
        let common =
            controller.common(SegmentId::new(0x40_0000), 65536, Permission::ReadWrite, &AccessList::everyone());
        let error = common.unwrap_err();
        assert_eq!(error.code(), rsm::Code::RemoteNodeUnreachable);
        assert!(error.to_string().contains("nodes on two"), "{error}");
    }
}

#[test]
fn a_cluster_of_one_host_has_no_bridge_and_no_column_for_it() {
    let name = unique("alone");
    let _cluster = Cluster::builder(2).name(&name).start().unwrap();
    let finished = ctl(&["bridge", "--cluster", &name]).finish();
    assert_eq!(finished.text(), format!("the cluster {name} has one host, and no bridge\n"));
    let finished = ctl(&["bridge", "--json", "--cluster", &name]).finish();
    let value: Value = serde_json::from_str(finished.text()).unwrap();
    Schema::of("bridge").check(&value);
    assert_eq!(value["bridge"], Value::Null);
    assert!(!ctl(&["nodes", "--cluster", &name]).finish().text().contains("HOST"));
}

#[test]
fn each_host_runs_the_programs_of_its_nodes() {
    let bridge = format!("shm0=local:{}", unique("programs"));
    let script = "echo node $RSM_NODE_ID of $RSM_NODE_COUNT";
    let waits = ["--bridge-wait", "60s"];
    let one = run(&["-n", "4", "--here", "1-2", "--bridge", &bridge], script).start();
    let two = run(&["-n", "4", "--here", "3,4", "--bridge", &bridge], script).start();
    for (host, nodes) in [(one, ["node 1 of 4", "node 2 of 4"]), (two, ["node 3 of 4", "node 4 of 4"])] {
        let finished = host.finish();
        assert_eq!((finished.code(), finished.sorted()), (0, nodes.to_vec()), "{}", finished.stderr);
    }
    // One file for both, and the first waits for the second.
    let folder = Scratch::new("hosts");
    // And goes on until that has begun its programs: it must not have come and gone before it is seen.
    let there = folder.path("there");
    let there = there.to_str().unwrap();
    let text = format!(
        "nodes = 3\nhere = '1'\n[[bridge]]\ncontroller = 'ntb0'\ndevice = '{}'\n[[program]]\n\
         run = ['sh', '-c', 'echo $RSM_NODE_ID; case $RSM_NODE_ID in 1) until [ -e {there} ]; do sleep 0.1; done ;; *) : >{there} ;; esac']\n",
        bridge.trim_start_matches("shm0=")
    );
    let file = folder.file("two.toml", text);
    let file = file.to_str().unwrap();
    let one = ctl(&["run", "--file", file]).words(&waits).start();
    let two = ctl(&["run", "--file", file, "--here", "2-3"]).words(&waits).start();
    for (host, nodes) in [(one, vec!["1"]), (two, vec!["2", "3"])] {
        let finished = host.finish();
        assert_eq!((finished.code(), finished.sorted()), (0, nodes), "{}", finished.stderr);
    }
}

#[test]
fn what_makes_no_two_hosts_is_told() {
    for (words, code, text) in [
        (&["--here", "1"][..], 2, "--bridge ntb0=local:NAME"),
        (&["--bridge", "ntb0=local:a"], 2, "--here 1-2"),
        (&["--here", "3", "--bridge", "ntb0=local:a"], 2, "there is no node 3"),
        (&["--here", "1", "--bridge", "local:a"], 2, "give a controller and a device"),
        (&["--here", "1-2", "--bridge", "ntb0=local:a"], 1, "only for others"),
        (&["--here", "1", "--bridge", "ntb0=local:"], 1, "after local: give 1 to 64 letters"),
        (&["--here", "1", "--bridge", "ntb0=usb:3"], 1, "vfio:ADDRESS for a PCI function"),
        (&["--here", "1", "--bridge", "ntb0=vfio:0000:ff:1f.7"], 1, "there is no PCI function 0000:ff:1f.7"),
        (&["--here", "1", "--bridge", "7=local:a"], 1, "is no controller name"),
    ] {
        let finished = ctl(&["run", "-n", "2"]).words(words).words(&["--", "true"]).finish();
        assert_eq!(finished.code(), code, "{words:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(text), "{words:?}: {}", finished.stderr);
    }
}
