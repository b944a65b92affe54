//! `sort`, against `LC_ALL=C sort`.

use crate::nodes::{Ended, Scratch, example, run_well};
use crate::numbers::Numbers;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// What the original makes of a file.
fn original(path: &Path) -> Vec<u8> {
    let output = Command::new("sort").arg(path).env("LC_ALL", "C").output().expect("sort runs");
    assert!(output.status.success());
    output.stdout
}

/// Compares on one, two, four, and seven nodes.
fn compare(text: &[u8]) {
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", text), scratch.path("out"));
    let expected = original(&input);
    for nodes in [1, 2, 4, 7] {
        let all = run_well(nodes, "sort", &[input.as_ref(), "-o".as_ref(), output.as_ref()]);
        let sorted = fs::read(&output).expect("the output");
        assert!(sorted == expected, "{nodes} nodes made {} bytes and not {}", sorted.len(), expected.len());
        assert!(all.iter().all(|ended| ended.stdout.is_empty()), "only the output goes to the standard output");
        assert!(all[1..].iter().all(|ended| ended.stderr.is_empty()), "only node 1 reports");
    }
}

#[test]
fn an_empty_file() {
    compare(b"");
}

#[test]
fn very_small_files() {
    for text in ["\n", "a", "b\na", "b\na\n", "\n\n\na", "c\n\nb\n\na\n"] {
        compare(text.as_bytes());
    }
}

#[test]
fn zeros_and_lines_that_begin_like_others() {
    compare(b"\0\n\0\0\n\n\0a\na\0\na\0\0\na\nab\na\0b\n\xff\n\xfe\xff\n\xc3\x28\nabcdefgh\0\nabcdefgh\nabcdefghi");
}

#[test]
fn one_huge_line() {
    let mut text = vec![b'x'; 3 << 20];
    compare(&text);
    text.splice(0..0, *b"y\nz\n");
    text.extend_from_slice(b"\na\nb");
    compare(&text);
}

#[test]
fn lines_that_are_all_equal() {
    compare(&b"to be or not to be\n".repeat(20_000));
    compare(&b"\n".repeat(10_000));
}

#[test]
fn random_bytes() {
    compare(&Numbers(3).text(1 << 20, &(0..=255).collect::<Vec<u8>>()));
}

#[test]
fn lines_of_all_lengths() {
    let mut numbers = Numbers(4);
    let mut text = Vec::new();
    for _ in 0..60 {
        let length = 1 << numbers.below(18);
        text.extend(numbers.text(length, b"ab"));
        text.push(b'\n');
    }
    compare(&text);
}

#[test]
fn to_standard_output() {
    let scratch = Scratch::new();
    let text = Numbers(5).text(100_000, b"abcdefgh\n");
    let input = scratch.file("in", &text);
    for nodes in [1, 3] {
        let all = run_well(nodes, "sort", &[input.as_ref()]);
        assert!(all[0].stdout == original(&input));
        assert!(all[1..].iter().all(|ended| ended.stdout.is_empty()));
    }
}

#[test]
fn onto_its_own_input_and_onto_longer_files() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &Numbers(6).text(2 << 20, b"abcdefgh\n"));
    let expected = original(&file);
    let other = scratch.file("other", &vec![b'z'; 3 << 20]);
    for output in [&other, &file] {
        run_well(4, "sort", &["-o".as_ref(), output.as_ref(), "--".as_ref(), file.as_ref()]);
        assert!(fs::read(output).expect("the output") == expected);
    }
}

#[test]
fn without_a_cluster() {
    let scratch = Scratch::new();
    let input = scratch.file("in", b"b\na\n");
    let output = Command::new(example("sort")).arg(&input).output().expect("sort runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"a\nb\n");
}

#[test]
fn one_node_reads_what_has_no_middle() {
    let text = Numbers(9).text(300_000, b"abcdefgh\n");
    let scratch = Scratch::new();
    let expected = original(&scratch.file("in", &text));
    let mut sort = Command::new(example("sort"))
        .arg("/dev/stdin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let sort = sort.as_mut().expect("sort starts");
    let mut input = sort.stdin.take().expect("a pipe");
    // Nothing comes out before everything is in.
    input.write_all(&text).expect("sort reads");
    drop(input);
    let mut sorted = Vec::new();
    sort.stdout.take().expect("a pipe").read_to_end(&mut sorted).expect("the output");
    assert!(sort.wait().expect("the end").success());
    assert!(sorted == expected, "{} bytes and not {}", sorted.len(), expected.len());
    // Files whose text is made while it is read, one that says it is empty and one that says it is a page long.
    for made in ["/proc/version", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/kernel/notes"] {
        let made = Path::new(made);
        if made.exists() {
            assert!(run_well(1, "sort", &[made.as_ref()])[0].stdout == original(made), "{made:?}");
        }
    }
}

/// A row of the summary: what a node has read, put, received, sorted, and how many lines.
type Row = [u64; 5];

fn summary(ended: &Ended) -> Vec<Row> {
    let rows =
        ended.stderr.lines().skip(1).map(|row| row.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>());
    // Below the rows is a line with words in it.
    rows.map_while(Result::ok).map(|row| row[1..].try_into().expect("five numbers behind the node's")).collect()
}

/// Sorts a text and returns its summary, where all that has to be true of any has been checked.
fn summary_of(text: &[u8], nodes: u32) -> Vec<Row> {
    let scratch = Scratch::new();
    let (input, output) = (scratch.file("in", text), scratch.path("out"));
    let all = run_well(nodes, "sort", &[input.as_ref(), "-o".as_ref(), output.as_ref()]);
    let rows = summary(&all[0]);
    assert_eq!(rows.len(), nodes as usize, "{}", all[0].stderr);

    let sorted = fs::metadata(&output).expect("the output").len();
    let sums: Row = std::array::from_fn(|column| rows.iter().map(|row| row[column]).sum());
    assert_eq!(sums[1..4], [sorted; 3]);
    assert!(rows.iter().all(|row| row[2] == row[3]));
    assert_eq!(sums[4], text.split_inclusive(|&byte| byte == b'\n').count() as u64);

    // No more than its share, the byte before it, and the rest of a line.
    let line = text.split(|&byte| byte == b'\n').map(<[u8]>::len).max().expect("at least one line") as u64 + 1;
    let share = (text.len() as u64).div_ceil(u64::from(nodes));
    assert!(rows.iter().all(|row| row[0] <= share + 1 + line));
    rows
}

#[test]
fn the_work_is_shared_evenly() {
    let random = Numbers(7).text(4 << 20, b"abcdefghijklmnopqrstuvwxyz0123456789     \n");
    let equal = b"the same line again\n".repeat(100_000);
    for (text, nodes) in [(&random, 2), (&random, 4), (&random, 16), (&equal, 4), (&equal, 7)] {
        let fair = text.len() as u64 / u64::from(nodes);
        for [read, put, received, ..] in summary_of(text, nodes) {
            assert!([read, put, received].into_iter().all(|bytes| bytes <= fair * 2 && bytes >= fair / 2));
        }
    }
}

#[test]
fn a_huge_line_is_read_by_one_node() {
    let (text, nodes) = (vec![b'x'; 4 << 20], 4);
    let rows = summary_of(&text, nodes);
    assert_eq!(rows[0][0], 4 << 20);
    assert!(rows[1..].iter().all(|row| row[0] <= 1 << 20));
}
