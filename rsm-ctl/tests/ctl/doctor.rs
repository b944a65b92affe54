//! `doctor`, on a kernel that is made to lack things.

use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

use crate::rig::{Finished, Refusal, ctl};
use crate::schema::Schema;

fn doctor(words: &[&str], refusals: &[Refusal]) -> Finished {
    ctl(&["doctor"]).words(words).refusing(refusals).finish()
}

fn report(refusals: &[Refusal]) -> (Option<i32>, Value) {
    let output = doctor(&["--json"], refusals);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    Schema::of("doctor").check(&value);
    (output.status.code(), value["doctor"].clone())
}

fn missing(report: &Value) -> Vec<&str> {
    let features = report["features"].as_array().unwrap().iter();
    features.filter(|f| f["present"] == false).map(|f| f["feature"].as_str().unwrap()).collect()
}

/// Refuses a whole system call, as a kernel that does not have it.
fn without(call: libc::c_long) -> Refusal {
    Refusal { call, argument: None, errno: libc::ENOSYS }
}

#[test]
fn a_machine_that_runs_these_tests_runs_rsm() {
    let (code, report) = report(&[]);
    assert_eq!(code, Some(0));
    assert_ne!(report["verdict"], "broken");
    let needed = report["features"].as_array().unwrap().iter().filter(|f| f["required"] == true);
    assert!(needed.clone().count() >= 5 && needed.clone().all(|f| f["present"] == true), "{report:#}");
    let mut conditions = report["conditions"].as_array().unwrap().iter();
    let has_huge = std::fs::exists("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size").unwrap();
    assert_eq!(conditions.any(|c| c["condition"] == "huge page size"), has_huge, "{report:#}");
    // Whoever has no bridge misses nothing.
    let mut bridges = report["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["condition"].as_str().unwrap().starts_with("bridge"));
    assert!(bridges.clone().count() > 0 && bridges.all(|c| c["status"] == "good" || c["status"] == "note"));
}

#[test]
fn what_is_refused_is_missing() {
    let before = report(&[]).1;
    let option =
        |option: u32| Refusal { call: libc::SYS_getsockopt, argument: Some((2, option)), errno: libc::ENOPROTOOPT };
    let rights = Refusal { call: libc::SYS_setsockopt, argument: Some((2, 83)), errno: libc::ENOPROTOOPT };
    let lease = Refusal { call: libc::SYS_fcntl, argument: Some((1, libc::F_SETLEASE as u32)), errno: libc::EINVAL };
    // PROCMAP_QUERY: _IOWR('f', 17, 104 bytes).
    let query = Refusal { call: libc::SYS_ioctl, argument: Some((1, 0xc068_6611)), errno: libc::ENOTTY };
    let collapse = Refusal { call: libc::SYS_madvise, argument: Some((2, 25)), errno: libc::EINVAL };
    for (refusal, feature) in [
        (without(libc::SYS_userfaultfd), "wp"),
        (without(libc::SYS_futex_waitv), "futex-waitv"),
        (option(77), "peer-pidfd"),
        (rights, "refuse-descriptors"),
        (lease, "leases"),
        (query, "procmap-query"),
        (collapse, "huge-pages"),
    ] {
        let (code, report) = report(&[refusal]);
        let lost = missing(&report);
        assert!(lost.contains(&feature), "{feature}: {lost:?}");
        assert!(missing(&before).iter().all(|name| lost.contains(name)), "{feature}: {lost:?}");
        assert_eq!((code, &report["verdict"]), (Some(0), &"limited".into()), "{feature} is not required");
        let found = report["features"].as_array().unwrap().iter().find(|f| f["feature"] == feature).unwrap();
        assert!(found["error"].is_string() && found["remedy"].is_string(), "{found:#}");
        let shared = report["features"].as_array().unwrap().iter().find(|f| f["feature"] == "wp-shared").unwrap();
        // Only where stores can be held back at all.
        let keeps_creates = shared["without"].as_str().unwrap().contains("create loses none");
        assert_eq!(keeps_creates, !lost.contains(&"wp"), "{feature}: {shared:#}");
    }
}

#[test]
fn what_is_needed_and_missing_is_no_success() {
    for (call, feature) in [
        (libc::SYS_memfd_create, "memory-objects"),
        (libc::SYS_pidfd_open, "pidfd"),
        (libc::SYS_close_range, "private-tables"),
    ] {
        let (code, report) = report(&[without(call)]);
        assert!(missing(&report).contains(&feature), "{report:#}");
        assert_eq!((code, &report["verdict"]), (Some(4), &"broken".into()), "{feature}");
    }
    let output = doctor(&[], &[without(libc::SYS_pidfd_open)]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("MISSING  pidfd") && text.contains("without it: no cluster starts"), "{text}");
    assert!(text.contains("rsm does not work here"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 101), "{text}");
}

/// Also where the C library would end the process of doctor, if that had a thread of its own to wait for.
#[test]
fn without_sleeping_nothing_works_and_that_is_told() {
    for errno in [libc::ENOSYS, libc::EPERM] {
        let (code, report) = report(&[Refusal { call: libc::SYS_futex, argument: None, errno }]);
        assert_eq!((code, &report["verdict"]), (Some(4), &"broken".into()), "{report:#}");
        let futex = report["features"].as_array().unwrap().iter().find(|f| f["feature"] == "futex").unwrap();
        assert_eq!((&futex["present"], &futex["required"]), (&false.into(), &true.into()), "{futex:#}");
        assert!(futex["without"].as_str().unwrap().starts_with("no cluster starts"), "{futex:#}");
    }
}

/// Where no run starts, or nobody joins, that is told, whatever is missing that no feature names.
#[test]
fn what_a_run_needs_and_does_not_get_is_told() {
    let mut lacking = Vec::new();
    for call in [
        libc::SYS_getrandom,
        libc::SYS_prctl,
        libc::SYS_setsid,
        libc::SYS_eventfd2,
        libc::SYS_pipe2,
        libc::SYS_madvise,
        libc::SYS_socketpair,
        libc::SYS_getsockopt,
    ] {
        let refusal = without(call);
        let (code, report) = report(&[refusal]);
        let starts = ctl(&["run", "-n", "1", "--", env!("CARGO_BIN_EXE_rsm-ctl"), "doctor", "--as-node"]);
        let is_right = starts.refusing(&[refusal]).finish().code() == 0;
        let run = report["features"].as_array().unwrap().iter().find(|f| f["feature"] == "run").unwrap();
        assert_eq!((&run["present"], &run["required"]), (&is_right.into(), &true.into()), "{call}: {run:#}");
        assert_eq!(code, Some(if is_right { 0 } else { 4 }), "{call}: {report:#}");
        assert_eq!(run["error"].as_str().is_some_and(|error| !error.is_empty()), !is_right, "{call}: {run:#}");
        assert!(!run["error"].as_str().unwrap_or_default().contains("doctor"), "{call}: {run:#}");
        lacking.extend((!is_right).then_some(call));
    }
    // What no other row is about.
    assert!(
        [libc::SYS_prctl, libc::SYS_setsid, libc::SYS_eventfd2].iter().all(|call| lacking.contains(call)),
        "{lacking:?}"
    );
    let output = doctor(&[], &[without(libc::SYS_setsid)]);
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("why: cannot set up the agent: setsid: Function not implemented"), "{text}");
    assert!(text.contains("MISSING  run") && text.contains("rsm does not work here"), "{text}");
}

/// Where the engine of the container is not Docker, nobody is sent to Docker.
#[test]
fn a_pod_is_told_what_changes_a_pod() {
    let refusal = without(libc::SYS_futex_waitv);
    let output = ctl(&["doctor"]).env("KUBERNETES_SERVICE_HOST", "10.0.0.1").refusing(&[refusal]).finish();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("container           kubernetes"), "{text}");
    let words: Vec<&str> = text.split_whitespace().collect();
    assert!(words.join(" ").contains("or it was built without; securityContext: { seccompProfile:"), "{text}");
    assert!(!text.contains("docker"), "{text}");
}

#[test]
fn an_ordinary_user_is_told_what_it_may_not() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    if std::fs::read_to_string("/proc/sys/vm/unprivileged_userfaultfd").is_ok_and(|text| text.trim() == "1") {
        return;
    }
    // The test's own program may lie where that user cannot go: it is run from an open file.
    let program = std::fs::File::open(env!("CARGO_BIN_EXE_rsm-ctl")).unwrap();
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    rustix::io::fcntl_setfd(&program, rustix::io::FdFlags::empty()).unwrap();
    let output = Command::new(path).args(["doctor", "--json"]).uid(65534).gid(65534).current_dir("/").output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(missing(&value["doctor"]).contains(&"wp-kernel"), "{value:#}");
    assert_eq!(output.status.code(), Some(0));
}
