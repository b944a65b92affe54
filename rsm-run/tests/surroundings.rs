//! Owned runs in programs that have changed what is around them.
#![allow(unsafe_code)] // descriptors are closed whoever owns them, and what a signal does is changed

use rsm_run::{Launch, Report};
use rustix::process::{Resource, getpid, getrlimit, set_child_subreaper, setrlimit};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a program ends with in which everything went as it should; no code of a panic or of the harness.
const GOOD: i32 = 42;

/// Runs one of the ignored tests below in a process of its own.
fn is_good(test: &str) {
    is_good_in(&std::env::current_exe().unwrap(), test);
}

fn is_good_in(program: &Path, test: &str) {
    let mut command = Command::new(program);
    // The harness takes text only.
    command.arg0("surroundings");
    command.args(["--exact", test, "--ignored", "--nocapture"]).stdin(Stdio::null());
    let ended = command.output().unwrap();
    assert_eq!(ended.status.code(), Some(GOOD), "{}", String::from_utf8_lossy(&ended.stderr));
}

fn launch() -> Launch {
    let script = "echo out; echo err >&2";
    Launch::new(2).program("all", Command::new("sh").args(["-c", script])).timeout(Duration::from_secs(60))
}

fn end(report: &Report) -> ! {
    let good = report.is_success()
        && report.processes().len() == 2
        && report.processes().iter().all(|process| (&*process.stdout, &*process.stderr) == ("out\n", "err\n"));
    eprintln!("{report}");
    std::process::exit(if good { GOOD } else { 1 })
}

#[test]
#[ignore = "run by the test below"]
fn closes_its_standard_descriptors() {
    for number in 0..3 {
        // SAFETY: nothing in this program takes these for others' than whoever writes to them by number.
        unsafe { rustix::io::close(number) };
    }
    let mut run = launch().shown(true).start().unwrap();
    // What the program says now leads nowhere, and least of all into the run.
    for number in 0..3 {
        // SAFETY: borrowed for this call; nobody closes it meanwhile.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::write(descriptor, b"who hears this?");
    }
    end(&run.wait().unwrap());
}

#[test]
fn standard_descriptors_that_are_closed() {
    is_good("closes_its_standard_descriptors");
}

#[test]
#[ignore = "run by the test below"]
fn lets_its_children_go_unnoticed() {
    // SAFETY: no handler comes with it.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    set_child_subreaper(Some(getpid())).unwrap();
    let refused = launch().helper(&Command::new("true")).run().unwrap_err();
    assert!(refused.message.contains("cannot start a run") || refused.message.contains("before it could tell"));
    end(&launch().run().unwrap());
}

#[test]
fn children_that_are_not_waited_for() {
    is_good("lets_its_children_go_unnoticed");
}

#[test]
fn a_program_whose_name_is_no_text() {
    let folder = std::env::temp_dir().join(format!("rsm-run-surroundings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join(OsStr::from_bytes(b"a \xff b"));
    // By a process of its own: a file that anybody has open for writing cannot be executed, and tests beside this one fork.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&program).status().unwrap().success());
    let tried = std::panic::catch_unwind(|| is_good_in(&program, "lets_its_children_go_unnoticed"));
    std::fs::remove_dir_all(&folder).unwrap();
    tried.unwrap();
}

#[test]
#[ignore = "run by the test below"]
fn has_few_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    let few = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    // From too few for the first one to enough; what fails says so, and leaves nothing.
    for more in 0..40 {
        limit.current = Some(few + more);
        setrlimit(Resource::Nofile, limit).unwrap();
        match launch().run() {
            Err(failure) => assert!(failure.message.starts_with("cannot "), "{failure}"),
            Ok(report) => {
                assert!(more > 5, "few are enough");
                end(&report)
            }
        }
        let after = std::fs::read_dir("/proc/self/fd").map_or(few, |all| all.count() as u64);
        assert!(after <= few, "{after} descriptors, where there were {few}");
    }
    panic!("never enough");
}

#[test]
fn descriptors_that_are_few() {
    is_good("has_few_descriptors");
}

#[test]
#[ignore = "run by the test below"]
fn drops_a_run_in_a_forked_child() {
    // It waits for a line, which nobody but this process writes.
    let folder = std::env::temp_dir().join(format!("rsm-run-forked-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let fifo = folder.join("fifo");
    let script = format!("mkfifo {0:?} && read line < {0:?} && echo $line", fifo);
    let mut run = Launch::new(1).program("all", Command::new("sh").args(["-c", &script])).start().unwrap();
    // SAFETY: the child does no more than drop what it has a copy of, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(run);
        // SAFETY: a plain call.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: our child, and a place for its status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    while !fifo.exists() && !run.is_over() {
        std::thread::yield_now();
    }
    let written = run.is_over() || std::fs::write(&fifo, "lives\n").is_ok();
    let report = run.wait().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    eprintln!("{report}");
    std::process::exit(if written && report.processes()[0].stdout == "lives\n" { GOOD } else { 1 })
}

#[test]
fn a_forked_child_ends_no_run_of_its_parent() {
    is_good("drops_a_run_in_a_forked_child");
}
