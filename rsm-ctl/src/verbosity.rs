//! The switches that every command knows.

use clap::Args;
use rsm_run::verbosity::Verbosity;

/// The switches every command knows.
#[derive(Debug, Args)]
pub(crate) struct VerbosityArgs {
    // Global options are shown in the order in which each command has them, among its own; these come last.
    /// Print nothing about failed nodes or what was done; rely on the exit code
    #[arg(short, long, global = true, display_order = 900, conflicts_with = "verbose")]
    quiet: bool,
    /// Print what is done: the cluster, its processes, how each node ended, and the agent's log
    #[arg(short, long, global = true, display_order = 901)]
    verbose: bool,
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
