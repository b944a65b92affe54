//! What is said at the end of a run that failed.

use rustix::process::Signal;

use crate::rig::run;

#[test]
fn who_began_and_who_followed() {
    let script = "case $RSM_NODE_ID in
        2) echo 'no such thing' >&2; exit 3;;
        3) sleep 0.3; echo 'lost node 2' >&2; exit 4;;
        *) exec sleep 600;; esac";
    let finished = run(&["-n", "3", "--grace", "2s"], script).finish();
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
    let finished = run(&["-n", "2", "--timeout", "300ms"], "echo waiting; exec sleep 600").finish();
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
