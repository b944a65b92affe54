//! What is asked for and cannot be written is a failure: on a full disk, with the output closed, and where a file system
//! takes every write and says at the end that it was too much.

use std::fs::File;
use std::process::Stdio;

use crate::rig::{Scratch, Standing, ctl, run, shell};
use rsm_stories::quota;

/// Commands that answer without a cluster.
const ANSWERS: [&[&str]; 10] = [
    &["--help"],
    &["--version"],
    &["help", "run"],
    &["run", "-h"],
    &["ls"],
    &["ls", "--json"],
    &["doctor", "--json"],
    &["completions", "bash"],
    &["man"],
    &["perf", "--list"],
];

/// The sentence for a standard output that takes nothing.
fn lost(why: &str) -> String {
    format!("rsm-ctl: cannot write standard output: {why}\n")
}

#[test]
fn a_full_disk_is_a_failure_of_every_command() {
    let standing = Standing::up(&["-n", "2"]);
    let cluster = ["--cluster", &standing.name];
    let looks: [&[&str]; 5] =
        [&["nodes"], &["links", "--json"], &["topology", "--svg"], &["show", "node", "1"], &["top", "--once"]];
    let looks = looks.map(|words| [words, &cluster].concat());
    for words in ANSWERS.into_iter().chain(looks.iter().map(Vec::as_slice)) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let finished = ctl(words).stdout(full).finish();
        assert_eq!((finished.code(), finished.stderr), (1, lost("No space left on device")), "{words:?}");
    }
    standing.down();
}

#[test]
fn a_closed_output_is_a_failure_when_something_is_written() {
    for words in ANSWERS {
        let finished = shell(&format!("exec $CTL {} >&-", words.join(" "))).finish();
        assert_eq!((finished.code(), finished.stderr), (1, lost("Bad file descriptor")), "{words:?}");
    }
    let finished = shell("exec $CTL run -n 2 -- echo hello >&-").finish();
    assert_eq!((finished.code(), finished.stderr), (1, lost("Bad file descriptor")));
    // As for a program alone, it does not matter to one that says nothing.
    for silent in ["run -n 2 -- true >&-", "run -n 2 -- sh -c 'echo hello >&2' >&-", "run -n 1 -- cat <&-"] {
        assert_eq!(shell(&format!("exec $CTL {silent}")).finish().code(), 0, "{silent}");
    }
}

#[test]
fn what_was_lost_at_the_end_was_not_written() {
    let scratch = Scratch::new("quota");
    let directory = scratch.path("");
    quota::attempt(&directory.clone(), move || {
        let file = |name: &str| File::create(directory.join(name)).unwrap();
        for (index, words) in ANSWERS.into_iter().enumerate() {
            let finished = ctl(words).stdout(file(&format!("answer-{index}"))).finish();
            assert_eq!((finished.code(), finished.stderr), (1, lost("Disk quota exceeded")), "{words:?}");
        }
        // What the nodes of a run write goes the same way; a node that fails has its own code.
        for (script, code) in [("echo hello", 1), ("echo hello; exit 7", 7)] {
            let finished = run(&["-n", "2", "-q"], script).stdout(file("output")).finish();
            assert_eq!(finished.code(), code, "{script}: {}", finished.stderr);
        }
        // So do logs and reports.
        let (logs, report) = (directory.to_str().unwrap(), directory.join("report.xml"));
        let finished = run(&["-n", "1", "--log-dir", logs], "echo hello").finish();
        let told = format!("rsm-ctl: cannot write {:?}: Disk quota exceeded\n", directory.join("node-1.out"));
        assert_eq!((finished.code(), finished.text(), &*finished.stderr), (1, "hello\n", &*told));
        let finished = run(&["-n", "1", "--junit", report.to_str().unwrap()], "echo hello").finish();
        let told = format!("rsm-ctl: cannot write the report {report:?}: Disk quota exceeded\n");
        assert_eq!((finished.code(), finished.text(), &*finished.stderr), (1, "hello\n", &*told));
        let pages = directory.to_str().unwrap();
        let finished = ctl(&["man", "--dir", pages]).stdout(Stdio::null()).finish();
        let told = format!("rsm-ctl: cannot write {}: Disk quota exceeded\n", directory.join("rsm-ctl.1").display());
        assert_eq!((finished.code(), finished.stderr), (1, told));
    });
}
