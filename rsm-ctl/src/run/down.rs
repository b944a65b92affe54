//! `rsm-ctl down`: ends a cluster and everything that runs in it.

use std::time::Instant;

use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::keeper::{self, Answer, Ask};
use super::warden::until;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// What `down` can be told.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// The cluster to end, another user's as rsm:UID:NAME; needed when several run and $RSM_CLUSTER names none
    name: Option<String>,
}

/// Has the cluster ended; returns when nothing of it is left.
pub(crate) fn perform(args: &DownArgs) -> Result<ExitCode, Failure> {
    let (cluster, _link, answer) = keeper::ask(args.name.as_deref(), &Ask::End)?;
    let Answer::Ending { processes, within } = answer else {
        return Err(Failure::new(format!("cluster {} does not end", cluster.name)));
    };
    let mut opened = Vec::new();
    for process in processes.iter().filter_map(|&process| Pid::from_raw(process)) {
        match pidfd_open(process, PidfdFlags::empty()) {
            Ok(pidfd) => opened.push(pidfd),
            Err(Errno::SRCH) => {}
            Err(errno) => {
                let what = format!("cluster {} ends; cannot wait for that", cluster.name);
                return Err(Failure::call(&what, "pidfd_open", errno.into()));
            }
        }
    }
    let end = Instant::now().checked_add(within);
    for process in &opened {
        let left = end.map(|end| until(end, Instant::now()));
        if poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()) == Ok(0) {
            let list: Vec<String> = processes.iter().map(ToString::to_string).collect();
            let list = list.join(" ");
            return Err(Failure::new(format!(
                "cluster {} has not ended after {within:?}; is its rsm-ctl stopped? `kill -CONT {list}` lets it go on, \
                 `kill -KILL {list}` ends it",
                cluster.name
            )));
        }
    }
    print::answer(&format!("cluster {} has ended\n", cluster.name))
}
