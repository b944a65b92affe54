//! Everything there is to know about a run before it starts.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use rsm::Bridge;
use rsm::lens::Lens;
use rsm::run::rlimit;
use rsm_lab::Script;
use rustix::process::{Resource, Rlimit};

use crate::failure::Failure;
use crate::keeper::Entrance;
use crate::program;
use crate::recording::TraceFile;
use crate::task::Task;
use crate::verbosity::Verbosity;

/// How long nodes may take to end, where nobody says otherwise.
pub const GRACE: Duration = Duration::from_secs(2);

/// A run.
pub struct Plan {
    /// The cluster.
    pub home: Home,
    /// The processes, by node.
    pub tasks: Vec<Task>,
    /// Index of the task that gets what is put in.
    pub reader: Option<usize>,
    /// Whether it gets what is typed on a terminal too.
    pub terminal: bool,
    /// Whether a tag stands before every line of output.
    pub tag_output: bool,
    /// Whether the other nodes go on when one fails.
    pub keep_going: bool,
    /// Whether the cluster goes on without processes, until it is told to end.
    pub stays: bool,
    /// Whether an exit code of a process is nobody's news but the caller's.
    pub terse: bool,
    /// How long nodes may take to end by themselves after one failed, and after being asked to end.
    pub grace: Duration,
    /// Ends everything after this time.
    pub timeout: Option<Duration>,
    /// Whether to tell then where each thread is.
    pub stacks: bool,
    /// What disturbs the cluster meanwhile; only where it is a new one.
    pub script: Option<FaultScript>,
    /// Where every call is written down.
    pub trace: Option<TraceFile>,
    /// Keeps what each node writes in this directory as well.
    pub log_dir: Option<PathBuf>,
    /// Where a file wants the report.
    pub junit: Option<PathBuf>,
    /// What the report's suite is to be called.
    pub junit_name: Option<String>,
    /// How much is said about the run.
    pub verbosity: Verbosity,
    /// The user's limit, before front and warden raise theirs: what nodes start with. Nothing where they cannot.
    pub descriptors: Option<Rlimit>,
}

/// The cluster that the processes are part of.
pub enum Home {
    /// One that starts and ends with the run.
    New(NewCluster),
    /// One that runs already, which let us in.
    Running(Entrance),
}

/// A fault script, which has to be over when the run is.
#[derive(Debug, Clone)]
pub struct FaultScript {
    /// What it is called in messages, such as the name of its file.
    pub name: String,
    /// What it does.
    pub script: Script,
}

/// A link that is down from the beginning.
#[derive(Debug, PartialEq, Eq)]
pub struct CutLink {
    /// The node that does not reach the other.
    pub from: u32,
    /// The node that is not reached.
    pub to: u32,
    /// Whether the other direction is down too.
    pub both: bool,
    /// The controller whose link it is; all of them without it.
    pub controller: Option<String>,
}

/// What a cluster is started with.
#[derive(Default)]
pub struct NewCluster {
    /// How many, 1 to [`MOST_NODES`](crate::node_set::MOST_NODES).
    pub nodes: u32,
    /// What it is called; a private one is made up without it.
    pub name: Option<String>,
    /// Those asked for; none for the usual one.
    pub controllers: Vec<String>,
    /// Links that are down from the beginning.
    pub links: Vec<CutLink>,
    /// What it is seen through.
    pub lens: Option<Lens>,
    /// Nodes of this host, where the others are on another one.
    pub here: Option<Vec<u32>>,
    /// The bridge to that.
    pub bridge: Option<Bridge>,
    /// How long to wait for the other host before anything starts.
    pub bridge_wait: Option<Duration>,
}

impl Plan {
    /// A plan for these processes, with nothing else said.
    pub fn plain(home: Home, tasks: Vec<Task>, verbosity: Verbosity) -> Plan {
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
            script: None,
            trace: None,
            log_dir: None,
            junit: None,
            junit_name: None,
            verbosity,
            descriptors: rlimit::limit(Resource::Nofile).ok(),
        }
    }

    /// The same plan with paths that are good in any directory.
    ///
    /// # Errors
    /// That the current directory, from which they are meant, has gone.
    pub fn anchored(mut self) -> Result<Plan, Failure> {
        let here = env::current_dir().map_err(|error| Failure::system("cannot tell the current directory", error))?;
        for task in &mut self.tasks {
            let directory = task.directory.take();
            task.directory = Some(directory.map_or_else(|| here.clone(), |directory| here.join(directory)));
        }
        if let Some(trace) = &mut self.trace {
            trace.path = here.join(&trace.path);
        }
        self.log_dir = self.log_dir.take().map(|directory| here.join(directory));
        Ok(self)
    }

    /// What the suite of a report is called, where nobody says it: something that stays from run to run.
    pub fn suite(&self) -> String {
        let cluster = match &self.home {
            Home::New(cluster) => cluster.name.as_ref(),
            Home::Running(_) => None,
        };
        let program = self.tasks.first().map(|task| program::short(&task.program.name));
        self.junit_name.as_ref().or(cluster).cloned().or(program).unwrap_or_else(|| "rsm-ctl run".to_owned())
    }

    /// Nodes of a new cluster.
    pub fn nodes(&self) -> u32 {
        match &self.home {
            Home::New(cluster) => cluster.nodes,
            Home::Running(_) => 0,
        }
    }
}
