//! Runs whose course is wanted as facts and not as text: what exploring judges.
//!
//! [`quietly`] carries a plan out in a child of this process, whose nodes' output nobody sees; [`shown`] in this process, with
//! their output as in any run. Both give a [`Trial`].

use std::fs::File;
use std::io::{self, Read, Seek};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, setpgid, waitpid};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::plan::{Home, NewCluster, Plan};
use crate::process::{self, Forked};
use crate::signals::SignalQueue;
use crate::{front, output, sleep};

pub use crate::calls::ProcessCalls;
pub use crate::course::{End, Process, Trial};

/// What the child gives back.
type Told = Result<Trial, (ExitCode, String)>;

/// Carries a plan out in a child process; what its nodes write goes nowhere but into the [`Trial`]. Signals of the queue that
/// come meanwhile are the run's.
///
/// Only for a process without other threads: it is forked.
///
/// # Errors
/// Why it did not start.
///
/// # Crash
/// The child is killed with this process, and its nodes with it.
pub fn quietly(plan: &mut Plan, signals: &SignalQueue) -> Result<Trial, Failure> {
    let failed = |call: &'static str| move |error| Failure::call("cannot start a run", call, error);
    let errno = |call: &'static str| move |errno: rustix::io::Errno| failed(call)(errno.into());
    let told = memfd_create("rsm-trial", MemfdFlags::CLOEXEC).map_err(errno("memfd_create"))?;
    let mut told = File::from(told);
    let parent = getpid();
    match process::fork().map_err(failed("fork"))? {
        Forked::Child => {
            let nothing = Plan::plain(Home::New(NewCluster::default()), Vec::new(), plan.verbosity);
            let outcome: Told =
                in_child(std::mem::replace(plan, nothing), parent).map_err(|Failure { code, message }| (code, message));
            let written = serde_json::to_writer(&mut told, &outcome).is_ok();
            std::process::exit(i32::from(!written));
        }
        Forked::Parent(child) => {
            wait_for(child, signals).map_err(|(call, error)| failed(call)(error))?;
            let mut bytes = Vec::new();
            told.rewind().and_then(|()| told.read_to_end(&mut bytes)).map_err(failed("read"))?;
            match serde_json::from_slice::<Told>(&bytes) {
                Ok(outcome) => outcome.map_err(|(code, message)| Failure { code, message }),
                Err(_) => Err(Failure::new("a run was killed before it could tell how it went")),
            }
        }
    }
}

fn in_child(plan: Plan, parent: Pid) -> Result<Trial, Failure> {
    let failed = |error| Failure::system("cannot start a run", error);
    process::end_with(parent).map_err(failed)?;
    // What the terminal sends is for the parent alone, which passes it on.
    setpgid(None, None).map_err(|errno| failed(errno.into()))?;
    let null = output::null().map_err(failed)?;
    let all = dup2_stdin(&null).and_then(|()| dup2_stdout(&null)).and_then(|()| dup2_stderr(&null));
    all.map_err(|errno| failed(errno.into()))?;
    front::tried(plan)
}

/// Waits for the end of a child, to which it passes signals on. One that cannot be waited for is killed, and reaped all the
/// same; the error has the call that was refused.
fn wait_for(child: Pid, signals: &SignalQueue) -> Result<(), (&'static str, io::Error)> {
    let pidfd = pidfd_open(child, PidfdFlags::empty());
    if let Ok(pidfd) = &pidfd {
        loop {
            let mut events = [PollFd::new(pidfd, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            if let Err(errno) = sleep::until_ready(&mut events, None) {
                let _ = kill_process(child, Signal::KILL);
                let _ = waitpid(Some(child), WaitOptions::empty());
                return Err(("poll", errno.into()));
            }
            if !events[0].revents().is_empty() {
                break;
            }
            while let Some(signal) = signals.next() {
                // Not reaped yet, so the number is still its.
                let _ = kill_process(child, signal);
            }
        }
    } else {
        let _ = kill_process(child, Signal::KILL);
    }
    let _ = waitpid(Some(child), WaitOptions::empty());
    pidfd.map(drop).map_err(|errno| ("pidfd_open", errno.into()))
}

/// Carries a plan out in this process; what its nodes write and what is to be said goes to its own outputs.
///
/// # Errors
/// Why it did not start.
pub fn shown(plan: Plan) -> Result<Trial, Failure> {
    front::tried(plan)
}
