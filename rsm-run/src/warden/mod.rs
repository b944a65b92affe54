//! The process between the front and the nodes: hosts the agent, is the parent of every node, ends them all.

mod script;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rsm::Cluster;
use rsm::lens::Lens;
use rsm::run::Hearer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, RawPid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, setsid, wait};
use rustix::stdio::dup2_stdout;

use crate::deadline::until;
use crate::descendants::{LOOK_AGAIN, PATIENCE};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::hosting::{Hosting, host};
use crate::keeper::{Answer, Wish};
use crate::message::{ToFront, ToWarden, raw};
use crate::node;
use crate::output::{self, Ends};
use crate::plan::{Home, NewCluster, Plan};
use crate::races::Looked;
use crate::recording::Recording;
use crate::signals::SignalQueue;
use crate::stacks::{self, Stacks};
use crate::status::Status;
use crate::supervision::{Order, Supervision};
use crate::task::Task;
use crate::wire::{Received, Wire};
use crate::{descendants, process, program, sleep};
use script::{Following, Waiting};

/// Most of them that are named.
const MOST_NAMED: usize = 32;

/// What leads from the processes to the world.
pub(crate) struct Channels {
    /// Standard input of the one that reads.
    pub(crate) input: OwnedFd,
    pub(crate) ends: Vec<Ends>,
}

/// A process that has not ended.
struct Process {
    /// In the plan.
    index: usize,
    pid: Pid,
}

/// What Ctrl-Z and its end have the processes do.
enum Pause {
    Stop,
    GoOn,
}

/// A signal that everybody is to hear, and who has.
struct Asking {
    signal: Signal,
    leaders: Vec<Pid>,
    heard: HashSet<Pid>,
}

/// The warden at work.
pub(crate) struct Warden<'a> {
    plan: &'a Plan,
    wire: Wire,
    /// Refers to the front since before the warden existed, so it cannot mean anybody else.
    front: OwnedFd,
    children: SignalQueue,
    supervision: Supervision,
    /// Those that have the run end.
    hearer: Hearer,
    processes: Vec<Process>,
    hosting: Hosting<'a>,
    /// Whether the front knows what goes on after the last node.
    told_left: bool,
    /// Whether the front knows what was called.
    told_calls: bool,
    /// Those that Ctrl-Z stopped.
    suspended: Vec<Pid>,
    /// What not all of them have done yet.
    pause: Option<Pause>,
    /// What not all have heard yet.
    asking: Option<Asking>,
    /// When to give up those that may not be killed.
    give_up: Option<Instant>,
    /// While the processes are asked where they are, before they are asked to end.
    stacks: Option<Stacks>,
    script: Following,
    recording: Option<Recording>,
}

/// Between two looks at what the user wants, while the other host is waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// Serves a run from start to end in a process just forked from the front.
///
/// # Crash
/// The nodes' processes are killed by the kernel; what they forked becomes the front's, which ends it.
pub(crate) fn serve(plan: &Plan, wire: Wire, front: OwnedFd, channels: Channels) {
    match start(plan, &wire, channels) {
        Ok(Begun { children, hosting, hearer, processes, script, recording }) => {
            let pids: Vec<Pid> = processes.iter().map(|process| process.pid).collect();
            wire.send(&ToFront::Started { cluster: hosting.name().to_owned(), processes: raw(&pids) });
            let script = script.begin();
            let supervision = Supervision::new(Instant::now(), plan.timeout, plan.grace, plan.keep_going);
            Warden {
                plan,
                wire,
                front,
                children,
                supervision,
                hearer,
                processes,
                hosting,
                told_left: false,
                told_calls: false,
                suspended: Vec::new(),
                pause: None,
                asking: None,
                give_up: None,
                stacks: None,
                script,
                recording,
            }
            .watch();
        }
        Err(failure) => {
            // Some nodes may have started before one could not be.
            descendants::end_all(&[]);
            wire.send(&ToFront::Refused { code: failure.code, message: failure.message });
        }
    }
}

/// A run whose processes have started.
struct Begun<'a> {
    children: SignalQueue,
    hosting: Hosting<'a>,
    hearer: Hearer,
    processes: Vec<Process>,
    script: Waiting,
    recording: Option<Recording>,
}

fn start<'a>(plan: &'a Plan, wire: &Wire, channels: Channels) -> Result<Begun<'a>, Failure> {
    let children = prepare().map_err(|(call, error)| Failure::call("cannot set up the agent", call, error))?;
    let hosting = match &plan.home {
        Home::New(new) => {
            let hosting = host(new, plan)?;
            if let (Hosting::Own(cluster, _), Some(patience)) = (&hosting, new.bridge_wait) {
                await_bridge(cluster, wire, patience)?;
            }
            hosting
        }
        Home::Running(entrance) => Hosting::Entered { entrance, closed: false },
    };
    let recording = match (&plan.trace, &hosting) {
        (Some(trace), Hosting::Own(cluster, _)) => Some(Recording::begin(trace, cluster)?),
        _ => None,
    };
    let script = Waiting::prepare(plan, &hosting, wire, &channels.ends)?;
    let hearer = Hearer::open()?;
    let processes = start_nodes(plan, (&hosting, &hearer), channels)?;
    Ok(Begun { children, hosting, hearer, processes, script, recording })
}

/// Waits for the other host, and no longer than the user likes.
fn await_bridge(cluster: &Cluster, wire: &Wire, patience: Duration) -> Result<(), Failure> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match cluster.await_bridge(left.min(GLANCE)) {
            Ok(()) => return Ok(()),
            Err(error) if left.is_zero() => return Err(error.into()),
            Err(_) => {}
        }
        let message = "ended while it waited for the other host".to_owned();
        match wire.receive() {
            Received::Message(ToWarden::End { code, .. } | ToWarden::Kill { code }) => {
                return Err(Failure { code, message });
            }
            Received::Message(ToWarden::Suspend) => wire.send(&ToFront::Suspended),
            Received::Gone => return Err(Failure { code: ExitCode::Failure, message }),
            Received::Message(ToWarden::Forward { .. } | ToWarden::Resume) | Received::Nothing => {}
        }
    }
}

/// Becomes the warden.
fn prepare() -> Result<SignalQueue, (&'static str, io::Error)> {
    // Out of the front's session: what the terminal sends is for the front alone.
    setsid().map_err(|errno| ("setsid", errno.into()))?;
    let reaper = set_child_subreaper(Some(getpid()));
    reaper.map_err(|errno| ("prctl(PR_SET_CHILD_SUBREAPER)", errno.into()))?;
    // A name of its own in ps, and out of the way of `killall rsm-ctl`. At most 15 bytes.
    let _ = rustix::thread::set_name(c"rsm-warden");
    // The front's output is the front's alone: its reader must notice when the front goes.
    let null = output::null().and_then(|null| Ok(dup2_stdout(null)?));
    null.map_err(|error| ("/dev/null", error))?;
    // Other signals, blocked by the front for itself, are open again: sent to the warden they end it, and the front notices.
    SignalQueue::new(&[Signal::CHILD]).map_err(|error| ("signalfd", error))
}

fn start_nodes(plan: &Plan, place: (&Hosting<'_>, &Hearer), channels: Channels) -> Result<Vec<Process>, Failure> {
    let mut processes = Vec::new();
    let mut input = Some(channels.input);
    for (index, (task, ends)) in plan.tasks.iter().zip(channels.ends).enumerate() {
        let mine = if plan.reader == Some(index) { input.take() } else { None };
        let stdin = mine.map_or_else(Stdio::null, Stdio::from);
        let pid = start_node(plan, place, task, stdin, ends)?;
        processes.push(Process { index, pid });
    }
    Ok(processes)
}

fn start_node(
    plan: &Plan,
    (hosting, hearer): (&Hosting<'_>, &Hearer),
    task: &Task,
    stdin: Stdio,
    ends: Ends,
) -> Result<Pid, Failure> {
    let (name, value) = hearer.variable();
    let place = hosting.environment(task.node)?.into_iter().chain([(name.to_owned(), value.to_owned())]);
    let started = node::start(task, place, stdin, ends, plan.descriptors);
    started.map_err(|error| match (process::failed_before_exec(&error), Errno::from_io_error(&error)) {
        (Some(error), _) => Failure::system(&format!("cannot start node {}", task.label), error),
        // No room for another process: that is not the program's fault.
        (None, None | Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE)) => {
            Failure::system(&format!("cannot start node {}", task.label), error)
        }
        (None, Some(errno)) => program::refused(&task.program, errno),
    })
}

impl Warden<'_> {
    /// Goes on until no process of any node is left, then ends the cluster and says so.
    fn watch(mut self) {
        while !self.gives_up() && (self.reap() || self.stays() || self.restarts() || self.waits_for_guests()) {
            self.follow_script();
            self.tell_left();
            self.record(Recording::go_on);
            while let Some(order) = self.supervision.due(Instant::now()) {
                self.obey(order);
            }
            if let Err(errno) = self.sleep() {
                self.cannot_wait(errno);
            }
            while self.children.next().is_some() {}
            self.listen();
            self.attend();
            self.hear_processes();
            self.tell_stacks();
            self.go_on_asking();
            self.carry_on();
        }
        if self.supervision.code() != ExitCode::Success {
            let lines = self.hosting.late();
            if !lines.is_empty() {
                self.wire.send(&ToFront::Late { lines });
            }
        }
        if let Some(line) = self.hosting.modelled() {
            self.wire.send(&ToFront::Modelled { line });
        }
        self.record(Recording::end);
        self.tell_races();
        self.tell_calls();
        if self.explores() {
            let lines = self.hosting.leftovers();
            if !lines.is_empty() {
                self.wire.send(&ToFront::Leftovers { lines });
            }
        }
        self.end_cluster();
    }

    /// Goes on with the trace, if there is one.
    fn record(&mut self, work: impl FnOnce(&mut Recording, &Cluster) -> Option<String>) {
        if let (Some(recording), Hosting::Own(cluster, _)) = (&mut self.recording, &self.hosting)
            && let Some(why) = work(recording, cluster)
        {
            self.wire.send(&ToFront::TraceFailed { why });
        }
    }

    /// Passes on which accesses nothing orders, where they were looked for.
    fn tell_races(&self) {
        let Hosting::Own(cluster, _) = &self.hosting else { return };
        let Some(mut looked) = cluster.races().map(Looked::of) else { return };
        let races = std::mem::take(&mut looked.races);
        self.wire.send(&ToFront::Looked { looked: looked.clone() });
        for race in races {
            if self.wire.has_room() {
                self.wire.send(&ToFront::Looked { looked: Looked { races: vec![race], ..looked.clone() } });
            }
        }
    }

    /// Whether the cluster has a gate, and the front is to know what comes of it.
    fn explores(&self) -> bool {
        matches!(&self.plan.home, Home::New(NewCluster { lens: Some(Lens { gate: Some(_), .. }), .. }))
    }

    /// Passes on what processes say of their calls, once: at the end, or when the time is up.
    fn tell_calls(&mut self) {
        if !self.explores() || std::mem::replace(&mut self.told_calls, true) {
            return;
        }
        for message in self.hosting.calls() {
            if self.wire.has_room() {
                self.wire.send(&message);
            }
        }
    }

    /// Whether nobody is left but processes that may not be killed, for long enough.
    fn gives_up(&mut self) -> bool {
        let now = Instant::now();
        if self.give_up.is_none_or(|at| now < at) {
            return false;
        }
        let Ok(left) = descendants::living(&[]) else {
            self.give_up = now.checked_add(LOOK_AGAIN);
            return false;
        };
        let refused = descendants::signal(&left, Signal::KILL).refused;
        if refused.is_empty() || refused.len() < left.len() {
            self.give_up = now.checked_add(PATIENCE);
            return false;
        }
        let processes = refused.into_iter().take(MOST_NAMED).map(descendants::described).collect();
        self.wire.send(&ToFront::Escaped { processes });
        true
    }

    /// Whether the cluster goes on without processes of ours.
    fn stays(&self) -> bool {
        self.plan.stays && self.supervision.is_undisturbed()
    }

    /// With nothing of ours left: has those who entered go too, and answers whether that takes more time.
    fn waits_for_guests(&mut self) -> bool {
        let Hosting::Own(cluster, keeper) = &mut self.hosting else { return false };
        keeper.send_out(&format!("cluster {} has ended", cluster.name()));
        keeper.has_guests()
    }

    /// Whether a look is to be taken again soon: one has failed, or may have when all were killed.
    fn looks_again(&self) -> bool {
        self.supervision.is_killing() || self.asking.is_some() || self.pause.is_some() || self.has_left()
    }

    /// Sleeps until a child ends, somebody speaks or goes, or a deadline comes.
    ///
    /// # Errors
    /// As [`sleep::until_ready`].
    fn sleep(&self) -> Result<(), Errno> {
        let now = Instant::now();
        let again = self.looks_again().then(|| now + LOOK_AGAIN);
        let recording = self.recording.as_ref().and_then(Recording::deadline);
        let deadlines = [self.supervision.deadline(), self.hosting.deadline(), self.give_up, again, recording];
        let timeout = deadlines.into_iter().flatten().min().map(|deadline| until(deadline, now));
        let mut events = vec![PollFd::new(&self.children, PollFlags::IN)];
        // Once the front has gone its two descriptors are readable for ever; only the others matter then.
        if !(self.supervision.is_killing() && self.front_is_gone()) {
            events.push(PollFd::new(&self.wire, PollFlags::IN));
            events.push(PollFd::new(&self.front, PollFlags::IN));
        }
        events.extend(self.script.sources().map(|script| PollFd::from_borrowed_fd(script, PollFlags::IN)));
        events.extend(self.stacks.iter().map(|stacks| PollFd::new(stacks, PollFlags::IN)));
        events.extend(self.hosting.sources().into_iter().map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)));
        events.extend(self.hearer.sources().map(|source| PollFd::from_borrowed_fd(source, PollFlags::IN)));
        sleep::until_ready(&mut events, timeout.as_ref())
    }

    /// Ends the run, once, when what happens in it cannot be waited for; until it has ended that is looked for by a clock.
    fn cannot_wait(&mut self, errno: Errno) {
        if self.supervision.is_ending() || self.supervision.is_killing() {
            return;
        }
        let why = sleep::refused("cannot watch the processes of the run", errno).message;
        self.wire.send(&ToFront::ClusterEnds { why });
        if let Some(order) = self.supervision.end(Instant::now(), Signal::TERM, ExitCode::Failure) {
            self.obey(order);
        }
    }

    /// Hears a process that has the run end.
    fn hear_processes(&mut self) {
        let Some((code, pid)) = self.hearer.attend() else { return };
        if self.supervision.ended_from_within(Instant::now(), code) {
            let process = RawPid::try_from(pid).unwrap_or_default();
            let index = self.processes.iter().find(|of| of.pid.as_raw_pid() == process).map(|of| of.index);
            self.wire.send(&ToFront::RunEnds { index, process, code });
        }
    }

    /// Hears what is said at the entrance: ours, or the one we came in by.
    fn attend(&mut self) {
        let heard = match &mut self.hosting {
            Hosting::Own(cluster, keeper) => {
                let wish = keeper.attend(cluster);
                wish.map(|Wish::End| (format!("cluster {} is ended by `rsm-ctl down`", cluster.name()), false))
            }
            Hosting::Entered { closed: true, .. } => None,
            Hosting::Entered { entrance, closed } => match entrance.wire.receive() {
                Received::Nothing => None,
                Received::Message(Answer::Kill) => Some((format!("cluster {} was killed", entrance.name), true)),
                Received::Message(Answer::End { why }) => Some((why, false)),
                Received::Message(_) => None,
                Received::Gone => {
                    *closed = true;
                    Some((format!("cluster {} has ended: its agent was killed", entrance.name), false))
                }
            },
        };
        let Some((why, kill)) = heard else { return };
        let code = match self.hosting {
            // What `up` was for has been done.
            Hosting::Own(..) if self.plan.stays => ExitCode::Success,
            Hosting::Own(..) => ExitCode::Signal(15),
            Hosting::Entered { .. } => ExitCode::ClusterEnded,
        };
        if self.supervision.is_killing() || (self.supervision.is_ending() && !kill) {
            return;
        }
        if let Hosting::Own(_, keeper) = &mut self.hosting {
            keeper.send_out(&why);
        }
        if !self.supervision.is_ending() {
            self.wire.send(&ToFront::ClusterEnds { why });
        }
        let order = match kill {
            true => Some(self.supervision.kill(code)),
            false => self.supervision.end(Instant::now(), Signal::TERM, code),
        };
        if let Some(order) = order {
            self.obey(order);
        }
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
        while let Received::Message(message) = self.wire.receive() {
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
                ToWarden::Suspend => self.begin(Pause::Stop),
                ToWarden::Resume => self.begin(Pause::GoOn),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask(signal) => self.ask(signal),
            Order::TimeIsUp => {
                let running = self.processes.iter().map(|process| process.index).collect();
                self.wire.send(&ToFront::TimedOut { running, hangs: self.hosting.hangs(&self.nodes()) });
                self.tell_calls();
                self.stacks = if self.plan.stacks { Stacks::ask(self.everybody()).ok() } else { None };
                match self.stacks {
                    Some(_) => self.supervision.restart_grace(Instant::now() + stacks::LIMIT),
                    None => self.ask(Signal::TERM),
                }
            }
            Order::Kill => {
                if let Hosting::Own(_, keeper) = &mut self.hosting {
                    keeper.throw_out();
                }
                // The nodes' own processes are killed without a look, the others when one succeeds.
                let all = descendants::some(&[]).unwrap_or_else(|_| self.leaders());
                let refused = descendants::signal(&all, Signal::KILL).refused;
                if !refused.is_empty() && self.give_up.is_none() {
                    self.give_up = Instant::now().checked_add(PATIENCE);
                }
            }
        }
    }

    /// The nodes that have processes.
    fn nodes(&self) -> BTreeSet<u32> {
        self.processes.iter().map(|process| self.plan.tasks[process.index].node).collect()
    }

    /// The processes that were started as nodes and have not ended.
    fn leaders(&self) -> Vec<Pid> {
        self.processes.iter().map(|process| process.pid).collect()
    }

    /// The processes of all nodes, those that nodes started after those that were started as nodes.
    fn everybody(&self) -> Vec<(String, Pid)> {
        let place = |pid: Pid| self.processes.iter().find(|process| process.pid == pid);
        let mut all: Vec<(bool, String, Pid)> = descendants::living(&[])
            .unwrap_or_else(|_| self.leaders())
            .into_iter()
            .map(|pid| match place(pid) {
                Some(process) => (false, format!("node {}", self.plan.tasks[process.index].label), pid),
                None => (true, format!("process {}", descendants::described(pid)), pid),
            })
            .collect();
        all.sort_by_key(|(later, ..)| *later);
        all.into_iter().map(|(_, name, pid)| (name, pid)).collect()
    }

    /// Passes on where the processes are, once they were asked, and has them end.
    fn tell_stacks(&mut self) {
        let Some(stacks) = self.stacks.take_if(|stacks| stacks.is_done()) else { return };
        for text in stacks::pieces(&stacks.told()) {
            if self.wire.has_room() {
                self.wire.send(&ToFront::Stacks { text });
            }
        }
        if !self.supervision.is_killing() {
            self.supervision.restart_grace(Instant::now());
            self.ask(Signal::TERM);
        }
    }

    fn ask(&mut self, signal: Signal) {
        self.asking = Some(Asking { signal, leaders: self.leaders(), heard: HashSet::new() });
        self.go_on_asking();
    }

    /// Asks those who did not hear it yet.
    fn go_on_asking(&mut self) {
        self.asking.take_if(|Asking { signal, leaders, heard }| {
            // One that is stopped could not hear it.
            descendants::signal_once(leaders, &[*signal, Signal::CONT], heard)
        });
    }

    fn begin(&mut self, pause: Pause) {
        self.pause = Some(pause);
        self.carry_on();
    }

    /// Stops the processes, or has them go on, as far as that was not done yet.
    fn carry_on(&mut self) {
        let done = match self.pause {
            None => return,
            Some(Pause::Stop) => descendants::stop_all(&mut self.suspended),
            Some(Pause::GoOn) => descendants::go_on(&mut self.suspended),
        };
        if done && let Some(Pause::Stop) = self.pause.take() {
            self.wire.send(&ToFront::Suspended);
        }
    }

    /// Reaps what has ended; answers whether any process of any node is left.
    fn reap(&mut self) -> bool {
        let mut ended = Vec::new();
        let left = loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(end)) => ended.push(end),
                Ok(None) => break true,
                Err(Errno::INTR) => {}
                // No child: and a descendant that is not a child has an ancestor that is one.
                Err(_) => break false,
            }
        };
        // The kernel tells ends in the order of birth. Of those that came together, one that was killed is rather the
        // reason of one that gave up than the other way round.
        ended.sort_by_key(|(_, status)| status.exit_status().is_some());
        for (pid, status) in ended {
            if let Some(how) = Status::of(status) {
                // The bit of the wait status that says so (wait(2), WCOREDUMP).
                self.ended(pid, how, how.is_killed() && status.as_raw() & 0x80 != 0);
            }
        }
        if left && self.supervision.is_killing() {
            // Whoever died may have left children, forked after the last look.
            self.obey(Order::Kill);
        }
        left
    }

    fn ended(&mut self, pid: Pid, status: Status, core: bool) {
        let Some(place) = self.processes.iter().position(|process| process.pid == pid) else { return };
        let Process { index, .. } = self.processes.remove(place);
        let on_purpose = self.script.has_ended(pid) || self.hosting.killed(self.plan.tasks[index].node, pid, status);
        let node = self.plan.tasks[index].node;
        self.record(|recording, _| recording.ended(node, pid, status));
        let blame = self.supervision.node_ended(Instant::now(), status, on_purpose);
        self.wire.send(&ToFront::Ended { index, process: pid.as_raw_pid(), status, core, blame });
    }

    /// Whether the nodes have ended well, and the front is to know what goes on.
    fn has_left(&self) -> bool {
        let none = self.processes.is_empty() && !self.restarts();
        none && self.supervision.is_undisturbed() && !self.told_left && !self.plan.stays
    }

    fn tell_left(&mut self) {
        if self.has_left()
            && let Ok(left) = descendants::list(&[])
        {
            self.told_left = true;
            self.wire.send(&ToFront::Left { processes: raw(&left) });
        }
    }
}
