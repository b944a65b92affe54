//! What an owner tells the front of its run, which makes a [`Plan`] of it.

use std::ffi::OsString;
use std::time::Duration;

use rsm::lens::Lens;
use rsm_lab::Script;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::keeper;
use crate::plan::{FaultScript, Home, NewCluster, Plan};
use crate::program::Program;
use crate::task::Task;
use crate::verbosity::Verbosity;

/// A run, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) place: Place,
    pub(super) tasks: Vec<Process>,
    pub(super) stays: bool,
    pub(super) keep_going: bool,
    pub(super) stacks: bool,
    /// Whether what nodes write, and what is said of them, is shown as well.
    pub(super) shown: bool,
    pub(super) grace: Duration,
    pub(super) timeout: Option<Duration>,
    /// What it is called, and its text.
    pub(super) script: Option<(String, String)>,
}

/// The cluster.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Place {
    New { nodes: u32, name: Option<String>, controllers: Vec<String>, lens: Option<Lens> },
    Running { name: String, node: u32 },
}

/// A [`Task`], as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Process {
    node: u32,
    label: String,
    path: OsString,
    name: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    without: Vec<OsString>,
    directory: Option<OsString>,
}

impl From<Task> for Process {
    fn from(task: Task) -> Process {
        let Task { node, label, program, environment, without, directory, cpu: _ } = task;
        let Program { path, name, arguments } = program;
        let (path, directory) = (path.into_os_string(), directory.map(Into::into));
        Process { node, label, path, name, arguments, environment, without, directory }
    }
}

impl From<Process> for Task {
    fn from(process: Process) -> Task {
        let Process { node, label, path, name, arguments, environment, without, directory } = process;
        let program = Program { path: path.into(), name, arguments };
        Task { node, label, program, environment, without, directory: directory.map(Into::into), cpu: None }
    }
}

impl Process {
    /// The node, and what the process is called.
    pub(super) fn title(&self) -> (u32, String) {
        (self.node, self.label.clone())
    }
}

impl Job {
    /// The plan; a running cluster is entered.
    pub(super) fn plan(self) -> Result<Plan, Failure> {
        let home = match self.place {
            Place::New { nodes, name, controllers, lens } => {
                Home::New(NewCluster { nodes, name, controllers, lens, ..NewCluster::default() })
            }
            Place::Running { name, node } => Home::Running(keeper::enter(Some(&name), node)?),
        };
        let script = self.script.map(|(name, text)| script(name, &text)).transpose()?;
        let verbosity = if self.shown { Verbosity::Normal } else { Verbosity::Quiet };
        let tasks = self.tasks.into_iter().map(Task::from).collect();
        Ok(Plan {
            tag_output: self.shown,
            keep_going: self.keep_going,
            stays: self.stays,
            grace: self.grace,
            timeout: self.timeout,
            stacks: self.stacks,
            script,
            ..Plan::plain(home, tasks, verbosity)
        })
    }
}

/// Reads a script.
pub(super) fn script(name: String, text: &str) -> Result<FaultScript, Failure> {
    match Script::parse(text) {
        Ok(script) => Ok(FaultScript { name, script }),
        Err(error) => Err(Failure::usage(format!("{name}:{error}\n{}", error.excerpt()))),
    }
}
