//! What the warden does for the script of its run.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Stdio;
use std::time::Instant;

use rsm::{Code, Error};
use rustix::process::{Pid, Signal, kill_process};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::hosting::Hosting;
use crate::message::ToFront;
use crate::output::Ends;
use crate::plan::Plan;
use crate::scripted::{PATIENCE, Prepared, Restarting, Scripted, TELLING, Told};
use crate::wire::Wire;

use super::{Process, Warden, start_node};

/// A script whose run has not started its processes.
pub(super) struct Waiting {
    prepared: Option<Prepared>,
    spare: Vec<Ends>,
}

/// A script that goes on beside its processes, and what is done for it.
pub(super) struct Following {
    /// Until it is over.
    scripted: Option<Scripted>,
    /// The node that it starts again.
    restarting: Option<Restarting>,
    /// Those that it had us end.
    ended: HashSet<Pid>,
    /// Where outputs of processes go that start again; none where none does.
    spare: Vec<Ends>,
}

impl Waiting {
    /// Carries out what of a script comes before all processes, if there is one, and makes what the rest needs.
    pub(super) fn prepare(plan: &Plan, hosting: &Hosting<'_>, wire: &Wire, ends: &[Ends]) -> Result<Waiting, Failure> {
        let none = Waiting { prepared: None, spare: Vec::new() };
        let Some(script) = &plan.script else { return Ok(none) };
        let Some(steering) = hosting.steering()? else { return Ok(none) };
        let restarts = script.script.restarts();
        let spare = ends.iter().filter(|_| restarts).map(Ends::try_clone).collect::<io::Result<_>>();
        let spare =
            spare.map_err(|error| Failure::system("cannot keep the outputs of nodes that start again", error))?;
        let prepared = Prepared::new(script.clone(), steering, |line| wire.send(&ToFront::Scripted { line }))?;
        Ok(Waiting { prepared: Some(prepared), spare })
    }

    /// All processes have started.
    pub(super) fn begin(self) -> Following {
        let scripted = self.prepared.map(Prepared::begin);
        Following { scripted, restarting: None, ended: HashSet::new(), spare: self.spare }
    }
}

impl Following {
    /// What to wait for.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.scripted.iter().map(Scripted::as_fd)
    }

    /// Whether the script had this process ended, which has ended now.
    pub(super) fn has_ended(&mut self, process: Pid) -> bool {
        self.ended.remove(&process)
    }
}

impl Warden<'_> {
    /// Whether the script is about to start a node again, for which there has to be a cluster.
    pub(super) fn restarts(&self) -> bool {
        self.script.restarting.is_some() && self.supervision.is_undisturbed()
    }

    /// Hears what the script did, and does for it what only the parent of the nodes can.
    pub(super) fn follow_script(&mut self) {
        if !self.supervision.is_undisturbed() {
            // Whoever waits for that is told by its absence.
            self.script.restarting = None;
        }
        if let Some(restarting) = &mut self.script.restarting {
            let node = restarting.node;
            if !self.processes.iter().any(|process| self.plan.tasks[process.index].node == node) {
                restarting.tell_ended();
            }
        }
        while let Some(told) = self.script.scripted.as_ref().and_then(Scripted::next) {
            match told {
                Told::Did(line) => {
                    if self.wire.is_roomy() {
                        self.wire.send(&ToFront::Scripted { line });
                    }
                }
                Told::End(restarting) => self.end_node(restarting),
                Told::Start(node, started) => {
                    self.script.restarting = None;
                    let _ = started.send(self.start_again(node));
                }
                Told::Over(ended) => {
                    (self.script.scripted, self.script.restarting) = (None, None);
                    if let Err(stopped) = ended {
                        self.script_failed(&stopped.to_string());
                    }
                }
            }
        }
    }

    /// Ends what runs of a node that is to start again.
    fn end_node(&mut self, mut restarting: Restarting) {
        let of_node = |process: &&Process| self.plan.tasks[process.index].node == restarting.node;
        let processes: Vec<Pid> = self.processes.iter().filter(of_node).map(|process| process.pid).collect();
        for &process in &processes {
            // Not reaped yet, so the number is still its.
            let _ = kill_process(process, Signal::KILL);
        }
        if processes.is_empty() {
            restarting.tell_ended();
        }
        self.script.ended.extend(processes);
        self.script.restarting = Some(restarting);
    }

    /// Starts the programs of a node again; answers how many.
    fn start_again(&mut self, node: u32) -> rsm::Result<u32> {
        if !self.supervision.is_undisturbed() {
            return Err(Error::with(Code::CtlrNotPresent, "the run is ending"));
        }
        let failed = |why: String| Error::with(Code::InsufficientResources, why);
        let mut count = 0;
        for (index, (task, ends)) in self.plan.tasks.iter().zip(&self.script.spare).enumerate() {
            if task.node != node {
                continue;
            }
            let ends = ends.try_clone().map_err(|error| failed(error.to_string()))?;
            let started = start_node(self.plan, (&self.hosting, &self.hearer), task, Stdio::null(), ends);
            let pid = started.map_err(|failure| failed(failure.message))?;
            self.processes.push(Process { index, pid });
            self.wire.send(&ToFront::Restarted { index, process: pid.as_raw_pid() });
            count += 1;
        }
        if count == 0 {
            let text = format!("no program of this run is on node {node}");
            return Err(Error::with(Code::RemoteNodeUnreachable, text));
        }
        Ok(count)
    }

    /// Ends the run because its script could not go on.
    fn script_failed(&mut self, why: &str) {
        if !self.supervision.is_undisturbed() {
            return;
        }
        self.wire.send(&failed(self.plan, why));
        if let Some(order) = self.supervision.end(Instant::now(), Signal::TERM, ExitCode::Failure) {
            self.obey(order);
        }
    }

    /// With no process left: ends the cluster, and with it the script, which should be over; says that all is over.
    pub(super) fn end_cluster(mut self) {
        let undisturbed = self.supervision.is_undisturbed();
        self.script.restarting = None;
        let tell = |line| self.wire.send(&ToFront::Scripted { line });
        // What ended the last process may have been its last act, of which it is about to tell.
        let scripted = self.script.scripted.as_ref().filter(|_| undisturbed);
        let over = scripted.and_then(|scripted| scripted.over_within(TELLING, tell));
        drop(self.hosting);
        // Without a cluster it does not go on.
        let over = over.or_else(|| scripted.and_then(|scripted| scripted.over_within(PATIENCE, tell)));
        if let Some(Err(stopped)) = over {
            self.wire.send(&failed(self.plan, &format!("the run ended before its script: {stopped}")));
            self.supervision.script_unfinished();
        }
        self.wire.send(&ToFront::Finished { code: self.supervision.code() });
    }
}

/// What is told of a script that was not carried out.
fn failed(plan: &Plan, why: &str) -> ToFront {
    let name = plan.script.as_ref().map(|script| &*script.name).unwrap_or_default();
    ToFront::ScriptFailed { why: format!("{name}: {why}") }
}
