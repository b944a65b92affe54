//! `watch` and `top`: clusters that live, change, and vanish while they are looked at.

use std::io::{Read, Write};

use rsm::{AccessList, Cluster, Permission, SegmentId};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::rig::{Running, Standing, ctl, eventually, expect_state, in_time, run, unique};
use crate::schema::Schema;
use crate::steering::example;

fn watch(name: &str, words: &[&str]) -> Running {
    ctl(&["watch", "--cluster", name]).words(words).start()
}

#[test]
fn the_events_of_a_life() {
    let name = unique("events");
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let schema = Schema::of("watch");
    let mut watch = watch(&name, &["--json", "--initial"]);
    let mut next = |wanted: &str| -> Value {
        loop {
            let value: Value = serde_json::from_str(&watch.line()).unwrap();
            schema.check(&value);
            if value["event"] == wanted {
                return value;
            }
        }
    };
    next("link_state");
    let exporter = cluster.node(1).unwrap().controller("shm0").unwrap();
    assert_eq!(next("node_joined")["node"], 1);
    assert_eq!(next("process_joined")["pid"], std::process::id());
    let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
    assert_eq!(next("node_joined")["node"], 2);
    let export = exporter.export(65536).unwrap();
    let id = export.publish(SegmentId::new(0x40_0007), &AccessList::everyone()).unwrap();
    assert_eq!(next("segment_published")["id"], 0x40_0007);
    let import = importer.connect(1, id, Permission::Write).unwrap();
    let generation = next("connection_made")["generation"].take();
    let links = cluster.steering().unwrap();
    links.link_error(&rsm::steer::Links::one_way(2, 1)).unwrap();
    assert_eq!(next("link_error")["new_errors"], 1);
    links.link_down(&rsm::steer::Links::one_way(2, 1)).unwrap();
    let mut down = (false, false);
    while down != (true, true) {
        let value: Value = serde_json::from_str(&watch.line()).unwrap();
        schema.check(&value);
        down.0 |= value["event"] == "link_state" && value["state"] == "down" && value["was"] == "active";
        down.1 |= value["event"] == "connection_cut" && value["generation"] == generation;
    }
    drop(import);
    drop(export);
    let mut gone = (false, false);
    while gone != (true, true) {
        let value: Value = serde_json::from_str(&watch.line()).unwrap();
        schema.check(&value);
        gone.0 |= value["event"] == "connection_released" && value["generation"] == generation;
        gone.1 |= value["event"] == "segment_destroyed";
    }
    drop(links);
    drop(cluster);
    let finished = watch.finish();
    assert_eq!(finished.code(), 3);
    assert_eq!(finished.stderr, format!("rsm-ctl: the cluster {name:?} has ended\n"));
    let last: Value = serde_json::from_str(finished.text().lines().last().unwrap()).unwrap();
    schema.check(&last);
    assert_eq!((&last["event"], &last["in_order"]), (&"cluster_ended".into(), &true.into()));
}

#[test]
fn who_joined_while_the_agent_did_not_answer_is_told_when_it_does() {
    let cluster = Standing::up(&["-n", "1"]);
    let mut watch = watch(&cluster.name, &["--json", "--initial"]);
    let watcher = watch.pid();
    let mut next = |wanted: &str| -> Value {
        loop {
            let value: Value = serde_json::from_str(&watch.line()).unwrap();
            if value["event"] == wanted {
                return value;
            }
        }
    };
    next("link_state");
    kill_process(watcher, Signal::STOP).unwrap();
    expect_state(watcher, 'T');
    let steady = example("steady");
    let mut running = cluster.exec(&["--node", "1", "--", steady.to_str().unwrap(), "600"]).start();
    while !running.line().contains("publishes") {}
    let warden = cluster.warden();
    kill_process(warden, Signal::STOP).unwrap();
    expect_state(warden, 'T');
    kill_process(watcher, Signal::CONT).unwrap();
    // That is in the registry, and who its processes are is not.
    next("node_joined");
    kill_process(warden, Signal::CONT).unwrap();
    assert_eq!(next("process_joined")["node"], 1);
    drop(watch);
    cluster.down();
    assert_eq!(running.finish().code(), 3);
}

#[test]
fn a_killed_agent_is_told_apart() {
    let name = unique("killed");
    let mut running = run(&["-n", "2", "--name", &name], "echo up; exec sleep 600").start();
    running.line();
    let mut watch = watch(&name, &["--initial"]);
    watch.line();
    kill_process(running.warden(), Signal::KILL).unwrap();
    let finished = watch.finish();
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("its agent was killed"), "{}", finished.stderr);
    running.expect_gone();
}

#[test]
fn for_a_time() {
    let name = unique("for");
    let _cluster = Cluster::builder(1).name(&name).start().unwrap();
    let finished = watch(&name, &["--for", "50ms"]).finish();
    assert_eq!((finished.code(), finished.text(), &*finished.stderr), (0, "", ""));
    for bad in ["0", "soon", "-1"] {
        assert_eq!(watch(&name, &["--for", bad]).finish().code(), 2, "{bad}");
    }
}

#[test]
fn a_reader_that_goes_ends_it_though_nothing_changes() {
    let name = unique("reader");
    let _cluster = Cluster::builder(1).name(&name).start().unwrap();
    for words in [&["watch", "--initial"][..], &["top", "--plain", "--interval", "1h"]] {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut running = ctl(words).words(&["--cluster", &name]).stdout(writer).start();
        if words[0] == "watch" {
            reader = in_time("the first byte", move || reader.read_exact(&mut [0]).map(|()| reader)).unwrap();
        }
        drop(reader);
        running.expect_gone();
        let finished = running.finish();
        assert_eq!((finished.code(), &*finished.stderr), (141, ""), "{words:?}");
    }
}

#[test]
fn top_counts_while_it_looks() {
    let name = unique("top");
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let exporter = cluster.node(1).unwrap().controller("shm0").unwrap();
    let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
    let export = exporter.export(65536).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let import = importer.connect(1, id, Permission::ReadWrite).unwrap();
    let mut top = ctl(&["top", "--plain", "--interval", "100ms", "--sort", "signals/s", "--cluster", &name]).start();
    // Node 2 puts and signals; sorted by signals, it comes first, once they are counted.
    eventually("signals of node 2", || {
        for _ in 0..1000 {
            import.put(0, b"12345678").unwrap();
            import.signal().unwrap();
        }
        let headline = loop {
            let line = top.line();
            if line.starts_with("NODE ") {
                break line;
            }
        };
        let first = top.line();
        let signals = first[headline.find("SIGNALS/S").unwrap()..].split_whitespace().next().unwrap().to_owned();
        (first.starts_with("2 ") && signals != "0").then_some(())
    });
    drop((import, export));
    drop(cluster);
    let finished = top.finish();
    assert_eq!(finished.code(), 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("has ended"), "{}", finished.stderr);
}

#[test]
fn top_refuses_what_makes_no_sense() {
    for (words, part) in [
        (&["--interval", "1ms"][..], "at least 50ms"),
        (&["--interval", "soon"], "use ms, s, m or h"),
        (&["--sort", "beauty"], "the columns are: node, state"),
        (&["--view", "links", "--sort", "memory"], "from, to, state"),
        (&["--view", "dreams"], "possible values: nodes"),
    ] {
        let finished = ctl(&["top"]).words(words).finish();
        assert!(finished.code() == 2 && finished.stderr.contains(part), "{words:?}: {}", finished.stderr);
    }
}

#[test]
fn top_on_a_terminal() {
    let name = unique("screen");
    let cluster = Cluster::builder(3).name(&name).start().unwrap();
    cluster.node(1).unwrap();
    let start = |term: &str, no_colour: &str| {
        let (near, far) = crate::terminal::terminal();
        let input = far.try_clone().unwrap();
        let top = ctl(&["top", "--cluster", &name]).env("TERM", term).env("NO_COLOR", no_colour);
        (top.stdin(input).on_terminal(far).start(), near)
    };
    let (top, mut near) = start("xterm-256color", "");
    crate::terminal::until(&mut near, "q quit");
    // Another view, a smaller terminal, and the end.
    near.write_all(b"4").unwrap();
    let links = crate::terminal::until(&mut near, "sorted by from");
    assert!(links.contains("\x1b["), "{links:?}");
    let small = rustix::termios::Winsize { ws_row: 5, ws_col: 20, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&near, small).unwrap();
    near.write_all(b"1q").unwrap();
    let rest = crate::terminal::rest(near);
    assert!(rest.contains("\x1b[?1049l"), "the screen from before is back: {rest:?}");
    assert_eq!(top.finish().code(), 0);

    let (top, mut near) = start("xterm-256color", "1");
    let shown = crate::terminal::until(&mut near, "q quit");
    assert!(!shown.contains("\x1b[31m") && !shown.contains("\x1b[38;5;"), "no colours were asked for: {shown:?}");
    // A signal leaves the terminal in order as well.
    kill_process(top.pid(), Signal::TERM).unwrap();
    assert!(crate::terminal::rest(near).contains("\x1b[?1049l"));
    assert_eq!(top.finish().code(), 143);

    let (top, mut near) = start("dumb", "");
    let shown = crate::terminal::until(&mut near, "NODE ");
    assert!(!shown.contains('\x1b'), "a dumb terminal gets lines: {shown:?}");
    drop(near);
    assert!(!top.finish().status.success(), "its terminal has gone");
}

#[test]
fn a_cluster_that_vanishes_from_the_screen() {
    let name = unique("vanish");
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let (mut near, far) = crate::terminal::terminal();
    let input = far.try_clone().unwrap();
    let top = ctl(&["top", "--cluster", &name]).env("TERM", "xterm").stdin(input).on_terminal(far).start();
    crate::terminal::until(&mut near, "q quit");
    drop(cluster);
    let text = crate::terminal::rest(near);
    let end = text.find("\x1b[?1049l").expect("the screen from before is back");
    assert!(text[end..].contains("has ended"), "said where it can be read: {text:?}");
    assert_eq!(top.finish().code(), 3);
}
