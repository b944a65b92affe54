//! `run --trace` and `trace`. What stands in a trace is told by `rsm-lab`.

use rsm::{AccessList, Cluster, Permission, SegmentId};
use rustix::process::Signal;
use std::path::Path;

use crate::rig::{Finished, Running, Scratch, ctl, eventually, run, unique};

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

/// What `at` says a segment holds, after an event or at the end.
fn bytes_at(scratch: &Scratch, trace: &str, segment: &str, event: Option<&str>) -> Vec<u8> {
    let file = scratch.path("bytes");
    let words = [&["trace", "at", trace, segment][..], event.as_slice(), &["-o", file.to_str().unwrap()]].concat();
    let finished = ctl(&words).finish();
    assert_eq!((finished.code(), finished.text()), (0, ""), "{}", finished.stderr);
    std::fs::read(file).unwrap()
}

/// The program writes what it has read from the segments: a trace of it gives the same bytes.
#[test]
fn a_trace_of_sort_replays_to_the_same_bytes() {
    let (scratch, sort) = (Scratch::new("sort"), crate::steering::example("sort"));
    let lines: Vec<String> = (0u64..4000)
        .map(|line| format!("{:08x} is in line {line}\n", line.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32))
        .collect();
    let input = scratch.file("in", lines.concat());
    let (output, trace) = (scratch.path("out"), scratch.path("t.rsmtrace"));
    let trace = trace.to_str().unwrap();
    let words = ["run", "-n", "3", "--trace", trace, "--trace-bytes", "--", sort.to_str().unwrap()];
    let finished = ctl(&words).words(&[input.to_str().unwrap(), "-o", output.to_str().unwrap()]).finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let sorted = std::fs::read(output).unwrap();
    let mut expected = lines.clone();
    expected.sort_unstable();
    assert!(sorted == expected.concat().into_bytes(), "it sorts");

    let shown = shown(trace.as_ref());
    let events: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    let mut place = 0;
    for node in ["1", "2", "3"] {
        // The last segment that it published is that of its lines.
        let of_node = |words: &&Vec<&str>| words[4..6] == ["node", node];
        let published = |words: &&Vec<&str>| of_node(words) && words[8] == "publish";
        let segment = events.iter().rfind(published).expect("it publishes")[9];
        let text = |event| {
            let mut bytes = bytes_at(&scratch, trace, segment, event);
            let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(length);
            bytes
        };
        let end = text(None);
        let part = &sorted[place..place + end.len()];
        place += end.len();
        let last = events.iter().rfind(|words| words.contains(&segment)).unwrap()[0];
        // The first node has its own lines in no order there: it writes them as it sorts them.
        let in_order = |bytes: &[u8]| {
            let mut lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            lines.sort_unstable_by_key(|line| if node == "1" { Some(*line) } else { None });
            lines.concat()
        };
        assert!(!part.is_empty() && in_order(&end) == part, "{segment} at the end");
        assert!(in_order(&text(Some(last))) == part, "{segment} after {last}, the last event that is about it");
        // What had been put there when the last span of puts was over is the same lines, not sorted yet.
        let is_span = |words: &&Vec<&str>| words[8] == "close" && words[9] == segment;
        let is_got = |words: &&Vec<&str>| words[8] == "get" && words[9] == segment;
        let puts = events.iter().take_while(|words| !is_got(words));
        let close = puts.filter(is_span).last().expect("all put there")[0];
        let (mut came, mut part): (Vec<_>, Vec<_>) = (text(Some(close)), part.to_vec());
        assert!(node == "1" || came != part, "{segment} after {close}: it is not sorted yet");
        came.sort_unstable();
        part.sort_unstable();
        assert!(came == part, "{segment} after {close}");
        // The put of another node: what the owner has stored since it looked nobody knows, and that is said.
        let is_put = |words: &&Vec<&str>| words[8] == "put" && words[9] == segment && words[5] != node;
        let put = events.iter().find(is_put).expect("others put there");
        let place = format!("{segment}+{}", put[10].trim_start_matches('[').split(',').next().unwrap());
        let last_seen = "the segment was last seen before event ";
        let finished = ctl(&["trace", "at", trace, segment, put[0]]).finish();
        assert!(finished.stderr.contains(last_seen), "{}", finished.stderr);
        let finished = ctl(&["trace", "who", trace, &place, "--at", put[0]]).finish();
        let told: Vec<&str> = finished.text().lines().collect();
        let (writer, age) = (told[0].split_whitespace().collect::<Vec<_>>(), told[1]);
        assert!(writer[0] == put[0] && writer.contains(&"closed") && age.starts_with(last_seen), "{told:?}");
    }
    assert_eq!(place, sorted.len(), "all of it was there");
}

/// Begins a trace of this cluster, and waits until it is begun.
fn attach(cluster: &str, file: &Path, words: &[&str]) -> Running {
    let running = ctl(&["trace", "--attach", cluster, file.to_str().unwrap()]).words(words).start();
    eventually("a trace that is begun", || std::fs::metadata(file).ok().filter(|file| file.len() > 0));
    running
}

/// Traces it for so long. Of one that has just ended the agent hears in a moment.
fn attach_for(time: &str, cluster: &str, file: &Path) -> Finished {
    eventually("nobody else who traces", || {
        let words = ["-q", "trace", "--attach", cluster, file.to_str().unwrap(), "--for", time];
        Some(ctl(&words).finish()).filter(|finished| !finished.stderr.contains("traces the cluster already"))
    })
}

/// What a trace shows.
fn shown(file: &Path) -> String {
    let finished = ctl(&["trace", "show", file.to_str().unwrap()]).finish();
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    finished.text().to_owned()
}

#[test]
fn a_running_cluster_is_traced_until_it_is_enough() {
    let scratch = Scratch::new("attach");
    let id = SegmentId::new(0x40_0001);
    // SIGINT is ignored where the tests run in the background: it is heard all the same.
    for signal in [Signal::INT, Signal::TERM] {
        let name = unique("attach");
        let cluster = Cluster::builder(2).name(&name).start().unwrap();
        let export = cluster.node(2).unwrap().controller("shm0").unwrap().export(65536).unwrap();
        export.publish(id, &AccessList::everyone()).unwrap();
        let import =
            cluster.node(1).unwrap().controller("shm0").unwrap().connect(2, id, Permission::ReadWrite).unwrap();
        import.put_u64(0, 1).unwrap();
        let file = scratch.path(&format!("{name}.rsmtrace"));
        let running = attach(&name, &file, &[]);
        eventually("puts that are noted", || {
            import.put_u64(8, 2).unwrap();
            let finished = ctl(&["trace", "show", file.to_str().unwrap()]).finish();
            finished.text().contains("put        2:0x400001 [8,+8)").then_some(())
        });
        running.signal(signal);
        let finished = running.finish();
        assert_eq!((finished.code(), finished.text()), (0, ""), "{}", finished.stderr);
        assert!(finished.stderr.starts_with("rsm-ctl: writing what the cluster does to "), "{}", finished.stderr);
        let shown = shown(&file);
        let begins =
            format!("the trace begins in the middle: cluster {name:?} was there, with 1 segment; what was done before");
        assert!(shown.trim_start().starts_with(&begins), "{shown}");
        assert!(!shown.contains("[0,+8)"), "that was before: {shown}");
    }
}

/// The bytes are there, of puts and of what the owner stores, although nobody was asked for a segment's memory.
#[test]
fn a_running_cluster_is_traced_with_its_bytes() {
    let (scratch, name, id) = (Scratch::new("attach"), unique("attach"), SegmentId::new(0x40_0001));
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let export = cluster.node(2).unwrap().controller("shm0").unwrap().export(65536).unwrap();
    export.publish(id, &AccessList::everyone()).unwrap();
    let import = cluster.node(1).unwrap().controller("shm0").unwrap().connect(2, id, Permission::ReadWrite).unwrap();
    export.memory().write(0, b"was there").unwrap();
    let file = scratch.path("t.rsmtrace");
    let path = file.to_str().unwrap();
    let running = attach(&name, &file, &["--trace-bytes"]);
    let at = |words: &[&str]| ctl(&["trace", "at", path]).words(words).finish();
    let who = |byte: &str| ctl(&["trace", "who", path, byte]).finish();
    eventually("what was there", || at(&["2:0x400001"]).text().contains("was there").then_some(()));
    assert!(
        who("2:0x400001+0").text().starts_with("nobody since the trace began, in the middle, as far as was seen\n")
    );
    eventually("a put", || {
        import.put(32, b"was put").unwrap();
        who("2:0x400001+32").text().contains("put        2:0x400001 [32,+7)").then_some(())
    });
    // Again, if that was before all processes had noted something and the owner had looked.
    let mut times = 0;
    eventually("a store", || {
        times += 1;
        export.memory().write(16, format!("stored {times}").as_bytes()).unwrap();
        who("2:0x400001+16").text().starts_with("a store through a mapping or of the owner, between\n").then_some(())
    });
    running.signal(Signal::TERM);
    let finished = running.finish();
    assert_eq!((finished.code(), finished.text()), (0, ""), "{}", finished.stderr);
    let told = at(&["2:0x400001"]);
    for bytes in ["was there", "stored", "was put"] {
        assert!(told.text().contains(bytes), "{bytes}: {}", told.text());
    }
    // The owner has looked at it for the last time before that.
    let later = ", and the trace ends later: what was stored since, by the owner or through mappings, is not known\n";
    assert!(told.stderr.starts_with("rsm-ctl: warning: the segment was last seen "), "{}", told.stderr);
    assert!(told.stderr.ends_with(later), "{}", told.stderr);
    let told = who("2:0x400001+0");
    assert!(told.text().ends_with(later), "{}", told.text());
}

#[test]
fn the_ending_says_what_is_written_of_a_running_cluster() {
    let (scratch, name) = (Scratch::new("attach"), unique("attach"));
    let _cluster = Cluster::builder(2).name(&name).start().unwrap();
    let begins = "the trace begins in the middle: cluster ";
    for (ending, says) in [
        ("html", format!("{begins}\\u0022{name}\\u0022 was there, with 0 segments")),
        ("json", format!("\"otherData\":{{\"beginning\":\"{begins}\\u0022{name}\\u0022 was there")),
    ] {
        let file = scratch.path(&format!("t.{ending}"));
        let finished = attach_for("1ms", &name, &file);
        assert_eq!((finished.code(), finished.text(), &*finished.stderr), (0, "", ""));
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(written.contains(&says), "{ending}: no {says}");
        assert!(!scratch.path(&format!("t.{ending}.rsmtrace")).exists(), "nothing else is left");
    }
}

#[test]
fn a_trace_ends_with_its_cluster() {
    let (scratch, name) = (Scratch::new("attach"), unique("attach"));
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let file = scratch.path("t.rsmtrace");
    let running = attach(&name, &file, &[]);
    // What comes later is noted from the first call on.
    let export = cluster.node(2).unwrap().controller("shm0").unwrap().export(65536).unwrap();
    export.publish(SegmentId::new(0x40_0001), &AccessList::everyone()).unwrap();
    eventually("calls that are noted", || {
        let finished = ctl(&["trace", "show", file.to_str().unwrap()]).finish();
        finished.text().contains("publish ").then_some(())
    });
    drop(export);
    drop(cluster);
    let finished = running.finish();
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert!(finished.stderr.contains(&format!("rsm-ctl: the cluster {name:?} has ended, and the trace with it\n")));
    let shown = shown(&file);
    for call in ["create ", "publish ", "destroy "] {
        assert!(shown.contains(call), "{call}: {shown}");
    }
}

#[test]
fn a_cluster_of_another_version_is_not_traced() {
    let (scratch, name) = (Scratch::new("attach"), unique("attach"));
    let (why, agent) = rsm_stories::raw::agent_of_another_version(&name, 1);
    let file = scratch.path("t.rsmtrace");
    let finished = ctl(&["trace", "--attach", &name, file.to_str().unwrap()]).finish();
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(finished.stderr.starts_with("rsm-ctl: ") && finished.stderr.contains(&why), "{}", finished.stderr);
    assert!(!file.exists(), "nothing is begun");
    agent.join().unwrap();
}

#[test]
fn what_cannot_be_traced_is_said() {
    let (scratch, name) = (Scratch::new("attach"), unique("attach"));
    let cluster = Cluster::builder(2).name(&name).start().unwrap();
    let file = scratch.path("t.rsmtrace");
    let path = file.to_str().unwrap();
    let first = attach(&name, &file, &[]);
    let length = std::fs::metadata(&file).unwrap().len();
    let nowhere = unique("nowhere");
    let says = |words: &[&str]| -> Finished { ctl(&["trace", "--attach"]).words(words).finish() };
    let second = says(&[&name, path]);
    let pid = first.pid().as_raw_nonzero();
    let why = format!("rsm-ctl: process {pid} traces the cluster already, and one can at a time\n");
    assert_eq!((second.code(), &*second.stderr), (1, &*why));
    assert!(std::fs::metadata(&file).unwrap().len() >= length, "nor is the file of the first one touched");
    for (words, code, why) in [
        (&[nowhere.as_str(), path][..], 1, format!("rsm-ctl: no cluster named \"{nowhere}\"")),
        (&[&name, "t.txt"], 2, "the ending says what is written: .rsmtrace, .html, .pftrace, .json".to_owned()),
        (&[&name, "/nowhere/t.html"], 1, "process".to_owned()),
        (&[&name], 2, "2 values required".to_owned()),
        (&[&name, path, "--for", "0"], 2, "must be longer than nothing".to_owned()),
        (&[&name, path, "show", path], 2, "cannot be used with".to_owned()),
    ] {
        let finished = says(words);
        assert_eq!(finished.code(), code, "{words:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(&why), "{words:?}: {}", finished.stderr);
    }
    let alone = ctl(&["trace", "--for", "1s"]).finish();
    assert_eq!(alone.code(), 2);
    assert!(alone.stderr.contains("--attach <CLUSTER> <FILE>"), "{}", alone.stderr);
    let alone = ctl(&["trace", "--trace-bytes"]).finish();
    assert!(alone.code() == 2 && alone.stderr.contains("--attach <CLUSTER> <FILE>"), "{}", alone.stderr);
    first.signal(Signal::TERM);
    assert_eq!(first.finish().code(), 0);
    // The agent hears of it in a moment.
    eventually("the first one is gone", || {
        let finished = says(&[&name, "/nowhere/t.rsmtrace"]);
        finished.stderr.contains("cannot write /nowhere/t.rsmtrace: No such file").then_some(())
    });
    drop(cluster);
    let traced = scratch.path("whole.rsmtrace");
    let script = "exec \"$CTL\" trace --attach \"$RSM_CLUSTER\" \"$FILE\"";
    let finished = run(&["-n", "1", "--trace", traced.to_str().unwrap()], script)
        .env("CTL", env!("CARGO_BIN_EXE_rsm-ctl"))
        .env("FILE", path)
        .finish();
    assert_eq!(finished.code(), 1);
    let why = "rsm-ctl: the cluster is traced from its beginning, and that trace has everything";
    assert!(finished.stderr.contains(why), "{}", finished.stderr);
}
