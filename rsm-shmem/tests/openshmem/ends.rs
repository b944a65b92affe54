//! How a job ends: a PE that dies, one that leaves without a word, `shmem_global_exit`.

use crate::programs::{program, run, text};
use rsm::Cluster;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What the other PEs are at when PE 1 ends.
const WAITING: &[&str] = &["barrier", "wait", "signal", "lock", "reduce"];
/// What they are at that works on PE 1.
const REACHING: &[&str] = &["gets", "puts", "atomics"];

#[test]
fn a_death_ends_every_wait_with_a_line_that_names_the_pe() {
    let ends = program("ends");
    let all = WAITING.iter().map(|at| (at, 3)).chain(REACHING.iter().map(|at| (at, 2)));
    for (at, pes) in all {
        // The launcher leaves it to them.
        let output = run(pes, &["--keep-going"], &ends, &["kill", at]).output().expect("it runs");
        let said = text(&output);
        // That of the one that was killed, or of one that had found it gone before the launcher did.
        assert!([128 + 9, 1].map(Some).contains(&output.status.code()), "{at}: {said}");
        for pe in (0..pes).filter(|pe| *pe != 1) {
            let mut lines = said.lines().filter(|line| line.starts_with(&format!("shmem: PE {pe}: shmem_")));
            // A PE may find the one gone that found PE 1 gone.
            let line = lines.next().unwrap_or_else(|| panic!("{at}: PE {pe} says nothing: {said}"));
            assert!(line.contains(" PE ") && line.contains("has ended"), "{at}: {line}");
        }
        assert!(said.contains("PE 1 is gone: ") || said.contains("put to PE 1 may be lost: "), "{at}: {said}");
    }
}

#[test]
fn who_leaves_without_finalize_is_told_of() {
    let output = run(2, &[], &program("ends"), &["exit", "wait"]).output().expect("it runs");
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("shmem: PE 0: shmem_long_wait_until: PE 1 is gone: "), "{said}");
}

#[test]
fn global_exit_ends_everybody_with_its_status() {
    let ends = program("ends");
    for at in ["barrier", "work", "sleep", "read"] {
        for status in [0, 7] {
            let output = run(3, &[], &ends, &["global_exit", at, &status.to_string()]).output().expect("it runs");
            let said = text(&output);
            assert_eq!(output.status.code(), Some(status), "{at}: {said}");
            if status == 0 {
                // With a status that is a failure the launcher may be sooner.
                assert!(said.contains("not flushed by PE 0;") && said.contains("not flushed by PE 2;"), "{at}: {said}");
                assert!(!said.contains("shmem: "), "{at}: {said}");
            }
        }
    }
}

#[test]
fn global_exit_ends_who_does_not_run() {
    for status in [0, 7] {
        let arguments = ["global_exit", "stopped", &status.to_string()];
        let output =
            run(3, &["--grace", "100ms", "--keep-going"], &program("ends"), &arguments).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert_eq!(
            said.contains("node 2 (pid ") && said.contains("ends the run with exit code 7"),
            status == 7,
            "{said}"
        );
    }
}

#[test]
fn global_exit_needs_no_launcher() {
    let cluster = Cluster::new(3).expect("a cluster");
    let ends = program("ends");
    let start = |node| {
        let mut command = Command::new(&ends);
        command.args(["global_exit", "barrier", "7"]).envs(cluster.environment(node).expect("a node"));
        command.env_remove("RSM_RUN").env("SHMEM_SYMMETRIC_SIZE", "4M").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it runs")
    };
    let all: Vec<_> = (1..=3).map(start).collect();
    let deadline = Instant::now() + Duration::from_secs(100);
    for (pe, mut child) in all.into_iter().enumerate() {
        while child.try_wait().expect("our child").is_none() {
            if Instant::now() > deadline {
                // What it wrote is shown, and its code is not 7.
                child.kill().expect("our child");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().expect("our child");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert_eq!(said.contains(&format!("not flushed by PE {pe};")), pe != 1, "{said}");
    }
}

#[test]
fn the_oldest_programs_never_finalize() {
    for pes in [1, 3] {
        let output = run(pes, &[], &program("ends"), &["start_pes", "-"]).output().expect("it runs");
        assert!(output.status.success(), "{}", text(&output));
    }
}
