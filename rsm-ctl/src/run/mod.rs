//! `rsm-ctl run`, and `up`, `down`, `exec` and `env`: what they are told ([`args`], [`mod@file`], [`words`]) becomes a plan
//! ([`plan`]), which [`rsm_run`] carries out.

pub(crate) mod args;
pub(crate) mod down;
mod example;
pub(crate) mod exec;
mod file;
pub(crate) mod lens;
pub(crate) mod plan;
pub(crate) mod up;
pub(crate) mod words;

use rsm_run::junit::Report;
use rsm_run::plan::Home;
use rsm_run::verbosity::Verbosity;
use rsm_run::{front, program};
use rustix::process::Signal;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::process;
use crate::race::{self, Looking};
use args::RunArgs;
use words::Options;

/// Starts a cluster, runs the programs on its nodes, and says how it went.
pub(crate) fn perform(args: RunArgs, verbosity: Verbosity, options: Options) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    // Before anything else can fail, so that a report is there in any case.
    let name = suite(&args);
    let report = args.junit.as_deref().map(|path| Report::create(path, name)).transpose()?;
    let target = args.trace.clone();
    let looking = Looking::asked(!args.race.is_empty(), args.race_suppressions.as_deref());
    match looking.and_then(|looking| Ok((looking, plan::of_run(args, verbosity, options)?))) {
        Ok((looking, plan)) => {
            let name = plan.suite();
            let report = match (report, &plan.junit) {
                (Some(report), _) => Some(report.named(name)),
                (None, Some(path)) => Some(Report::create(path, name)?),
                (None, None) => None,
            };
            let lens = match &plan.home {
                Home::New(cluster) => cluster.lens,
                Home::Running(_) => None,
            };
            let looking = looking.through(lens);
            let code = front::judged(plan, report, |looked, code| race::judge(looked, &looking, verbosity, code))?;
            target.map_or(Ok(()), |target| target.finish())?;
            Ok(code)
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
