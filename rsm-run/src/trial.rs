//! Runs whose course is wanted as facts and not as text: what exploring judges.
//!
//! [`quietly`] carries a plan out in a child of this process, whose nodes' output nobody sees; [`shown`] in this process, with
//! their output as in any run. Both give a [`Trial`].

use std::fs::File;
use std::io::{self, Read, Seek};
use std::time::Duration;

use rsm::lens::gate::Called;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{
    Pid, PidfdFlags, RawPid, Signal, WaitOptions, getpid, kill_process, pidfd_open, setpgid, waitpid,
};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Output;
use crate::plan::{Home, NewCluster, Plan};
use crate::process::{self, Forked};
use crate::signals::SignalQueue;
use crate::status::Status;
use crate::summary::LastLines;
use crate::supervision::Blame;
use crate::task::Task;
use crate::{front, output};

/// How a run went.
#[derive(Debug, Serialize, Deserialize)]
pub struct Trial {
    /// What the run ended with.
    pub code: ExitCode,
    /// How long it took.
    pub took: Duration,
    /// Its processes, in the order of the plan.
    pub processes: Vec<Process>,
    /// Whether the time was up.
    pub timed_out: bool,
    /// The signal that ended it from outside.
    pub interrupted: Option<i32>,
    /// Why the cluster ended under its processes.
    pub cluster_ended: Option<String>,
    /// Why it ended with a code of its own, if one of its processes wanted that and it is a failure.
    pub ended_by: Option<String>,
    /// How what runs the processes ended before they had.
    pub lost: Option<String>,
    /// What processes say of their calls, where the lens has a gate.
    pub calls: Vec<ProcessCalls>,
    /// What the script did, the last of it.
    pub script: Vec<String>,
    /// Why the script was not carried out.
    pub script_failed: Option<String>,
    /// Where the threads of processes were when the time was up, in pieces of whole lines.
    pub stacks: Vec<String>,
    /// What was late and what went wrong, in a run that failed.
    pub late: Vec<String>,
    /// What was left when all processes had ended: of the cluster, and processes that could not be ended.
    pub leftovers: Vec<String>,
}

/// A process of a run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Process {
    /// The node.
    pub node: u32,
    /// What it is called.
    pub label: String,
    /// Process id; 0 for one that did not start.
    pub pid: RawPid,
    /// How it ended.
    pub end: Option<End>,
    /// Whether the time was up before it ended.
    pub was_running: bool,
    /// What it waited for then, as sentences about it.
    pub hangs: Vec<String>,
    /// What it wrote last.
    pub said: Vec<String>,
}

/// How a process ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct End {
    /// Its exit code; `None` for one that a signal killed.
    pub code: Option<u8>,
    /// The signal that killed it.
    pub signal: Option<u8>,
    /// As a sentence about it.
    pub text: String,
    /// How long after the start of the run.
    pub after: Duration,
    /// Whether another one had failed before.
    pub is_consequence: bool,
    /// Whether it had been asked to end before.
    pub asked: bool,
    /// Whether it was killed on purpose.
    pub on_purpose: bool,
}

/// What a process says of its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessCalls {
    /// Its node.
    pub node: u32,
    /// Its id.
    pub pid: RawPid,
    /// What.
    pub called: Called,
}

impl Trial {
    /// What is known of a run that is over.
    pub(crate) fn of(tasks: &[Task], account: &Account, code: ExitCode, said: &impl LastLines) -> Trial {
        let process = |(index, task): (usize, &Task)| {
            let end = account.ends.get(index).copied().flatten();
            let lines = |output| said.last_lines(index, output);
            Process {
                node: task.node,
                label: task.label.clone(),
                pid: account.processes.get(index).copied().unwrap_or_default(),
                end: end.map(|end| End {
                    code: match end.status {
                        Status::Exited(code) => Some(code),
                        Status::Killed(_) => None,
                    },
                    signal: match end.status {
                        Status::Exited(_) => None,
                        Status::Killed(signal) => Some(signal),
                    },
                    text: end.status.to_string(),
                    after: end.after,
                    is_consequence: end.blame == Blame::Consequence,
                    asked: end.blame == Blame::Asked,
                    on_purpose: end.blame == Blame::Purpose,
                }),
                was_running: account.timed_out.as_ref().is_some_and(|running| running.contains(&index)),
                hangs: account.hangs(index, task.node),
                said: Some(lines(Output::Stderr)).filter(|l| !l.is_empty()).unwrap_or_else(|| lines(Output::Stdout)),
            }
        };
        Trial {
            code,
            took: account.elapsed(),
            processes: tasks.iter().enumerate().map(process).collect(),
            timed_out: account.timed_out.is_some(),
            interrupted: account.interrupted.map(Signal::as_raw),
            cluster_ended: account.cluster_ended.clone(),
            ended_by: account.ended_by.clone(),
            lost: account.lost.clone(),
            calls: account.calls.clone(),
            script: account.script.clone(),
            script_failed: account.script_failed.clone(),
            stacks: account.stacks.clone(),
            late: account.late.clone(),
            leftovers: account.leftovers.clone(),
        }
    }
}

/// What the child gives back.
type Told = Result<Trial, (ExitCode, String)>;

/// Carries a plan out in a child process; what its nodes write goes nowhere but into the [`Trial`]. Signals of the queue that
/// come meanwhile are the run's.
///
/// Only for a process without other threads: it is forked.
///
/// # Errors
/// Why it did not start.
///
/// # Crash
/// The child is killed with this process, and its nodes with it.
pub fn quietly(plan: &mut Plan, signals: &SignalQueue) -> Result<Trial, Failure> {
    let failed = |call: &'static str| move |error| Failure::call("cannot start a run", call, error);
    let errno = |call: &'static str| move |errno: rustix::io::Errno| failed(call)(errno.into());
    let told = memfd_create("rsm-trial", MemfdFlags::CLOEXEC).map_err(errno("memfd_create"))?;
    let mut told = File::from(told);
    let parent = getpid();
    match process::fork().map_err(failed("fork"))? {
        Forked::Child => {
            let nothing = Plan::plain(Home::New(NewCluster::default()), Vec::new(), plan.verbosity);
            let outcome: Told =
                in_child(std::mem::replace(plan, nothing), parent).map_err(|Failure { code, message }| (code, message));
            let written = serde_json::to_writer(&mut told, &outcome).is_ok();
            std::process::exit(i32::from(!written));
        }
        Forked::Parent(child) => {
            wait_for(child, signals).map_err(failed("pidfd_open"))?;
            let mut bytes = Vec::new();
            told.rewind().and_then(|()| told.read_to_end(&mut bytes)).map_err(failed("read"))?;
            match serde_json::from_slice::<Told>(&bytes) {
                Ok(outcome) => outcome.map_err(|(code, message)| Failure { code, message }),
                Err(_) => Err(Failure::new("a run was killed before it could tell how it went")),
            }
        }
    }
}

fn in_child(plan: Plan, parent: Pid) -> Result<Trial, Failure> {
    let failed = |error| Failure::system("cannot start a run", error);
    process::end_with(parent).map_err(failed)?;
    // What the terminal sends is for the parent alone, which passes it on.
    setpgid(None, None).map_err(|errno| failed(errno.into()))?;
    let null = output::null().map_err(failed)?;
    let all = dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null));
    all.map_err(|errno| failed(errno.into()))?;
    front::tried(plan)
}

/// Waits for the end of a child, to which it passes signals on.
fn wait_for(child: Pid, signals: &SignalQueue) -> io::Result<()> {
    let pidfd = pidfd_open(child, PidfdFlags::empty());
    if let Ok(pidfd) = &pidfd {
        loop {
            let mut events = [PollFd::new(pidfd, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            let _ = poll(&mut events, None);
            if !events[0].revents().is_empty() {
                break;
            }
            while let Some(signal) = signals.next() {
                // Not reaped yet, so the number is still its.
                let _ = kill_process(child, signal);
            }
        }
    } else {
        let _ = kill_process(child, Signal::KILL);
    }
    let _ = waitpid(Some(child), WaitOptions::empty());
    pidfd.map(drop).map_err(io::Error::from)
}

/// Carries a plan out in this process; what its nodes write and what is to be said goes to its own outputs.
///
/// # Errors
/// Why it did not start.
pub fn shown(plan: Plan) -> Result<Trial, Failure> {
    front::tried(plan)
}
