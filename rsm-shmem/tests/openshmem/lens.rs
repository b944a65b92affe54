//! What is late, and what is cut.

use crate::programs::{program, run, text};
use rsm::Cluster;
use rsm::steer::Links;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// Seeds that are tried.
const SEEDS: std::ops::Range<u32> = 1..12;

#[test]
fn a_missing_fence_shows_through_a_lens_and_nowhere_else() {
    let fence = program("fence");
    for variant in ["good", "bad"] {
        let output = run(2, &[], &fence, &[variant]).output().expect("it runs");
        assert!(output.status.success(), "{variant} on plain memory: {}", text(&output));
    }
    let through = |variant: &str, model: &str, seed: u32| {
        let seed = seed.to_string();
        run(2, &["--chaos", &seed, "--model", model], &fence, &[variant]).output().expect("it runs")
    };
    for model in ["pcie", "sci"] {
        let shown = SEEDS.map(|seed| through("bad", model, seed)).find(|output| !output.status.success());
        let shown = shown.unwrap_or_else(|| panic!("{model}: the missing fence was not missed"));
        assert_eq!(shown.status.code(), Some(9), "{}", text(&shown));
        assert!(text(&shown).contains("is old: "), "{}", text(&shown));
    }
    // With it, or where stores are late but in order, nothing does.
    for (variant, model) in [("good", "pcie"), ("good", "sci"), ("bad", "tso")] {
        for seed in 1..3 {
            let output = through(variant, model, seed);
            assert!(output.status.success(), "{variant} as {model}: {}", text(&output));
        }
    }
}

#[test]
fn an_error_of_a_lens_ends_the_job_at_the_quiet() {
    let fence = program("fence");
    let through = |seed: u32| {
        let seed = seed.to_string();
        let output = run(2, &["--faults", "error", "--chaos", &seed], &fence, &["good"]).output().expect("it runs");
        (!output.status.success()).then(|| text(&output))
    };
    // One in fifty closes; there are more in a run.
    let said = SEEDS.filter_map(through).next().expect("no seed has an error");
    let line = said.lines().find(|line| line.starts_with("shmem: PE ")).unwrap_or_else(|| panic!("no line: {said}"));
    assert!(line.contains("may be lost: ") && line.contains("RSMERR_BARRIER_FAILURE"), "{line}");
}

/// A PE of a cluster that lives in this process; ended with the test.
struct Pe(Child);

impl Drop for Pe {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_link_that_went_down_is_told_by_whatever_needs_it() {
    let links = program("links");
    for (way, told) in [
        ("quiet", "shmem_quiet: what was put to PE 1 may be lost: "),
        ("barrier", "shmem_barrier_all: what was put to PE 1 may be lost: "),
        ("get", "shmem_long_g: PE 1 is gone: "),
    ] {
        let cluster = Cluster::new(2).expect("a cluster");
        let start = |node: u32| {
            let mut command = Command::new(&links);
            command.arg(way).envs(cluster.environment(node).expect("a node")).env("SHMEM_SYMMETRIC_SIZE", "4M");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            Pe(command.spawn().expect("it runs"))
        };
        let (mut first, _second) = (start(1), start(2));
        let mut line = String::new();
        BufReader::new(first.0.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        assert_eq!(line, "put\n");
        cluster.steering().expect("the right").link_down(&Links::between(1, 2)).expect("it goes down");
        first.0.stdin.take().expect("a pipe").write_all(b"go on\n").expect("it listens");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut first.0.stderr.take().expect("a pipe"), &mut said).expect("text");
        let status = first.0.wait().expect("our child");
        assert_eq!(status.code(), Some(1), "{way}: {said}");
        assert!(said.starts_with("shmem: PE 0: ") && said.contains(told) && said.contains("link"), "{way}: {said}");
    }
}
