//! A run that goes on in the background: its front has no terminal, no output but the logs, and ends only when somebody asks
//! for that at the cluster's entrance.

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Signal, WaitOptions, chdir, kill_process, setsid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::message::ToFront;
use crate::plan::Plan;
use crate::process::{self, Forked};
use crate::wire::{Received, Wire};
use crate::{front, output, sleep};

const CANNOT: &str = "cannot start in the background";

/// Starts a run in the background; answers the name of its cluster once all its processes run.
///
/// Paths of the plan are meant from where this process is. Only for a process without other threads: it is forked.
///
/// # Errors
/// Why it did not start. Nothing is left of it then.
pub fn start(plan: Plan) -> Result<String, Failure> {
    let plan = plan.anchored()?;
    sleep::check(CANNOT)?;
    let failed = |call: &'static str| move |error| Failure::call(CANNOT, call, error);
    let (here, there) = Wire::pair().map_err(failed("socketpair"))?;
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
                if told.is_err() {
                    // It may run, and nobody would know of it. Not reaped yet, so the number is still its.
                    let _ = kill_process(background, Signal::TERM);
                }
                // Nothing is left when this returns.
                let _ = waitpid(Some(background), WaitOptions::empty());
            }
            match told? {
                ToFront::Started { cluster, .. } => Ok(cluster),
                ToFront::Refused { code, message } => Err(Failure { code, message }),
                _ => Err(Failure::new("the cluster ended before it had begun")),
            }
        }
    }
}

fn in_background(plan: Plan, announce: &Wire) -> ExitCode {
    let run = || {
        let failed = |error| Failure::system("cannot go into the background", error);
        setsid().map_err(|errno| Failure::call("cannot go into the background", "setsid", errno.into()))?;
        chdir("/").map_err(failed)?;
        process::close_all_but(announce);
        let null = output::null().map_err(|error| Failure::system("cannot go into the background", error))?;
        dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null)).map_err(failed)?;
        front::announced(plan, announce)
    };
    run().unwrap_or_else(|failure| {
        announce.send(&ToFront::Refused { code: failure.code, message: failure.message });
        failure.code
    })
}

/// Waits for the first word from the background.
fn announced(wire: &Wire) -> Result<ToFront, Failure> {
    loop {
        match wire.receive() {
            Received::Message(message) => return Ok(message),
            Received::Gone => return Err(Failure::new("the cluster ended before it had begun")),
            Received::Nothing => {
                let mut events = [PollFd::new(wire, PollFlags::IN)];
                sleep::until_ready(&mut events, None).map_err(|errno| sleep::refused(CANNOT, errno))?;
            }
        }
    }
}
