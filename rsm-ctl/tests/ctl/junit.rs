//! `run --junit`: a report that a real XML parser reads, however the run ends.

use std::fs;

use roxmltree::Document;
use rustix::process::Signal;

use crate::rig::{Ctl, GONE, Scratch, ctl, run, shell};

/// The test cases of the report: name, and what became of it with type and message.
fn cases(scratch: &Scratch) -> Vec<(String, String)> {
    cases_of(&fs::read_to_string(scratch.path("report.xml")).unwrap())
}

fn cases_of(text: &str) -> Vec<(String, String)> {
    let report = Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let suite = report.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let cases: Vec<_> = suite.children().filter(|node| node.has_tag_name("testcase")).collect();
    for (attribute, tag) in [("failures", "failure"), ("errors", "error"), ("skipped", "skipped")] {
        let count = cases.iter().filter(|case| case.children().any(|child| child.has_tag_name(tag))).count();
        assert_eq!(suite.attribute(attribute), Some(&*count.to_string()), "{text}");
    }
    assert_eq!(suite.attribute("tests"), Some(&*cases.len().to_string()));
    let outcome = |case: &roxmltree::Node<'_, '_>| {
        let outcome = case.children().find(|child| {
            let name = child.tag_name().name();
            child.is_element() && name != "system-out" && name != "system-err"
        });
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
    // The second fails when it is known that the first has not.
    let script = r#"case $RSM_NODE_ID in
        1) echo $$ > $WELL; exit 0;;
        2) gone $WELL; printf '\033[31m<bad> & "worse" \001\033[0m\n' >&2; exit 7;;
        3) exec sleep 600;; esac"#;
    let run = reported(&scratch, &["-n", "3", "--grace", "500ms"], &format!("{GONE} {script}"));
    assert_eq!(run.env("WELL", scratch.path("well").to_str().unwrap()).finish().code(), 7);
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
    assert_eq!(reported(&scratch, &["-n", "2", "--timeout", "4s"], script).finish().code(), 124);
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
    for words in [
        &["--", "no-such-program"][..],
        &["--cwd", "/no/such", "--", "true"],
        &["--name", "a b", "--", "true"],
        &["--race", "--race-suppressions", "/no/such", "--", "true"],
    ] {
        assert_ne!(ctl(&["run", "-n", "1", "--junit", report]).words(words).finish().code(), 0);
        assert!(cases(&scratch)[0].1.starts_with("error start: "), "{:?}", cases(&scratch));
    }
}

/// What stands in these elements of each case, in order.
fn written(scratch: &Scratch, element: &str) -> Vec<String> {
    let text = fs::read_to_string(scratch.path("report.xml")).unwrap();
    let report = Document::parse(&text).unwrap();
    let all = report.descendants().filter(|node| node.has_tag_name(element));
    all.map(|node| node.text().unwrap_or_default().to_owned()).collect()
}

#[test]
fn what_those_that_passed_have_written() {
    let scratch = Scratch::new("junit");
    let script = "echo one; echo two; echo three >&2";
    assert_eq!(reported(&scratch, &["-n", "2"], script).finish().code(), 0);
    assert_eq!(written(&scratch, "system-out"), ["one\ntwo", "one\ntwo"]);
    assert_eq!(written(&scratch, "system-err"), ["three", "three"]);
    // Of much, the end, from the beginning of a line.
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done";
    assert_eq!(reported(&scratch, &["-n", "1"], script).finish().code(), 0);
    let all = written(&scratch, "system-out").remove(0);
    let (cut, rest) = all.split_once('\n').unwrap();
    assert_eq!(cut, "[what came before is left out]");
    assert!((60 << 10..=64 << 10).contains(&rest.len()) && rest.starts_with("line "), "{}", rest.len());
    assert!(rest.ends_with("\nline 19999"), "{}", &rest[rest.len() - 100..]);
}

#[test]
fn a_suite_is_called_the_same_every_time() {
    let scratch = Scratch::new("junit");
    let report = scratch.path("report.xml");
    let report = report.to_str().unwrap();
    let described =
        scratch.file("cluster.toml", "nodes = 1\njunit-name = \"nightly\"\n[[program]]\nrun = [\"true\"]\n");
    let name = crate::rig::unique("suite");
    let named = format!("nodes = 1\nname = \"{name}\"\njunit = \"report.xml\"\n[[program]]\nrun = [\"true\"]\n");
    let named = scratch.file("named.toml", named);
    for (words, suite) in [
        (&["-n", "1", "--junit", report, "--", "/bin/sh", "-c", "true"][..], "sh"),
        (&["-n", "1", "--junit", report, "--", "true"], "true"),
        (&["-n", "1", "--junit", report, "--name", &name, "--", "true"], &name),
        (&["-n", "1", "--junit", report, "--junit-name", "a <b>", "--name", &name, "--", "true"], "a <b>"),
        (&["--junit", report, "--file", described.to_str().unwrap()], "nightly"),
        (&["--junit", report, "--junit-name", "daily", "--file", described.to_str().unwrap()], "daily"),
        (&["--file", named.to_str().unwrap()], &name),
        (&["-n", "1", "--junit", report, "--", "no-such-program"], "no-such-program"),
    ] {
        for _ in 0..2 {
            let _ = ctl(&["run"]).words(words).finish();
            let text = fs::read_to_string(report).unwrap();
            let parsed = Document::parse(&text).unwrap();
            let found = parsed.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
            assert_eq!(found.attribute("name"), Some(suite), "{words:?}");
        }
    }
}

#[test]
fn a_report_goes_where_nothing_can_be_moved_back() {
    let scratch = Scratch::new("junit");
    let out = scratch.path("out");
    let fifo = scratch.path("fifo");
    let (out, fifo) = (out.to_str().unwrap(), fifo.to_str().unwrap());
    for (what, script) in [
        ("a pipe", "$CTL run -n 2 --junit /dev/stdout -- echo text | cat"),
        ("a file, after what is there", "$CTL run -n 2 --junit /dev/stdout -- echo text > $OUT && cat $OUT"),
        ("the same by its name", "$CTL run -n 2 --junit $OUT -- echo text > $OUT && cat $OUT"),
        ("a file that grows", ": > $OUT; $CTL run -n 2 --junit /dev/stdout -- echo text >> $OUT && cat $OUT"),
        ("the other output", "$CTL run -n 2 --junit /dev/stderr -- echo text 2>&1 | cat"),
        ("a fifo", "mkfifo $FIFO; cat $FIFO > $OUT & $CTL run -n 2 --junit $FIFO -- echo text && wait && cat $OUT"),
    ] {
        let finished = shell(script).env("OUT", out).env("FIFO", fifo).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{what}");
        let (before, report) = finished.text().split_once("<?xml").unwrap_or_else(|| panic!("{}", finished.text()));
        let end = report.rfind('>').unwrap() + 1;
        assert_eq!(format!("{before}{}", report[end..].trim_start()), "text\ntext\n", "{what}");
        assert_eq!(cases_of(&format!("<?xml{}", &report[..end])).len(), 2, "{what}");
    }
    let finished = shell("exec $CTL run -n 1 --junit /dev/stdout -- true >&-").finish();
    assert_eq!(finished.code(), 1);
    assert_eq!(finished.stderr, "rsm-ctl: cannot write the report \"/dev/stdout\": Bad file descriptor\n");
    if fs::metadata("/dev/full").is_ok() {
        let finished = run(&["-n", "1", "--junit", "/dev/full"], "true").finish();
        assert_eq!(finished.code(), 1);
        assert_eq!(finished.stderr, "rsm-ctl: cannot write the report \"/dev/full\": No space left on device\n");
    }
}
