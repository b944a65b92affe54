//! `--file`: a cluster described in TOML.

use crate::rig::{Scratch, Standing, ctl};

#[test]
fn nodes_programs_links_and_the_rest() {
    let scratch = Scratch::new("file");
    let program = scratch.file("bin/prog", "");
    rsm_stories::install(&program, b"#!/bin/sh\necho $RSM_NODE_ID $A $1 $(basename $(pwd))\n", 0o755);
    scratch.file("work/nothing", "");
    let file = scratch.file(
        "cluster.toml",
        r#"
nodes = 3
controllers = ["shm0", "shm1"]
tag-output = true
timeout = "60s"
log-dir = "logs"
junit = "report.xml"
env = { A = "all" }

[[program]]
nodes = 1
run = ["./bin/prog", "one"]
cwd = "work"

[[program]]
nodes = "others"
run = ["./bin/prog", "other"]
processes = 2
env = { A = "own" }
cwd = "bin"

[[link]]
between = [1, 2]
controller = "shm1"
state = "down"
"#,
    );
    let finished = ctl(&["run", "--file", file.to_str().unwrap(), "--env", "3:A=line"]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let expected = [
        "[1] 1 all one work",
        "[2.1] 2 own other bin",
        "[2.2] 2 own other bin",
        "[3.1] 3 line other bin",
        "[3.2] 3 line other bin",
    ];
    assert_eq!(finished.sorted(), expected);
    assert!(scratch.path("logs/node-3.2.out").exists() && scratch.path("report.xml").exists());
}

#[test]
fn links_are_down_from_the_beginning() {
    let scratch = Scratch::new("file");
    let link = "[[link]]\nfrom = 1\nto = 2\ncontroller = 'shm1'\nstate = 'down'\n";
    let file = scratch.file("c.toml", format!("nodes = 2\ncontrollers = ['shm0', 'shm1']\n{link}"));
    let cluster = Standing::up(&["--file", file.to_str().unwrap()]);
    let finished = ctl(&["links", "--cluster", &cluster.name, "--json"]).finish();
    let value: serde_json::Value = serde_json::from_str(finished.text()).unwrap();
    let down: Vec<String> = value["links"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|link| link["state"] == "down")
        .map(|link| format!("{} {} {}", link["controller"].as_str().unwrap(), link["from"], link["to"]))
        .collect();
    assert_eq!(down, ["shm1 1 2"]);
    cluster.down();
}

#[test]
fn mistakes_are_shown_with_line_and_column() {
    let scratch = Scratch::new("file");
    let file = scratch.file("cluster.toml", "nodes = 2\n\n[[progam]]\nrun = [\"true\"]\n");
    let finished = ctl(&["run", "--file", "cluster.toml"]).directory(&scratch.path("")).finish();
    let expected = "rsm-ctl: cluster.toml:3:3: there is no key \"progam\" here; did you mean \"program\"?
  |
3 | [[progam]]
  |   ^^^^^^
";
    assert_eq!((finished.code(), &*finished.stderr), (2, expected));
    let up = ctl(&["up", "--file", file.to_str().unwrap()]).finish();
    assert_eq!((up.code(), up.text()), (2, ""));
    let of_run = scratch.file("run.toml", "nodes = 2\ntimeout = \"5s\"\n");
    let up = ctl(&["up", "--file", of_run.to_str().unwrap()]).finish();
    assert!(up.stderr.contains(":2:11: \"timeout\" means nothing to `up`"), "{}", up.stderr);
    let run = ctl(&["run", "--file", of_run.to_str().unwrap()]).finish();
    assert_eq!(run.code(), 2);
    assert!(run.stderr.contains("there is no program to run"), "{}", run.stderr);
    let missing = ctl(&["run", "--file", "/no/such.toml"]).finish();
    assert_eq!(missing.code(), 1);
    assert!(
        missing.stderr.contains("cannot read the cluster file \"/no/such.toml\": No such file"),
        "{}",
        missing.stderr
    );
}
