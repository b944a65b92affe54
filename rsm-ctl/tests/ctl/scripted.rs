//! Runs that a script of their own disturbs.

use crate::rig::{Scratch, ctl, run, unique};
use crate::steering::example;

#[test]
fn what_a_runs_own_script_does_is_no_failure_and_nodes_start_again() {
    let scratch = Scratch::new("scripted");
    let (report, name) = (scratch.path("report.xml"), unique("scripted"));
    let script = scratch.file(
        "faults.txt",
        "when node 1 has connected to 2 and node 2 has connected to 1 then link error 1 2
         node kill 2
         when node 2 has left then say gone
         node restart 2
         when node 2 has published 0x400000 and node 1 has connected to 2 then say there again
         node restart 1
         when node 1 has published 0x400000 and node 2 has connected to 1 then node kill 1
         node kill 2",
    );
    let words = ["run", "-n", "2", "--name", &name, "--tag-output", "--junit", report.to_str().unwrap()];
    let words = [&words[..], &["--script", script.to_str().unwrap(), "--timeout", "200s", "--"]].concat();
    let finished = ctl(&words).words(&[example("steady").to_str().unwrap(), "600"]).finish();
    assert_eq!(finished.code(), 0, "{}\n{}", finished.stderr, finished.text());
    let begun = finished.text().lines().filter(|line| line.starts_with("[2] ") && line.contains("publishes")).count();
    assert_eq!(begun, 2, "{}", finished.text());
    let actions = [
        "line 1: link error 1 2",
        "line 2: node kill 2: 1 process",
        "line 3: gone",
        "line 4: node restart 2: 1 process",
    ];
    for action in
        actions.iter().chain(&["line 5: there again", "line 6: node restart 1: 1 process", "line 8: node kill 2"])
    {
        let told = |line: &str| line.starts_with("rsm-ctl: script: ") && line.contains(action);
        assert!(finished.stderr.lines().any(told), "{action}: {}", finished.stderr);
    }
    let on_purpose = "was killed by signal 9 (SIGKILL) by who disturbs the cluster on purpose, which is no failure\n";
    assert_eq!(finished.stderr.matches(on_purpose).count(), 4, "{}", finished.stderr);
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("tests=\"2\" failures=\"0\" errors=\"0\"") && report.contains("skipped=\"2\""), "{report}");
}

#[test]
fn a_script_that_cannot_go_on_ends_the_run_as_a_failure() {
    let scratch = Scratch::new("unscripted");
    let report = scratch.path("report.xml");
    for (text, told) in [
        ("say one\nnode kill 1", "line 2: node kill 1: no process of node 1 has joined the cluster"),
        ("node restart 2", "line 1: node restart 2: no program of this run is on node 2"),
        ("link down 1 3", "line 1: link down 1 3: there is no node 3: nodes are 1 to 2"),
        ("when node 1 has joined within 10ms", "it did not come to that within 10ms"),
    ] {
        let file = scratch.file("faults.txt", text);
        let words = ["-n", "2", "--script", file.to_str().unwrap(), "--junit", report.to_str().unwrap(), "--node", "1"];
        let finished = run(&words, "exec sleep 600").finish();
        assert_eq!(finished.code(), 1, "{text}: {}", finished.stderr);
        let all = format!("rsm-ctl: {}: ", file.display());
        let line = finished.stderr.lines().find(|line| line.starts_with(&all));
        assert!(line.is_some_and(|line| line.ends_with(told)), "{text}: {}", finished.stderr);
        let report = std::fs::read_to_string(&report).unwrap();
        let kind = if text.starts_with("link") { "start" } else { "script" };
        assert!(report.contains(&format!("<error type=\"{kind}\"")) && report.contains(told), "{report}");
    }
}

#[test]
fn a_script_is_over_when_the_run_is_unless_it_has_no_end() {
    let scratch = Scratch::new("late");
    let scripted = |text: &str, words: &[&str], program: &str| {
        let file = scratch.file("faults.txt", text);
        let words = [&["-n", "2", "--script", file.to_str().unwrap()], words].concat();
        let finished = run(&words, program).finish();
        (finished.code(), finished.stderr.clone())
    };
    let report = scratch.path("report.xml");
    let (code, stderr) = scripted("say one\nafter 1h link down 1 2", &["--junit", report.to_str().unwrap()], "exit 0");
    assert_eq!(code, 1, "{stderr}");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report.contains("tests=\"3\" failures=\"0\" errors=\"1\"") && report.contains("before its script"),
        "{report}"
    );
    assert!(stderr.contains(": the run ended before its script: line 2: after 1h link down 1 2: "), "{stderr}");
    // The program's own failure is what the run ends with.
    let (code, stderr) = scripted("after 1h", &[], "exit 7");
    assert!(code == 7 && !stderr.contains("before its script"), "{code}: {stderr}");
    for endless in ["random seed 7: link", "every 1ms try link error 1 2", "repeat\n  after 1h\nend"] {
        let (code, stderr) = scripted(endless, &["-q"], "exit 0");
        assert_eq!((code, &*stderr), (0, ""), "{endless}");
    }
}

#[test]
fn scripts_are_read_before_anything_starts() {
    let scratch = Scratch::new("unread");
    let file = scratch.file("faults.txt", "say one\nnode hug 2");
    let file = file.to_str().unwrap();
    let finished = run(&["-n", "1", "--script", file], "echo started").finish();
    assert_eq!((finished.code(), finished.text()), (1, ""));
    let told = format!(
        "rsm-ctl: {file}:2:6: expected \"kill\", \"stop\", \"cont\" or \"restart\", found \"hug\"\nnode hug 2\n     ^\n"
    );
    assert_eq!(finished.stderr, told);
    // A file of the cluster may name it, from where that is.
    let cluster = "nodes = 1\nscript = 'faults.txt'\n[[program]]\nrun = ['sh', '-c', 'echo started']";
    let cluster = scratch.file("cluster.toml", cluster);
    let finished = ctl(&["run", "--file", cluster.to_str().unwrap()]).finish();
    assert_eq!((finished.code(), finished.text()), (1, ""));
    assert!(finished.stderr.ends_with("node hug 2\n     ^\n"), "{}", finished.stderr);
    // Who has no programs cannot start any.
    let (name, file) = (unique("restart"), scratch.file("restart.txt", "node restart 1"));
    let _cluster = rsm::Cluster::builder(1).name(&name).start().unwrap();
    let finished = ctl(&["script", file.to_str().unwrap(), "--cluster", &name]).finish();
    assert_eq!(finished.code(), 1);
    let told = "only the script of a run can start a node again: rsm-ctl run --script FILE\n";
    assert!(finished.stderr.ends_with(told), "{}", finished.stderr);
}
