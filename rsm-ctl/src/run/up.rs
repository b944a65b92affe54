//! `rsm-ctl up`: a cluster that stays.
//!
//! It is a run like any other, whose front went into the background: no terminal, no output but the logs, and an end only
//! when somebody asks for it.

use std::env;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, WaitOptions, chdir, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::args::UpArgs;
use super::link::{Link, Received};
use super::message::ToFront;
use super::plan::{self, Plan};
use super::{front, output};
use crate::cli::Verbosity;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;
use crate::process::{self, Forked};

/// Starts the cluster; returns when it runs, or with `--foreground` when it has ended.
pub(crate) fn perform(args: UpArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    let foreground = args.foreground;
    let mut plan = plan::of_up(args, verbosity)?;
    if foreground {
        return front::run(plan, None, None);
    }
    stay_where_we_are(&mut plan)?;
    let nodes = plan.nodes();
    let programs = plan.tasks.len();
    let logs = plan.log_dir.clone();
    let failed = |call: &'static str| move |error| Failure::call("cannot start in the background", call, error);
    let (here, there) = Link::pair().map_err(failed("socketpair"))?;
    match process::fork().map_err(failed("fork"))? {
        Forked::Child => {
            drop(here);
            let code = in_background(plan, &there);
            std::process::exit(code.number().into());
        }
        Forked::Parent(background) => {
            drop(there);
            let told = announced(&here);
            if !matches!(told, Ok(ToFront::Started { .. })) {
                // Nothing is left when this returns.
                let _ = waitpid(Some(background), WaitOptions::empty());
            }
            match told? {
                ToFront::Started { cluster, .. } => {
                    let mut text = usage(&cluster, nodes, verbosity);
                    if programs > 0 && verbosity > Verbosity::Quiet {
                        text.push_str(&match logs {
                            Some(logs) => format!("what its programs write is in {}\n", logs.display()),
                            None => "what its programs write is thrown away (--log-dir DIR keeps it)\n".to_owned(),
                        });
                    }
                    print::answer(&text)
                }
                ToFront::Refused { code, message } => Err(Failure { code, message }),
                _ => Err(Failure::new("the cluster ended before it had begun")),
            }
        }
    }
}

/// What can be done with a cluster that runs.
pub(crate) fn usage(cluster: &str, nodes: u32, verbosity: Verbosity) -> String {
    if verbosity == Verbosity::Quiet {
        return format!("{cluster}\n");
    }
    let nodes = if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") };
    format!(
        "cluster {cluster} is running with {nodes}
  rsm-ctl exec --cluster {cluster} --node 1 -- PROG    run a program in it
  eval \"$(rsm-ctl env --cluster {cluster} 1)\"          make this shell a process of node 1
  rsm-ctl nodes --cluster {cluster}                    look at it
  rsm-ctl down {cluster}                               end it, and all it runs
"
    )
}

/// Makes the paths of a plan good in any directory: the background keeps none busy.
fn stay_where_we_are(plan: &mut Plan) -> Result<(), Failure> {
    let here = env::current_dir().map_err(|error| Failure::system("cannot tell the current directory", error))?;
    for task in &mut plan.tasks {
        let directory = task.directory.take();
        task.directory = Some(directory.map_or_else(|| here.clone(), |directory| here.join(directory)));
    }
    plan.log_dir = plan.log_dir.take().map(|directory| here.join(directory));
    Ok(())
}

fn in_background(plan: Plan, announce: &Link) -> ExitCode {
    let run = || {
        let failed = |error| Failure::system("cannot go into the background", error);
        setsid().map_err(|errno| Failure::call("cannot go into the background", "setsid", errno.into()))?;
        chdir("/").map_err(failed)?;
        process::close_all_but(announce);
        let null = output::null().map_err(|error| Failure::system("cannot go into the background", error))?;
        dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null)).map_err(failed)?;
        front::run(plan, None, Some(announce))
    };
    run().unwrap_or_else(|failure| {
        announce.send(&ToFront::Refused { code: failure.code, message: failure.message });
        failure.code
    })
}

/// Waits for the first word from the background.
fn announced(link: &Link) -> Result<ToFront, Failure> {
    loop {
        match link.receive() {
            Received::Message(message) => return Ok(message),
            Received::Gone => return Err(Failure::new("the cluster ended before it had begun")),
            Received::Nothing => {
                let _ = poll(&mut [PollFd::new(link, PollFlags::IN)], None);
            }
        }
    }
}
