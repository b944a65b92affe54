//! How a run went, as facts.

use std::time::Duration;

use rustix::process::{RawPid, Signal};
use serde::{Deserialize, Serialize};

use crate::account::Account;
use crate::calls::ProcessCalls;
use crate::exit_code::ExitCode;
use crate::output::Output;
use crate::status::Status;
use crate::summary::LastLines;
use crate::supervision::Blame;
use crate::task::Task;

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
