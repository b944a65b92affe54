//! The process between the front and the nodes: hosts the agent, is the parent of every node, ends them all.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::Instant;

use rsm::Cluster;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, setsid, wait};
use rustix::stdio::dup2_stdout;

use super::link::{Link, Received};
use super::message::{ToFront, ToWarden, raw};
use super::node::{Ends, Starter};
use super::signals::SignalQueue;
use super::status::Status;
use super::supervision::{Order, Supervision};
use super::{Plan, descendants, output, program};
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// What leads from the nodes to the world.
pub(crate) struct Channels {
    /// Node 1's standard input.
    pub(crate) input: OwnedFd,
    pub(crate) ends: Vec<Ends>,
}

/// A node's process that has not ended.
struct Process {
    node: u32,
    pid: Pid,
}

/// The warden at work.
pub(crate) struct Warden {
    link: Link,
    /// Refers to the front since before the warden existed, so it cannot mean anybody else.
    front: OwnedFd,
    children: SignalQueue,
    supervision: Supervision,
    processes: Vec<Process>,
    /// Whether the front knows what goes on after the last node.
    told_left: bool,
}

/// Serves a run from start to end in a process just forked from the front.
///
/// # Crash
/// The nodes' processes are killed by the kernel; what they forked becomes the front's, which ends it.
pub(crate) fn serve(plan: &Plan, link: Link, front: OwnedFd, channels: Channels) {
    match start(plan, channels) {
        Ok((children, cluster, processes)) => {
            let pids: Vec<Pid> = processes.iter().map(|process| process.pid).collect();
            link.send(&ToFront::Started { cluster: cluster.name().to_owned(), processes: raw(&pids) });
            let supervision = Supervision::new(Instant::now(), plan.timeout, plan.grace, plan.keep_going);
            Warden { link, front, children, supervision, processes, told_left: false }.watch(cluster);
        }
        Err(failure) => {
            // Some nodes may have started before one could not be.
            descendants::end_all(&[]);
            link.send(&ToFront::Refused { code: failure.code, message: failure.message });
        }
    }
}

fn start(plan: &Plan, channels: Channels) -> Result<(SignalQueue, Cluster, Vec<Process>), Failure> {
    let (children, cluster) = prepare(plan)?;
    let processes = start_nodes(plan, &cluster, channels)?;
    Ok((children, cluster, processes))
}

/// Becomes the warden and starts the cluster.
fn prepare(plan: &Plan) -> Result<(SignalQueue, Cluster), Failure> {
    let system = |error: io::Error| Failure::system("cannot set up the warden", error);
    // Out of the front's session: what the terminal sends is for the front alone.
    setsid().map_err(|errno| system(errno.into()))?;
    set_child_subreaper(Some(getpid())).map_err(|errno| system(errno.into()))?;
    // A name of its own in ps, and out of the way of `killall rsm-ctl`. At most 15 bytes.
    let _ = rustix::thread::set_name(c"rsm-warden");
    // The front's output is the front's alone: its reader must notice when the front goes.
    dup2_stdout(output::null().map_err(system)?).map_err(|errno| system(errno.into()))?;
    // Other signals, blocked by the front for itself, are open again: sent to the warden they end it, and the front notices.
    let children = SignalQueue::new(&[Signal::CHILD]).map_err(system)?;
    let mut builder = Cluster::builder(plan.nodes).dedicated();
    if let Some(name) = &plan.name {
        builder = builder.name(name);
    }
    Ok((children, builder.start()?))
}

fn start_nodes(plan: &Plan, cluster: &Cluster, channels: Channels) -> Result<Vec<Process>, Failure> {
    let starter = Starter { program: &plan.program, descriptors: plan.descriptors };
    let mut processes = Vec::new();
    let mut input = Some(channels.input);
    for (node, ends) in (1..=plan.nodes).zip(channels.ends) {
        let environment = cluster.environment(node)?;
        let stdin = input.take().map_or_else(Stdio::null, Stdio::from);
        let pid = starter.start(environment, stdin, ends).map_err(|error| match Errno::from_io_error(&error) {
            // No room for another process: that is not the program's fault.
            None | Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
                Failure::system(&format!("cannot start node {node}"), error)
            }
            Some(errno) => program::refusal(&plan.program.name, errno),
        })?;
        processes.push(Process { node, pid });
    }
    Ok(processes)
}

impl Warden {
    /// Goes on until no process of any node is left, then ends the cluster and says so.
    fn watch(mut self, cluster: Cluster) {
        while self.reap() {
            self.tell_left();
            while let Some(order) = self.supervision.due(Instant::now()) {
                self.obey(order);
            }
            self.sleep();
            while self.children.next().is_some() {}
            self.listen();
        }
        drop(cluster);
        self.link.send(&ToFront::Finished { code: self.supervision.code() });
    }

    /// Sleeps until a child ends, the front speaks or goes, or a deadline comes.
    fn sleep(&self) {
        let timeout = self.supervision.deadline().map(|deadline| until(deadline, Instant::now()));
        let mut events = [
            PollFd::new(&self.children, PollFlags::IN),
            PollFd::from_borrowed_fd(self.link.as_fd(), PollFlags::IN),
            PollFd::new(&self.front, PollFlags::IN),
        ];
        // Once the front has gone its two descriptors are readable for ever; only children matter then.
        let events =
            if self.supervision.is_killing() && self.front_is_gone() { &mut events[..1] } else { &mut events[..] };
        let _ = poll(events, timeout.as_ref());
    }

    fn front_is_gone(&self) -> bool {
        let mut event = [PollFd::new(&self.front, PollFlags::IN)];
        poll(&mut event, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    fn listen(&mut self) {
        if self.front_is_gone() {
            if !self.supervision.is_killing() {
                let order = self.supervision.kill(ExitCode::Failure);
                self.obey(order);
            }
            return;
        }
        while let Received::Message(message) = self.link.receive() {
            match message {
                ToWarden::End { signal, code } => {
                    if let Some(order) = self.supervision.end(Instant::now(), signal.into(), code) {
                        self.obey(order);
                    }
                }
                ToWarden::Kill { code } => {
                    let order = self.supervision.kill(code);
                    self.obey(order);
                }
                ToWarden::Forward { signal } => {
                    for process in &self.processes {
                        let _ = kill_process(process.pid, signal.into());
                    }
                }
                ToWarden::Suspend => {
                    descendants::stop_all();
                    self.link.send(&ToFront::Suspended);
                }
                ToWarden::Resume => descendants::continue_all(),
            }
        }
    }

    fn obey(&self, order: Order) {
        match order {
            Order::Ask(signal) => self.ask(signal),
            Order::TimeIsUp => {
                let running = self.processes.iter().map(|process| process.node).collect();
                self.link.send(&ToFront::TimedOut { running });
                self.ask(Signal::TERM);
            }
            Order::Kill => descendants::signal(&descendants::list(&[]), Signal::KILL),
        }
    }

    fn ask(&self, signal: Signal) {
        let leaders: Vec<Pid> = self.processes.iter().map(|process| process.pid).collect();
        descendants::signal_groups(&leaders, signal);
        // One that is stopped could not hear it.
        descendants::signal_groups(&leaders, Signal::CONT);
    }

    /// Reaps what has ended; answers whether any process of any node is left.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if let Some(status) = Status::of(status) {
                        self.ended(pid, status);
                    }
                }
                Ok(None) => break,
                Err(Errno::INTR) => {}
                // No child: and a descendant that is not a child has an ancestor that is one.
                Err(_) => return false,
            }
        }
        if self.supervision.is_killing() {
            // Whoever died may have left children, forked after the last look.
            self.obey(Order::Kill);
        }
        true
    }

    fn ended(&mut self, pid: Pid, status: Status) {
        let Some(index) = self.processes.iter().position(|process| process.pid == pid) else { return };
        let Process { node, .. } = self.processes.remove(index);
        let news = self.supervision.node_ended(Instant::now(), status);
        self.link.send(&ToFront::Ended { node, process: pid.as_raw_pid(), status, news });
    }

    fn tell_left(&mut self) {
        if self.processes.is_empty() && self.supervision.is_undisturbed() && !self.told_left {
            self.told_left = true;
            self.link.send(&ToFront::Left { processes: raw(&descendants::list(&[])) });
        }
    }
}

/// The time from now until `deadline` as `poll` takes it.
pub(crate) fn until(deadline: Instant, now: Instant) -> Timespec {
    Timespec::try_from(deadline.saturating_duration_since(now)).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}
