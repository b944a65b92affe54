//! What the front says about a run, and how much of it the user wants to read.

use std::fmt::Write;
use std::time::Duration;

use rustix::process::{Pid, RawPid};

use super::message::ToFront;
use super::status::Status;
use crate::cli::Verbosity;

/// The line for something the warden told, if it is worth one.
pub(crate) fn of(message: &ToFront, verbosity: Verbosity, timeout: Option<Duration>) -> Option<String> {
    let wanted = match message {
        // Why `rsm-ctl` itself cannot go on is always said.
        ToFront::Refused { .. } => Verbosity::Quiet,
        ToFront::Ended { news: true, .. } | ToFront::TimedOut { .. } => Verbosity::Normal,
        _ => Verbosity::Verbose,
    };
    (verbosity >= wanted).then(|| text(message, timeout)).flatten()
}

fn text(message: &ToFront, timeout: Option<Duration>) -> Option<String> {
    Some(match message {
        ToFront::Refused { message, .. } => format!("rsm-ctl: {message}"),
        ToFront::Started { cluster, processes } => {
            let nodes = (1_u32..).zip(processes);
            let list = nodes.fold(String::new(), |mut list, (node, process)| {
                let _ = write!(list, ", node {node} is process {process}");
                list
            });
            format!("rsm-ctl: cluster {cluster} is running{list}")
        }
        ToFront::Ended { node, process, status, .. } => format!("rsm-ctl: node {node} (pid {process}) {status}"),
        ToFront::Left { processes } if processes.is_empty() => return None,
        ToFront::Left { processes } => {
            format!("rsm-ctl: all nodes have ended; waiting for what they left running: {}", listed(processes))
        }
        ToFront::TimedOut { running } => {
            let after = timeout.map(|timeout| format!(" after {timeout:?}")).unwrap_or_default();
            match &**running {
                [] => format!("rsm-ctl: timed out{after}; no node was running, only processes that nodes had left"),
                [node] => format!("rsm-ctl: timed out{after}; node {node} was still running"),
                nodes => format!("rsm-ctl: timed out{after}; nodes {} were still running", listed(nodes)),
            }
        }
        ToFront::Suspended | ToFront::Finished { .. } => return None,
    })
}

/// The line for a warden that ended before its work was done.
pub(crate) fn warden_gone(warden: Pid, status: Option<Status>) -> String {
    let how = status.map_or_else(|| "has gone".to_owned(), |status| status.to_string());
    format!("rsm-ctl: the warden (pid {warden}) {how}; every process of the run was ended")
}

fn listed(numbers: &[impl Number]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

trait Number: ToString {}
impl Number for u32 {}
impl Number for RawPid {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_one_line_that_quiet_hides() {
        let ended = ToFront::Ended { node: 3, process: 123, status: Status::Killed(11), news: true };
        let line = "rsm-ctl: node 3 (pid 123) was killed by signal 11 (SIGSEGV)";
        assert_eq!(of(&ended, Verbosity::Normal, None).as_deref(), Some(line));
        assert_eq!(of(&ended, Verbosity::Quiet, None), None);
        let known = ToFront::Ended { node: 3, process: 123, status: Status::Exited(0), news: false };
        assert_eq!(of(&known, Verbosity::Normal, None), None);
        assert!(of(&known, Verbosity::Verbose, None).is_some());
    }

    #[test]
    fn time_out_names_who_still_ran() {
        let text = |running: &[u32]| {
            of(&ToFront::TimedOut { running: running.into() }, Verbosity::Normal, Some(Duration::from_millis(500)))
                .unwrap()
        };
        assert_eq!(text(&[2]), "rsm-ctl: timed out after 500ms; node 2 was still running");
        assert_eq!(text(&[1, 2]), "rsm-ctl: timed out after 500ms; nodes 1, 2 were still running");
    }
}
