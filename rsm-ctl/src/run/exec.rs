//! `rsm-ctl exec` and `rsm-ctl env`: being a process of a node in a cluster that runs.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rsm_run::node_set::NodeSet;
use rsm_run::placement::Pin;
use rsm_run::plan::{GRACE, Home, Plan};
use rsm_run::setting::{self, Setting};
use rsm_run::task::{self, Common, Part};
use rsm_run::verbosity::Verbosity;
use rsm_run::{front, hint, keeper};
use rustix::process::Signal;

use super::words::{self, Options};
use crate::exit_code::{self, ExitCode};
use crate::failure::Failure;
use crate::{duration, number, print, process};

/// What `exec` can be told.
#[derive(Debug, Args)]
#[command(after_help = exit_code::help())]
pub(crate) struct ExecArgs {
    /// The node that the program becomes a process of
    #[arg(long, value_name = "NODE", value_parser = number::node)]
    node: u32,
    /// The cluster; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Set a variable in its environment
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::args::os(setting::parse))]
    env: Vec<Setting>,
    /// The directory it starts in
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Bind it to one CPU: the first allowed one, or that of a list such as 0,2-3
    #[arg(long, value_name = "CPUS", num_args = 0..=1, default_missing_value = "auto", value_parser = Pin::parse)]
    pin: Option<Pin>,
    /// End it after this time: 500ms, 60s, 5m, 1h, or seconds
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    timeout: Option<Duration>,
    /// How long it may take to end after it was asked to [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROG ARGS", required = true)]
    words: Vec<OsString>,
}

/// What `env` can be told.
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    /// The node
    #[arg(value_name = "NODE", value_parser = number::node)]
    node: u32,
    /// The cluster; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// Runs a process of a node; ends as it ended.
pub(crate) fn perform(args: ExecArgs, verbosity: Verbosity, options: Options) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    let program = words::program_of(args.words, options)?;
    let above = Common { environment: args.env, directory: args.cwd, pin: args.pin };
    let parts = vec![Part::plain(NodeSet::one(args.node), program)];
    let tasks = task::lay_out(args.node, parts, &Common::default(), &above)?;
    let home = Home::Running(keeper::enter(args.cluster.as_deref(), args.node)?);
    let plan = Plan {
        reader: Some(0),
        terminal: true,
        terse: true,
        grace: args.grace.unwrap_or(GRACE),
        timeout: args.timeout,
        ..Plan::plain(home, tasks, verbosity)
    };
    front::run(plan, None)
}

/// Writes what makes a shell, and what it starts, processes of a node.
pub(crate) fn environment(args: &EnvArgs) -> Result<ExitCode, Failure> {
    let variables = keeper::environment_of(args.cluster.as_deref(), args.node)?;
    let lines = variables.iter().map(|(name, value)| format!("export {name}={}\n", hint::quoted(OsStr::new(value))));
    print::answer(&lines.collect::<String>())
}
