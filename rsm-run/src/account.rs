//! What the front knows about each process of a run, for the summary and the report at its end.

use std::time::{Duration, Instant};

use rustix::process::{RawPid, Signal};

use crate::calls::ProcessCalls;
use crate::message::{Hang, ToFront};
use crate::races::Looked;
use crate::status::Status;
use crate::supervision::Blame;

/// Most actions of a script that are kept.
const MOST_SCRIPTED: usize = 100;

/// How one process ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) core: bool,
    pub(crate) blame: Blame,
    /// Since the start.
    pub(crate) after: Duration,
}

/// Everything the warden told so far.
#[derive(Debug)]
pub(crate) struct Account {
    begun: Instant,
    pub(crate) cluster: Option<String>,
    /// As planned; empty until all have started.
    pub(crate) processes: Vec<RawPid>,
    /// As planned.
    pub(crate) ends: Vec<Option<End>>,
    /// Indices in the order of their ends.
    pub(crate) order: Vec<usize>,
    /// Those that the time-out found running.
    pub(crate) timed_out: Option<Vec<usize>>,
    /// What they waited for.
    hangs: Vec<Hang>,
    /// Why nothing could start.
    pub(crate) refused: Option<String>,
    /// The signal by which the user ended the run.
    pub(crate) interrupted: Option<Signal>,
    /// Why the cluster ended under its processes.
    pub(crate) cluster_ended: Option<String>,
    /// Why the run ended with a code of its own, if that is a failure.
    pub(crate) ended_by: Option<String>,
    /// What the script did, the last of it.
    pub(crate) script: Vec<String>,
    /// Why the script was not carried out.
    pub(crate) script_failed: Option<String>,
    /// Where processes were when the time was up.
    pub(crate) stacks: Vec<String>,
    /// What was late, in a cluster with a lens.
    pub(crate) late: Vec<String>,
    /// How the warden went, when that was before its work was done.
    pub(crate) lost: Option<String>,
    /// Whether some are left that could not be ended.
    pub(crate) escaped: bool,
    /// What processes said of their calls.
    pub(crate) calls: Vec<ProcessCalls>,
    /// Races that were looked for.
    pub(crate) looked: Option<Looked>,
    /// What was left at the end.
    pub(crate) leftovers: Vec<String>,
}

impl Account {
    pub(crate) fn new(processes: usize) -> Account {
        Account {
            begun: Instant::now(),
            cluster: None,
            processes: Vec::new(),
            ends: vec![None; processes],
            order: Vec::new(),
            timed_out: None,
            hangs: Vec::new(),
            refused: None,
            interrupted: None,
            cluster_ended: None,
            ended_by: None,
            script: Vec::new(),
            script_failed: None,
            stacks: Vec::new(),
            late: Vec::new(),
            lost: None,
            escaped: false,
            calls: Vec::new(),
            looked: None,
            leftovers: Vec::new(),
        }
    }

    /// Takes note of what the warden told.
    pub(crate) fn note(&mut self, message: &ToFront) {
        match message {
            ToFront::Refused { message, .. } => self.refused = Some(message.clone()),
            ToFront::Started { cluster, processes } => {
                self.cluster = Some(cluster.clone());
                self.processes.clone_from(processes);
            }
            &ToFront::Ended { index, status, core, blame, .. } => {
                let end = End { status, core, blame, after: self.begun.elapsed() };
                if let Some(place) = self.ends.get_mut(index) {
                    *place = Some(end);
                    self.order.push(index);
                }
            }
            &ToFront::Restarted { index, process } => {
                if let (Some(place), Some(end)) = (self.processes.get_mut(index), self.ends.get_mut(index)) {
                    (*place, *end) = (process, None);
                    self.order.retain(|&ended| ended != index);
                }
            }
            ToFront::Scripted { line } => {
                if self.script.len() == MOST_SCRIPTED {
                    self.script.remove(0);
                }
                self.script.push(line.clone());
            }
            ToFront::ScriptFailed { why } => self.script_failed = Some(why.clone()),
            ToFront::Stacks { text } => self.stacks.push(text.clone()),
            ToFront::TimedOut { running, hangs } => {
                self.timed_out = Some(running.clone());
                self.hangs.clone_from(hangs);
            }
            ToFront::Escaped { processes } => {
                self.escaped = true;
                self.leftovers
                    .extend(processes.iter().map(|process| format!("process {process}, which cannot be ended")));
            }
            ToFront::Leftovers { lines } => self.leftovers.extend_from_slice(lines),
            ToFront::Calls { calls, more: false } => self.calls.push(calls.clone()),
            ToFront::Calls { calls, more: true } => {
                let is_it = |of: &&mut ProcessCalls| (of.node, of.pid) == (calls.node, calls.pid);
                if let Some(of) = self.calls.iter_mut().rev().find(is_it) {
                    of.called.points.extend_from_slice(&calls.called.points);
                }
            }
            ToFront::ClusterEnds { why } => self.cluster_ended = Some(why.clone()),
            ToFront::Looked { looked } => {
                let all = self.looked.get_or_insert_default();
                all.races.extend_from_slice(&looked.races);
                (all.by_calls, all.whole, all.by_pages) = (looked.by_calls, looked.whole, looked.by_pages);
                all.lacks.clone_from(&looked.lacks);
            }
            ToFront::Late { lines } => self.late.clone_from(lines),
            &ToFront::RunEnds { process, code, .. } if code != 0 => {
                self.ended_by = Some(format!("process {process} has ended the run with exit code {code}"));
            }
            ToFront::RunEnds { .. }
            | ToFront::TraceFailed { .. }
            | ToFront::Left { .. }
            | ToFront::Modelled { .. }
            | ToFront::Suspended
            | ToFront::Finished { .. } => {}
        }
    }

    /// What the process with this index, of this node, waited for when the time was up; what it started included, unless
    /// that is another of the run's processes.
    pub(crate) fn hangs(&self, index: usize, node: u32) -> Vec<String> {
        let own = self.processes.get(index).copied();
        let its =
            |hang: &&Hang| hang.node == node && (own == Some(hang.process) || !self.processes.contains(&hang.process));
        let text = |hang: &Hang| match hang.process {
            0 => hang.text.clone(),
            process if own == Some(process) => hang.text.clone(),
            process => format!("{} (pid {process})", hang.text),
        };
        self.hangs.iter().filter(its).map(text).collect()
    }

    /// How long the run has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Those to blame, in the order of their ends, with what is known of them.
    pub(crate) fn ended(&self, blame: Blame) -> Vec<(usize, End)> {
        let ends = self.order.iter().filter_map(|&index| Some((index, self.ends[index]?)));
        ends.filter(|(_, end)| end.blame == blame).collect()
    }
}
