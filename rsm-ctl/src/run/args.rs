//! What `run`, `up` and `exec` can be told.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Args, ValueEnum};
use rsm::Bridge;
use rsm_run::input::Input;
use rsm_run::node_set::NodeSet;
use rsm_run::placement::Pin;
use rsm_run::setting::{self, Setting};

use super::lens::LensArgs;
use crate::{duration, exit_code, number, trace};

/// What `run` can be told.
#[derive(Debug, Args)]
#[command(
    after_help = exit_code::help(),
    override_usage = "rsm-ctl run -n N [OPTIONS] [--] PROG ARGS...\n       \
        rsm-ctl run -n N [OPTIONS] --node NODES -- PROG ARGS... --node NODES -- PROG ARGS...\n       \
        rsm-ctl run -n N [OPTIONS] --example NAME [-- ARGS...]\n       \
        rsm-ctl run --file FILE [OPTIONS]",
    group = ArgGroup::new("what").required(true).multiple(true).args(["words", "example", "file"])
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
    /// End everything after this time: 500ms, 60s, 5m, 1h, or seconds
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    pub(crate) timeout: Option<Duration>,
    /// What to do before everything is ended: `stacks` shows where each thread of each node is, by gdb where it is
    /// installed and may attach, otherwise by /proc
    #[arg(long, value_name = "ACTION", value_enum)]
    pub(crate) on_timeout: Option<OnTimeout>,
    /// Disturb the cluster by this script while the programs run: the statements of `rsm-ctl script`, and `node restart K`
    ///
    /// What it does to links before it first waits is done before any program starts, and the rest from when all have started.
    /// Each action is a line on standard error. What it does to nodes is no failure: one that it kills is not counted, and may be
    /// started again. A script that fails is a failure of the run, and so is one that was not over when the programs were;
    /// `random` and `every` without a limit end with them.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,
    /// Write every call of every node to this file: put, get, order, close, post, wait and those that set up; see
    /// docs/tracing.md
    ///
    /// The ending says what is written: .rsmtrace, which `rsm-ctl trace` reads, or .html, a page for a browser, .pftrace for
    /// Perfetto, or .json as Chrome's tracing has it. A file that is
    /// there is replaced. Records are written down every 50 ms, and outlive a node that is killed; until
    /// something else is made of them at the end they are in FILE.rsmtrace.
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(trace::Target::parse))]
    pub(crate) trace: Option<trace::Target>,
    /// Write down the bytes of each put too: what a segment held at any time is known then
    #[arg(long, requires = "trace")]
    pub(crate) trace_bytes: bool,
    /// Look for accesses to segments that nothing orders, and report each with both places; exit code 5. See docs/races.md
    ///
    /// Puts and gets of different nodes are looked at, in any program; also what programs do with memory themselves, in those
    /// that were built to tell it. What nodes tell each other by files, pipes or the like is no order, unless --race=outside asks for that. Goes with --chaos and its like, which
    /// make more of them meet. Both depths may be asked for: --race=pages,outside. With --profile, atomic updates of another node's
    /// memory over a mapping are told of as well, where that hardware carries none.
    #[arg(long, value_name = "DEPTH", num_args = 0..=1, require_equals = true, default_missing_value = "calls",
        value_delimiter = ',', hide = cfg!(not(feature = "races")))]
    pub(crate) race: Vec<Depth>,
    /// Do not report races of which a place is in this file: a line for each, `function NAME` or `file PATH`
    ///
    /// NAME is a function as it is reported, or the end of its path, such as writer for app::writer; PATH the end of a file's path, or of it and a line, such as src/lock.c or
    /// src/lock.c:21. What follows `#` is a comment. How many races were left out is said.
    #[arg(long, value_name = "FILE", requires = "race", hide = cfg!(not(feature = "races")))]
    pub(crate) race_suppressions: Option<PathBuf>,
    /// Put the node id in brackets before every line of output
    ///
    /// Lines of different nodes never mix, tagged or not, while they are no longer than 1 MiB. Of a longer one pieces of
    /// that length are passed on, between which others may write; tags then stand before each piece.
    #[arg(long)]
    pub(crate) tag_output: bool,
    /// Let the other nodes go on when one fails
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// The node that gets the standard input of rsm-ctl, also from a terminal, or "none". Without it node 1 gets that of a
    /// pipe or file, and no node that of a terminal
    #[arg(long, value_name = "NODE", value_parser = Input::parse)]
    pub(crate) stdin: Option<Input>,
    /// Write a JUnit report, a test case for each node, however the run ends
    ///
    /// It holds the last 64 KiB that each wrote to each output. A node that was killed on purpose, by `rsm-ctl node kill` or
    /// a script, is reported as skipped. With /dev/stdout it follows what the nodes write there.
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// What the suite is called in the report [default: the name of the cluster, or else of its first program]
    #[arg(long, value_name = "NAME")]
    pub(crate) junit_name: Option<String>,
    /// Run this cargo example of the current directory's package, built first, with PROG ARGS as its arguments
    #[arg(long, value_name = "NAME", conflicts_with_all = ["nodes", "file"])]
    pub(crate) example: Option<OsString>,
}

/// What is looked at where a program was not built to tell all that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Depth {
    /// Its calls
    Calls,
    /// Its calls, and what it stores into its own segments: these are compared at each call. See docs/races.md
    Pages,
    /// Its calls, and that by files, pipes, sockets and the like it may tell others all that it has done: fewer races are found, and right
    /// programs are not reported that are ordered so
    Outside,
}

/// What to do when the time is up, before everything is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnTimeout {
    /// Show where each thread is.
    Stacks,
}

/// What `up` can be told.
#[derive(Debug, Args)]
#[command(override_usage = "rsm-ctl up -n N [OPTIONS] [-- PROG ARGS...]\n       rsm-ctl up --file FILE [OPTIONS]")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
    /// Stay in the foreground until Ctrl-C or `rsm-ctl down`, and show what programs write
    #[arg(long)]
    pub(crate) foreground: bool,
}

/// The cluster to start.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Number of nodes, 1 to 63; their ids are 1..N
    #[arg(short, value_name = "N", required_unless_present = "file", conflicts_with = "file",
        value_parser = number::nodes)]
    pub(crate) n: Option<u32>,
    /// Name of the cluster; a private one is made up without it
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Controllers that reach every node, instead of shm0 alone: shm0,shm1. loopback is always there too
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) controllers: Vec<String>,
    /// Nodes of this host, such as 1-2; the others are on the host at the other end of the bridge
    #[arg(long, value_name = "NODES")]
    pub(crate) here: Option<String>,
    /// Reach the other host through this controller, over this device: local:NAME joins two agents of one machine
    ///
    /// The controller is one of --controllers, or one more, such as ntb0. It reaches the nodes of this host as shm0 does; shm0
    /// reaches these alone. Both hosts are given the same number of nodes, and each the ones that are its own.
    #[arg(long, value_name = "CONTROLLER=DEVICE", value_parser = Bridge::parse)]
    pub(crate) bridge: Option<Bridge>,
    /// Start nothing before the other host is there, and fail if it is not after this time: 30s, 5m
    ///
    /// Without it programs start at once, and find the nodes of the other host when these are there.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    pub(crate) bridge_wait: Option<Duration>,
    /// Read nodes, programs and the rest from this TOML file; see docs/cluster-file.md
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) lens: LensArgs,
}

/// The programs to start in it.
#[derive(Debug, Args)]
pub(crate) struct ProgramArgs {
    /// Set a variable in the environment of all nodes, or with "2:", "1,4-6:" before the name of some
    #[arg(long, value_name = "[NODES:]NAME=VALUE", value_parser = os(setting::parse))]
    pub(crate) env: Vec<Setting>,
    /// The directory the programs start in
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Bind each process to one CPU: the allowed ones in turn, or those of a list such as 0,2-3
    #[arg(long, value_name = "CPUS", num_args = 0..=1, default_missing_value = "auto", value_parser = Pin::parse)]
    pub(crate) pin: Option<Pin>,
    /// Keep what each node writes in DIR/node-K.out and DIR/node-K.err as well; never overwrites
    ///
    /// Where both outputs of rsm-ctl lead to the same place, as with 2>&1, a node writes both to one pipe and its lines
    /// stay in order. With logs they are two, and the order between them is lost.
    #[arg(long, value_name = "DIR")]
    pub(crate) log_dir: Option<PathBuf>,
    /// How long nodes may take to end by themselves after one failed, and after being asked to end [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub(crate) grace: Option<Duration>,
    /// Nodes that run the program which follows: 2, 1,4-6, or "others". The words `--node NODES --` among its arguments
    /// start the next program: --node 1 -- ./server -p 80 --node others -- ./worker
    #[arg(long = "node", id = "nodes", value_name = "NODES", value_parser = NodeSet::parse, requires = "words")]
    pub(crate) nodes: Option<NodeSet>,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROG ARGS")]
    pub(crate) words: Vec<OsString>,
}

/// A parser of words that need not be UTF-8.
pub(crate) fn os<T: Clone + Send + Sync + 'static>(
    parse: fn(&OsStr) -> Result<T, String>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |word| parse(&word))
}
