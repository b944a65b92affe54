//! Hands a command to the part of the program that does it.

use clap::CommandFactory;

use crate::cli::{self, Cli, Command};
use crate::exit_code::ExitCode;
use crate::query::Table;
use crate::{cc, doctor, explore, manual, perf, print, query, run, steer, top, trace, watch};

/// Does what was asked; says on standard error what could not be done.
pub(crate) fn perform(cli: Cli) -> ExitCode {
    let verbosity = cli.verbosity.level();
    let done = match cli.command {
        Command::Run(args) => run::perform(args, verbosity, cli::options),
        Command::Up(args) => run::up::perform(args, verbosity, cli::options),
        Command::Down(args) => run::down::perform(&args),
        Command::Exec(args) => run::exec::perform(args, verbosity, cli::options),
        Command::Env(args) => run::exec::environment(&args),
        Command::Ls(args) => query::perform(Table::Clusters, &args),
        Command::Nodes(args) => query::perform(Table::Nodes, &args),
        Command::Segments(args) => query::perform(Table::Segments, &args),
        Command::Connections(args) => query::perform(Table::Connections, &args),
        Command::Links(args) => query::perform(Table::Links, &args),
        Command::Bridge(args) => query::bridge::perform(&args),
        Command::Topology(args) => query::topology::perform(&args),
        Command::Show(args) => query::show::perform(&args),
        Command::Watch(args) => watch::perform(&args),
        Command::Top(args) => top::perform(&args),
        Command::Doctor(args) => doctor::perform(&args),
        Command::Perf(args) => perf::perform(&args),
        Command::Explore(args) => explore::perform(args, verbosity, cli::options),
        Command::Trace(args) => trace::perform(&args, verbosity),
        Command::Cc(args) => cc::perform(&args),
        Command::Link(args) => steer::link(&args, verbosity),
        Command::Node(args) => steer::node(&args, verbosity),
        Command::Segment(args) => steer::segment(&args, verbosity),
        Command::Script(args) => steer::script::perform(&args, verbosity),
        Command::Completions(args) => manual::completions(&args, Cli::command()),
        Command::Man(args) => manual::perform(&args, Cli::command()),
    };
    done.unwrap_or_else(|failure| {
        print::complaint(&failure);
        failure.code
    })
}
