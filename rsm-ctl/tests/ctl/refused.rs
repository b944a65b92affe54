//! What a filter refuses for good, such as that of a container or of a unit: a run then ends and says why, or goes on.

use crate::rig::{Refusal, ctl, run};

/// As a kernel without the call answers, and as filters like to.
const ERRORS: [i32; 2] = [libc::ENOSYS, libc::EPERM];

fn whole(call: libc::c_long, errno: i32) -> Refusal {
    Refusal { call, argument: None, errno }
}

/// Elsewhere this is the call that every program of Rust begins with, and none starts without it.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_run_that_may_not_wait_does_not_begin() {
    for errno in ERRORS {
        let finished = run(&["-n", "2"], "sleep 600").refusing(&[whole(libc::SYS_ppoll, errno)]).finish();
        assert_eq!(finished.code(), 1, "{}", finished.stderr);
        assert!(finished.stderr.starts_with("rsm-ctl: cannot start a run: poll: "), "{}", finished.stderr);
        assert!(finished.stderr.ends_with("`rsm-ctl doctor` tells what this machine lacks\n"), "{}", finished.stderr);
        let finished = ctl(&["up", "-n", "2"]).refusing(&[whole(libc::SYS_ppoll, errno)]).finish();
        assert_eq!(finished.code(), 1, "{}", finished.stderr);
        assert!(finished.stderr.starts_with("rsm-ctl: cannot start in the background: poll: "), "{}", finished.stderr);
    }
}

#[test]
fn an_agent_that_may_let_nobody_in_does_not_begin() {
    for errno in ERRORS {
        let finished = run(&["-n", "1"], "exit 0").refusing(&[whole(libc::SYS_accept4, errno)]).finish();
        assert_eq!(finished.code(), 1, "{}", finished.stderr);
        assert!(finished.stderr.contains("cannot let processes join the cluster (accept4): "), "{}", finished.stderr);
    }
}

#[test]
fn a_run_goes_on_where_limits_are_not_told() {
    for errno in ERRORS {
        let refusal = whole(libc::SYS_prlimit64, errno);
        let words = ["run", "-n", "2", "--", env!("CARGO_BIN_EXE_rsm-ctl"), "doctor", "--as-node"];
        let finished = ctl(&words).refusing(&[refusal]).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""));
        let finished = ctl(&["doctor"]).refusing(&[refusal]).finish();
        assert_eq!(finished.code(), 0, "{}{}", finished.text(), finished.stderr);
        assert!(finished.text().contains("not known (getrlimit: "), "{}", finished.text());
    }
}
