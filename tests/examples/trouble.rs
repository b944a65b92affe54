//! `sort` when something goes wrong: every node ends, none ends well, and somebody says why.

use crate::nodes::{Ended, Running, Scratch, run};
use crate::numbers::Numbers;
use rsm_stories::quota;
use std::io::{Read, pipe};
use std::path::Path;

fn nobody_succeeds(all: &[Ended]) {
    for (node, ended) in (1..).zip(all) {
        assert!(!ended.status.success(), "node {node} claims success");
        assert!(ended.stderr.starts_with("sort: ") || ended.stderr.is_empty(), "node {node} said {}", ended.stderr);
    }
}

/// More than any pipe holds, so that node 1 is still writing when something happens to the others.
fn long_text() -> Vec<u8> {
    Numbers(8).text(8 << 20, b"abcdefghijklmnopqrstuvwxyz\n")
}

#[test]
fn no_such_file() {
    let scratch = Scratch::new();
    let all = run(4, "sort", &[scratch.path("none").as_ref()]);
    nobody_succeeds(&all);
    assert!(all.iter().any(|ended| ended.stderr.contains("none: No such file or directory")), "{}", all[0].stderr);
}

#[test]
fn nothing_is_created_for_a_file_that_does_not_exist() {
    let scratch = Scratch::new();
    let path = scratch.path("none");
    nobody_succeeds(&run(2, "sort", &[path.as_ref(), "-o".as_ref(), path.as_ref()]));
    assert!(!path.exists());
}

#[test]
fn files_that_have_no_slices() {
    for (path, why) in [
        ("/", "/ is a directory"),
        ("/dev/null", "/dev/null is not a regular file, so only one node can read it"),
        ("/proc/version", "/proc/version does not tell its size"),
        ("/sys/kernel/mm/transparent_hugepage/enabled", "transparent_hugepage/enabled does not tell its size"),
    ] {
        if !Path::new(path).exists() {
            continue;
        }
        let all = run(2, "sort", &[path.as_ref()]);
        nobody_succeeds(&all);
        assert!(all.iter().any(|ended| ended.stderr.contains(why)), "{}", all[0].stderr);
    }
}

#[test]
fn an_output_that_cannot_be_opened() {
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", b"b\na\n"), scratch.path("no/such/directory"));
    let all = run(3, "sort", &[input.as_ref(), "-o".as_ref(), output.as_ref()]);
    nobody_succeeds(&all);
    assert!(all[0].stderr.contains("no/such/directory: No such file or directory"), "{}", all[0].stderr);
}

#[test]
fn a_full_disk() {
    let scratch = Scratch::new();
    let input = scratch.file("in", &long_text());
    let all = run(3, "sort", &[input.as_ref(), "-o".as_ref(), "/dev/full".as_ref()]);
    nobody_succeeds(&all);
    assert!(all[0].stderr.contains("cannot write /dev/full: No space left on device"), "{}", all[0].stderr);
}

#[test]
fn nobody_reads_the_output() {
    let scratch = Scratch::new();
    let input = scratch.file("in", &long_text());
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let all = Running::start(3, "sort", &[input.as_ref()], Some(writer.into())).wait();
    nobody_succeeds(&all);
    assert!(all[0].stderr.contains("cannot write standard output: Broken pipe"), "{}", all[0].stderr);
}

#[test]
fn a_node_that_is_killed_ends_the_others() {
    let scratch = Scratch::new();
    let input = scratch.file("in", &long_text());
    for victim in [1, 3] {
        let (mut reader, writer) = pipe().expect("a pipe");
        let mut running = Running::start(4, "sort", &[input.as_ref()], Some(writer.into()));
        // The first byte: everything is exchanged, and node 1 can write no more than the pipe takes.
        reader.read_exact(&mut [0]).expect("output");
        running.kill(victim);
        let rest = std::io::copy(&mut reader, &mut std::io::sink()).expect("the rest of the output");
        assert!(rest < 8 << 20);
        let all = running.wait();
        nobody_succeeds(&all);
        let heard = format!("node {victim} has ended too early");
        assert!(
            all.iter().any(|ended| ended.stderr.contains(&heard)),
            "{:?}",
            all.iter().map(|e| &e.stderr).collect::<Vec<_>>()
        );
    }
}

#[test]
fn wrong_arguments() {
    for arguments in
        [&[][..], &["-o"], &["a", "b"], &["-x"], &["--"], &["a", "-o"], &["a", "-o", "x", "-o", "y"], &["-o", "x"]]
    {
        let arguments: Vec<_> = arguments.iter().map(std::convert::AsRef::as_ref).collect();
        let all = run(1, "sort", &arguments);
        assert_eq!(all[0].status.code(), Some(2));
        assert!(all[0].stderr.starts_with("sort: ") && all[0].stderr.ends_with("usage: sort FILE [-o OUT]\n"));
    }
    assert!(run(1, "sort", &["--help".as_ref()])[0].status.success());
}

#[test]
fn one_output_may_be_named_twice() {
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", b"b\na\n"), scratch.path("out"));
    let words = [input.as_ref(), "-o".as_ref(), output.as_ref(), "-o".as_ref(), output.as_ref()];
    assert!(run(1, "sort", &words)[0].status.success());
    assert_eq!(std::fs::read(&output).expect("the output"), b"a\nb\n");
}

#[test]
fn a_name_does_nothing_to_the_terminal() {
    let name = "no\x1b[2J\x1b]0;title\x07\nsort: all is well";
    let output = format!("/none/{name}");
    for words in [&[name][..], &["x", name], &["/etc/passwd", "-o", &output], &["x", "-o", "y", "-o", name]] {
        let words: Vec<_> = words.iter().map(std::convert::AsRef::as_ref).collect();
        let ended = &run(1, "sort", &words)[0];
        assert!(!ended.stderr.contains(|c: char| c.is_control() && c != '\n'), "{:?}", ended.stderr);
        assert!(ended.stderr.contains(r"no\u{1b}[2J\u{1b}]0;title\u{7}\nsort: all is well"), "{}", ended.stderr);
    }
}

#[test]
fn an_output_that_is_lost_when_it_is_closed() {
    let scratch = Scratch::new();
    let (input, directory) = (scratch.file("in", b"b\na\n"), scratch.path("quota"));
    std::fs::create_dir(&directory).expect("a directory");
    let output = directory.join("out");
    quota::attempt(&directory, move || {
        let all = run(3, "sort", &[input.as_ref(), "-o".as_ref(), output.as_ref()]);
        nobody_succeeds(&all);
        let told = format!("cannot write {}: Disk quota exceeded", output.display());
        assert!(all[0].stderr.contains(&told), "{}", all[0].stderr);
    });
}
