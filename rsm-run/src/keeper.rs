//! The entrance of a cluster that `rsm-ctl` hosts: who may start processes in it, and who may end it.
//!
//! The warden of `run` and `up` listens on a socket beside the agent's, in the abstract namespace like that one. Whoever
//! is the cluster's own user, or root, may ask there for the environment of a node, and for the end of the cluster. One
//! that *entered* to run processes keeps its socket open for as long as any of them lives: it is told when the
//! cluster ends, and the cluster waits for it.
//!
//! # Crash
//! The sockets end with the warden, which those inside notice as they notice being told.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rsm::Cluster;
use rsm::observe::ClusterRef;
use rsm::steer::{peer, peer_of};
use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
};
use rustix::process::{Pid, PidfdFlags, RawPid, geteuid, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::deadline::until;
use crate::failure::{Failure, reason};
use crate::sleep;
use crate::wire::{Received, Wire};

/// Most callers at a time.
const MOST_CALLERS: usize = 256;
/// How long somebody may take to answer, or to end after it was told to and its own grace is over.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked at the entrance.
#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    /// To run processes of this node.
    Enter { node: u32 },
    /// What makes a program a process of this node.
    Environment { node: u32 },
    /// The end of the cluster.
    End,
}

/// What is said there.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Environment {
        variables: Vec<(String, String)>,
    },
    Refused {
        why: String,
    },
    /// The cluster is ending; that is done within the time when these processes have gone.
    Ending {
        processes: Vec<RawPid>,
        within: Duration,
    },
    /// End what you run in the cluster.
    End {
        why: String,
    },
    /// Kill it.
    Kill,
}

/// The entrance from inside.
pub(crate) struct Keeper {
    listener: OwnedFd,
    callers: Vec<Caller>,
    /// Until when those inside may take to go, once they were told to.
    until: Option<Instant>,
    thrown_out: bool,
    /// How long everything in here may take to end.
    grace: Duration,
    /// Front and warden.
    hosts: Vec<RawPid>,
}

struct Caller {
    wire: Wire,
    inside: bool,
}

/// What the keeper was asked that is not its own business.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To end the cluster.
    End,
}

impl Keeper {
    /// Opens the entrance.
    pub(crate) fn open(cluster: &Cluster, grace: Duration, hosts: Vec<RawPid>) -> io::Result<Keeper> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&listener, &address(cluster.name(), geteuid().as_raw())?)?;
        listen(&listener, 64)?;
        Ok(Keeper { listener, callers: Vec::new(), until: None, thrown_out: false, grace, hosts })
    }

    /// What to wait for.
    pub(crate) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let listener = (self.callers.len() < MOST_CALLERS).then(|| self.listener.as_fd());
        listener.into_iter().chain(self.callers.iter().map(|caller| caller.wire.as_fd()))
    }

    /// When to look whether somebody inside takes too long.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.until.filter(|&until| Instant::now() < until)
    }

    /// Answers whoever asks something.
    pub(crate) fn attend(&mut self, cluster: &Cluster) -> Option<Wish> {
        while self.callers.len() < MOST_CALLERS {
            let Ok(socket) = accept_with(&self.listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) else { break };
            let welcome = peer(&socket).is_ok_and(|(user, _)| user == 0 || user == geteuid().as_raw());
            let wire = Wire::over(socket);
            if welcome {
                self.callers.push(Caller { wire, inside: false });
            } else {
                wire.send(&Answer::Refused { why: "this is another user's cluster".into() });
            }
        }
        let mut wish = None;
        let (ending, grace, hosts) = (self.until.is_some(), self.grace, &self.hosts);
        self.callers.retain_mut(|caller| {
            loop {
                match caller.wire.receive() {
                    Received::Nothing => return true,
                    Received::Gone => return false,
                    Received::Message(Ask::End) => {
                        wish = Some(Wish::End);
                        let within = grace.saturating_mul(2).saturating_add(PATIENCE);
                        caller.wire.send(&Answer::Ending { processes: hosts.clone(), within });
                    }
                    Received::Message(Ask::Enter { .. }) if ending => {
                        caller.wire.send(&Answer::Refused { why: format!("cluster {} is ending", cluster.name()) });
                    }
                    Received::Message(ask @ (Ask::Enter { node } | Ask::Environment { node })) => {
                        caller.wire.send(&environment(cluster, node));
                        caller.inside |= matches!(ask, Ask::Enter { .. });
                    }
                }
            }
        });
        wish
    }

    /// Tells those inside to go, the first time it is called.
    pub(crate) fn send_out(&mut self, why: &str) {
        if self.until.is_none() {
            self.tell(&Answer::End { why: why.to_owned() });
            // For ever, where that is further away than a clock can say.
            self.until = Instant::now().checked_add(self.grace.saturating_add(PATIENCE));
        }
    }

    /// Has those inside kill what they run, the first time it is called.
    pub(crate) fn throw_out(&mut self) {
        self.send_out("the cluster was killed");
        if !std::mem::replace(&mut self.thrown_out, true) {
            self.tell(&Answer::Kill);
        }
    }

    /// Whether somebody is inside who is worth waiting for.
    pub(crate) fn has_guests(&self) -> bool {
        let patient = self.until.is_none_or(|until| Instant::now() < until);
        patient && self.callers.iter().any(|caller| caller.inside)
    }

    fn tell(&self, answer: &Answer) {
        for caller in self.callers.iter().filter(|caller| caller.inside) {
            caller.wire.send(answer);
        }
    }
}

fn environment(cluster: &Cluster, node: u32) -> Answer {
    match cluster.environment(node) {
        Ok(variables) => Answer::Environment {
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        },
        Err(error) => Answer::Refused { why: error.detail().to_owned() },
    }
}

/// A wire to the entrance of a cluster, and the first thing that was said there.
pub struct Entrance {
    pub(crate) name: String,
    pub(crate) wire: Wire,
    pub(crate) variables: Vec<(String, String)>,
}

/// What was said at an entrance.
struct Heard {
    wire: Wire,
    /// Who said it, 0 where this PID namespace does not show it.
    keeper: u32,
    answer: Answer,
}

/// Goes to the entrance of the named cluster, or the only one, and asks.
fn ask(name: Option<&str>, ask: &Ask) -> Result<(ClusterRef, Heard), Failure> {
    let cluster = rsm::steer::find(name)?;
    let (socket, keeper) = knock(&cluster)?;
    let wire = Wire::over(socket);
    wire.send(ask);
    match wait(&wire, PATIENCE) {
        Received::Message(Answer::Refused { why }) => Err(Failure::new(why)),
        Received::Message(answer) => Ok((cluster, Heard { wire, keeper, answer })),
        Received::Nothing | Received::Gone => {
            Err(Failure::new(format!("cluster {} is there and does not answer: is its rsm-ctl stopped?", cluster.name)))
        }
    }
}

/// Enters the named cluster, or the only one, as a process of this node.
pub fn enter(name: Option<&str>, node: u32) -> Result<Entrance, Failure> {
    match ask(name, &Ask::Enter { node })? {
        (cluster, Heard { wire, answer: Answer::Environment { variables }, .. }) => {
            Ok(Entrance { name: cluster.name, wire, variables })
        }
        (cluster, _) => Err(Failure::new(format!("cluster {} does not let anybody in now", cluster.name))),
    }
}

/// Has the named cluster, or the only one, ended, with everything that runs in it; answers its name when nothing of it is
/// left.
///
/// # Errors
/// That there is none, that it is another user's, or that it takes longer than its own grace allows.
pub fn end(name: Option<&str>) -> Result<String, Failure> {
    let (cluster, Heard { wire, keeper, answer }) = ask(name, &Ask::End)?;
    let Answer::Ending { processes, within } = answer else {
        return Err(Failure::new(format!("cluster {} does not end", cluster.name)));
    };
    let late = |remedy: String| {
        Failure::new(format!(
            "cluster {} has not ended after {within:?}; is its rsm-ctl stopped? {remedy}",
            cluster.name
        ))
    };
    if !RawPid::try_from(keeper).is_ok_and(|keeper| processes.contains(&keeper)) {
        // Numbers of another PID namespace are those of other processes here, or of none: the end of the entrance has to do.
        return match wait(&wire, within) {
            Received::Gone => Ok(cluster.name),
            _ => Err(late("It is in another PID namespace".to_owned())),
        };
    }
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
        let mut event = [PollFd::new(process, PollFlags::IN)];
        while event[0].revents().is_empty() && end.is_none_or(|end| Instant::now() < end) {
            let left = end.map(|end| until(end, Instant::now()));
            let cannot = |errno| sleep::refused(&format!("cluster {} ends; cannot wait for that", cluster.name), errno);
            sleep::until_ready(&mut event, left.as_ref()).map_err(cannot)?;
        }
        if event[0].revents().is_empty() {
            let list: Vec<String> = processes.iter().map(ToString::to_string).collect();
            let list = list.join(" ");
            return Err(late(format!("`kill -CONT {list}` lets it go on, `kill -KILL {list}` ends it")));
        }
    }
    Ok(cluster.name)
}

/// What makes a program a process of this node of the named cluster, or the only one.
///
/// # Errors
/// That there is no such cluster or node, or that it is another user's.
pub fn environment_of(name: Option<&str>, node: u32) -> Result<Vec<(String, String)>, Failure> {
    match ask(name, &Ask::Environment { node })? {
        (_, Heard { answer: Answer::Environment { variables }, .. }) => Ok(variables),
        (cluster, _) => Err(Failure::new(format!("cluster {} gives out no environment", cluster.name))),
    }
}

/// Waits for something to be said, or for the other end to go; [`Received::Nothing`] when it takes too long.
fn wait(wire: &Wire, within: Duration) -> Received<Answer> {
    let end = Instant::now().checked_add(within);
    loop {
        match wire.receive() {
            Received::Nothing => {
                if end.is_some_and(|end| Instant::now() >= end) {
                    return Received::Nothing;
                }
                let left = end.map(|end| until(end, Instant::now()));
                // Where it may not wait so, it looks again after a moment.
                let _ = sleep::until_ready(&mut [PollFd::new(wire, PollFlags::IN)], left.as_ref());
            }
            received => return received,
        }
    }
}

/// The way to the entrance, and who keeps it: the warden, 0 where this PID namespace does not show it.
fn knock(cluster: &ClusterRef) -> Result<(OwnedFd, u32), Failure> {
    let failed = |error: io::Error| {
        Failure::new(format!("cannot reach the rsm-ctl of cluster {}: {}", cluster.name, reason(&error)))
    };
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|errno| failed(errno.into()))?;
    let address = address(&cluster.name, cluster.uid).map_err(failed)?;
    connect(&socket, &address).map_err(|errno| match errno {
        Errno::CONNREFUSED => nobody_there(cluster),
        errno => failed(errno.into()),
    })?;
    // Anybody may take a name in that namespace.
    let process = peer_of(cluster, &socket).map_err(|error| {
        let what = format!("what listens as the rsm-ctl of cluster {} is another user's", cluster.name);
        Failure::new(format!("{what}: {}", error.detail()))
    })?;
    ioctl_fionbio(&socket, true).map_err(|errno| failed(errno.into()))?;
    Ok((socket, process))
}

fn nobody_there(cluster: &ClusterRef) -> Failure {
    let running = rsm::observe::clusters().unwrap_or_default();
    Failure::new(if running.contains(cluster) {
        format!(
            "cluster {} was not started by `rsm-ctl run` or `rsm-ctl up` of this version, but by a program that has it built \
             in: that program alone ends it and gives out its nodes",
            cluster.name
        )
    } else {
        let names: Vec<&str> = running.iter().map(|cluster| &*cluster.name).collect();
        let running = if names.is_empty() { "none is".to_owned() } else { format!("running: {}", names.join(", ")) };
        format!("cluster {} is not running any more; {running}", cluster.name)
    })
}

/// The name carries the version of what is said here, so that other versions find nobody instead of not being understood.
fn address(name: &str, uid: u32) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new_abstract_name(format!("rsm-ctl-1/{uid}/{name}").as_bytes())?)
}
