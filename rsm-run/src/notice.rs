//! What the front says about a run, and how much of it the user wants to read.

use std::fmt::Write;

use rustix::process::{Pid, RawPid};

use crate::message::ToFront;
use crate::plan::Plan;
use crate::status::Status;
use crate::supervision::Blame;
use crate::task::Task;
use crate::verbosity::Verbosity;

/// The line for something the warden told, if it is worth one.
pub(crate) fn of(message: &ToFront, plan: &Plan) -> Option<String> {
    let wanted = match message {
        // Why `rsm-ctl` itself cannot go on is always said.
        ToFront::Refused { .. } | ToFront::Escaped { .. } | ToFront::Stacks { .. } | ToFront::ScriptFailed { .. } => {
            Verbosity::Quiet
        }
        // Whoever runs one process has its exit code.
        ToFront::Ended { status: Status::Exited(_), .. } if plan.terse => Verbosity::Verbose,
        ToFront::RunEnds { code: 0, .. } => Verbosity::Verbose,
        ToFront::RunEnds { .. }
        | ToFront::Ended { blame: Blame::Cause | Blame::Purpose, .. }
        | ToFront::TimedOut { .. }
        | ToFront::Scripted { .. }
        | ToFront::Modelled { .. }
        | ToFront::ClusterEnds { .. } => Verbosity::Normal,
        _ => Verbosity::Verbose,
    };
    (plan.verbosity >= wanted).then(|| text(message, plan)).flatten()
}

fn text(message: &ToFront, plan: &Plan) -> Option<String> {
    let label = |index: &usize| plan.tasks.get(*index).map_or("?", |task| &*task.label);
    Some(match message {
        ToFront::Refused { message, .. } => format!("rsm-ctl: {message}"),
        ToFront::Started { cluster, processes } => {
            let place = |task: &Task| task.cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
            let list = plan.tasks.iter().zip(processes).fold(String::new(), |mut list, (task, process)| {
                let _ = write!(list, ", node {} is process {process}{}", task.label, place(task));
                list
            });
            format!("rsm-ctl: cluster {cluster} is running{list}")
        }
        ToFront::Ended { index, process, status, blame: Blame::Purpose, .. } => {
            let how = "by who disturbs the cluster on purpose, which is no failure";
            format!("rsm-ctl: node {} (pid {process}) {status} {how}", label(index))
        }
        ToFront::Ended { index, process, status, .. } => {
            format!("rsm-ctl: node {} (pid {process}) {status}", label(index))
        }
        ToFront::RunEnds { index: Some(index), process, code } => {
            format!("rsm-ctl: node {} (pid {process}) ends the run with exit code {code}", label(index))
        }
        ToFront::RunEnds { index: None, process, code } => {
            format!("rsm-ctl: process {process} ends the run with exit code {code}")
        }
        ToFront::Restarted { index, process } => {
            format!("rsm-ctl: node {} starts again as process {process}", label(index))
        }
        ToFront::Scripted { line } => format!("rsm-ctl: script: {line}"),
        ToFront::TraceFailed { why } => format!("rsm-ctl: {why}"),
        ToFront::ScriptFailed { why } => format!("rsm-ctl: {why}"),
        ToFront::Left { processes } if processes.is_empty() => return None,
        ToFront::Left { processes } => {
            format!("rsm-ctl: all nodes have ended; waiting for what they left running: {}", listed(processes))
        }
        ToFront::Stacks { text } => text.clone(),
        ToFront::TimedOut { running, .. } => {
            let after = plan.timeout.map(|timeout| format!(" after {timeout:?}")).unwrap_or_default();
            let labels: Vec<&str> = running.iter().map(label).collect();
            match &*labels {
                [] => format!("rsm-ctl: timed out{after}; no node was running, only processes that nodes had left"),
                [node] => format!("rsm-ctl: timed out{after}; node {node} was still running"),
                nodes => format!("rsm-ctl: timed out{after}; nodes {} were still running", nodes.join(", ")),
            }
        }
        ToFront::Escaped { processes } => {
            let whose = if processes.len() == 1 { "has become another user's" } else { "have become other users'" };
            format!("rsm-ctl: left running, as only root can end what {whose}: process {}", processes.join(", "))
        }
        ToFront::ClusterEnds { why } => format!("rsm-ctl: {why}"),
        ToFront::Modelled { line } => format!("rsm-ctl: {line}"),
        ToFront::Suspended
        | ToFront::Late { .. }
        | ToFront::Calls { .. }
        | ToFront::Looked { .. }
        | ToFront::Leftovers { .. }
        | ToFront::Finished { .. } => return None,
    })
}

/// What can be done with a cluster that runs.
pub fn usage(cluster: &str, nodes: u32, verbosity: Verbosity) -> String {
    if verbosity == Verbosity::Quiet {
        return format!("{cluster}\n");
    }
    let nodes = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
    format!(
        "cluster {cluster} is running with {nodes}
  rsm-ctl exec --cluster {cluster} --node 1 -- PROG    run a program in it
  eval \"$(rsm-ctl env --cluster {cluster} 1)\"          make this shell a process of node 1
  rsm-ctl nodes --cluster {cluster}                    look at it
  rsm-ctl down {cluster}                               end it, and all it runs
"
    )
}

/// The line for a warden that ended before its work was done; for people it is the agent, which is the same process.
pub(crate) fn warden_gone(warden: Pid, status: Option<Status>) -> String {
    let how = status.map_or_else(|| "has gone".to_owned(), |status| status.to_string());
    format!("the agent (pid {warden}) {how}; every process of the run was ended")
}

fn listed(processes: &[RawPid]) -> String {
    processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
