//! `run --log-dir`: what each node wrote, in files of its own.

use std::fs;

use crate::rig::{Scratch, ctl, run, shell};

#[test]
fn each_stream_has_its_file_and_is_shown_too() {
    let scratch = Scratch::new("logs");
    let logs = scratch.path("deep/logs");
    let finished =
        run(&["-n", "2", "--tag-output", "--log-dir", logs.to_str().unwrap()], "echo out; printf err >&2").finish();
    assert_eq!((finished.code(), finished.sorted()), (0, vec!["[1] out", "[2] out"]));
    for node in 1..=2 {
        assert_eq!(fs::read_to_string(logs.join(format!("node-{node}.out"))).unwrap(), "out\n");
        assert_eq!(fs::read_to_string(logs.join(format!("node-{node}.err"))).unwrap(), "err");
    }
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 4);
}

#[test]
fn nothing_is_overwritten() {
    let scratch = Scratch::new("logs");
    let kept = scratch.file("logs/node-2.out", "precious");
    let finished = run(&["-n", "3", "--log-dir", scratch.path("logs").to_str().unwrap()], "echo new").finish();
    assert_eq!((finished.code(), finished.text()), (1, ""));
    assert!(finished.stderr.contains("node-2.out\": it is there already"), "{}", finished.stderr);
    assert_eq!(fs::read_to_string(kept).unwrap(), "precious");
    assert_eq!(fs::read_dir(scratch.path("logs")).unwrap().count(), 1, "what was made before is taken back");
}

#[test]
fn every_byte() {
    let scratch = Scratch::new("logs");
    let logs = scratch.path("logs");
    let words = ["run", "-n", "2", "--log-dir", logs.to_str().unwrap(), "--", "head", "-c", "20000000", "/dev/zero"];
    assert_eq!(ctl(&words).finish().stdout.len(), 40_000_000);
    assert_eq!(fs::metadata(logs.join("node-2.out")).unwrap().len(), 20_000_000);
}

#[test]
fn a_log_that_cannot_be_written_is_said() {
    let scratch = Scratch::new("logs");
    // A limit on the size of files stands for a full disk; with the signal ignored the write fails. The registry, which
    // is a file too, has room below it.
    let script = "trap '' XFSZ; ulimit -f 100000; exec $CTL run -n 1 --log-dir $LOGS -- \
        sh -c 'head -c 60000000 /dev/zero; exec sleep 600' > /dev/null";
    let finished = shell(script).env("LOGS", scratch.path("logs").to_str().unwrap()).finish();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("rsm-ctl: cannot write \""), "{}", finished.stderr);
    assert!(finished.stderr.contains(".out\": File too large"), "{}", finished.stderr);
}
