//! `link`, `node`, `segment` and `script`, on clusters of real programs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rsm::{AccessList, Cluster, Code, Permission, SegmentId};
use rustix::process::{Signal, kill_process};

use crate::rig::{Finished, Refusal, Running, Scratch, ctl, eventually, expect_state, unique};

/// Steers the cluster and says what went to standard error.
fn steer(cluster: &str, words: &[&str]) -> Finished {
    ctl(words).words(&["--cluster", cluster]).finish()
}

#[track_caller]
fn done(cluster: &str, words: &[&str]) {
    let finished = ctl(&["-q"]).words(words).words(&["--cluster", cluster]).finish();
    assert_eq!((finished.code(), &*finished.stderr, finished.text()), (0, "", ""), "{words:?}");
}

#[track_caller]
fn told(cluster: &str, words: &[&str], what: &str) {
    let finished = steer(cluster, words);
    assert_eq!((finished.code(), &*finished.stderr, finished.text()), (0, "", what), "{words:?}");
}

#[track_caller]
fn refused(cluster: &str, words: &[&str], told: &str) {
    let finished = steer(cluster, words);
    assert_eq!((finished.code(), &*finished.stderr), (1, &*format!("rsm-ctl: {told}\n")), "{words:?}");
}

#[test]
fn links_go_down_and_up_and_have_errors() {
    let name = unique("links");
    let cluster = Cluster::builder(2).name(&name).controllers(["shm0", "shm1"]).start().unwrap();
    let export = cluster.node(1).unwrap().controller("shm0").unwrap().export(65536).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let two = cluster.node(2).unwrap();
    let connect = |controller| two.controller(controller).unwrap().connect(1, id, Permission::ReadWrite);
    let code = |error: rsm::Error| error.code();
    let (import, other) = (connect("shm0").unwrap(), connect("shm1").unwrap());

    let span = import.open_barrier().unwrap();
    done(&name, &["link", "error", "2", "1", "--one-way"]);
    assert_eq!(span.close().map_err(code), Err(Code::BarrierFailure));
    import.put_u64(0, 1).unwrap();
    let said = "link 1 2 through shm0 is down: 1 import aborted\n";
    told(&name, &["link", "down", "1", "2", "--controller", "shm0"], said);
    told(&name, &["link", "down", "1", "2", "--controller", "shm0"], &said.replace("1 import ", "0 imports "));
    assert_eq!(import.put_u64(0, 1).map_err(code), Err(Code::ConnAborted));
    assert_eq!(connect("shm0").map(drop).map_err(code), Err(Code::RemoteNodeUnreachable));
    other.put_u64(0, 1).unwrap();
    let links = ctl(&["links", "--cluster", &name]).finish();
    let down = |line: &&str| line.split_whitespace().collect::<Vec<_>>().starts_with(&["shm0", "2", "1", "down"]);
    assert_eq!(links.text().lines().filter(down).count(), 1, "{}", links.text());
    told(&name, &["link", "up", "1", "2"], "");
    let again = connect("shm0").unwrap();
    again.put_u64(0, 2).unwrap();

    refused(&name, &["link", "down", "1", "3"], "there is no node 3: nodes are 1 to 2");
    let none = "there is no controller \"shm7\"; there are: loopback, shm0, shm1";
    refused(&name, &["link", "down", "1", "2", "--controller", "shm7"], none);
    let said = format!("segment {id} of node 1 is revoked: 2 imports aborted\n");
    told(&name, &["segment", "revoke", "1", &id.to_string()], &said);
    assert_eq!(connect("shm0").map(drop).map_err(code), Err(Code::SegNotPublished));
    let none = format!("node 1 publishes no segment {id}, nor any other");
    refused(&name, &["segment", "revoke", "1", &id.get().to_string()], &none);
    export.publish(SegmentId::new(0x40_0005), &AccessList::everyone()).unwrap();
    let other = format!("node 1 publishes no segment {id}; it publishes: 0x400005");
    refused(&name, &["segment", "revoke", "1", &id.to_string()], &other);
    refused(&name, &["node", "stop", "9"], "there is no node 9: nodes are 1 to 2");
}

#[test]
fn words_that_make_no_sense() {
    for words in [
        &["link"][..],
        &["link", "sideways", "1", "2"],
        &["link", "down", "1"],
        &["link", "down", "1", "x"],
        &["node", "hug", "1"],
        &["node", "kill", "-1"],
        &["segment", "revoke", "1", "0"],
        &["segment", "revoke", "1", "0xg"],
        &["script"],
        &["script", "x", "--random", "7"],
        &["script", "x", "--every", "1s"],
        &["script", "--random", "7", "--of", "weather"],
    ] {
        let finished = ctl(words).finish();
        assert_eq!(finished.code(), 2, "{words:?}: {}", finished.stderr);
    }
    let finished = ctl(&["segment", "revoke", "1", "0xg"]).finish();
    assert!(finished.stderr.contains("hexadecimal such as 0x400001, or decimal"), "{}", finished.stderr);
    for words in [&["link", "down", "1", "2"][..], &["node", "kill", "1"], &["script", "--random", "1"]] {
        let finished = steer("no-such-cluster", words);
        assert_eq!(finished.code(), 1);
        assert!(finished.stderr.starts_with("rsm-ctl: no cluster named \"no-such-cluster\""), "{}", finished.stderr);
    }
}

/// A cluster of nodes that write to one another and say what they are told.
fn steady(name: &str, nodes: &str, extra: &[&str]) -> Running {
    let program = example("steady");
    let mut running = ctl(&["run", "-n", nodes, "--name", name]).words(extra);
    running = running.words(&["--", program.to_str().unwrap(), "600"]);
    running.start()
}

/// An example of the library, built if need be in the profile of this test.
pub(crate) fn example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let profile = Path::new(env!("CARGO_BIN_EXE_rsm-ctl")).parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "-q", "--example", name]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success(), "the example {name} does not build");
    profile.join("examples").join(name)
}

/// Reads lines until one says this.
#[track_caller]
fn until(running: &mut Running, what: &str) {
    while !running.line().contains(what) {}
}

#[test]
fn a_program_is_told_and_goes_on() {
    let name = unique("told");
    let mut running = steady(&name, "2", &["--keep-going"]);
    until(&mut running, "node 1: connected to node 2");
    // One error may fall between two spans.
    let scratch = Scratch::new("errors");
    let errors = scratch.file("errors.rsm", "every 5ms link error 1 2 one-way");
    let erring = ctl(&["script", "-q", errors.to_str().unwrap(), "--cluster", &name]).start();
    until(&mut running, "node 1: BARRIER_FAILURE");
    drop(erring);
    done(&name, &["link", "down", "1", "2", "--one-way"]);
    until(&mut running, "node 1: CONN_ABORTED");
    until(&mut running, "node 1: the link from node 1 to node 2 through shm0 is down");
    done(&name, &["link", "up", "1", "2", "--one-way"]);
    until(&mut running, "node 1: connected to node 2");
    done(&name, &["segment", "revoke", "2", "0x400000"]);
    until(&mut running, "node 2: publishes 0x400000");
    // A node that is stopped, goes on, and is killed; the other one stays.
    let pid = pid_of(&name, 2);
    told(&name, &["node", "stop", "2"], "node 2: 1 process stopped\n");
    expect_state(pid, 'T');
    done(&name, &["node", "cont", "2"]);
    done(&name, &["node", "kill", "2"]);
    until(&mut running, "node 1: CONN_ABORTED");
    let gone = |finished: Finished| finished.stderr == "rsm-ctl: no process of node 2 has joined the cluster\n";
    eventually("the node to be gone", || gone(steer(&name, &["node", "kill", "2"])).then_some(()));
    done(&name, &["node", "kill", "1"]);
    let finished = running.finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("node 2 (pid {}) was killed by signal 9", pid.as_raw_pid())));
}

fn pid_of(cluster: &str, node: u64) -> rustix::process::Pid {
    let nodes = ctl(&["nodes", "--json", "--cluster", cluster]).finish();
    let nodes: serde_json::Value = serde_json::from_str(nodes.text()).unwrap();
    let row = nodes["nodes"].as_array().unwrap().iter().find(|row| row["node"] == node).unwrap();
    rustix::process::Pid::from_raw(i32::try_from(row["pid"].as_i64().unwrap()).unwrap()).unwrap()
}

#[test]
fn a_node_that_is_killed_on_purpose_is_no_failure() {
    let name = unique("killed");
    let scratch = Scratch::new("script");
    let report = scratch.path("report.xml");
    let mut running = steady(&name, "3", &["--junit", report.to_str().unwrap()]);
    until(&mut running, "connected");
    let script = scratch.file("kill.rsm", "when node 3 has connected to 1 then node kill 2\n");
    let ran = steer(&name, &["script", script.to_str().unwrap()]);
    assert_eq!((ran.code(), &*ran.stderr), (0, ""));
    assert!(ran.text().ends_with("s line 1: node kill 2: 1 process\n"), "{}", ran.text());
    until(&mut running, "node 1: CONN_ABORTED");
    for node in ["1", "3"] {
        done(&name, &["node", "kill", node]);
    }
    let finished = running.finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.starts_with("rsm-ctl: node 2 (pid "), "{}", finished.stderr);
    let on_purpose = "was killed by signal 9 (SIGKILL) by who disturbs the cluster on purpose, which is no failure\n";
    assert_eq!(finished.stderr.matches(on_purpose).count(), 3, "{}", finished.stderr);
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("failures=\"0\" errors=\"0\" skipped=\"3\""), "{report}");
    assert_eq!(report.matches("<skipped message=\"was killed by signal 9 (SIGKILL) on purpose\"/>").count(), 3);
}

#[test]
fn a_node_that_could_not_be_killed_on_purpose_fails_as_any_other() {
    let name = unique("unkilled");
    let signal = Refusal { call: libc::SYS_pidfd_send_signal, argument: None, errno: libc::EPERM };
    let steady = example("steady");
    let words = ["run", "-n", "1", "--name", &name, "--", steady.to_str().unwrap(), "600"];
    let mut running = ctl(&words).refusing(&[signal]).start();
    until(&mut running, "publishes");
    let pid = pid_of(&name, 1);
    let told = format!("cannot kill process {pid} of node 1: Operation not permitted (os error 1)");
    refused(&name, &["node", "kill", "1"], &told);
    // As a kernel does that is short of memory.
    kill_process(pid, Signal::KILL).unwrap();
    let finished = running.finish();
    assert_eq!(finished.code(), 128 + 9, "{}", finished.stderr);
    assert!(!finished.stderr.contains("on purpose"), "{}", finished.stderr);
}

#[test]
fn a_shell_around_a_node_that_is_killed_on_purpose_is_no_failure_either() {
    let name = unique("wrapped");
    let steady = example("steady");
    let script = "test $RSM_NODE_ID = 2 || { echo one; exit 0; }; $STEADY; echo $?; exit 137";
    let running = crate::rig::run(&["-n", "2", "--name", &name], script).env("STEADY", steady.to_str().unwrap());
    let mut running = running.start();
    eventually("the node to join", || {
        let nodes = ctl(&["nodes", "--json", "--cluster", &name]).finish();
        let nodes: serde_json::Value = serde_json::from_str(nodes.text()).ok()?;
        (nodes["nodes"][1]["joined"] == true).then_some(())
    });
    done(&name, &["node", "kill", "2"]);
    until(&mut running, "137");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_script_breaks_a_link_when_it_is_time() {
    let name = unique("script");
    let mut running = steady(&name, "2", &[]);
    until(&mut running, "connected");
    let script = "
        when node 2 has published 0x400000 and node 1 has connected to 2 within 60s then link down 1 2
        every 5ms link error 2 1 until node 1 has connected to 2
        after 20ms say enough
        link up 1 2
        when node 1 has connected to 2 and node 2 has connected to 1 then say connected";
    let mut scripted = ctl(&["script", "-", "--cluster", &name]).stdin(Stdio::piped()).start();
    scripted.stdin().write_all(script.as_bytes()).unwrap();
    for wanted in ["line 2: link down 1 2: ", "link error 2 1", "line 4: enough", "line 5: link up 1 2", "connected"] {
        until(&mut scripted, wanted);
    }
    assert_eq!(scripted.finish().code(), 0);
    until(&mut running, "node 1: CONN_ABORTED");
    until(&mut running, "node 1: connected to node 2");
    done(&name, &["node", "kill", "1"]);
    done(&name, &["node", "kill", "2"]);
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn scripts_that_cannot_be() {
    let scratch = Scratch::new("bad");
    let bad = scratch.file("bad.rsm", "say one\n  when node 3 has join then link down 1 2\n");
    let bad = bad.to_str().unwrap();
    let finished = ctl(&["script", bad]).finish();
    let told = format!(
        "rsm-ctl: {bad}:2:19: expected \"not\", \"joined\", \"published\", \"connected\" or \"left\", found \"join\"\n\
         \x20 when node 3 has join then link down 1 2\n{}^\n",
        " ".repeat(18)
    );
    assert_eq!((finished.code(), &*finished.stderr), (1, &*told));
    assert_eq!(ctl(&["script", "--check", bad]).finish().code(), 1);
    let good = scratch.file("good.rsm", "at 1s link down 1 2\n");
    assert_eq!(ctl(&["script", "--check", good.to_str().unwrap()]).finish().code(), 0, "without any cluster");
    let finished = ctl(&["script", "/no/such/file"]).finish();
    assert_eq!(
        (finished.code(), &*finished.stderr),
        (1, "rsm-ctl: cannot read /no/such/file: No such file or directory\n")
    );
    let binary = scratch.file("binary", [0xff, 0xfe]);
    let finished = ctl(&["script", binary.to_str().unwrap()]).finish();
    assert!(finished.stderr.ends_with("is no text (UTF-8): no script\n"), "{}", finished.stderr);

    let name = unique("bad");
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let script = |text: &str, words: &[&str]| {
        let file = scratch.file("now.rsm", text);
        let words = [&["script", file.to_str().unwrap()], words].concat();
        steer(&name, &words)
    };
    let finished = script("say x\nlink down 1 3", &[]);
    assert_eq!((finished.code(), finished.text()), (1, ""));
    let told = "line 2: link down 1 3: there is no node 3: nodes are 1 to 2\n";
    assert!(finished.stderr.ends_with(told), "{}", finished.stderr);
    let finished = script("after 1h", &["--timeout", "50ms"]);
    assert_eq!(finished.code(), 124);
    assert!(finished.stderr.ends_with("after 1h: the script has not ended within 50ms\n"), "{}", finished.stderr);
    let finished = script("when node 1 has joined within 50ms", &["--timeout", "1h"]);
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert_eq!(script("say x", &["-q"]).text(), "");
    // Nobody reads on.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let file = scratch.file("endless.rsm", "every 1ms say x");
    let words = ["script", file.to_str().unwrap(), "--cluster", &name];
    assert_eq!(ctl(&words).stdout(writer).finish().code(), 141);
    // The cluster goes while the script waits for it.
    let file = scratch.file("waits.rsm", "say here\nwhen node 1 has joined then say joined");
    let mut waiting = ctl(&["script", file.to_str().unwrap(), "--cluster", &name]).start();
    until(&mut waiting, "here");
    drop(cluster);
    let finished = waiting.finish();
    assert_eq!(finished.code(), 1);
    let told = format!("line 2: when node 1 has joined then say joined: the cluster {name:?} has ended\n");
    assert!(finished.stderr.ends_with(&told), "{}", finished.stderr);
}

#[test]
fn chance_says_what_it_does_and_does_it_again() {
    let scratch = Scratch::new("chance");
    let script = scratch.file("chance.rsm", "random seed 42 40 times every 1ms: link");
    let draw = |words: &[&str]| {
        let name = unique("chance");
        let _cluster = Cluster::builder(3).name(&name).start().unwrap();
        let finished = steer(&name, words);
        assert_eq!((finished.code(), &*finished.stderr), (0, ""));
        let actions = finished.text().lines().map(|line| line.split_once("line 1: ").unwrap().1.to_owned());
        actions.collect::<Vec<_>>()
    };
    let one = draw(&["script", script.to_str().unwrap()]);
    assert!(one.len() >= 40, "{one:?}");
    assert_eq!(one, draw(&["script", script.to_str().unwrap()]));
    // How far it comes in a time is the machine's.
    let some = draw(&["script", "--random", "42", "--for", "1s", "--every", "10ms", "--of", "link"]);
    assert_eq!(some[0], one[0]);
}
