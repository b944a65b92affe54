//! `rsm-ctl up`: a cluster that stays.

use rsm_run::verbosity::Verbosity;
use rsm_run::{background, front, notice};
use rustix::process::Signal;

use super::args::UpArgs;
use super::plan;
use super::words::Options;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::{print, process};

/// Starts the cluster; returns when it runs, or with `--foreground` when it has ended.
pub(crate) fn perform(args: UpArgs, verbosity: Verbosity, options: Options) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    let foreground = args.foreground;
    let plan = plan::of_up(args, verbosity, options)?;
    if foreground {
        return front::run(plan, None);
    }
    let plan = plan.anchored()?;
    let (nodes, programs, logs) = (plan.nodes(), plan.tasks.len(), plan.log_dir.clone());
    let cluster = background::start(plan)?;
    let mut text = notice::usage(&cluster, nodes, verbosity);
    if programs > 0 && verbosity > Verbosity::Quiet {
        text.push_str(&match logs {
            Some(logs) => format!("what its programs write is in {}\n", logs.display()),
            None => "what its programs write is thrown away (--log-dir DIR keeps it)\n".to_owned(),
        });
    }
    print::answer(&text)
}
