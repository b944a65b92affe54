//! `run --trace` and `trace`, as far as they need no program that calls rsm: what stands in a trace is told by `rsm-lab`.

use crate::rig::{Scratch, ctl, run};

#[test]
fn the_ending_says_what_is_written() {
    let scratch = Scratch::new("trace");
    for (ending, begins) in
        [("rsmtrace", "rsmtrace"), ("html", "<!doctype html>"), ("pftrace", "\n"), ("json", "{\"displayTimeUnit\"")]
    {
        let path = scratch.path(&format!("t.{ending}"));
        let finished = run(&["-n", "2", "--trace", path.to_str().unwrap()], "exit $((RSM_NODE_ID - 1))").finish();
        assert_eq!(finished.code(), 1, "that of the run: {}", finished.stderr);
        let written = std::fs::read(&path).unwrap();
        assert!(written.starts_with(begins.as_bytes()), "{ending}");
        assert!(!scratch.path(&format!("t.{ending}.rsmtrace")).exists(), "nothing else is left");
    }
    let trace = scratch.path("t.rsmtrace");
    let trace = trace.to_str().unwrap();
    let finished = ctl(&["trace", "show", trace]).finish();
    assert_eq!((finished.code(), finished.text(), &*finished.stderr), (0, "", ""), "shells call nothing");
    let page = scratch.path("other.html");
    assert_eq!(ctl(&["trace", "export", trace, page.to_str().unwrap()]).finish().code(), 0);
    assert!(page.exists());
}

#[test]
fn what_is_no_trace_is_refused_with_a_sentence() {
    let scratch = Scratch::new("trace");
    let text = scratch.file("text", "no trace at all");
    let text = text.to_str().unwrap();
    let trace = scratch.path("t.rsmtrace");
    let trace = trace.to_str().unwrap();
    assert_eq!(run(&["-n", "1", "--trace", trace], "true").finish().code(), 0);
    for (words, code, says) in [
        (&["run", "-n", "1", "--trace", "t.txt", "--", "true"][..], 2, ".rsmtrace, .html, .pftrace, .json"),
        (&["run", "-n", "1", "--trace", "/nowhere/t.html", "--", "true"], 1, "cannot write /nowhere/t.html"),
        (&["run", "-n", "1", "--trace-bytes", "--", "true"], 2, "--trace <FILE>"),
        (&["trace", "show", text], 1, "it is no trace: one begins with the letters \"rsmtrace\""),
        (&["trace", "show", "/nowhere"], 1, "cannot read /nowhere: No such file"),
        (&["trace", "export", text, "t.svg"], 2, "the ending says what is written"),
        (&["trace", "who", trace, "2:0x400001"], 2, "NODE:ID+OFFSET, such as 2:0x400001+4096"),
        (&["trace", "who", trace, "1:5+0"], 1, "there was no segment 1:0x5 then; published at some time: none was"),
        (&["trace", "who", trace, "1:5+0", "--at", "1"], 2, "there is no event 1: the trace has none"),
        (&["trace", "at", trace, "1:5"], 1, "the trace has no bytes: run it again with --trace-bytes"),
    ] {
        let finished = ctl(words).finish();
        assert_eq!(finished.code(), code, "{words:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(says), "{words:?}: {}", finished.stderr);
    }
}
