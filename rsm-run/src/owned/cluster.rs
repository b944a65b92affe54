//! A cluster whose processes are started one by one.

use std::process::Command;
use std::time::Duration;

use rsm::steer::Steering;

use crate::failure::Failure;
use crate::node_set::NodeSet;
use crate::task::{self, Common};

use super::job::{Job, Place, Process};
use super::report::Report;
use super::run::Run;
use super::words::Words;

/// A cluster that goes on until this is dropped; it and everything in it is killed then.
#[derive(Debug)]
pub struct Cluster {
    pub(super) run: Run,
    pub(super) nodes: u32,
    pub(super) helper: Option<Words>,
    pub(super) grace: Duration,
    pub(super) shown: bool,
}

impl Cluster {
    /// Starts a program as a process of a node, which may have any number of them; returns when it runs. It is killed when what
    /// is returned is dropped, and when the cluster ends.
    ///
    /// Of the command its program, arguments, variables and directory count, as with
    /// [`Launch::program`](super::Launch::program).
    ///
    /// # Errors
    /// As [`Launch::start`](super::Launch::start); also that there is no such node, or that the cluster has ended.
    pub fn spawn(&self, node: u32, command: &Command) -> Result<Run, Failure> {
        if !(1..=self.nodes).contains(&node) {
            return Err(Failure::usage(format!("there is no node {node}: the cluster has 1 to {}", self.nodes)));
        }
        let part = Words::of(command).part(NodeSet::one(node))?;
        let tasks = task::lay_out(self.nodes, vec![part], &Common::default(), &Common::default())?;
        let job = Job {
            place: Place::Running { name: self.name().to_owned(), node },
            tasks: tasks.into_iter().map(Process::from).collect(),
            stays: false,
            keep_going: false,
            stacks: false,
            shown: self.shown,
            grace: self.grace,
            timeout: None,
            script: None,
        };
        Run::begin(&job, self.helper.as_ref())
    }

    /// Name of the cluster.
    pub fn name(&self) -> &str {
        self.run.cluster()
    }

    /// The right to disturb the cluster: links, nodes, segments.
    ///
    /// # Errors
    /// As [`Steering::attach`].
    pub fn steering(&self) -> rsm::Result<Steering> {
        Steering::attach(Some(self.name()))
    }

    /// Ends the cluster and waits until nothing of it is left: processes are asked, and killed after the grace.
    ///
    /// # Errors
    /// As [`Run::wait`].
    pub fn end(mut self) -> Result<Report, Failure> {
        self.run.end();
        self.run.wait()
    }
}
