//! What is to run, as it is put together.

use std::process::Command;
use std::time::Duration;

use rsm::lens::Lens;

use crate::failure::Failure;
use crate::node_set::{MOST_NODES, NodeSet};
use crate::plan::GRACE;
use crate::task::{self, Common, Part};

use super::cluster::Cluster;
use super::job::{self, Job, Place, Process};
use super::report::Report;
use super::run::Run;
use super::words::Words;

/// A run that has not begun: its nodes, programs and limits.
///
/// Nothing is started, and nothing checked, before [`start`](Self::start), [`run`](Self::run) or [`cluster`](Self::cluster).
#[derive(Clone, Debug)]
#[must_use]
pub struct Launch {
    nodes: u32,
    name: Option<String>,
    controllers: Vec<String>,
    lens: Option<Lens>,
    script: Option<String>,
    timeout: Option<Duration>,
    grace: Duration,
    keep_going: bool,
    stacks: bool,
    shown: bool,
    helper: Option<Words>,
    programs: Vec<(String, Words)>,
}

impl Launch {
    /// A run on this many nodes, 1 to 63, whose ids are 1..=`nodes`.
    pub fn new(nodes: u32) -> Launch {
        Launch {
            nodes,
            name: None,
            controllers: Vec::new(),
            lens: None,
            script: None,
            timeout: None,
            grace: GRACE,
            keep_going: false,
            stacks: false,
            shown: false,
            helper: None,
            programs: Vec::new(),
        }
    }

    /// The same on this many nodes.
    pub(crate) fn on(self, nodes: u32) -> Launch {
        Launch { nodes, ..self }
    }

    /// Runs a program on these nodes: `"2"`, `"1,4-6"`, `"all"`, or `"others"`, where nothing else runs.
    ///
    /// Of the command its program, arguments, variables and directory count; a program without a slash is looked for along
    /// PATH, another one from where this process is. Standard input is empty, and outputs are the [`Report`]'s.
    pub fn program(mut self, nodes: &str, command: &Command) -> Launch {
        self.programs.push((nodes.to_owned(), Words::of(command)));
        self
    }

    /// Calls the cluster so, for commands such as `rsm-ctl watch`; without it a private name is made up.
    pub fn name(self, name: &str) -> Launch {
        Launch { name: Some(name.to_owned()), ..self }
    }

    /// Controllers that reach every node, instead of `shm0` alone.
    pub fn controllers<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Launch {
        Launch { controllers: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// What the cluster is seen through: stores that are late, faults by seed, modelled times.
    pub fn lens(self, lens: Lens) -> Launch {
        Launch { lens: Some(lens), ..self }
    }

    /// Disturbs the cluster by a fault script ([`rsm_lab`]), which has to be over when the run is: a script that fails, or that
    /// was not carried out to its end, is a failure of the run. What it does to nodes is none: one that it kills did not fail.
    pub fn script(self, text: &str) -> Launch {
        Launch { script: Some(text.to_owned()), ..self }
    }

    /// Ends everything after this time, as a failure. Without it a run may last for ever.
    pub fn timeout(self, time: Duration) -> Launch {
        Launch { timeout: Some(time), ..self }
    }

    /// How long processes may take to end by themselves after one failed, and after being asked to end; 2 s without it.
    pub fn grace(self, time: Duration) -> Launch {
        Launch { grace: time, ..self }
    }

    /// Whether the others go on when a process fails.
    pub fn keep_going(self, whether: bool) -> Launch {
        Launch { keep_going: whether, ..self }
    }

    /// Whether the report of a run whose time was up says where each thread was: by gdb where that is installed and may
    /// attach, which takes seconds, otherwise by /proc.
    pub fn stacks(self, whether: bool) -> Launch {
        Launch { stacks: whether, ..self }
    }

    /// Whether what processes write is shown as well, at once, each line with its node before it, on this program's own
    /// outputs: not through what a test harness captures.
    pub fn shown(self, whether: bool) -> Launch {
        Launch { shown: whether, ..self }
    }

    /// The program that stands between this one and the run: one that does nothing but call [`serve`](super::serve). Needed
    /// only where this crate is in a shared library, as in a module of an interpreter.
    pub fn helper(self, command: &Command) -> Launch {
        Launch { helper: Some(Words::of(command)), ..self }
    }

    /// Begins the run; returns when all its processes have started.
    ///
    /// # Errors
    /// Why it cannot begin, in a sentence: a program that is not there, a script that is not understood, what the system
    /// refuses. Nothing is left of it then.
    pub fn start(self) -> Result<Run, Failure> {
        if self.programs.is_empty() {
            return Err(Failure::usage("there is no program to run: name one with Launch::program"));
        }
        let tasks = self.tasks(self.nodes)?;
        self.begin(tasks, false)
    }

    /// Carries the run out from start to end.
    ///
    /// # Errors
    /// As [`start`](Self::start). That a process fails is none, but in the report.
    pub fn run(self) -> Result<Report, Failure> {
        self.start()?.wait()
    }

    /// Begins a cluster that goes on until it is dropped, its time is up, or somebody ends it, whatever its programs do.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn cluster(self) -> Result<Cluster, Failure> {
        let tasks = self.tasks(self.nodes)?;
        let (nodes, helper, grace, shown) = (self.nodes, self.helper.clone(), self.grace, self.shown);
        Ok(Cluster { run: self.begin(tasks, true)?, nodes, helper, grace, shown })
    }

    fn tasks(&self, nodes: u32) -> Result<Vec<Process>, Failure> {
        if !(1..=MOST_NODES).contains(&nodes) {
            return Err(Failure::usage(format!("a cluster has 1 to {MOST_NODES} nodes, not {nodes}")));
        }
        let parts: Vec<Part> = self
            .programs
            .iter()
            .map(|(nodes, words)| words.part(NodeSet::parse(nodes).map_err(Failure::usage)?))
            .collect::<Result<_, Failure>>()?;
        let tasks = task::lay_out(nodes, parts, &Common::default(), &Common::default())?;
        Ok(tasks.into_iter().map(Process::from).collect())
    }

    fn begin(self, tasks: Vec<Process>, stays: bool) -> Result<Run, Failure> {
        let script = self.script.map(|text| ("script".to_owned(), text));
        if let Some((name, text)) = &script {
            // A sentence about the script is better had before anything starts.
            job::script(name.clone(), text)?;
        }
        let Launch { nodes, name, controllers, lens, timeout, grace, keep_going, stacks, shown, helper, .. } = self;
        let place = Place::New { nodes, name, controllers, lens };
        let stacks = stacks && timeout.is_some();
        let job = Job { place, tasks, stays, keep_going, stacks, shown, grace, timeout, script };
        Run::begin(&job, helper.as_ref())
    }
}
