//! Clusters with a lens: how one is asked for, and who tells of it. What it does is shown by the litmus programs.

use crate::rig::{Scratch, ctl, run};

const LOOK: &str = "test $RSM_NODE_ID = 1 || exit 0; $CTL ls; $CTL show cluster; $CTL top --once";

#[test]
fn a_cluster_with_a_lens_says_so() {
    let finished = run(&["-n", "2", "--chaos", "7:storm", "--model", "sci", "--faults", "error,refuse"], LOOK)
        .env("CTL", env!("CARGO_BIN_EXE_rsm-ctl"))
        .finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let lens = "seed 7, model sci, storm, faults error,refuse";
    assert!(finished.text().matches(lens).count() >= 3, "{}", finished.text());
    let again = "the same again: rsm-ctl run -n 2 --chaos=7:storm --model sci --faults error,refuse -- /bin/sh -c";
    assert!(finished.stderr.contains(&format!("rsm-ctl: chaos: {lens}; {again}")), "{}", finished.stderr);
    let plain = run(&["-n", "2"], LOOK).env("CTL", env!("CARGO_BIN_EXE_rsm-ctl")).finish();
    let said = format!("{}{}", plain.text(), plain.stderr);
    assert!(said.contains("\nlens:         none\n") && !said.contains("chaos"), "{said}");
}

/// The seed in "chaos: seed 7, ..".
fn seed(told: &str) -> u64 {
    let seed = told.split("chaos: seed ").nth(1).and_then(|rest| rest.split([',', ';']).next());
    seed.and_then(|seed| seed.parse().ok()).unwrap_or_else(|| panic!("no seed in {told}"))
}

#[test]
fn a_seed_that_was_not_given_is_drawn_and_told() {
    let told = |words: &[&str]| run(&[&["-n", "1"], words].concat(), "true").finish().stderr;
    let (one, other) = (told(&["--chaos"]), told(&["--chaos"]));
    assert_ne!(seed(&one), seed(&other));
    assert!(one.contains(&format!("rsm-ctl run -n 1 --chaos={} -- /bin/sh", seed(&one))), "{one}");
    assert!(told(&["--model", "tso"]).contains("model tso"));
    let faults = told(&["--faults", "all"]);
    assert!(faults.contains("faults error,") && !faults.contains("model"), "{faults}");
    assert_eq!(told(&["-q", "--chaos", "7"]), "");
}

#[test]
fn a_file_may_ask_for_one() {
    let scratch = Scratch::new("lens");
    let file = "nodes = 1\nchaos = '9:calm'\nmodel = 'tso'\nfaults = 'partial'\n[[program]]\nrun = ['true']\n";
    let path = scratch.file("cluster.toml", file);
    let file = path.to_str().unwrap();
    let told = ctl(&["run", "--file", file]).finish().stderr;
    assert!(told.contains("seed 9, model tso, calm, faults partial"), "{told}");
    // The command line counts more.
    let told = ctl(&["run", "--file", file, "--chaos", "3", "--model", "sci"]).finish().stderr;
    assert!(told.contains("seed 3, model sci, faults partial"), "{told}");
}

#[test]
fn what_is_no_lens_is_refused_with_what_there_is() {
    for (words, says) in [
        (&["--chaos", "seven"][..], "\"seven\" is no seed: a number below 2^64"),
        (&["--chaos", "7:wild"], ":calm or :storm"),
        (&["--model", "x86"], "there is no model \"x86\": tso, pcie or sci"),
        (&["--faults", "errors"], "there is no fault \"errors\": error, abort, revoke"),
        (&["--faults", ""], "there is no fault \"\""),
        (
            &["--profile", "ethernet"],
            "there is no profile \"ethernet\": dolphin-ntb, dolphin-ix, intel-ntb, firelink, sci",
        ),
        (&["--virtual"], "virtual time needs a profile: dolphin-ntb"),
        (&["--race=bytes"], "invalid value 'bytes' for '--race[=<DEPTH>]'\n  [possible values: calls, pages, outside]"),
    ] {
        let finished = run(&[&["-n", "1"], words].concat(), "true").finish();
        assert_eq!(finished.code(), 2, "{}", finished.stderr);
        assert!(finished.stderr.contains(says), "{words:?}: {}", finished.stderr);
    }
}

#[test]
fn how_deep_races_are_looked_for_is_said() {
    for (race, says) in [
        ("--race", "no process has joined"),
        ("--race=calls", "no process has joined"),
        ("--race=pages", "no process has joined"),
        ("--race=pages,outside", "no process has joined"),
    ] {
        // What follows is no depth, but the program.
        let finished = run(&["-n", "1", race], "true").finish();
        assert!(finished.code() == 0 && finished.stderr.contains(says), "{race}: {}", finished.stderr);
    }
    let told = run(&["-n", "1", "--race=pages", "--chaos=7"], "true").finish().stderr;
    assert!(told.contains("the same again: rsm-ctl run -n 1 --race=pages --chaos=7"), "{told}");
}

#[test]
fn a_profile_adds_up_what_calls_take() {
    let finished = run(&["-n", "1", "--profile", "sci", "--virtual"], "true").finish();
    assert!(finished.stderr.contains("profile sci: all times are modelled"), "{}", finished.stderr);
    // Nobody has called anything.
    assert!(!finished.stderr.contains("modelled: "), "{}", finished.stderr);
    let wrong = run(&["-n", "1", "--profile", "pcie"], "true").finish();
    assert_eq!(wrong.code(), 2);
    assert!(wrong.stderr.contains("there is no profile \"pcie\": dolphin-ntb, dolphin-ix"), "{}", wrong.stderr);
}

#[test]
fn a_run_by_virtual_time_says_what_it_would_have_taken() {
    let hello = crate::steering::example("hello");
    let run = |words: &[&str]| {
        run(&[&["-n", "2"], words].concat(), "exec \"$HELLO\"").env("HELLO", hello.to_str().unwrap()).finish()
    };
    let finished = run(&["--profile", "dolphin-ntb", "--virtual"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains("rsm-ctl: profile dolphin-ntb: all times are modelled\n"), "{}", finished.stderr);
    let told = finished.stderr.lines().find(|line| line.starts_with("rsm-ctl: modelled: ")).expect(&finished.stderr);
    assert!(told.contains(" ms (node 1)") || told.contains(" ms (node 2)"), "{told}");
    // It is the same again: nothing of this machine is in it.
    assert!(run(&["--profile", "dolphin-ntb", "--virtual"]).stderr.contains(told));
    let real = run(&["--profile", "dolphin-ntb"]).stderr;
    assert!(!real.contains("rsm-ctl: modelled: "), "{real}");
}

#[test]
fn perf_shows_modelled_times_beside_the_profile() {
    let perf = |words: &[&str]| ctl(&["perf", "--no-pin", "--time", "5ms", "--virtual"]).words(words).finish();
    let finished = perf(&["--profile", "dolphin-ntb"]);
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let text = finished.text();
    assert!(
        text.starts_with("# a private cluster with profile dolphin-ntb, all times modelled, by virtual clocks"),
        "{text}"
    );
    let rows: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(rows.len() > 15, "{text}");
    for row in rows {
        let off = row.split_whitespace().find_map(|word| word.strip_suffix('%')?.parse::<f64>().ok());
        assert!(off.is_some_and(|off| off.abs() < 10.0), "{row}");
    }
    let refused = perf(&["--profile", "sci", "--op", "store"]);
    assert_eq!(refused.code(), 2);
    assert!(
        refused.stderr.contains("no profile says what \"store\" takes; of these it does: put64"),
        "{}",
        refused.stderr
    );
}
