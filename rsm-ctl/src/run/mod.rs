//! `rsm-ctl run`: a cluster, programs on its nodes, and nothing left behind; and `up`, `down`, `exec` and `env`, which
//! are made of the same parts.
//!
//! Two processes do it. The *front* ([`front`]) is the one the user started: terminal, signals, exit code, output of the
//! nodes ([`output`]). The *warden* ([`warden`]), forked from it before anything else runs, hosts the agent and is the
//! parent of all nodes ([`node`]). They talk through [`link`] in the few messages of [`message`]. Each holds a pidfd of
//! the other and both are subreapers, so whichever is SIGKILLed, the other finds every process of every node among its
//! own descendants and ends them ([`descendants`]). When to end what is decided in [`supervision`], which knows no
//! processes.
//!
//! What is to be started, and where, is laid out in [`task`] before anything starts. What became of it is kept in
//! [`account`] and told at the end: to people in [`summary`], to build servers in [`junit`].
//!
//! A warden that hosts a cluster also keeps its door ([`keeper`]): `exec` is another front and warden, without a cluster
//! of its own, that was let in there and ends when the door closes; `down` asks there for the end.

mod account;
pub(crate) mod args;
mod descendants;
pub(crate) mod down;
mod ending;
mod example;
pub(crate) mod exec;
mod file;
mod front;
mod hint;
mod input;
mod interpreter;
mod junit;
mod keeper;
mod link;
mod message;
mod node;
mod node_set;
mod notice;
mod output;
mod placement;
mod plan;
mod program;
mod setting;
pub(crate) mod signals;
mod stacks;
mod status;
mod summary;
mod supervision;
mod task;
pub(crate) mod up;
mod warden;

use rustix::process::Signal;

use crate::cli::Verbosity;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::process;
use args::RunArgs;
use junit::Report;

/// Starts a cluster, runs the programs on its nodes, and says how it went.
pub(crate) fn perform(args: RunArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    // Before anything else can fail, so that a report is there in any case.
    let name = suite(&args);
    let report = args.junit.as_deref().map(|path| Report::create(path, name)).transpose()?;
    match plan::of_run(args, verbosity) {
        Ok(plan) => {
            let name = plan.suite();
            let report = match (report, &plan.junit) {
                (Some(report), _) => Some(report.named(name)),
                (None, Some(path)) => Some(Report::create(path, name)?),
                (None, None) => None,
            };
            front::run(plan, report, None)
        }
        Err(failure) => {
            report.map_or(Ok(()), |report| report.write_refusal(&failure.message))?;
            Err(failure)
        }
    }
}

/// What the suite of a report is called, as far as the command line tells.
fn suite(args: &RunArgs) -> String {
    let RunArgs { junit_name, cluster, programs, example, .. } = args;
    let named = junit_name.as_ref().or(cluster.name.as_ref()).cloned();
    let program = example.as_ref().or(programs.words.first()).map(|name| program::short(name));
    named.or(program).unwrap_or_else(|| "rsm-ctl run".to_owned())
}
