//! What may be asked on the command line. Nothing is done here.

use std::borrow::Cow;
use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cc::CcArgs;
use crate::colour::Palette;
use crate::doctor::DoctorArgs;
use crate::exit_code::{self, ExitCode};
use crate::explore::args::ExploreArgs;
use crate::failure::Failure;
use crate::manual::{CompletionsArgs, ManArgs};
use crate::perf::PerfArgs;
use crate::query::args::QueryArgs;
use crate::query::show::ShowArgs;
use crate::query::topology::TopologyArgs;
use crate::run::args::{RunArgs, UpArgs};
use crate::run::down::DownArgs;
use crate::run::exec::{EnvArgs, ExecArgs};
use crate::steer::args::{LinkArgs, NodeArgs, ScriptArgs, SegmentArgs};
use crate::top::args::TopArgs;
use crate::trace::args::TraceArgs;
use crate::verbosity::VerbosityArgs;
use crate::watch::WatchArgs;
use crate::{habits, print, printable};

/// Start, look at and steer clusters of rsm nodes.
#[derive(Debug, Parser)]
#[command(name = "rsm-ctl", version, about, after_help = exit_code::help())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) verbosity: VerbosityArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a cluster and run programs on its nodes
    Run(RunArgs),
    /// Start a cluster that stays until `rsm-ctl down`
    ///
    /// Its processes are those of PROG, if one is named, and what `rsm-ctl exec` starts; if they fail, the cluster stays. If
    /// its agent is killed, all of them end. Only a shell that became a process by `rsm-ctl env` goes on: what it asks of
    /// the cluster then fails with CTLR_NOT_PRESENT.
    Up(UpArgs),
    /// End a cluster and everything that runs in it
    ///
    /// Returns when nothing of it is left. A `rsm-ctl run` is ended like this too, with exit code 143.
    Down(DownArgs),
    /// Run a program as a process of a node of a running cluster
    ///
    /// The program gets the standard input of rsm-ctl, which ends with its exit code. When the cluster ends, so does the
    /// program.
    Exec(ExecArgs),
    /// Print the environment that makes a shell a process of a node: eval "$(rsm-ctl env 2)"
    Env(EnvArgs),
    /// List the running clusters
    Ls(QueryArgs),
    /// List the nodes of a running cluster
    Nodes(QueryArgs),
    /// List the segments that nodes export
    Segments(QueryArgs),
    /// List the connections between importers and segments
    Connections(QueryArgs),
    /// List the links of each controller
    Links(QueryArgs),
    /// Tell how the bridge to another host is: who is at its other end, what goes through it
    Bridge(QueryArgs),
    /// Draw the nodes of a running cluster, and what connects them
    Topology(TopologyArgs),
    /// Show one object of a running cluster, with everything known of it
    Show(ShowArgs),
    /// Tell what changes in a running cluster, line by line
    Watch(WatchArgs),
    /// Show what a running cluster does, again and again
    Top(TopArgs),
    /// Check what this machine offers rsm, and what each missing feature costs
    Doctor(DoctorArgs),
    /// Measure latency and bandwidth between two nodes, of a private cluster or a running one
    #[cfg_attr(not(feature = "perf"), command(hide = true))]
    Perf(PerfArgs),
    /// Kill a node before each of its calls, one run for each, and find those that others do not survive
    ///
    /// The first run counts: the calls of the node to put, get, order, close, post, wait, create, publish, connect and what ends
    /// those. Then the same programs run again and again, and each time the node is killed before another call: before each of
    /// the first 32, and of the others before those that differ from all before them in kind, segment or caller, and at powers
    /// of two. A run in which a survivor hangs, fails or is killed by a signal, or in which something is left behind, is told,
    /// with the command that repeats it.
    #[cfg_attr(not(feature = "races"), command(hide = true))]
    Explore(ExploreArgs),
    /// Read a trace that `rsm-ctl run --trace` wrote, or write one of a running cluster
    Trace(TraceArgs),
    /// Build a program so that `rsm-ctl run --race` sees what it reads and writes: `rsm-ctl cc gcc ..`
    ///
    /// The compiler is called with the same arguments and some more. What it builds runs as ever, and slower: at each access
    /// to memory it looks whether a race detector watches that. It can be the compiler of a build: CC="rsm-ctl cc gcc" make. For
    /// Rust, `rsm-ctl cc cargo run ..` or `test`, which build in a target directory of their own.
    Cc(CcArgs),
    /// Take links down, bring them up, or count an error on them
    Link(LinkArgs),
    /// Kill, stop or continue the processes of a node
    Node(NodeArgs),
    /// Take a segment from its exporter
    Segment(SegmentArgs),
    /// Disturb a cluster at times and on conditions
    Script(ScriptArgs),
    /// Write a completion script for a shell
    #[cfg_attr(not(feature = "manual"), command(hide = true))]
    Completions(CompletionsArgs),
    /// Write a manual page: `rsm-ctl man | man -l -`
    #[cfg_attr(not(feature = "manual"), command(hide = true))]
    Man(ManArgs),
}

/// Reads the command line.
///
/// # Errors
/// How to end, when it asked for `--help` or `--version`, which are written then, or cannot be understood, which is said.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let words = habits::translated(std::env::args_os(), &Cli::command());
    Cli::try_parse_from(&words).map_err(|told| match answer_of_clap(&told, &words) {
        Ok(code) => code,
        Err(failure) => {
            print::complaint(&failure);
            failure.code
        }
    })
}

/// Says what clap has to say.
fn answer_of_clap(told: &clap::Error, words: &[OsString]) -> Result<ExitCode, Failure> {
    let (plain, coloured) = (told.render().to_string(), told.render().ansi().to_string());
    if !told.use_stderr() {
        return print::help(if Palette::of_stdout().0 { &coloured } else { &plain });
    }
    // Somebody's words are in it, whose colours are not told from clap's.
    match printable::lines(&plain) {
        Cow::Borrowed(_) if Palette::of_stderr().0 => print::usage(&coloured),
        fit => print::usage(&fit),
    }
    if plain.contains("\n  -n <N>\n") && habits::has_number(words) {
        print::usage("\n  tip: what follows the program is the program's: rsm-ctl run -n N PROG ARGS...\n");
    }
    Ok(ExitCode::Usage)
}

/// The long options of all commands.
pub(crate) fn options() -> Vec<String> {
    let command = Cli::command();
    let all = std::iter::once(&command).chain(command.get_subcommands());
    all.flat_map(|command| command.get_opts()).filter_map(|option| Some(format!("--{}", option.get_long()?))).collect()
}

#[cfg(test)]
mod tests {
    use rsm_run::verbosity::Verbosity;

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
        assert_eq!(run.cluster.n, Some(3));
        assert_eq!(run.programs.words, ["prog", "-q", "--json"]);
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
            &["run", "-n", "2", "--file", "x", "--", "prog"],
            &["run", "-n", "2", "--node", "1"],
            &["run", "-n", "2", "--node", "1", "--example", "x"],
            &["run", "-n", "2", "--env", "X", "--", "prog"],
            &["run", "-n", "2", "--pin=x", "--", "prog"],
            &["run", "-n", "2", "--stdin", "0", "--", "prog"],
            &["up"],
            &["up", "-n", "0"],
            &["exec", "--", "prog"],
            &["exec", "--node", "1"],
            &["env"],
        ] {
            let refused = Cli::try_parse_from(["rsm-ctl"].iter().chain(words)).expect_err(&words.join(" "));
            assert_eq!(refused.exit_code(), 2, "{words:?}");
        }
    }
}
