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
    // The registry, which is a file too, has room below the limit.
    let script = "ulimit -f 100000; exec $CTL run -n 1 --log-dir $LOGS --junit $REPORT -- \
        sh -c 'head -c 60000000 /dev/zero; exec sleep 600' > /dev/null";
    let report = scratch.path("report.xml");
    let files = shell(script).env("LOGS", scratch.path("logs").to_str().unwrap());
    let finished = files.env("REPORT", report.to_str().unwrap()).finish();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("rsm-ctl: cannot write \""), "{}", finished.stderr);
    assert!(finished.stderr.contains(".out\": File too large"), "{}", finished.stderr);
    assert!(fs::read_to_string(report).unwrap().ends_with("</testsuites>\n"), "the report is written all the same");
}

#[test]
fn a_limit_of_file_sizes_is_a_full_disk() {
    let scratch = Scratch::new("limit");
    let out = scratch.path("out");
    // What nodes do at the limit is their own affair: the signal ends them as it ends any program.
    let script = "ulimit -f 100000; exec $CTL run -n 1 -- sh -c \"$WORK\" > $OUT";
    let run = |work: &str| shell(script).env("OUT", out.to_str().unwrap()).env("WORK", work).finish();
    let finished = run("exec head -c 60000000 /dev/zero");
    assert_eq!((finished.code(), &*finished.stderr), (1, "rsm-ctl: cannot write standard output: File too large\n"));
    let file = scratch.path("file");
    let finished = run(&format!("exec head -c 60000000 /dev/zero > {}", file.display()));
    assert_eq!(finished.code(), 128 + libc::SIGXFSZ, "{}", finished.stderr);
    // Below what the cluster itself needs it is said what is in the way.
    let finished = shell("ulimit -f 1; exec $CTL run -n 1 -- true").finish();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("the limit of file sizes, "), "{}", finished.stderr);
}

#[test]
fn a_limit_of_processor_time_ends_a_run_in_order() {
    let scratch = Scratch::new("limit");
    let report = scratch.path("report.xml");
    let words = ["-n", "1", "--junit", report.to_str().unwrap()];
    let mut running = run(&words, "echo ready; exec sleep 600").start();
    running.line();
    running.signal(rustix::process::Signal::XCPU);
    assert_eq!(running.finish().code(), 128 + libc::SIGXCPU);
    assert!(fs::read_to_string(report).unwrap().contains("the run was ended by SIGXCPU"));
}
