//! `run --junit`: a report that a real XML parser reads, however the run ends.

use std::fs;

use roxmltree::Document;
use rustix::process::Signal;

use crate::rig::{Ctl, Scratch, ctl, run};

/// The test cases of the report: name, and what became of it with type and message.
fn cases(scratch: &Scratch) -> Vec<(String, String)> {
    let text = fs::read_to_string(scratch.path("report.xml")).unwrap();
    let report = Document::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let suite = report.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    for (attribute, tag) in [("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
        let count = cases.iter().filter(|case| case.children().any(|child| child.has_tag_name(tag))).count();
        assert_eq!(suite.attribute(attribute), Some(&*count.to_string()), "{text}");
    }
    assert_eq!(suite.attribute("tests"), Some(&*cases.len().to_string()));
    let outcome = |case: &roxmltree::Node<'_, '_>| {
        let outcome = case.children().find(|child| child.is_element());
        outcome.map_or_else(String::new, |outcome| {
            let [kind, message] = ["type", "message"].map(|name| outcome.attribute(name).unwrap_or_default());
            format!("{} {kind}: {message} {}", outcome.tag_name().name(), outcome.text().unwrap_or_default())
        })
    };
    cases.iter().map(|case| (case.attribute("name").unwrap().to_owned(), outcome(case))).collect()
}

fn reported(scratch: &Scratch, words: &[&str], script: &str) -> Ctl {
    run(&[words, &["--junit", scratch.path("report.xml").to_str().unwrap()]].concat(), script)
}

#[test]
fn a_case_for_each_node() {
    let scratch = Scratch::new("junit");
    let script = r#"case $RSM_NODE_ID in
        1) exit 0;;
        2) printf '\033[31m<bad> & "worse" \001\033[0m\n' >&2; exit 7;;
        3) exec sleep 600;; esac"#;
    assert_eq!(reported(&scratch, &["-n", "3", "--grace", "500ms"], script).finish().code(), 7);
    let cases = cases(&scratch);
    assert_eq!(cases[0], ("node 1".into(), String::new()));
    assert_eq!(cases[1].1, "failure exit: ended with exit code 7 <bad> & \"worse\" \\u{1}");
    assert!(cases[2].1.starts_with("skipped : ended by rsm-ctl because another process had failed"), "{cases:?}");
}

#[test]
fn when_all_is_well() {
    let scratch = Scratch::new("junit");
    // An old report, longer than the new one.
    scratch.file("report.xml", vec![b'x'; 100_000]);
    assert_eq!(reported(&scratch, &["-n", "2"], "echo fine").finish().code(), 0);
    assert_eq!(cases(&scratch), [("node 1".into(), String::new()), ("node 2".into(), String::new())]);
}

#[test]
fn when_the_time_is_up() {
    let scratch = Scratch::new("junit");
    let script = "test $RSM_NODE_ID = 1 || { echo waiting; exec sleep 600; }";
    assert_eq!(reported(&scratch, &["-n", "2", "--timeout", "500ms"], script).finish().code(), 124);
    let cases = cases(&scratch);
    assert_eq!(cases[0].1, "");
    assert!(cases[1].1.starts_with("failure timeout: was still running when the time was up"), "{cases:?}");
    assert!(cases[1].1.ends_with("waiting"), "{cases:?}");
}

#[test]
fn when_it_is_interrupted() {
    let scratch = Scratch::new("junit");
    for deaf in [false, true] {
        let script =
            if deaf { "trap '' INT; echo ready; while :; do sleep 1; done" } else { "echo ready; exec sleep 600" };
        let mut running = reported(&scratch, &["-n", "2", "--grace", "200ms"], script).start();
        running.line();
        running.line();
        assert_eq!(fs::read(scratch.path("report.xml")).unwrap(), b"", "no report of an earlier run is left");
        running.signal(Signal::INT);
        assert_eq!(running.finish().code(), 130);
        let cases = cases(&scratch);
        assert!(
            cases.iter().all(|(_, how)| how.starts_with("error interrupted: the run was ended by SIGINT")),
            "{cases:?}"
        );
    }
}

#[test]
fn when_the_warden_is_killed() {
    let scratch = Scratch::new("junit");
    let mut running = reported(&scratch, &["-n", "1"], "echo ready; exec sleep 600").start();
    running.line();
    rustix::process::kill_process(running.warden(), Signal::KILL).unwrap();
    assert_eq!(running.finish().code(), 1);
    assert!(cases(&scratch)[0].1.starts_with("error lost: "), "{:?}", cases(&scratch));
}

#[test]
fn when_nothing_could_start() {
    let scratch = Scratch::new("junit");
    let report = scratch.path("report.xml");
    let report = report.to_str().unwrap();
    for words in
        [&["--", "no-such-program"][..], &["--cwd", "/no/such", "--", "true"], &["--name", "a b", "--", "true"]]
    {
        assert_ne!(ctl(&["run", "-n", "1", "--junit", report]).words(words).finish().code(), 0);
        assert!(cases(&scratch)[0].1.starts_with("error start: "), "{:?}", cases(&scratch));
    }
}
