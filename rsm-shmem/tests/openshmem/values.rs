//! The suite, on so many PEs: 1, 2 and 5, which are more than there are processors on small machines, and with `RSM_TESTS=all` 3 and 8.

use crate::programs::{run, short_suite, suite, text};

#[track_caller]
fn done(pes: usize, options: &[&str], short: bool) {
    let suite = if short { short_suite() } else { suite() };
    let output = run(pes, options, &suite.program, &[]).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n".repeat(pes), "{}", text(&output));
}

/// Whether all is to be played. Otherwise says what is not.
fn all(what: &str) -> bool {
    let all = std::env::var("RSM_TESTS").is_ok_and(|which| which == "all");
    if !all {
        println!("skipped: {what} (RSM_TESTS=all)");
    }
    all
}

#[test]
fn one_pe() {
    done(1, &[], false);
}

#[test]
fn two_pes() {
    done(2, &[], false);
}

#[test]
fn three_pes() {
    if all("three PEs") {
        done(3, &[], false);
    }
}

#[test]
fn five_pes() {
    done(5, &[], false);
}

#[test]
fn eight_pes() {
    if all("eight PEs") {
        done(8, &[], false);
    }
}

#[test]
fn without_a_launcher_there_is_one_pe() {
    let mut alone = std::process::Command::new(&suite().program);
    let output = alone.env_remove("RSM_CLUSTER").env("SHMEM_SYMMETRIC_SIZE", "4M").output().expect("it runs");
    assert!(output.status.success() && output.stdout == b"done\n", "{}", text(&output));
}

#[test]
fn late_as_tso() {
    done(2, &["--chaos", "3", "--model", "tso"], true);
}

#[test]
fn late_as_pcie() {
    done(2, &["--chaos", "4", "--model", "pcie"], true);
}

#[test]
fn late_as_sci() {
    done(3, &["--chaos", "5", "--model", "sci"], true);
}

/// On as many PEs as elsewhere. Most of the time each waits for what is late, so one run can go on beside another.
fn late_on(pes: usize, model: &str, short: bool) {
    if all(&format!("{pes} PEs, {model}")) {
        done(pes, &["--chaos", "6", "--model", model], short);
    }
}

#[test]
fn late_on_one_pe() {
    late_on(1, "pcie", false);
}

#[test]
fn late_on_three_pes_with_every_type() {
    late_on(3, "pcie", false);
}

#[test]
fn late_on_five_pes_as_tso() {
    late_on(5, "tso", true);
}

#[test]
fn late_on_five_pes_as_sci() {
    late_on(5, "sci", true);
}

#[test]
fn late_on_eight_pes() {
    late_on(8, "pcie", true);
}

/// As where PEs are more than processors, with few of them and with more than tell each other one by one. PE 0 says it; what others
/// are told, and count, is another number.
#[test]
fn crowded() {
    for (pes, options) in [(3, ["--env", "RSM_SHMEM_PROCESSORS=1"]), (4, ["--env", "RSM_SHMEM_PROCESSORS=2"])] {
        done(pes, &options, false);
    }
}
