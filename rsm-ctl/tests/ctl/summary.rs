//! What is said at the end of a run that failed.

use rustix::process::Signal;

use crate::rig::{GONE, Scratch, ctl, run};

#[test]
fn who_began_and_who_followed() {
    let scratch = Scratch::new("began");
    let script = format!(
        "{GONE} case $RSM_NODE_ID in
        2) echo $$ > $BEGAN; echo 'no such thing' >&2; exit 3;;
        3) gone $BEGAN; echo 'lost node 2' >&2; exit 4;;
        *) exec sleep 600;; esac"
    );
    let began = scratch.path("began");
    let finished = run(&["-n", "3", "--grace", "4s"], &script).env("BEGAN", began.to_str().unwrap()).finish();
    assert_eq!(finished.code(), 3);
    let summary = finished.stderr.split_once("rsm-ctl: 2 of 3 processes failed\n").expect(&finished.stderr).1;
    let place = |what: &str| summary.find(what).unwrap_or_else(|| panic!("{what:?} is not in {summary}"));
    assert!(place("node 2 ended with exit code 3") < place("| no such thing"));
    assert!(place("| no such thing") < place("afterwards, "));
    assert!(place("afterwards, ") < place("| lost node 2"));
    assert!(place("| lost node 2") < place("ended by rsm-ctl after that: node 1"));
    assert!(!finished.stderr.contains('\x1b'), "no colours in a pipe");
}

#[test]
fn what_to_do_next() {
    let finished = run(&["-n", "2"], "test $RSM_NODE_ID = 1 || kill -SEGV $$").finish();
    assert!(finished.stderr.contains("gdb -batch -ex run -ex bt --args /bin/sh"), "{}", finished.stderr);
    let script = "test $RSM_NODE_ID = 1 || { echo \"thread 'main' panicked at src/main.rs:1:1:\" >&2; exit 101; }";
    let finished = run(&["-n", "2"], script).env_remove("RUST_BACKTRACE").finish();
    assert!(finished.stderr.contains("--env 2:RUST_BACKTRACE=1"), "{}", finished.stderr);
    let finished = run(&["-n", "2"], script).env("RUST_BACKTRACE", "1").finish();
    assert!(!finished.stderr.contains("RUST_BACKTRACE"), "{}", finished.stderr);
    let finished = run(&["-n", "2"], "test $RSM_NODE_ID = 1 || kill -KILL $$").finish();
    assert!(finished.stderr.contains("not killed by this run: by somebody else"), "{}", finished.stderr);
}

#[test]
fn who_was_late_and_what_it_said_last() {
    let finished = run(&["-n", "2", "--timeout", "4s"], "echo waiting; exec sleep 600").finish();
    assert_eq!(finished.code(), 124);
    assert!(finished.stderr.contains("2 of 2 processes did not end in time"), "{}", finished.stderr);
    assert_eq!(finished.stderr.matches("| waiting").count(), 2, "{}", finished.stderr);
}

#[test]
fn nothing_after_ctrl_c_or_when_quiet_or_when_all_is_well() {
    let mut running = run(&["-n", "2"], "echo text >&2; echo ready; exec sleep 600").start();
    running.line();
    running.line();
    running.signal(Signal::INT);
    assert_eq!(running.finish().stderr, "text\ntext\n");
    assert_eq!(run(&["-q", "-n", "2"], "echo text >&2; exit 1").finish().stderr.matches("text").count(), 2);
    assert_eq!(run(&["-n", "2"], "echo text >&2").finish().stderr, "text\ntext\n");
}

#[test]
fn sixty_three_that_fail_at_once() {
    let finished = run(&["-n", "63", "--keep-going"], "echo last words of $RSM_NODE_ID >&2; exit 9").finish();
    assert_eq!(finished.code(), 9);
    assert!(finished.stderr.contains("63 of 63 processes failed"), "{}", finished.stderr);
    assert_eq!(finished.stderr.matches("| last words of ").count(), 10);
    assert!(finished.stderr.contains("and 53 more: node "), "{}", finished.stderr);
}

#[test]
fn where_those_hang_that_were_late() {
    let hello = crate::steering::example("hello");
    let scratch = Scratch::new("late");
    let report = scratch.path("report.xml");
    // Only the first node says hello, to one that does nothing. How long that takes to begin is the machine's.
    let told = ["1s", "2s", "4s", "8s", "16s", "32s", "64s"].into_iter().map(|timeout| {
        let words = ["run", "-n", "2", "--timeout", timeout, "--junit", report.to_str().unwrap()];
        let words =
            ctl(&words).words(&["--node", "1", "--", hello.to_str().unwrap(), "--node", "2", "--", "sleep", "600"]);
        words.finish()
    });
    let waits = "waits for segment 0x400000 of node 2, which is not published";
    let late = told.into_iter().find(|late| late.stderr.contains(waits)).expect("a node that waits");
    assert_eq!(late.code(), 124);
    let summary = late.stderr.split_once("rsm-ctl: 2 of 2 processes did not end in time\n").unwrap().1;
    assert!(summary.contains(&format!("  node 1 was still running\n    it {waits}\n")), "{summary}");
    assert!(summary.contains("  node 2 was still running\n    it has not joined the cluster\n"), "{summary}");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains(&format!("was still running when the time was up; it {waits}; then it")), "{report}");
}

#[test]
fn stacks_before_the_end() {
    let script = "trap 'echo asked; exit' TERM; echo ready; /bin/sleep 600 & wait";
    // With the debugger of this machine, if there is one, and with none.
    let paths = [std::env::var("PATH").unwrap(), "/no/such/directory".to_owned()];
    // In which time both stand there is the machine's.
    let shown = |path: &String| {
        let mut tried = ["2s", "4s", "8s", "16s", "32s", "64s"].into_iter().map(|timeout| {
            let words = ["-n", "2", "--timeout", timeout, "--grace", "60s", "--on-timeout", "stacks"];
            run(&words, script).env("PATH", path).finish()
        });
        tried.find(|finished| finished.text().matches("ready").count() == 2).expect("two that are ready")
    };
    let shown = std::thread::scope(|scope| {
        let both = paths.each_ref().map(|path| scope.spawn(move || shown(path)));
        both.map(|one| one.join().expect("it does not panic"))
    });
    for (finished, path) in shown.into_iter().zip(paths) {
        assert_eq!(finished.code(), 124);
        assert_eq!(finished.text().matches("asked").count(), 2, "they are asked to end all the same");
        for of in ["where node 1 is\n", "where node 2 is\n"] {
            assert!(finished.stderr.contains(of), "{}", finished.stderr);
        }
        assert_eq!(finished.stderr.matches("where process ").count(), 2, "{}", finished.stderr);
        if path.starts_with("/no") {
            assert!(finished.stderr.contains("(sleep): S (sleeping), in clock_nanosleep"), "{}", finished.stderr);
            assert_eq!(finished.stderr.matches("(sh): S (sleeping), in ").count(), 2, "{}", finished.stderr);
        } else if std::path::Path::new("/usr/bin/gdb").exists() && rustix::process::geteuid().is_root() {
            assert!(finished.stderr.contains("\n  #0 "), "{}", finished.stderr);
        }
    }
    let finished = run(&["-n", "1", "--on-timeout", "stacks"], "true").finish();
    assert_eq!((finished.code(), &*finished.stderr), (2, "rsm-ctl: --on-timeout needs a --timeout\n"));
}

#[test]
fn which_faults_there_were() {
    let hello = crate::steering::example("hello");
    // With one seed or another something is refused that the program needs.
    let failed = (0..200).find_map(|seed| {
        let chaos = format!("--chaos={seed}:calm");
        let finished = run(&["-n", "2", &chaos, "--faults", "refuse", "--timeout", "60s"], "exec \"$HELLO\"")
            .env("HELLO", hello.to_str().unwrap())
            .finish();
        (finished.code() != 0).then_some(finished)
    });
    let finished = failed.expect("a seed");
    let told = finished.stderr.lines().find(|line| line.contains("the last: refuse at "));
    assert!(told.is_some_and(|line| line.contains("chaos: node ") && line.contains(" fault")), "{}", finished.stderr);
}
