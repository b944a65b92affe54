//! The nodes' output: whole lines, every byte, and nobody waits for the wrong reader.

use std::fs;
use std::io::{BufRead, BufReader, Read};

use crate::rig::{Scratch, all, ctl, in_time, run, shell};
use crate::steering::example;

#[test]
fn tags() {
    let script = "echo one; echo two >&2; printf 'no end'";
    let finished = run(&["-n", "2", "--tag-output"], script).finish();
    assert_eq!(finished.sorted(), ["[1] no end", "[1] one", "[2] no end", "[2] one"]);
    assert!(finished.text().ends_with('\n'));
    let mut errors: Vec<&str> = finished.stderr.lines().collect();
    errors.sort_unstable();
    assert_eq!(errors, ["[1] two", "[2] two"]);
}

#[test]
fn a_line_without_its_end_stays_without_it() {
    assert_eq!(run(&["-n", "1"], "printf 'no end'").finish().text(), "no end");
}

#[test]
fn lines_of_many_nodes_are_never_mixed() {
    // Each line leaves its node in three writes.
    let script = "i=0; while [ $i -lt 300 ]; do
        printf \"<$RSM_NODE_ID:$i:\"; printf abcdefghijklmnopqrstuvwxyz; printf \":$RSM_NODE_ID>\\n\"; i=$((i+1)); done";
    let finished = run(&["-n", "8"], script).finish();
    let expected = |node: usize, i: usize| format!("<{node}:{i}:abcdefghijklmnopqrstuvwxyz:{node}>");
    let mut next = [0; 9];
    for line in finished.text().lines() {
        let node: usize = line[1..2].parse().unwrap();
        assert_eq!(line, expected(node, next[node]));
        next[node] += 1;
    }
    assert_eq!(next[1..], [300; 8]);
}

#[test]
fn every_byte_of_a_large_output() {
    let scratch = Scratch::new("bytes");
    // Not text, with lines of all lengths and a very long one.
    let mut state = 1_u32;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(12 << 20)
    .collect();
    bytes.extend(vec![b'x'; 5 << 20]);
    let file = scratch.file("bytes", &bytes);
    let out = scratch.path("out");
    let command = format!("test $RSM_NODE_ID != 1 || exec cat {}", file.display());
    assert!(run(&["-n", "3"], &command).finish().stdout == bytes, "through a pipe");
    let finished = shell("exec $CTL run -n 3 -- sh -c \"$COMMAND\" > $OUT")
        .env("COMMAND", &command)
        .env("OUT", out.to_str().unwrap())
        .finish();
    assert_eq!(finished.code(), 0);
    assert!(fs::read(&out).unwrap() == bytes, "to a file");
}

#[test]
fn a_reader_that_waits_holds_up_only_its_own_stream() {
    let script = "if [ $RSM_NODE_ID = 1 ]; then head -c 8000000 /dev/zero; else echo hello >&2; fi";
    let mut running = run(&["-n", "2"], script).start();
    let mut stderr = BufReader::new(running.stderr());
    let line = in_time("a line on standard error", move || {
        let mut line = String::new();
        stderr.read_line(&mut line).map(|_| line)
    });
    assert_eq!(line.unwrap(), "hello\n");
    // Only now standard output is read.
    let stdout = running.stdout();
    assert_eq!(in_time("all of standard output", move || all(stdout).len()), 8_000_000);
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn nobody_is_drowned_by_those_who_write_without_end() {
    let script = "test $RSM_NODE_ID = 5 && { echo hello; exec sleep 600; }; exec yes";
    let mut running = run(&["-n", "9"], script).start();
    let stdout = BufReader::new(running.stdout());
    let heard = in_time("the one quiet node", move || stdout.lines().any(|line| line.unwrap() == "hello"));
    assert!(heard);
    assert_eq!(running.finish().code(), 141);
}

#[test]
fn a_reader_that_goes_ends_everything_quietly() {
    let mut running = run(&["-n", "3"], "trap '' PIPE; while :; do echo line 2>/dev/null; done").start();
    let mut stdout = running.stdout();
    in_time("a line", move || stdout.read_exact(&mut [0; 5])).unwrap();
    let finished = running.finish();
    assert_eq!((finished.code(), &*finished.stderr), (141, ""));
}

#[test]
fn sixty_three_that_write_at_once_and_a_reader_that_goes() {
    let finished = shell("$CTL run -n 63 --tag-output -- yes | head -n 1000 | wc -l").finish();
    assert_eq!((finished.text().trim(), &*finished.stderr), ("1000", ""));
}

#[test]
fn help_for_a_reader_that_goes_is_no_accident() {
    for command in ["--help", "run --help", "man", "completions bash"] {
        let finished = shell(&format!("$CTL {command} | head -n 1 | wc -l")).finish();
        assert_eq!((finished.text().trim(), &*finished.stderr), ("1", ""), "{command}");
    }
}

#[test]
fn an_output_that_is_full_is_said() {
    if fs::metadata("/dev/full").is_err() {
        return;
    }
    let finished = shell("exec $CTL run -n 2 -- sh -c 'echo lost; exec sleep 600' > /dev/full").finish();
    assert_eq!(finished.code(), 1);
    assert_eq!(finished.stderr, "rsm-ctl: cannot write standard output: No space left on device\n");
}

#[test]
fn an_output_that_is_closed_is_said() {
    let finished = shell("exec $CTL run -n 1 -- echo lost >&-").finish();
    assert_eq!(finished.code(), 1);
    assert_eq!(finished.stderr, "rsm-ctl: cannot write standard output: Bad file descriptor\n");
    // Where nothing is lost nothing is said.
    for script in ["$CTL run -n 2 -- true >&-", "$CTL -v run -n 2 -- true 2>&-", "$CTL run -n 2 -- true <&- >&- 2>&-"] {
        let finished = shell(&format!("exec {script}")).finish();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""), "{script}");
    }
}

#[test]
fn both_outputs_in_one_pipe_keep_their_lines() {
    let script = "i=0; while [ $i -lt 200 ]; do printf out; printf \" $i\\n\"; { printf err; printf \" $i\\n\"; } >&2; i=$((i+1)); done";
    let finished = shell("exec $CTL run -n 4 -- sh -c \"$SCRIPT\" 2>&1").env("SCRIPT", script).finish();
    assert_eq!(finished.text().lines().count(), 4 * 400);
    for line in finished.text().lines() {
        let (kind, number) = line.split_once(' ').unwrap();
        assert!(matches!(kind, "out" | "err") && number.parse::<u32>().is_ok(), "{line}");
    }
}

#[test]
fn a_program_whose_outputs_are_one_keeps_its_order() {
    let script = "i=0; while [ $i -lt 300 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done";
    let scratch = Scratch::new("order");
    let own = "i=0; while [ $i -lt 2 ]; do echo out; echo err >&2; i=$((i+1)); done; exit 3";
    let expected: String = (0..300).map(|i| format!("out {i}\nerr {i}\n")).collect();
    for (what, how) in [
        ("a pipe", "$CTL run -n 1 -- sh -c \"$SCRIPT\" 2>&1"),
        ("a file", "$CTL run -n 1 -- sh -c \"$SCRIPT\" > $OUT 2>&1; cat $OUT"),
        ("a file that grows", "$CTL run -n 1 -- sh -c \"$SCRIPT\" >> $OUT.2 2>&1; cat $OUT.2"),
    ] {
        let finished = shell(how).env("SCRIPT", script).env("OUT", scratch.path("out").to_str().unwrap()).finish();
        assert_eq!(finished.text(), expected, "{what}");
    }
    // With tags each node's lines; and ours come after what was written before them.
    let finished = shell("exec $CTL run -n 2 --tag-output --keep-going -- sh -c \"$SCRIPT\" 2>&1").env("SCRIPT", own);
    let finished = finished.finish();
    for node in ["[1]", "[2]"] {
        let lines: Vec<&str> = finished.text().lines().filter_map(|line| line.strip_prefix(node)).collect();
        assert_eq!(lines, [" out", " err", " out", " err"]);
    }
    let summary = finished
        .text()
        .split_once("rsm-ctl: 2 of 2 processes failed\n")
        .unwrap_or_else(|| panic!("{}", finished.text()))
        .1;
    assert_eq!(summary.matches("    its output ended with\n    | out\n    | err\n").count(), 2, "{summary}");
    // Logs keep them apart.
    let logs = scratch.path("logs");
    let finished = shell("exec $CTL run -n 1 --log-dir $LOGS -- sh -c \"$SCRIPT\" 2>&1").env("SCRIPT", own);
    assert_eq!(finished.env("LOGS", logs.to_str().unwrap()).finish().code(), 3);
    assert_eq!(fs::read_to_string(logs.join("node-1.err")).unwrap(), "err\nerr\n");
}

#[test]
fn long_lines_stay_whole_up_to_a_mebibyte() {
    // With its end, each is as long as can be.
    let script = "i=0; while [ $i -lt 8 ]; do
        head -c 1048575 /dev/zero | tr '\\0' $RSM_NODE_ID; echo; i=$((i+1)); done";
    let finished = run(&["-n", "3"], script).finish();
    assert_eq!(finished.text().lines().count(), 24);
    for line in finished.text().lines() {
        let first = line.chars().next().unwrap();
        assert!(line.len() == 1_048_575 && line.chars().all(|c| c == first), "a mixed line of {}", line.len());
    }
}

#[test]
fn what_daemons_write_arrives_and_run_waits_for_them() {
    let script = "setsid sh -c '(sleep 0.3; echo late) &' & echo early";
    let finished = run(&["-n", "2"], script).finish();
    assert_eq!((finished.code(), finished.sorted()), (0, vec!["early", "early", "late", "late"]));
}

#[test]
fn a_daemon_that_keeps_the_pipe_does_not_keep_a_failed_run() {
    let scratch = Scratch::new("daemon");
    // Neither fails before the other has written.
    let script = "setsid sleep 600 & echo text; touch $BOTH.$RSM_NODE_ID
        until [ -e $BOTH.1 ] && [ -e $BOTH.2 ]; do sleep 0.01; done; exit 6";
    let both = scratch.path("both");
    let finished = run(&["-n", "2", "--grace", "100ms"], script).env("BOTH", both.to_str().unwrap()).finish();
    assert_eq!((finished.code(), finished.text()), (6, "text\ntext\n"));
}

#[test]
fn the_agent_is_heard_by_who_asks() {
    let agent = |lines: &str, prefix: &str| lines.lines().filter(|line| line.starts_with(prefix)).count();
    let program = example("hello");
    let scene = |words: &[&str]| ctl(words).words(&["-n", "2", "--", program.to_str().unwrap()]);
    // Two that join, and at least one whose end is seen before the cluster's.
    let finished = scene(&["run", "-v"]).finish();
    assert!(agent(&finished.stderr, "rsm-ctl: agent[") >= 2, "{}", finished.stderr);
    assert!(finished.stderr.contains("]: debug: joined (party 2, pid "), "{}", finished.stderr);
    assert_eq!(scene(&["run"]).finish().stderr, "");
    // The variable is for agent and nodes alike, and asks for no more than it says.
    let finished = scene(&["run"]).env("RSM_LOG", "debug").finish();
    assert!(agent(&finished.stderr, "rsm[") >= 2, "{}", finished.stderr);
    assert_eq!(scene(&["run"]).env("RSM_LOG", "error").finish().stderr, "");
    // What is no level is told by all three, the agent and each node.
    let finished = scene(&["run"]).env("RSM_LOG", "loud").finish();
    assert_eq!(finished.stderr.matches("]: warn: RSM_LOG=\"loud\" is none of ").count(), 3, "{}", finished.stderr);
}
