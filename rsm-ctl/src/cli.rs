//! What may be asked on the command line. Nothing is done here.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};

use crate::doctor::DoctorArgs;
use crate::duration;
use crate::exit_code;
use crate::manual::ManArgs;
use crate::perf::PerfArgs;
use crate::query::show::ShowArgs;
use crate::query::topology::TopologyArgs;
use crate::top::TopArgs;
use crate::watch::WatchArgs;

/// Most nodes of a cluster in the default geometry: 64 ids of which 0 means "not a member".
const MOST_NODES: i64 = 63;

/// Start, look at and steer clusters of rsm nodes.
#[derive(Debug, Parser)]
#[command(name = "rsm-ctl", version, about, after_help = exit_code::help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) verbosity: VerbosityArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The switches every command knows.
#[derive(Debug, Args)]
pub(crate) struct VerbosityArgs {
    /// Say nothing about nodes that fail; the exit code tells
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say what is done: the cluster, the processes, how each node ended
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// How much `rsm-ctl` says on its own account. Errors of its own are always said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
}

impl VerbosityArgs {
    pub(crate) fn level(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster and run a program on each of its nodes
    Run(RunArgs),
    /// List the running clusters
    Ls(QueryArgs),
    /// List the nodes of a running cluster
    Nodes(QueryArgs),
    /// List the segments its nodes export
    Segments(QueryArgs),
    /// List the connections between importers and segments
    Connections(QueryArgs),
    /// List the links of its controllers
    Links(QueryArgs),
    /// Draw the nodes of a running cluster, and what connects them
    Topology(TopologyArgs),
    /// Show one object of a running cluster, with everything known of it
    Show(ShowArgs),
    /// Tell what changes in a running cluster, line by line
    Watch(WatchArgs),
    /// Show what a running cluster does, again and again
    Top(TopArgs),
    /// Look whether this machine has what rsm uses, and what is missing costs
    Doctor(DoctorArgs),
    /// Measure latency and bandwidth between two nodes, of a private cluster or a running one
    Perf(PerfArgs),
    /// Write a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page: `rsm-ctl man | man -l -`
    Man(ManArgs),
}

/// What a look at running clusters can be told.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Write JSON: an object with a "version" and one array
    #[arg(long)]
    pub(crate) json: bool,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}

/// What `run` can be told.
#[derive(Debug, Args)]
#[command(after_help = exit_code::help())]
pub(crate) struct RunArgs {
    /// Number of nodes, 1 to 63; their ids are 1..N
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_NODES))]
    pub(crate) n: u32,
    /// Name of the cluster; a private one is made up without it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// End everything after this time: 500ms, 60s, 5m, 1h, or seconds
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    pub(crate) timeout: Option<Duration>,
    /// Put the node id in brackets before every line of output
    #[arg(long)]
    pub(crate) tag_output: bool,
    /// Let the other nodes go on when one fails
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// How long nodes may take to end by themselves after one failed, and after being asked to end
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    pub(crate) grace: Duration,
    /// Run this cargo example of the current directory's package, built first
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Option<OsString>,
    /// The program and its arguments; with --example its arguments only
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROG ARGS",
        required_unless_present = "example"
    )]
    pub(crate) words: Vec<OsString>,
}

/// Reads the command line; ends the process itself for `--help` and for what cannot be understood.
pub(crate) fn parse() -> Cli {
    let cli = Cli::parse();
    if let Command::Run(run) = &cli.command
        && run.example.is_none()
        && run.words.first().is_some_and(|program| program.is_empty())
    {
        let mut command = Cli::command();
        command.error(ErrorKind::InvalidValue, "the name of the program to run is empty").exit();
    }
    cli
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_takes_everything_after_the_dashes_as_the_program() {
        let cli = Cli::try_parse_from(["rsm-ctl", "run", "-n", "3", "-v", "--", "prog", "-q", "--json"]).unwrap();
        assert_eq!(cli.verbosity.level(), Verbosity::Verbose);
        let Command::Run(run) = cli.command else { panic!("not a run") };
        assert_eq!(run.n, 3);
        assert_eq!(run.words, ["prog", "-q", "--json"]);
        assert_eq!(run.grace, Duration::from_secs(2));
    }

    #[test]
    fn run_refuses_what_makes_no_sense() {
        for words in [
            &["run", "--", "prog"][..],
            &["run", "-n", "0", "--", "prog"],
            &["run", "-n", "64", "--", "prog"],
            &["run", "-n", "2"],
            &["run", "-n", "2", "--"],
            &["run", "-n", "2", "--timeout", "0", "--", "prog"],
            &["run", "-n", "2", "-q", "-v", "--", "prog"],
        ] {
            let refused = Cli::try_parse_from(["rsm-ctl"].iter().chain(words)).expect_err(&words.join(" "));
            assert_eq!(refused.exit_code(), 2, "{words:?}");
        }
    }
}
