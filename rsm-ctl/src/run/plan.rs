//! Everything there is to know about a run before it starts.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit};

use super::args::{ClusterArgs, GRACE, OnTimeout, ProgramArgs, RunArgs, UpArgs};
use super::example;
use super::file::{self, CutLink, Description, Reader};
use super::input::Input;
use super::keeper::Door;
use super::node_set::NodeSet;
use super::program::{self, Program};
use super::task::{self, Common, Part, Task};
use crate::cli::Verbosity;
use crate::failure::Failure;

/// A run.
pub(crate) struct Plan {
    pub(crate) home: Home,
    pub(crate) tasks: Vec<Task>,
    /// Index of the task that gets what is put in.
    pub(crate) reader: Option<usize>,
    /// Whether it gets what is typed on a terminal too.
    pub(crate) terminal: bool,
    pub(crate) tag_output: bool,
    pub(crate) keep_going: bool,
    /// Whether the cluster goes on without processes, until it is told to end.
    pub(crate) stays: bool,
    /// Whether an exit code of a process is nobody's news but the caller's.
    pub(crate) terse: bool,
    pub(crate) grace: Duration,
    pub(crate) timeout: Option<Duration>,
    /// Whether to tell then where each thread is.
    pub(crate) stacks: bool,
    pub(crate) log_dir: Option<PathBuf>,
    /// Where a file wants the report.
    pub(crate) junit: Option<PathBuf>,
    /// What the report's suite is to be called.
    pub(crate) junit_name: Option<String>,
    pub(crate) verbosity: Verbosity,
    /// The user's limit, before front and warden raise theirs: what nodes start with.
    pub(crate) descriptors: Rlimit,
}

/// The cluster that the processes are part of.
pub(crate) enum Home {
    /// One that starts and ends with the run.
    New(NewCluster),
    /// One that runs already, which let us in.
    Running(Door),
}

/// What a cluster is started with.
#[derive(Default)]
pub(crate) struct NewCluster {
    pub(crate) nodes: u32,
    pub(crate) name: Option<String>,
    /// Those asked for; none for the usual one.
    pub(crate) controllers: Vec<String>,
    /// Links that are down from the beginning.
    pub(crate) links: Vec<CutLink>,
}

/// The plan of `run`. What the command line says counts more than what a file says.
pub(crate) fn of_run(args: RunArgs, verbosity: Verbosity) -> Result<Plan, Failure> {
    let RunArgs {
        cluster,
        mut programs,
        timeout,
        on_timeout,
        tag_output,
        keep_going,
        stdin,
        junit: _,
        junit_name,
        example,
    } = args;
    let mut file = described(cluster, Reader::Run)?;
    let input = stdin.or(file.stdin);
    let example = match example {
        Some(name) => {
            let path = example::build(&name, verbosity)?;
            let arguments = std::mem::take(&mut programs.words);
            Some(Part::plain(NodeSet::All, Program { path, name, arguments }))
        }
        None => None,
    };
    file.parts.extend(example);
    let (timeout, tag_output) = (timeout.or(file.timeout), tag_output || file.tag_output);
    let keep_going = keep_going || file.keep_going;
    let stacks = on_timeout.or(file.on_timeout) == Some(OnTimeout::Stacks);
    if stacks && timeout.is_none() {
        return Err(task::usage("--on-timeout needs a --timeout".into()));
    }
    file.junit_name = junit_name.or(file.junit_name);
    let plan = laid_out(file, programs, verbosity)?;
    if plan.tasks.is_empty() {
        let text = "there is no program to run: name one after --, or in a [[program]] of the file";
        return Err(task::usage(text.into()));
    }
    let reader = task::reader(input, &plan.tasks, plan.nodes())?;
    Ok(Plan {
        reader,
        terminal: matches!(input, Some(Input::Node(_))),
        tag_output,
        keep_going,
        timeout,
        stacks,
        ..plan
    })
}

/// The plan of `up`.
pub(crate) fn of_up(args: UpArgs, verbosity: Verbosity) -> Result<Plan, Failure> {
    let UpArgs { cluster, programs, foreground: _ } = args;
    let file = described(cluster, Reader::Up)?;
    Ok(Plan { tag_output: true, keep_going: true, stays: true, ..laid_out(file, programs, verbosity)? })
}

impl Plan {
    /// A plan for these processes, with nothing else said.
    pub(crate) fn plain(home: Home, tasks: Vec<Task>, verbosity: Verbosity) -> Plan {
        Plan {
            home,
            tasks,
            reader: None,
            terminal: false,
            tag_output: false,
            keep_going: false,
            stays: false,
            terse: false,
            grace: GRACE,
            timeout: None,
            stacks: false,
            log_dir: None,
            junit: None,
            junit_name: None,
            verbosity,
            descriptors: getrlimit(Resource::Nofile),
        }
    }

    /// What the suite of a report is called, where nobody says it: something that stays from run to run.
    pub(crate) fn suite(&self) -> String {
        let cluster = match &self.home {
            Home::New(cluster) => cluster.name.as_ref(),
            Home::Running(_) => None,
        };
        let program = self.tasks.first().map(|task| program::short(&task.program.name));
        self.junit_name.as_ref().or(cluster).cloned().or(program).unwrap_or_else(|| "rsm-ctl run".to_owned())
    }

    /// Nodes of a new cluster.
    pub(crate) fn nodes(&self) -> u32 {
        match &self.home {
            Home::New(cluster) => cluster.nodes,
            Home::Running(_) => 0,
        }
    }
}

/// The cluster: what its file says, or nothing more than its size.
fn described(args: ClusterArgs, reader: Reader) -> Result<Description, Failure> {
    let mut file = match &args.file {
        Some(path) => file::read(path, reader)?,
        None => Description { nodes: args.n.unwrap_or_default(), ..Description::default() },
    };
    if args.name.is_some() {
        file.name = args.name;
    }
    if !args.controllers.is_empty() {
        file.controllers = args.controllers;
    }
    Ok(file)
}

/// The programs of a file and those that the words of a command line name, laid out.
fn laid_out(file: Description, programs: ProgramArgs, verbosity: Verbosity) -> Result<Plan, Failure> {
    let mut parts = file.parts;
    if !programs.words.is_empty() {
        for (nodes, words) in task::split(programs.nodes, programs.words)? {
            parts.push(Part::plain(nodes, task::program_of(words)?));
        }
    }
    let above = Common { environment: programs.env, directory: programs.cwd, pin: programs.pin };
    let tasks = task::lay_out(file.nodes, parts, &file.common, &above)?;
    let cluster = NewCluster { nodes: file.nodes, name: file.name, controllers: file.controllers, links: file.links };
    Ok(Plan {
        grace: programs.grace.or(file.grace).unwrap_or(GRACE),
        log_dir: programs.log_dir.or(file.log_dir),
        junit: file.junit,
        junit_name: file.junit_name,
        ..Plan::plain(Home::New(cluster), tasks, verbosity)
    })
}
