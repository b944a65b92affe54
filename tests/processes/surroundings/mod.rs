//! What people change around a program, before it uses the library and afterwards: each operation is then right, or
//! fails with an error that says what is the matter, and nothing of anybody else's is touched.
//!
//! A row of [`changes`] or [`refusals`] is a change. Its cells are run by real processes ([`program`]) that make the
//! change, use everything once and report what came of it: as node 2 of a cluster whose node 1 is this process, and as a
//! private cluster, with the agent in the process that is changed.
#![allow(unsafe_code)]

mod changes;
mod program;
mod refusals;

use super::group::{Group, Limits};
use rsm::{AccessList, Capabilities, Feature, SegmentId};
use rsm_shm::memory::page_size;
use rsm_stories::{cluster, no_raised_rights, patience, story};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

pub(crate) use program::run;

/// Environment variable that makes this program one that is changed.
pub(crate) const ENV: &str = "RSM_TEST_SURROUNDINGS";

/// Environment variable with the file by which a control group is entered.
const ENTRANCE: &str = "RSM_TEST_ENTRANCE";

story!("surroundings/descriptors", || run_rows(changes::DESCRIPTORS));
story!("surroundings/namespaces", || run_rows(changes::NAMESPACES));
story!("surroundings/proc", || run_rows(changes::PROC));
story!("surroundings/users", || run_rows(changes::USERS));
story!("surroundings/limits", || run_rows(changes::LIMITS));
story!("surroundings/groups", || run_rows(changes::GROUPS));
story!("surroundings/signals", || run_rows(changes::SIGNALS));
story!("surroundings/relatives", || run_rows(changes::RELATIVES));
story!("surroundings/refusals", || run_rows(refusals::ROWS));
story!("surroundings/refusals by machine", || run_rows(refusals::BY_MACHINE));

/// An operation that fails, its error number (of the change itself: its errno), and a part of what the error says.
type Failure = (&'static str, i32, &'static str);

/// What a cell expects: that all is right but for these. `None` where the change cannot be made at that time.
type Expected = Option<&'static [Failure]>;

/// Everything is right.
const RIGHT: Expected = Some(&[]);

/// A change of a program's surroundings.
struct Row {
    name: &'static str,
    needs: Needs,
    change: Change,
    /// In a cluster, made before the library is used and afterwards; then the same in a private cluster.
    cells: [Expected; 4],
}

/// How a change is made.
#[derive(Clone, Copy)]
enum Change {
    /// By the program itself.
    Act(fn(&mut program::Scene) -> rustix::io::Result<()>),
    /// A system call gives this errno from then on.
    Refuse(i64, i32),
    /// The program enters a control group of its own with these limits, and then does that.
    Enter(&'static Limits, fn(&mut program::Scene) -> rustix::io::Result<()>),
    /// The program's file has the set-user-id bit, and somebody else starts it.
    SetUserId,
}

/// What a machine must allow for a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Root,
    /// Mounts, which some containers refuse even to root.
    Mounts,
    UserNamespaces,
    /// Root, and programs that run as their owner.
    RaisedRights,
    /// Root, and a kernel that lets threads be started after `unshare(CLONE_NEWTIME)`, or one that does not.
    ThreadsAfterTime(bool),
    /// A kernel that names who joins (Linux 6.5), or one that does not.
    NamedPeers(bool),
    /// A libc that starts threads by clone3 only, or one that knows better.
    ThreadsByClone3(bool),
}

impl Needs {
    /// Why it cannot be done here; nothing where it is not to be.
    fn missing(self) -> Option<&'static str> {
        let works = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        match self {
            Needs::Nothing => None,
            Needs::Root if !rustix::process::geteuid().is_root() => Some("needs root"),
            Needs::Root => None,
            Needs::ThreadsAfterTime(_) if !rustix::process::geteuid().is_root() => Some("needs root"),
            // Another row says what is expected of the other kernels.
            Needs::ThreadsAfterTime(wanted) => (changes::threads_after_time() != wanted).then_some(""),
            Needs::NamedPeers(wanted) => {
                (Capabilities::probe().has(Feature::PeerProcessDescriptor) != wanted).then_some("")
            }
            Needs::ThreadsByClone3(wanted) => (refusals::threads_by_clone3() != wanted).then_some(""),
            Needs::RaisedRights if !rustix::process::geteuid().is_root() => Some("needs root"),
            Needs::RaisedRights => no_raised_rights(&std::env::temp_dir()),
            Needs::Mounts => {
                let may = works("unshare", &["-m", "mount", "-t", "tmpfs", "none", "/proc"]);
                (!may).then_some("needs root, and to mount")
            }
            Needs::UserNamespaces => {
                (!works("unshare", &["-U", "true"])).then_some("needs user namespaces, and unshare(1)")
            }
        }
    }
}

const CELLS: [(&str, bool, bool); 4] = [
    ("before", false, false),
    ("after", true, false),
    ("private, before", false, true),
    ("private, after", true, true),
];

/// A directory that goes with the row.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs all cells of some rows, and tells of all that are wrong.
fn run_rows(rows: &[Row]) {
    let wrong: Vec<String> = rows.iter().flat_map(run_row).collect();
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// Runs a row's cells at once; says what is wrong.
fn run_row(row: &Row) -> Vec<String> {
    static ROWS: AtomicU32 = AtomicU32::new(0);
    if let Some(missing) = row.needs.missing() {
        if !missing.is_empty() {
            println!("{}: skipped: {missing}", row.name);
        }
        return Vec::new();
    }
    let number = ROWS.fetch_add(1, Relaxed);
    if let Change::Enter(limits, _) = row.change
        && let Err(missing) = Group::new(&format!("{number}-trial"), limits)
    {
        if !missing.is_empty() {
            println!("{}: skipped: {missing}", row.name);
        }
        return Vec::new();
    }
    let scratch = Scratch(std::env::temp_dir().join(format!("rsm-surroundings-{}-{number}", std::process::id())));
    std::fs::create_dir(&scratch.0).expect("a directory");
    if matches!(row.change, Change::SetUserId) {
        // Here, where no thread starts a program that would inherit a file that is still open for writing.
        let copy = scratch.0.join("program");
        std::fs::copy(std::env::current_exe().expect("this program"), &copy).expect("a copy");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
        std::fs::set_permissions(&copy, mode).expect("the bit");
    }
    let cluster = cluster(2);
    let peer = cluster.node(1).expect("node 1").controller("shm0").expect("shm0");
    let segment = peer.export(page_size()).expect("an export");
    segment.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).expect("published");
    let wrong = std::thread::scope(|scope| {
        let cells = CELLS.into_iter().zip(row.cells).filter_map(|((when, after, private), expected)| {
            let expected = expected?;
            let environment = if private { Vec::new() } else { cluster.environment(2).expect("node 2") };
            let (scratch, segment) = (&scratch.0, &segment);
            let run = move || -> Result<(), String> {
                let report = run_cell(row, scratch, after, &environment)?;
                judge(&report, expected)?;
                if !private && report.iter().any(|line| line.starts_with("put ok")) {
                    let there = segment.memory().read_volatile_u64(program::word(after)).expect("in the segment");
                    if there != program::VALUE {
                        return Err(format!("what it put is {there:#x}"));
                    }
                }
                Ok(())
            };
            Some((when, scope.spawn(run)))
        });
        let cells: Vec<_> = cells.collect();
        let ended = cells.into_iter().map(|(when, cell)| (when, cell.join().expect("no panic")));
        ended.filter_map(|(when, end)| Some(format!("{} ({when}): {}", row.name, end.err()?))).collect()
    });
    // The cluster has not noticed.
    let other = cluster.node(2).expect("node 2").controller("shm0").expect("shm0");
    let import = other.connect(1, SegmentId::new(0x40_0000), rsm::Permission::ReadWrite).expect("still there");
    import.put_u64(64, 1).expect("still right");
    import.disconnect().expect("connected");
    segment.unpublish().expect("nobody holds it");
    wrong
}

/// Runs the program; gives the lines of its report.
fn run_cell(
    row: &Row,
    scratch: &Path,
    after: bool,
    environment: &[(&'static str, String)],
) -> Result<Vec<String>, String> {
    static GROUPS: AtomicU32 = AtomicU32::new(0);
    let private = if environment.is_empty() { "private" } else { "member" };
    let file = scratch.join(format!("report-{after}-{private}"));
    program::Report::create(&file);
    let own = std::env::current_exe().expect("this program");
    let mut command = if matches!(row.change, Change::SetUserId) {
        let mut command = Command::new(scratch.join("program"));
        command.uid(program::NOBODY).gid(program::NOBODY);
        let ids = scratch.join("ids");
        std::fs::write(&ids, format!("reserved {} 0x700000 1\n", program::APPLICATION)).expect("a file");
        command.env("RSM_SEGMENTID_FILE", ids);
        command
    } else {
        Command::new(own)
    };
    command.env(ENV, row.name).env("RSM_TEST_AFTER", after.to_string()).env("RSM_TEST_REPORT", &file);
    command.envs(environment.iter().map(|(name, value)| (*name, value)));
    // Gone after the program.
    let _group = match row.change {
        Change::Enter(limits, _) => {
            let number = GROUPS.fetch_add(1, Relaxed);
            let group = Group::new(&format!("cell-{number}"), limits)?;
            command.env(ENTRANCE, group.entrance());
            Some(group)
        }
        _ => None,
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let deadline = Instant::now() + patience();
    let ended = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("hangs after {:?}", program::Report::read(&file)));
        }
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    };
    let report = program::Report::read(&file);
    let output = |pipe: Option<&mut dyn std::io::Read>| {
        let mut text = String::new();
        pipe.expect("piped").read_to_string(&mut text).expect("text");
        text
    };
    let printed = output(child.stdout.as_mut().map(|p| p as _));
    let complaints = output(child.stderr.as_mut().map(|p| p as _));
    if !ended.success() {
        return Err(format!("{ended} (signal {:?}) after {report:?}: {complaints}", ended.signal()));
    }
    if !printed.is_empty() {
        return Err(format!("something wrote {printed:?} to the standard output"));
    }
    if report.last().is_none_or(|line| line != "end") {
        return Err(format!("no end: {report:?}"));
    }
    Ok(report)
}

/// Compares a report with what was expected.
fn judge(report: &[String], expected: &[Failure]) -> Result<(), String> {
    let mut wrong = Vec::new();
    for line in report.iter().filter(|line| *line != "end") {
        let (operation, outcome) = line.split_once(' ').expect("two words");
        match expected.iter().find(|(name, _, _)| *name == operation) {
            None if outcome.starts_with("ok") => {}
            None => wrong.push(line.clone()),
            Some((_, code, text)) if outcome.starts_with(&format!("err {code} ")) && outcome.contains(text) => {}
            Some((_, code, text)) => wrong.push(format!("{line} (expected {code} and {text:?})")),
        }
    }
    for (operation, _, _) in expected {
        let begin = format!("{operation} ");
        if !report.iter().any(|line| line.starts_with(&begin)) {
            wrong.push(format!("no {operation}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
