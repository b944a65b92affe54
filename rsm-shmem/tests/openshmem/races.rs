//! What nothing orders, in the words of OpenSHMEM.

use crate::programs::{directory, here, link, program, run, succeed, telling_compiler, text, told_suite};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::Output;
use std::sync::OnceLock;

/// The beginning of the names of files by which PEs wait for each other; those of an earlier run are gone.
fn waits(name: &str, pes: RangeInclusive<usize>) -> PathBuf {
    let files = directory().join(name);
    for pe in pes {
        let _ = std::fs::remove_file(format!("{}-{pe}", files.display()));
    }
    files
}

/// Runs a part of the program where races are looked for.
fn raced(part: &str, variant: &str) -> Output {
    let files = waits(&format!("raced-{part}-{variant}"), 0..=2);
    let arguments = [part, variant, files.to_str().expect("text")];
    run(3, &["--race"], &program("raced"), &arguments).env("SHMEM_DEBUG", "1").output().expect("it runs")
}

/// The line of the program that has these words.
fn line_of(words: &str) -> usize {
    let source = std::fs::read_to_string(crate::programs::here("tests/programs/raced.c")).expect("the program");
    1 + source.lines().position(|line| line.contains(words)).expect(words)
}

/// The lines that tell of the only race, without process ids.
fn told(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(5), "{}", text(output));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("rsm-ctl: 1 race found between the calls of 3 processes"), "{said}");
    plain(&said, "raced.c:").into_iter().take(4).collect()
}

/// The lines from the first race on, without what differs: process ids, and the folder of the program as it is called from here.
fn plain(said: &str, file: &str) -> Vec<String> {
    let from = said.lines().skip_while(|line| !line.starts_with("rsm-ctl: race: "));
    let plain = |line: &str| match (line.find(" (pid "), line.find(")  "), line.rfind(file)) {
        (Some(start), Some(end), Some(place)) => {
            let function = line[end + 1..].split_whitespace().next().unwrap_or_default();
            format!("{}  {function}  {}", &line[..start], &line[place..])
        }
        _ => line.to_owned(),
    };
    from.map(plain).collect()
}

#[track_caller]
fn is_silent(part: &str) {
    let output = raced(part, "good");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{part}: {}", text(&output));
    assert!(said.contains("rsm-ctl: no races found between the calls of 3 processes"), "{part}: {said}");
}

#[test]
fn two_pes_that_put_to_one_variable_lose_a_value() {
    let line = line_of("shmem_long_p(&result[");
    let lines = told(&raced("gather", "bad"));
    assert_eq!(lines[0], "rsm-ctl: race: result of PE 0, [0,+8): nothing orders");
    assert_eq!(lines[1..3], [1, 2].map(|pe| format!("    shmem_long_p by PE {pe}  gather  raced.c:{line}")));
    assert!(lines[3].contains("one of two values is lost. An atomic operation, a lock, or an element"), "{}", lines[3]);
    is_silent("gather");
}

#[test]
fn memory_is_put_to_before_it_was_read() {
    let lines = told(&raced("take", "bad"));
    let expected = [
        "rsm-ctl: race: block of PE 0, [0,+32): nothing orders".to_owned(),
        format!("    shmem_long_get by PE 1  take  raced.c:{}", line_of("shmem_long_get(mine, block")),
        format!("    shmem_long_put by PE 2  take  raced.c:{}", line_of("shmem_long_put(block, mine")),
    ];
    assert_eq!(lines[..3], expected);
    let says = "PE 2 may write there before PE 1 has read it: shmem_barrier_all or shmem_sync_all between the two";
    assert!(lines[3].contains(says), "{}", lines[3]);
    is_silent("take");
}

#[test]
fn a_barrier_that_completes_nothing_orders_nothing() {
    let output = raced("fill", "bad");
    let said = text(&output);
    let number = |text: &str| usize::from_str_radix(text.trim_start_matches("0x"), 16).expect(text);
    let after = |words: &str| said.split_once(words).expect(words).1;
    // PE 0 says where it is, and the library where its heap begins.
    let address = number(after("\n0x").lines().next().expect("a line"));
    let heap = number(after("PE 0: one of 3 PEs; heap ").split(',').next().expect("a number"));
    let lines = told(&output);
    let (first, second) = (line_of("PE 1 fills") + 6, line_of("shmem_sync_all();") + 2);
    let expected = [
        format!("rsm-ctl: race: symmetric heap of PE 0, [{},+32): nothing orders", address - heap),
        format!("    shmem_long_put by PE 1  fill  raced.c:{first}"),
        format!("    shmem_long_put by PE 2  fill  raced.c:{second}"),
    ];
    assert_eq!(lines[..3], expected);
    assert!(lines[3].contains("shmem_barrier_all between the two, or shmem_quiet"), "{}", lines[3]);
    is_silent("fill");
}

#[test]
fn what_orders_is_known() {
    is_silent("turns");
}

/// A program that is built by `rsm-ctl cc`, which tells what it does with memory itself.
fn touched() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let path = directory().join("touched");
        let mut cc = telling_compiler();
        succeed(link(cc.arg("-O1").arg("-o").arg(&path).arg(here("tests/programs/touched.c"))));
        path
    };
    BUILT.get_or_init(build).clone()
}

fn touch(part: &str, variant: &str, options: &[&str]) -> Output {
    let files = waits(&format!("touched-{part}-{variant}"), 0..=1);
    let files = files.to_str().expect("text");
    run(2, &[&["--race"], options].concat(), &touched(), &[part, variant, files]).output().expect("it runs")
}

#[track_caller]
fn touches_race(part: &str, expected: &[String]) {
    let output = touch(part, "bad", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(said.contains("with all that 2 processes did with segments"), "{said}");
    for line in expected {
        assert!(plain(&said, "touched.c:").iter().any(|told| told == line), "no {line:?} in {said}");
    }
    for options in [&[][..], &["--chaos", "3"]] {
        let output = touch(part, "good", options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{part} {options:?}: {}", text(&output));
        assert!(said.contains("rsm-ctl: no races found, with all that 2 processes did"), "{part}: {said}");
    }
}

fn touched_line(words: &str) -> usize {
    let source = std::fs::read_to_string(here("tests/programs/touched.c")).expect("the program");
    1 + source.lines().position(|line| line.contains(words)).expect(words)
}

#[test]
fn a_pe_reads_what_was_put_and_not_completed() {
    let expected = [
        format!(
            "    shmem_long_put by PE 1  mail  touched.c:{}",
            touched_line("shmem_long_put(letter, words, WORDS, 0)")
        ),
        format!("    read by PE 0  mail  touched.c:{}", touched_line("number = letter[7]")),
    ];
    touches_race("mail", &expected);
}

#[test]
fn a_pe_changes_what_another_one_gets() {
    let expected = [
        format!("    write by PE 0  change  touched.c:{}", touched_line("letter[5] = 5;")),
        format!("    shmem_getmem by PE 1  change  touched.c:{}", touched_line("shmem_getmem(words, letter")),
    ];
    touches_race("change", &expected);
}

#[test]
fn what_orders_is_known_where_everything_is_told() {
    for options in [&[][..], &["--chaos", "5"], &["--chaos", "8", "--model", "sci"]] {
        let output = touch("turns", "good", options);
        let said = text(&output);
        assert!(output.status.success() && said.contains("rsm-ctl: no races found, with all"), "{options:?}: {said}");
    }
}

/// Parts of the suite that are right and tell everything. The others are long, ask for addresses, or do race: those of contexts all
/// put to one word.
#[test]
fn what_is_right_in_the_suite_races_nowhere() {
    for part in ["atomics", "signals", "waits", "active_sets", "teams", "locks", "threads", "corners"] {
        let output = run(3, &["--race"], &told_suite().program, &[part]).output().expect("it runs");
        let said = text(&output);
        assert!(output.status.success() && said.contains("rsm-ctl: no races found, with all that"), "{part}: {said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n".repeat(3), "{part}: {said}");
    }
}

/// The files by which the program makes sure who comes first are an order, too: of a get, which is over when it returns, and not of a put that
/// no quiet has completed.
#[test]
fn what_files_order_is_known_where_that_is_asked_for() {
    for (part, code, says) in [("take", 0, "rsm-ctl: no races found"), ("gather", 5, "rsm-ctl: 1 race found")] {
        let files = waits(&format!("raced-{part}-outside"), 0..=2);
        let arguments = [part, "bad", files.to_str().expect("text")];
        let output = run(3, &["--race=outside"], &program("raced"), &arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(says), "{part}: {}", text(&output));
    }
}
