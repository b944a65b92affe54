//! `rsm-ctl explore`, with programs of which some survive the death of a node and some do not.
//!
//! The programs are this one, with [`programs::PROGRAM`] in its environment.

mod programs;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use rsm_stories::story;
use rustix::process::{Pid, Signal, kill_process};

fn main() {
    if let Ok(name) = std::env::var(programs::PROGRAM) {
        if let Err(error) = programs::be(&name) {
            eprintln!("{name}: {error}");
            std::process::exit(9);
        }
        return;
    }
    rsm_stories::tell_together(rsm_stories::trials());
}

/// What `rsm-ctl` said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

/// `rsm-ctl explore` with two nodes of a program and these words before it.
fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsm-ctl"));
    for inherited in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
        command.env_remove(inherited);
    }
    command.args(["explore", "-n", "2"]).args(words).arg("--env").arg(format!("{}={program}", programs::PROGRAM));
    command.arg("--").arg(std::env::current_exe().expect("this program"));
    command.stdin(Stdio::null());
    command
}

fn explore(program: &str, words: &[&str]) -> Said {
    said(&mut command(program, words))
}

/// Several explorations at the same time: mostly they wait, for who is late.
fn explore_each<const N: usize>(program: &str, words: [&[&str]; N]) -> [Said; N] {
    thread::scope(|scope| {
        let each = words.map(|words| scope.spawn(move || explore(program, words)));
        each.map(|one| one.join().expect("it does not panic"))
    })
}

fn said(command: &mut Command) -> Said {
    littered();
    said_amid_litter(command)
}

/// An exploration of a program that leaves a file in /dev/shm.
struct Littered {
    said: Said,
    file: String,
    was_left: bool,
}

/// Comes before all others, as each of them would find that file.
fn littered() -> &'static Littered {
    static LITTERED: OnceLock<Littered> = OnceLock::new();
    LITTERED.get_or_init(|| {
        let file = format!("/dev/shm/rsm-explored-{}", std::process::id());
        let setting = format!("{}={file}", programs::FILE);
        let words = ["--kill", "2", "--at", "2", "--timeout", LONG, "--env", &setting];
        let said = said_amid_litter(&mut command("littering", &words));
        let was_left = std::fs::remove_file(&file).is_ok();
        Littered { said, file, was_left }
    })
}

fn said_amid_litter(command: &mut Command) -> Said {
    let output = command.output().expect("rsm-ctl runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
    Said { code, out: text(output.stdout), err: text(output.stderr) }
}

/// Whether all is to be played.
fn plays_all() -> bool {
    std::env::var("RSM_TESTS").is_ok_and(|which| which == "all")
}

/// For programs that end by themselves: nobody hangs, however slow the machine is.
const LONG: &str = "120s";

/// The careless program with node 2 killed before this call, in as little time as it takes node 1 to come to where it hangs.
fn hang_before(call: u32) -> Said {
    let call = call.to_string();
    let mut tried = (0..8).map(|doubled| {
        let time = format!("{}s", 1 << doubled);
        explore("careless", &["--kill=2", "--at", &call, "--timeout", &time])
    });
    let hangs = |found: &Said| found.out.contains(": node 1 hangs in Export::wait (");
    tried.find(hangs).unwrap_or_else(|| panic!("before call {call} it does not hang"))
}

story!(a_hang_is_found_and_told_with_its_place_and_the_command_that_repeats_it);
fn a_hang_is_found_and_told_with_its_place_and_the_command_that_repeats_it() {
    // Each point takes its time, so that all are tried at the same time, and one after the other of a program that has few.
    let program = if plays_all() { "careless" } else { "brief" };
    // By itself: how long each run may take is told by how long the first one took.
    let found = explore(program, &["--kill", "2"]);
    let each = thread::scope(|scope| {
        let each = [1, 2, 3, 4, 5].map(|call| scope.spawn(move || hang_before(call).out));
        each.map(|one| one.join().expect("it does not panic")).concat()
    });
    assert_eq!(found.code, 5, "{}{}", found.out, found.err);
    let calls = if plays_all() { 6 } else { 3 };
    assert!(found.err.starts_with(&format!("rsm-ctl: node 2 makes {calls} calls: {calls} runs, of ")), "{}", found.err);
    // Its connect has a time-out, which counts where it had to wait: not where the other node was there before.
    let head = found.err.lines().next().expect("a first line");
    let is_told = head.contains(" at most; ") && head.contains(" s more where");
    assert!(is_told || head.ends_with(" at most"), "{head}");
    for (call, name) in [
        (1, "Controller::connect_within"),
        (2, "Import::signal"),
        (3, "Import::wait"),
        (4, "Import::put_u64"),
        (5, "Import::signal"),
    ] {
        let begins = format!("  node 2 before call {call}, {name} (");
        let line = each.lines().find(|line| line.starts_with(&begins));
        let line = line.unwrap_or_else(|| panic!("{begins} is not in\n{each}"));
        assert!(line.contains("programs.rs:") && line.contains("): node 1 hangs in Export::wait ("), "{line}");
        if plays_all() || call < 3 {
            assert!(found.out.lines().any(|line| line.starts_with(&begins)), "{begins} is not in\n{}", found.out);
        }
    }
    assert!(found.out.contains("    it waits for a signal to its segment 0x400000, none pending"), "{}", found.out);
    let last = found.out.lines().last().expect("a last line");
    let command = "points hang, the first: rsm-ctl explore -n 2 --kill 2 --at 1 --env ";
    assert!(last.contains(&format!(" of {calls} {command}")), "{last}");
}

story!(one_point_is_repeated_and_what_the_programs_write_is_shown);
fn one_point_is_repeated_and_what_the_programs_write_is_shown() {
    let found = hang_before(3);
    assert_eq!(found.code, 5, "{}{}", found.out, found.err);
    assert!(found.out.starts_with("node 1 has the token\n"), "{}", found.out);
    assert!(found.out.contains("  node 2 before call 3, Import::wait ("), "{}", found.out);
    // Without a limit, the run that counts says how long it may take.
    let well = explore("careful", &["--kill", "2", "--at", "3"]);
    assert!(well.code == 0 || well.out.contains("still waits"), "{}{}", well.out, well.err);
    let beyond = explore("careful", &["--kill", "2", "--at", "1000", "--timeout", LONG]);
    assert_eq!(beyond.code, 0, "{}{}", beyond.out, beyond.err);
    assert!(beyond.out.contains("  node 2 made no call 1000 this time, and lived: nothing is wrong"), "{}", beyond.out);
}

story!(a_program_that_survives_is_not_blamed);
fn a_program_that_survives_is_not_blamed() {
    let words = ["--kill", "2", "--timeout", LONG];
    let [well, quiet] = explore_each("careful", [&words, &[&["-q"], &words[..]].concat()]);
    assert_eq!((well.code, &*well.out), (0, "  6 points, and nothing hangs, fails or is left\n"), "{}", well.err);
    assert_eq!((quiet.code, &*quiet.out, &*quiet.err), (0, "", ""));
}

story!(an_end_of_its_own_is_told_unless_it_is_allowed);
fn an_end_of_its_own_is_told_unless_it_is_allowed() {
    let words = ["--kill", "2", "--timeout", LONG];
    let with = |more: &[&'static str]| [&words, more].concat();
    let all = [&words, &*with(&["--allow", "7,1"]), &with(&["--allow", "7", "--at", "2"])];
    let [found, allowed, other] = explore_each("strict", all);
    assert!(!found.err.contains("more where somebody waits"), "{}", found.err);
    assert_eq!(found.code, 5, "{}{}", found.out, found.err);
    assert!(found.out.contains("  node 2 before call 3, Import::wait ("), "{}", found.out);
    assert!(found.out.contains("): node 1 ended with exit code 1\n"), "{}", found.out);
    assert!(found.out.contains(" of 6 points fail, the first: "), "{}", found.out);
    assert_eq!(allowed.code, 0, "{}{}", allowed.out, allowed.err);
    assert_eq!(other.code, 5, "{}{}", other.out, other.err);
}

story!(wrong_calls_of_a_survivor_are_told_unless_they_are_usual_or_allowed);
fn wrong_calls_of_a_survivor_are_told_unless_they_are_usual_or_allowed() {
    let found = explore("muddled", &["--kill", "2", "--timeout", LONG]);
    assert_eq!(found.code, 5, "{}{}", found.out, found.err);
    let line = found.out.lines().find(|line| line.starts_with("  node 2 before call 3, Import::wait ("));
    let line = line.unwrap_or_else(|| panic!("{}", found.out));
    let told = "node 1 was told RSMERR_SEG_ALREADY_PUBLISHED (6) in Export::publish (";
    assert!(line.contains(told) && line.contains("programs.rs:"), "{line}");
    assert!(!found.out.contains("SEGID_IN_USE"), "{}", found.out);
    assert!(found.out.contains(" points make wrong calls, the first: "), "{}", found.out);
    let other = ["--kill", "2", "--at", "2", "--timeout", LONG, "--allow-errors", "SEGID_IN_USE"];
    assert_eq!(explore("muddled", &other).code, 5);
    let allowed =
        explore("muddled", &["--kill", "2", "--at", "2", "--timeout", LONG, "--allow-errors", "SEG_ALREADY_PUBLISHED"]);
    assert_eq!(allowed.code, 0, "{}{}", allowed.out, allowed.err);
}

story!(a_crash_is_told_whatever_is_allowed);
fn a_crash_is_told_whatever_is_allowed() {
    let found = explore("fragile", &["--kill", "2", "--allow", "134", "--at", "2", "--timeout", LONG]);
    assert_eq!(found.code, 5, "{}{}", found.out, found.err);
    assert!(found.out.contains("): node 1 was killed by signal 6 (SIGABRT)"), "{}", found.out);
}

story!(what_is_left_is_told);
fn what_is_left_is_told() {
    let Littered { said: found, file, was_left } = littered();
    assert!(*was_left && found.code == 5, "{}{}", found.out, found.err);
    assert!(found.out.contains(&format!("): left behind: {file}\n")), "{}", found.out);
}

story!(the_other_node_is_killed_where_it_is_asked_for);
fn the_other_node_is_killed_where_it_is_asked_for() {
    // It has taken a signal, so node 2 is connected, and its import is cut.
    let found = explore("careful", &["--kill", "1", "--at", "4", "--timeout", LONG]);
    assert_eq!(found.code, 0, "{}{}", found.out, found.err);
    let line = "  node 1 before call 4, Export::signal (";
    assert!(found.out.contains(line), "{}", found.out);
}

story!(what_cannot_be_explored);
fn what_cannot_be_explored() {
    for (program, why) in [
        ("silent", "rsm-ctl: node 2 makes no call of rsm before which it could be killed\n"),
        (
            "failing",
            "rsm-ctl: with nobody killed, node 1 ended with exit code 3; what does not end well cannot be explored",
        ),
    ] {
        let told = explore(program, &["--kill", "2", "--timeout", LONG]);
        assert_eq!((told.code, &*told.out), (1, ""), "{}", told.err);
        assert!(told.err.starts_with(why), "{}", told.err);
    }
    for (words, why) in [
        (&["--kill", "3"][..], "there is no node 3 to kill: there are nodes 1 to 2"),
        (&["--kill", "0"], "write the id of a node, 1 to 63"),
        (&["--kill", "2", "--at", "0"], "write the number of a call, from 1"),
        (&["--kill", "2", "--allow", "0"], "write some of 1 to 255"),
        (&["--kill", "2", "--allow-errors", "46"], "write numbers or names, such as 24 or SEGID_IN_USE"),
        (&["--kill", "2", "--timeout", "0"], "must be longer than nothing"),
        (&["--kill", "2", "--log-dir", "x"], "--log-dir is for one run"),
        (&["--kill", "2", "--node", "1"], "no program runs on node 2, which is to be killed"),
        (&[], "--kill"),
    ] {
        let told = explore("careful", words);
        assert_eq!((told.code, &*told.out), (2, ""), "{words:?}: {}", told.err);
        assert!(told.err.contains(why), "{words:?}: {}", told.err);
    }
    let mut nothing = Command::new(env!("CARGO_BIN_EXE_rsm-ctl"));
    let told = said(nothing.args(["explore", "-n", "2", "--kill", "2"]));
    assert!(told.code == 2 && told.err.contains("<PROG ARGS|--file <FILE>>"), "{}", told.err);
}

story!(a_signal_ends_everything_and_what_was_found_is_told);
fn a_signal_ends_everything_and_what_was_found_is_told() {
    // Whoever runs the tests may ignore it, as a shell's background jobs do.
    rsm_run::process::use_default_action(Signal::INT);
    littered();
    let mut explore = command("careless", &["--kill", "2", "--timeout", "600s"]);
    let mut child: Child = explore.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("rsm-ctl runs");
    let mut err = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    err.read_line(&mut line).expect("a line");
    assert!(line.starts_with("rsm-ctl: node 2 makes 6 calls"), "{line}");
    kill_process(Pid::from_child(&child), Signal::INT).expect("our child");
    let mut out = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    assert_eq!(child.wait().expect("our child").code(), Some(130), "{out}");
    assert_eq!(out, "  interrupted; 0 points tried of 6, and nothing hangs, fails or is left\n");
    // Every process of the run had its end of this pipe.
    err.read_to_string(&mut line).expect("text");
}
