//! `up`, `exec`, `env`, `down`: clusters that stay.

use std::io::Write;
use std::process::Stdio;

use rustix::process::{Signal, kill_process};

use crate::rig::{Scratch, Standing, ctl, eventually, run, shell, state, unique};

/// A process with daemons that does everything to survive; it says its process id when all of it runs.
const TOUGH: &str = r#"
trap '' HUP INT QUIT TERM
setsid sh -c 'trap "" HUP INT TERM; (setsid sleep 600 &) ; (sleep 600 & sleep 600) &'
echo $$
while :; do sleep 600; done
"#;

#[test]
fn a_life() {
    let cluster = Standing::up(&["-n", "3"]);
    let finished =
        cluster.exec(&["--node", "2", "--", "sh", "-c", "echo $RSM_NODE_ID of $RSM_NODE_COUNT; exit 5"]).finish();
    assert_eq!((finished.code(), finished.text(), &*finished.stderr), (5, "2 of 3\n", ""));
    let listed = ctl(&["ls"]).finish();
    assert!(listed.text().contains(&cluster.name), "{}", listed.text());
    let name = cluster.name.clone();
    let finished = cluster.down();
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    let again = ctl(&["down", &name]).finish();
    assert_eq!(again.code(), 1);
    assert!(again.stderr.starts_with(&format!("rsm-ctl: no cluster named \"{name}\"; ")), "{}", again.stderr);
}

#[test]
fn what_exec_runs_is_a_process_of_the_node() {
    let cluster = Standing::up(&["-n", "2"]);
    let script = "exec $CTL exec --node 1 -- sh -c 'echo node $RSM_NODE_ID'";
    let finished =
        cluster.exec(&["--node", "2", "--", "sh", "-c", script]).env("CTL", env!("CARGO_BIN_EXE_rsm-ctl")).finish();
    assert_eq!((finished.code(), finished.text()), (0, "node 1\n"), "{}", finished.stderr);
    cluster.down();
}

#[test]
fn exec_passes_input_settings_and_signals_on() {
    let scratch = Scratch::new("exec");
    let directory = scratch.path("").canonicalize().unwrap();
    let cluster = Standing::up(&["-n", "1"]);
    let words = ["--node", "1", "--env", "A=b", "--cwd", directory.to_str().unwrap(), "--", "sh", "-c"];
    let mut running = cluster.exec(&words).words(&["pwd -P; echo $A; cat"]).stdin(Stdio::piped()).start();
    running.stdin().write_all(b"put in\n").unwrap();
    let finished = running.finish();
    assert_eq!(finished.text(), format!("{}\nb\nput in\n", directory.display()));
    let mut running = cluster.exec(&["--node", "1", "--", "sh", "-c", "echo ready; exec sleep 600"]).start();
    assert_eq!(running.line(), "ready");
    running.signal(Signal::TERM);
    assert_eq!(running.finish().code(), 143);
    let killed = cluster.exec(&["--node", "1", "--", "sh", "-c", "kill -SEGV $$"]).finish();
    assert_eq!(killed.code(), 139);
    assert!(killed.stderr.contains("SIGSEGV"), "{}", killed.stderr);
    assert_eq!(cluster.exec(&["--node", "1", "--timeout", "100ms", "--", "sleep", "600"]).finish().code(), 124);
    cluster.down();
}

#[test]
fn exec_that_cannot_be_done() {
    let cluster = Standing::up(&["-n", "2"]);
    for (words, code, said) in [
        (&["--node", "3", "--", "true"][..], 1, "the cluster has no node 3: its nodes are 1 to 2"),
        (&["--node", "0", "--", "true"], 2, "write the id of a node, 1 to 63"),
        (&["--node", "1", "--", "no-such-program"], 127, "cannot run \"no-such-program\""),
        (&["--node", "1", "--", "/etc/passwd"], 126, "Permission denied"),
        (&["--node", "1", "--cwd", "/no/such", "--", "true"], 1, "cannot start in \"/no/such\": No such file"),
        (&["--node", "1", "--env", "A", "--", "true"], 2, "write NAME=VALUE"),
        (&["--node", "1", "--"], 2, "required"),
    ] {
        let finished = cluster.exec(words).finish();
        assert_eq!((finished.code(), finished.text()), (code, ""), "{words:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{words:?}: {}", finished.stderr);
    }
    let nowhere = ctl(&["exec", "--cluster", "nowhere", "--node", "1", "--", "true"]).finish();
    assert_eq!(nowhere.code(), 1);
    assert!(nowhere.stderr.contains("no cluster named \"nowhere\"; running: "), "{}", nowhere.stderr);
    cluster.down();
}

#[test]
fn a_shell_becomes_a_process() {
    let cluster = Standing::up(&["-n", "2"]);
    let script = "variables=$($CTL env --cluster $NAME 2) && eval \"$variables\" && echo $RSM_NODE_ID $RSM_NODE_COUNT && $CTL ls";
    let finished = shell(script).env("NAME", &cluster.name).finish();
    assert_eq!((finished.code(), finished.text().lines().next()), (0, Some("2 2")), "{}", finished.stderr);
    assert!(finished.text().contains(&cluster.name));
    let finished = ctl(&["env", "--cluster", &cluster.name, "7"]).finish();
    assert_eq!((finished.code(), finished.text()), (1, ""));
    assert!(finished.stderr.contains("no node 7"), "{}", finished.stderr);
    cluster.down();
}

#[test]
fn down_ends_what_exec_started() {
    let cluster = Standing::up(&["-n", "2", "--grace", "100ms"]);
    let mut guests: Vec<_> = ["1", "2"]
        .map(|node| cluster.exec(&["--grace", "100ms", "--node", node, "--", "sh", "-c", TOUGH]).start())
        .into_iter()
        .collect();
    let inside: Vec<_> = guests.iter_mut().map(|guest| guest.pid_line()).collect();
    cluster.down();
    for process in inside {
        assert_eq!(state(process), None, "down waits for what exec started");
    }
    for guest in guests {
        let finished = guest.finish();
        assert_eq!(finished.code(), 3);
        assert!(finished.stderr.contains("is ended by `rsm-ctl down`"), "{}", finished.stderr);
    }
}

#[test]
fn an_agent_that_is_killed_takes_everything_along() {
    let cluster = Standing::up(&["-n", "2", "--", "sh", "-c", TOUGH]);
    let mut guest = cluster.exec(&["--grace", "100ms", "--node", "1", "--", "sh", "-c", TOUGH]).start();
    guest.pid_line();
    kill_process(cluster.warden(), Signal::KILL).unwrap();
    cluster.expect_gone();
    let finished = guest.finish();
    assert_eq!(finished.code(), 3);
    assert!(finished.stderr.contains("has ended: its agent was killed"), "{}", finished.stderr);
    let down = ctl(&["down", &cluster.name]).finish();
    assert!(down.code() == 1 && down.stderr.contains("no cluster named"), "{}", down.stderr);
}

#[test]
fn a_front_that_is_killed_takes_everything_along() {
    let cluster = Standing::up(&["-n", "2", "--", "sh", "-c", TOUGH]);
    let mut guest = cluster.exec(&["--grace", "100ms", "--node", "1", "--", "sh", "-c", TOUGH]).start();
    guest.pid_line();
    let stat = std::fs::read_to_string(format!("/proc/{}/status", cluster.warden())).unwrap();
    let front = stat.lines().find_map(|line| crate::rig::pid(line.strip_prefix("PPid:")?.trim())).unwrap();
    kill_process(front, Signal::KILL).unwrap();
    cluster.expect_gone();
    assert_eq!(guest.finish().code(), 3);
}

#[test]
fn an_exec_that_is_killed_takes_only_its_own_along() {
    let cluster = Standing::up(&["-n", "2"]);
    let mut guest = cluster.exec(&["--node", "1", "--", "sh", "-c", TOUGH]).start();
    let inside = guest.pid_line();
    guest.signal(Signal::KILL);
    guest.expect_gone();
    eventually("the end of the process", || state(inside).is_none().then_some(()));
    assert_eq!(cluster.exec(&["--node", "1", "--", "true"]).finish().code(), 0);
    cluster.down();
}

#[test]
fn exec_in_a_run_and_its_end() {
    let name = unique("run");
    let mut host = run(&["-n", "2", "--name", &name], "echo ready; read line; exit 0").stdin(Stdio::piped()).start();
    host.line();
    host.line();
    let inside = ctl(&["exec", "--cluster", &name, "--node", "2", "--", "sh", "-c", "echo $RSM_NODE_ID"]).finish();
    assert_eq!((inside.code(), inside.text()), (0, "2\n"));
    // Node 2 has an empty input and has ended; node 1 ends now, and the run with it, and what is inside.
    let mut guest = ctl(&["exec", "--cluster", &name, "--node", "2", "--", "sh", "-c", TOUGH]);
    guest = guest.env("X", "y");
    let mut guest = guest.start();
    guest.pid_line();
    drop(host.stdin());
    let finished = guest.finish();
    assert!(finished.stderr.contains(&format!("cluster {name} has ended")), "{}", finished.stderr);
    assert_eq!(host.finish().code(), 0);
}

#[test]
fn down_ends_a_run() {
    let name = unique("run");
    let mut host = run(&["-n", "2", "--name", &name], "echo ready; exec sleep 600").start();
    host.line();
    host.line();
    assert_eq!(ctl(&["down", &name]).finish().code(), 0);
    let finished = host.finish();
    assert_eq!(finished.code(), 143);
    assert!(finished.stderr.contains("is ended by `rsm-ctl down`"), "{}", finished.stderr);
}

#[test]
fn one_that_a_program_has_built_in() {
    let name = unique("built-in");
    let cluster = rsm::Cluster::builder(2).name(&name).start().unwrap();
    for words in [&["down", &name][..], &["exec", "--cluster", &name, "--node", "1", "--", "true"]] {
        let finished = ctl(words).finish();
        assert_eq!(finished.code(), 1);
        assert!(finished.stderr.contains("by a program that has it built in"), "{}", finished.stderr);
    }
    drop(cluster);
}

#[test]
fn one_must_be_named_among_several() {
    let (one, other) = (Standing::up(&["-n", "1"]), Standing::up(&["-n", "1"]));
    let finished = ctl(&["down"]).finish();
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("name one: "), "{}", finished.stderr);
    assert!(finished.stderr.contains(&one.name) && finished.stderr.contains(&other.name), "{}", finished.stderr);
    one.down();
    other.down();
}

#[test]
fn an_up_that_cannot_be_done_leaves_nothing() {
    let cluster = Standing::up(&["-n", "1"]);
    let taken = ctl(&["up", "-n", "1", "--name", &cluster.name]).finish();
    assert_eq!((taken.code(), taken.text()), (1, ""));
    assert!(taken.stderr.contains("already running"), "{}", taken.stderr);
    cluster.down();
    for (words, code, said) in [
        (&["-n", "1", "--name", "a b"][..], 1, "letters, digits"),
        (&["-n", "1", "--", "no-such-program"], 127, "No such file"),
        (&["-n", "1", "--controllers", "shm!"], 1, "is no controller name"),
        (&["-n", "1", "--log-dir", "/dev/null", "--", "true"], 1, "/dev/null"),
        (&["-n", "1", "--timeout", "1s"], 2, "--timeout"),
    ] {
        let finished = ctl(&["up"]).words(words).finish();
        assert_eq!((finished.code(), finished.text()), (code, ""), "{words:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{words:?}: {}", finished.stderr);
    }
}

#[test]
fn programs_of_its_own_and_their_logs() {
    let scratch = Scratch::new("up");
    let script = "echo started $RSM_NODE_ID; echo oh >&2; test $RSM_NODE_ID = 1 || exec sleep 600; exit 3";
    let cluster =
        Standing::up(&["-n", "2", "--log-dir", scratch.path("logs").to_str().unwrap(), "--", "sh", "-c", script]);
    let read = |name: &str| std::fs::read_to_string(scratch.path("logs").join(name)).unwrap_or_default();
    eventually("the logs", || (read("node-1.out") == "started 1\n" && read("node-2.err") == "oh\n").then_some(()));
    // A program that fails is no reason to end it.
    assert_eq!(cluster.exec(&["--node", "1", "--", "true"]).finish().code(), 0);
    cluster.down();
    assert_eq!(read("node-2.out"), "started 2\n");
}

#[test]
fn in_the_foreground() {
    let name = unique("foreground");
    let mut running = ctl(&["up", "--foreground", "-n", "2", "--name", &name])
        .words(&["--", "sh", "-c", "echo ready; exec sleep 600"])
        .start();
    let mut lines = [running.line(), running.line()];
    lines.sort_unstable();
    assert_eq!(lines, ["[1] ready", "[2] ready"]);
    assert_eq!(ctl(&["down", &name]).finish().code(), 0);
    let finished = running.finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("rsm-ctl exec --cluster {name} --node 1")), "{}", finished.stderr);
    let mut running = ctl(&["up", "--foreground", "-n", "1", "--", "sh", "-c", "echo ready; exec sleep 600"]).start();
    running.line();
    running.signal(Signal::INT);
    assert_eq!(running.finish().code(), 130);
}

#[test]
fn the_background_keeps_nothing_of_its_caller() {
    // With its output or another descriptor of ours kept open, this shell would wait for ever.
    let name = unique("background");
    let script = "said=$($CTL -q up -n 1 --name $NAME 2>&1 3>&1) && echo $said && $CTL down $NAME";
    let finished = shell(script).env("NAME", &name).finish();
    assert_eq!((finished.code(), finished.text()), (0, &*format!("{name}\ncluster {name} has ended\n")));
}
