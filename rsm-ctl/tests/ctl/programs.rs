//! What runs where: several programs, environments, directories, CPUs, and who reads.

use std::process::Stdio;

use crate::rig::{Finished, Refusal, Scratch, ctl, eventually, run, shell};

#[test]
fn several_programs_on_one_line() {
    let words =
        ["run", "-n", "4", "--tag-output", "--node", "2", "--", "echo", "two", "--node", "others", "--", "echo"];
    let finished = ctl(&words).words(&["other", "--", "--node"]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let other = |node: u32| format!("[{node}] other -- --node");
    assert_eq!(finished.sorted(), [&*other(1), "[2] two", &*other(3), &*other(4)]);
}

#[test]
fn a_node_may_have_several_and_another_none() {
    let words =
        ["run", "-n", "3", "--tag-output", "--node", "1-2", "--", "echo", "a", "--node", "2", "--", "echo", "b"];
    let finished = ctl(&words).finish();
    assert_eq!(finished.sorted(), ["[1] a", "[2.1] a", "[2.2] b"]);
}

#[test]
fn without_a_node_before_the_first_program_there_is_one_program() {
    let finished = ctl(&["run", "-n", "1", "--", "echo", "--node", "1", "--", "x"]).finish();
    assert_eq!(finished.text(), "--node 1 -- x\n");
}

#[test]
fn variables_of_all_and_of_some() {
    let finished = run(&["-n", "3", "--env", "A=all", "--env", "2-3:A=some", "--env", "3:B==:"], "echo $A $B").finish();
    assert_eq!(finished.sorted(), ["all", "some", "some =:"]);
}

#[test]
fn the_number_of_nodes_as_other_launchers_take_it() {
    for form in ["-n2", "-n=2", "-np 2", "-np2", "-np=2", "-vn2"] {
        let line = format!("run {form} --env A=a printenv A");
        let finished = ctl(&line.split(' ').collect::<Vec<_>>()).finish();
        assert_eq!((finished.code(), finished.text()), (0, "a\na\n"), "{form}: {}", finished.stderr);
        // What follows the program's name is the program's.
        let line = format!("run {form} -- echo -np 3");
        let finished = ctl(&line.split(' ').collect::<Vec<_>>()).finish();
        assert_eq!((finished.code(), finished.text()), (0, "-np 3\n-np 3\n"), "{form}: {}", finished.stderr);
    }
    for (line, why) in [
        ("run -n2 -n3 -- true", "the argument '-n <N>' cannot be used multiple times"),
        ("run -np2 -n 2 -- true", "the argument '-n <N>' cannot be used multiple times"),
        ("run -np two -- true", "write a number of nodes, 1 to 63"),
        ("run -n= -- true", "write a number of nodes, 1 to 63"),
        ("run -np", "a value is required for '-n <N>'"),
        ("run -n2", "<PROG ARGS"),
        ("run true -n2", "-n <N>"),
        ("run true -np 2", "tip: what follows the program is the program's: rsm-ctl run -n N PROG ARGS..."),
    ] {
        let finished = ctl(&line.split(' ').collect::<Vec<_>>()).finish();
        assert!(finished.code() == 2 && finished.stderr.contains(why), "{line}: {}", finished.stderr);
    }
}

#[test]
fn a_directory() {
    let scratch = Scratch::new("cwd");
    let directory = scratch.path("").canonicalize().unwrap();
    rsm_stories::install(&scratch.path("prog"), b"#!/bin/sh\necho here $(pwd -P)\n", 0o755);
    let finished = ctl(&["run", "-n", "1", "--cwd", "/", "--", "./prog"]).directory(&directory).finish();
    assert_eq!(finished.text(), "here /\n", "a program is found where rsm-ctl is: {}", finished.stderr);
}

#[test]
fn cpus_in_turn() {
    let finished = run(&["-v", "-n", "3", "--pin"], "grep Cpus_allowed_list: /proc/self/status").finish();
    assert_eq!(finished.code(), 0);
    for line in finished.text().lines() {
        assert!(line.split_whitespace().nth(1).is_some_and(|cpus| cpus.parse::<u32>().is_ok()), "{line}");
    }
    assert_eq!(finished.stderr.matches(" on CPU ").count(), 3, "{}", finished.stderr);
    let first = finished.stderr.split(" on CPU ").nth(1).unwrap().split(',').next().unwrap();
    let finished = run(&["-n", "2", &format!("--pin={first}")], "grep Cpus_allowed_list: /proc/self/status").finish();
    assert_eq!(finished.text(), format!("Cpus_allowed_list:\t{first}\n").repeat(2));
}

#[test]
fn the_reader() {
    let script = "echo $RSM_NODE_ID:$(cat)";
    let said = |words: &[&str]| {
        let mut running = run(&[&["-n", "3"], words].concat(), script).stdin(Stdio::piped()).start();
        std::io::Write::write_all(&mut running.stdin(), b"x").unwrap();
        let finished = running.finish();
        finished.sorted().join(" ")
    };
    assert_eq!(said(&[]), "1:x 2: 3:");
    assert_eq!(said(&["--stdin", "3"]), "1: 2: 3:x");
    let finished = run(&["-n", "2", "--stdin", "none"], script).stdin(Stdio::null()).finish();
    assert_eq!(finished.sorted(), ["1:", "2:"]);
}

#[test]
fn more_controllers() {
    let finished = run(&["-n", "2", "--controllers", "shm0,shm1"], "test $RSM_NODE_ID = 2 || exec $CTL links")
        .env("CTL", env!("CARGO_BIN_EXE_rsm-ctl"))
        .finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.text().contains("shm0 ") && finished.text().contains("shm1 "), "{}", finished.text());
}

#[test]
fn what_cannot_be_done_is_said() {
    for (words, code, said) in [
        (&["--node", "3", "--", "true"][..], 2, "there is no node 3: the cluster has 1 to 2"),
        (&["--node", "x", "--", "true"], 2, "is no node; write 2, 1,4-6"),
        (&["--node", "1", "--", "true", "--node", "x", "--", "true"], 2, "--node: \"x\" is no node"),
        (&["--node", "1", "--", "true", "--node", "2", "--"], 2, "needs a program after it"),
        (&["--timeuot", "5s", "--", "true"], 2, "there is no option --timeuot here; did you mean --timeout?"),
        (&["--wrong", "--", "true"], 2, "there is no option --wrong here, and no program is called like that"),
        (&["--env", "RSM_NODE_ID=1", "--", "true"], 2, "RSM_NODE_ID is set by rsm-ctl itself"),
        (&["--env", "3:A=b", "--", "true"], 2, "--env: there is no node 3"),
        (&["--env", "A", "--", "true"], 2, "write NAME=VALUE, or 2:NAME=VALUE"),
        (&["--cwd", "/no/such", "--", "true"], 1, "cannot start in \"/no/such\": No such file or directory"),
        (&["--cwd", "/dev/null", "--", "true"], 1, "cannot start in \"/dev/null\": Not a directory"),
        (&["--pin=1023", "--", "true"], 1, "cannot bind to CPU 1023: this process may use "),
        (&["--pin=x", "--", "true"], 2, "write \"auto\" or a list such as 0,2-3"),
        (&["--stdin", "3", "--", "true"], 2, "--stdin: there is no node 3"),
        (&["--stdin", "2", "--node", "1", "--", "true"], 2, "--stdin: no program runs on node 2"),
        (&["--stdin", "all", "--", "true"], 2, "write the id of a node"),
        (&["--controllers", "shm!", "--", "true"], 1, "is no controller name"),
        (&["--controllers", "loopback", "--", "true"], 1, "loopback"),
        (&["--grace", "-1", "--", "true"], 2, "--grace"),
        (&["--timeout", "0", "--", "true"], 2, "must be longer than nothing"),
        (&["--junit", "/no/such/report.xml", "--", "true"], 1, "cannot write the report"),
        (&["--log-dir", "/dev/null/logs", "--", "true"], 1, "cannot create \"/dev/null/logs\": Not a directory"),
        (&["--name", "", "--", "true"], 1, "is no cluster name"),
    ] {
        let finished = ctl(&["run", "-n", "2"]).words(words).finish();
        assert_eq!((finished.code(), finished.text()), (code, ""), "{words:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{words:?}: {}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
}

/// An executable file.
fn program(scratch: &Scratch, name: &str, text: &str) -> String {
    let path = scratch.path(name);
    rsm_stories::install(&path, text.as_bytes(), 0o755);
    path.to_str().unwrap().to_owned()
}

/// Runs it on so many nodes. A process that is being forked elsewhere in this test program may hold it open for writing
/// for a moment.
fn run_program(nodes: &str, words: &[&str]) -> Finished {
    eventually("a program that is not busy", || {
        let finished = ctl(&["run", "-n", nodes, "--"]).words(words).finish();
        (!finished.stderr.contains("busy")).then_some(finished)
    })
}

#[test]
fn what_a_script_lacks_is_told() {
    let scratch = Scratch::new("scripts");
    let refused = program(&scratch, "refused", "not executable");
    std::fs::set_permissions(&refused, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let cr = "its first line ends with CR and LF";
    for (name, first, why) in [
        ("crlf", "#!/bin/sh\r", cr.to_owned()),
        ("none", "#!/no/such/shell -e", "its interpreter \"/no/such/shell\" does not exist".to_owned()),
        ("odd", "#!/no/\x1b[2J", r#"its interpreter "/no/\u{1b}[2J" does not exist"#.to_owned()),
        ("may-not", &format!("#!{refused}"), format!("its interpreter \"{refused}\" may not be executed")),
    ] {
        let script = program(&scratch, name, &format!("{first}\necho here\r\n"));
        let finished = run_program("2", &[&script]);
        let told = format!("rsm-ctl: cannot run \"{script}\": {why}");
        assert!(finished.stderr.starts_with(&told), "{}", finished.stderr);
        assert_eq!((finished.code(), finished.text()), (126, ""), "{name}");
    }
    // The interpreter is there; what it is told is not what was meant.
    let script = program(&scratch, "env", "#!/usr/bin/env sh\r\necho here\r\n");
    let finished = run_program("1", &[&script]);
    assert!(finished.code() == 127 && finished.stderr.contains(cr), "{}", finished.stderr);
    let script = program(&scratch, "marked", "\u{feff}#!/bin/cat\nexit 3\n");
    let finished = run_program("1", &[&script]);
    assert!(finished.code() == 3 && finished.stderr.contains("a byte order mark"), "{}", finished.stderr);
}

#[test]
fn a_program_whose_loader_is_missing_is_not_blamed() {
    let scratch = Scratch::new("loader");
    let mut shell = std::fs::read("/bin/sh").unwrap();
    let Some(at) = shell.windows(4).position(|bytes| bytes == b"/ld-") else {
        eprintln!("skipped: the shell is linked statically");
        return;
    };
    shell[at + 1] = b'x';
    let path = scratch.path("sh");
    rsm_stories::install(&path, &shell, 0o755);
    let finished = run_program("1", &[path.to_str().unwrap(), "-c", "true"]);
    assert!(finished.stderr.contains(": its loader \"/lib"), "{}", finished.stderr);
    assert!(finished.code() == 126 && finished.stderr.contains("/xd-"), "{}", finished.stderr);
}

#[test]
fn a_call_that_the_machine_refuses_is_named() {
    for (call, errno, named) in [
        (libc::SYS_pidfd_open, libc::EPERM, "pidfd_open: Operation not permitted"),
        (libc::SYS_pidfd_open, libc::ENOSYS, "pidfd_open: Function not implemented"),
        (libc::SYS_signalfd4, libc::EPERM, "signalfd: Operation not permitted"),
        (libc::SYS_socketpair, libc::EACCES, "socketpair: Permission denied"),
        (libc::SYS_setsid, libc::EPERM, "setsid: Operation not permitted"),
    ] {
        let refusal = Refusal { call, argument: None, errno };
        let finished = ctl(&["run", "-n", "1", "--", "true"]).refusing(&[refusal]).finish();
        assert_eq!((finished.code(), finished.text()), (1, ""), "{named}");
        assert!(finished.stderr.contains(named), "{}", finished.stderr);
        assert!(finished.stderr.contains("`rsm-ctl doctor` tells what this machine lacks"), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
}

#[test]
fn what_fails_on_the_way_to_a_program_is_not_its_fault() {
    for (call, option) in [(libc::SYS_chdir, "--cwd=/"), (libc::SYS_sched_setaffinity, "--pin")] {
        // As exec says it of a program that may not be executed, and of one that is not there.
        for (errno, why) in [(libc::EACCES, "Permission denied"), (libc::ENOENT, "No such file or directory")] {
            let refusal = Refusal { call, argument: None, errno };
            let finished = ctl(&["run", "-n", "1", option, "--", "true"]).refusing(&[refusal]).finish();
            assert_eq!((finished.code(), finished.text()), (1, ""), "{option}: {}", finished.stderr);
            let told = format!("rsm-ctl: cannot start node 1: {why}");
            assert!(finished.stderr.starts_with(&told), "{option}: {}", finished.stderr);
        }
    }
}

#[test]
fn without_proc_nothing_starts() {
    let tried = std::process::Command::new("unshare").args(["-m", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return;
    }
    // Something else in its place, and then another namespace's.
    for (how, why) in [
        ("mount -t tmpfs none /proc", "/proc is not mounted here"),
        (":", "/proc shows the processes of another PID namespace"),
    ] {
        let script = format!("exec unshare -mpf sh -c '{how} && exec $CTL run -n 1 -- true'");
        let finished = shell(&script).finish();
        assert_eq!((finished.code(), finished.text()), (1, ""), "{how}: {}", finished.stderr);
        assert!(finished.stderr.contains(why), "{}", finished.stderr);
    }
}

#[test]
fn a_node_in_another_network_namespace_is_told_that_it_is() {
    let tried = std::process::Command::new("unshare").args(["-n", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return;
    }
    let name = crate::rig::unique("network");
    let script = "exec unshare -n $STEADY 1";
    let steady = crate::steering::example("steady");
    let finished = run(&["-n", "1", "--name", &name], script).env("STEADY", steady.to_str().unwrap()).finish();
    assert_ne!(finished.code(), 0);
    let told = format!("no cluster named {name:?} is running in this network namespace");
    assert!(finished.stderr.contains(&told), "{}{}", finished.text(), finished.stderr);
}

#[test]
fn who_looks_from_another_pid_namespace_takes_no_process_for_another() {
    let tried = std::process::Command::new("unshare").args(["-pf", "--mount-proc", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return;
    }
    let cluster = crate::rig::Standing::up(&["-n", "1"]);
    let show = format!("$CTL show cluster --cluster {}", cluster.name);
    for (how, elsewhere) in [("", false), ("unshare -pf --mount-proc", true)] {
        let finished = shell(&format!("{how} {show}")).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""));
        let agent = finished.text().lines().find(|line| line.starts_with("agent")).expect("the agent").to_owned();
        assert_eq!(agent.contains("elsewhere, in another PID namespace"), elsewhere, "{agent}");
    }
    cluster.down();
}

/// A cluster is entered and ended from another PID namespace, and by its own user from another user namespace.
#[test]
fn a_cluster_is_entered_and_ended_from_other_namespaces() {
    for how in ["unshare -pf --mount-proc", "unshare -Ur", "unshare -Urpf --mount-proc"] {
        let tried = shell(&format!("{how} true")).finish();
        if tried.code() != 0 {
            println!("skipped: {how}: {}", tried.stderr);
            continue;
        }
        let cluster = crate::rig::Standing::up(&["-n", "1"]);
        let script =
            "set -e; $CTL exec --cluster $NAME --node 1 -- echo inside; $CTL env --cluster $NAME 1 | grep -c RSM_NODE_KEY
             $CTL -q down $NAME; ! $CTL nodes --cluster $NAME 2>/dev/null";
        let finished =
            shell(&format!("{how} sh -c \"$SCRIPT\"")).env("SCRIPT", script).env("NAME", &cluster.name).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{how}");
        assert!(finished.text().starts_with("inside\n1\n"), "{how}: {}", finished.text());
    }
}

/// The agent is in a PID namespace of its own, the node is outside of it and has no number there.
#[test]
fn a_process_that_the_agents_pid_namespace_does_not_show_is_elsewhere() {
    let tried = std::process::Command::new("unshare").args(["-pf", "--mount-proc", "true"]).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        return;
    }
    let (scratch, name) = (Scratch::new("outside"), crate::rig::unique("outside"));
    let inside =
        "$CTL -q up -n 1 --name $NAME >/dev/null && $CTL env --cluster $NAME 1 >part && mv part variables || exit
        until $CTL nodes --cluster $NAME | grep -q '^1 *yes'; do sleep 0.02; done
        $CTL show node 1 --cluster $NAME && $CTL -q down $NAME >/dev/null";
    let script = "unshare -pf --mount-proc sh -c \"$INSIDE\" &
        until test -f variables || ! kill -0 $! 2>/dev/null; do sleep 0.02; done
        . ./variables && $STEADY >/dev/null 2>&1; wait $!";
    let steady = crate::steering::example("steady");
    let finished = shell(script)
        .env("INSIDE", inside)
        .env("NAME", &name)
        .env("STEADY", steady.to_str().unwrap())
        .directory(&scratch.path(""))
        .finish();
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    let processes = finished.text().split("processes:").nth(1).unwrap_or_else(|| panic!("{}", finished.text()));
    let process = processes.lines().nth(2).unwrap();
    assert!(process.trim_start().starts_with("0 ") && process.contains(" elsewhere "), "{}", finished.text());
    assert!(finished.text().contains("memory in use:    not known here"), "{}", finished.text());
}
