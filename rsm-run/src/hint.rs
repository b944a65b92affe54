//! What to do next to learn why a process failed.

use std::ffi::OsStr;
use std::fs;

use crate::account::End;
use crate::interpreter;
use crate::status::Status;
use crate::task::Task;

/// Signals by which the kernel or libc end a program that went wrong.
const FAULTS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];

/// What Rust programs end with after a panic in their main thread.
const PANICKED: u8 = 101;

/// Longest command that is shown whole.
const LONGEST: usize = 160;

/// A hint for the process with this index, if there is one.
pub(crate) fn of(tasks: &[Task], index: usize, pid: Option<i32>, end: &End, stderr: &[String]) -> Option<String> {
    let task = &tasks[index];
    let panicked = stderr.iter().any(|line| line.contains("panicked at"));
    match end.status {
        Status::Exited(PANICKED) => backtrace(task),
        _ if panicked => backtrace(task),
        Status::Exited(_) => interpreter::hint(&task.program.path),
        Status::Killed(signal) if FAULTS.contains(&i32::from(signal)) => {
            Some(if end.core { core(task, pid) } else { format!("to see where: {}", debugger(tasks, index)) })
        }
        Status::Killed(signal) if i32::from(signal) == libc::SIGKILL => Some(
            "not killed by this run: by somebody else, or by the kernel when memory was short (`dmesg` tells)".into(),
        ),
        Status::Killed(_) => None,
    }
}

fn backtrace(task: &Task) -> Option<String> {
    let set = |name: &OsStr, value: &OsStr| name == "RUST_BACKTRACE" && value != "0";
    let own = task.environment.iter().any(|(name, value)| set(name, value));
    let inherited = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    (!own && !inherited).then(|| format!("for a backtrace: run it again with --env {}:RUST_BACKTRACE=1", task.node))
}

/// Where the kernel put the core.
fn core(task: &Task, pid: Option<i32>) -> String {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let pattern = pattern.trim_end();
    let pid = pid.map_or_else(|| "PID".to_owned(), |pid| pid.to_string());
    match pattern.strip_prefix('|') {
        Some(handler) if handler.contains("systemd-coredump") => format!("it left a core: coredumpctl gdb {pid}"),
        Some(handler) => format!("it left a core, which was given to {handler}"),
        None => {
            let program = quoted(task.program.path.as_os_str());
            format!("it left a core (the pattern is {pattern}, pid {pid}): gdb {program} CORE")
        }
    }
}

/// A command that runs the process again under gdb. Where it would be long, the programs are only named.
fn debugger(tasks: &[Task], index: usize) -> String {
    let task = &tasks[index];
    let nodes = tasks.last().map_or(task.node, |task| task.node);
    let same = tasks.iter().all(|other| other.program == task.program) && nodes as usize == tasks.len();
    let command = |program: &str| {
        let gdb = format!("gdb -batch -ex run -ex bt --args {program}");
        match (same, nodes) {
            (true, 1) => format!("rsm-ctl run -n 1 -- {gdb}"),
            (true, _) => format!("rsm-ctl run -n {nodes} --node {} -- {gdb} --node others -- {program}", task.node),
            (false, _) => format!("start in its place {gdb}"),
        }
    };
    let whole = command(&line(task));
    let name = quoted(&task.program.name);
    if whole.len() <= LONGEST { whole } else { command(&format!("{name} ...")) }
}

fn line(task: &Task) -> String {
    let words = std::iter::once(&task.program.name).chain(&task.program.arguments);
    words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// A word as a shell takes it.
pub fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node_set::NodeSet;
    use crate::program::Program;
    use crate::supervision::Blame;
    use crate::task::{Common, Part, lay_out};
    use std::time::Duration;

    fn tasks(nodes: u32) -> Vec<Task> {
        let program = Program { path: "/bin/prog".into(), name: "prog".into(), arguments: vec!["a b".into()] };
        lay_out(nodes, vec![Part::plain(NodeSet::All, program)], &Common::default(), &Common::default()).unwrap()
    }

    fn hint(nodes: u32, status: Status, stderr: &[&str]) -> Option<String> {
        let end = End { status, core: false, blame: Blame::Cause, after: Duration::ZERO };
        let stderr: Vec<String> = stderr.iter().map(|&line| line.to_owned()).collect();
        of(&tasks(nodes), 0, Some(7), &end, &stderr)
    }

    #[test]
    fn a_command_to_paste() {
        let faulted = hint(3, Status::Killed(11), &[]).unwrap();
        assert!(
            faulted.ends_with(
                "rsm-ctl run -n 3 --node 1 -- gdb -batch -ex run -ex bt --args prog 'a b' --node others -- prog 'a b'"
            ),
            "{faulted}"
        );
        assert!(hint(1, Status::Killed(6), &[]).unwrap().contains("rsm-ctl run -n 1 -- gdb"));
    }

    #[test]
    fn what_is_worth_one() {
        assert_eq!(hint(1, Status::Exited(1), &["no such file"]), None);
        assert_eq!(hint(1, Status::Killed(15), &[]), None);
        assert!(hint(1, Status::Killed(9), &[]).unwrap().contains("dmesg"));
        if std::env::var_os("RUST_BACKTRACE").is_none() {
            let panicked = hint(1, Status::Exited(101), &["thread 'main' panicked at src/main.rs:3:5:"]);
            assert_eq!(panicked.unwrap(), "for a backtrace: run it again with --env 1:RUST_BACKTRACE=1");
        }
    }

    #[test]
    fn words_for_a_shell() {
        assert_eq!(quoted(OsStr::new("a/b-c=1")), "a/b-c=1");
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
    }
}
