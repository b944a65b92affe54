//! The process the user started: hears the terminal, shows the nodes' output, gives the exit code.

mod owner;

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rsm::run::rlimit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, pidfd_open,
    pidfd_send_signal, set_child_subreaper, setrlimit, waitid, waitpid,
};

use crate::account::Account;
use crate::colour::Palette;
use crate::course::Trial;
use crate::ending::Ending;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::input::{self, Feeder};
use crate::junit::Report;
use crate::message::{ToFront, ToWarden};
use crate::output::{self, Ends, Forwarder, LogFiles, Streams};
use crate::plan::Plan;
use crate::print;
use crate::process::{self, Forked};
use crate::races::Looked;
use crate::signals::{SignalQueue, StopSignal};
use crate::status::Status;
use crate::supervision::Blame;
use crate::verbosity::Verbosity;
use crate::warden::{self, Channels};
use crate::wire::{Received, Wire};
use crate::{descendants, notice, sleep, summary};
pub(crate) use owner::{Owner, owned};

/// For whom a run is watched.
#[derive(Default)]
struct Audience<'a> {
    /// Whether a report is to be written.
    reported: bool,
    announce: Option<&'a Wire>,
    owner: Option<Owner>,
    /// Where what nodes write is kept, if not where the plan says.
    logs: Option<LogFiles>,
}

/// The front at work.
struct Front<'a> {
    plan: Plan,
    /// Who wants to know the first thing that is told about the run.
    announce: Option<&'a Wire>,
    /// Until it has gone.
    owner: Option<Owner>,
    signals: SignalQueue,
    /// Ctrl-Z, unless whoever started us had it ignored.
    stop: Option<StopSignal>,
    warden: Pid,
    /// Refers to the warden until it is reaped.
    pidfd: Option<OwnedFd>,
    /// `None` when the warden has closed its end.
    wire: Option<Wire>,
    forwarder: Forwarder,
    /// While the reader gets what is typed.
    feeder: Option<Feeder>,
    account: Account,
    told_summary: bool,
    ending: Ending,
    /// Children from before, of whoever executed this program in its place. They are not ours to end.
    strangers: Vec<Pid>,
    suspending: bool,
}

/// Runs a plan: starts the warden, which starts everything else, and watches until nothing is left. Answers what to end
/// with. The report, if there is one, is written however the run ends.
///
/// What nodes write goes to this process's own outputs, and the signals that it is sent are the run's. Only for a process
/// without other threads: it is forked.
///
/// # Errors
/// Why it did not start, or why its report cannot be written.
///
/// # Crash
/// The warden notices by its pidfd and ends every process of the run, then itself. The report stays empty.
pub fn run(plan: Plan, report: Option<Report>) -> Result<ExitCode, Failure> {
    judged(plan, report, |_, code| code)
}

/// The same for a run whose races are looked for: `judge` is told of them, and what the run is to end with otherwise.
///
/// # Errors
/// As [`run`].
pub fn judged(
    plan: Plan,
    report: Option<Report>,
    judge: impl FnOnce(&Looked, ExitCode) -> ExitCode,
) -> Result<ExitCode, Failure> {
    match watched(plan, Audience { reported: report.is_some(), ..Audience::default() }) {
        Ok(front) => {
            let (tasks, code) = (&front.plan.tasks, front.ending.code());
            let code = front.account.looked.as_ref().map_or(code, |looked| judge(looked, code));
            match report.map_or(Ok(()), |report| report.write(tasks, &front.account, &front.forwarder)) {
                // The run has its own reason to end with something else.
                Err(failure) if code != ExitCode::Success => print::complaint(&failure),
                written => written?,
            }
            Ok(code)
        }
        Err(failure) => {
            report.map_or(Ok(()), |report| report.write_refusal(&failure.message))?;
            Err(failure)
        }
    }
}

/// Runs a plan without a report; `announce` is told how it began.
pub(crate) fn announced(plan: Plan, announce: &Wire) -> Result<ExitCode, Failure> {
    watched(plan, Audience { announce: Some(announce), ..Audience::default() }).map(|front| front.ending.code())
}

/// Runs a plan whose course is wanted as facts.
///
/// # Errors
/// Why it did not start.
pub(crate) fn tried(plan: Plan) -> Result<Trial, Failure> {
    watched(plan, Audience::default()).and_then(|front| trial(&front))
}

fn trial(front: &Front<'_>) -> Result<Trial, Failure> {
    let (tasks, account, code) = (&front.plan.tasks, &front.account, front.ending.code());
    match &account.refused {
        Some(message) => Err(Failure { code, message: message.clone() }),
        None => Ok(Trial::of(tasks, account, code, &front.forwarder)),
    }
}

/// A run from start to end.
fn watched(mut plan: Plan, mut audience: Audience<'_>) -> Result<Front<'_>, Failure> {
    if !raise_descriptor_limit() {
        // Nothing that nodes have to be given back, by a call that may be refused them, too.
        plan.descriptors = None;
    }
    let count = plan.tasks.len();
    let kept = if audience.reported { output::KEPT_FOR_REPORT } else { output::KEPT };
    // Logs keep the two apart.
    let together = plan.log_dir.is_none() && audience.logs.is_none() && output::are_one();
    let (streams, ends) = output::open_streams(count, kept, together).map_err(|error| {
        let what = if count == 1 { "a process".to_owned() } else { format!("{count} processes") };
        Failure::system(&format!("cannot make the output streams of {what}"), error)
    })?;
    let labels = plan.tasks.iter().map(|task| &*task.label);
    if let Some(directory) = &plan.log_dir {
        audience.logs = Some(LogFiles::create(directory, labels)?);
    }
    let mut front = start(plan, streams, ends, audience)?;
    front.watch();
    Ok(front)
}

fn start<'a>(plan: Plan, streams: Streams, ends: Vec<Ends>, audience: Audience<'a>) -> Result<Front<'a>, Failure> {
    let refused = |call: &'static str| move |error| Failure::call("cannot start a run", call, error);
    let Audience { announce, owner, logs, .. } = audience;
    sleep::check("cannot start a run")?;
    descendants::can_be_found().map_err(|why| Failure::lacking(format!("cannot start a run: {why}")))?;
    let (input, feeder) = input::take(plan.terminal).map_err(refused("its input"))?;
    let stop = (!process::is_ignored(Signal::TSTP)).then(StopSignal::new).transpose().map_err(refused("signalfd"))?;
    let signals = SignalQueue::beside(&heard(), stop.as_ref().map_or(&[], |_| &[Signal::TSTP]));
    let signals = signals.map_err(refused("signalfd"))?;
    let (wire, wardens_wire) = Wire::pair().map_err(refused("socketpair"))?;
    // Opened by its owner and inherited: it cannot mean anybody else, whatever happens meanwhile.
    let itself = pidfd_open(getpid(), PidfdFlags::empty()).map_err(io::Error::from).map_err(refused("pidfd_open"))?;
    set_child_subreaper(Some(getpid())).map_err(io::Error::from).map_err(refused("prctl(PR_SET_CHILD_SUBREAPER)"))?;
    let strangers = descendants::list(&[]).map_err(refused("/proc"))?;
    match process::fork().map_err(refused("fork"))? {
        Forked::Child => {
            drop((signals, stop, streams, wire, feeder, logs, owner));
            warden::serve(&plan, wardens_wire, itself, Channels { input, ends });
            std::process::exit(0);
        }
        Forked::Parent(warden) => {
            drop((wardens_wire, itself, ends, input));
            let tags = plan.tag_output.then(|| plan.tasks.iter().map(|task| format!("[{}] ", task.label)).collect());
            // The child is not reaped yet, so the number is still its.
            let pidfd = pidfd_open(warden, PidfdFlags::empty()).map_err(|errno| ("pidfd_open", errno.into()));
            let begun = pidfd.and_then(|pidfd| {
                let forwarder = Forwarder::new(streams, tags, logs);
                Ok((pidfd, forwarder.map_err(|error| ("a thread that writes output (clone3)", error))?))
            });
            let (pidfd, forwarder) = match begun {
                Ok(begun) => begun,
                Err((call, error)) => {
                    // It goes with all that it has started by now.
                    descendants::end_all(&strangers);
                    return Err(refused(call)(error));
                }
            };
            Ok(Front {
                forwarder,
                account: Account::new(plan.tasks.len()),
                plan,
                announce,
                owner,
                signals,
                stop,
                warden,
                pidfd: Some(pidfd),
                wire: Some(wire),
                feeder,
                told_summary: false,
                ending: Ending::default(),
                strangers,
                suspending: false,
            })
        }
    }
}

/// The signals the front turns into something else than their default action.
fn heard() -> Vec<Signal> {
    // A shell has its background jobs ignore some, and nohup does; that stands.
    let mut heard = vec![Signal::HUP, Signal::INT, Signal::QUIT, Signal::XCPU];
    heard.retain(|&signal| !process::is_ignored(signal));
    heard.extend([Signal::TERM, Signal::USR1, Signal::USR2, Signal::WINCH]);
    heard
}

/// Many nodes need many descriptors here; answers whether there are more now. What nodes themselves may have was noted in
/// the plan before.
fn raise_descriptor_limit() -> bool {
    let Ok(limit) = rlimit::limit(Resource::Nofile) else { return false };
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok()
}

impl Front<'_> {
    /// Goes on until the warden has gone and everything the nodes wrote is shown.
    fn watch(&mut self) {
        loop {
            self.wait();
            self.look_at_output();
            self.listen();
            self.hear_owner();
            while let Some(signal) = self.signals.next() {
                self.hear(signal);
            }
            if self.is_told_to_stop() {
                self.suspend();
            }
            if self.pidfd.is_none() {
                self.forwarder.drain();
                if self.forwarder.is_read() {
                    self.tell_summary();
                }
                // A log that was closed may have failed only then.
                self.look_at_output();
                if self.forwarder.is_done() || self.ending.gives_up(self.forwarder.written()) {
                    return;
                }
            }
        }
    }

    /// Sleeps until something happens, and reads what nodes wrote.
    fn wait(&mut self) {
        let wanted = self.forwarder.wanted();
        let mut events = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(self.forwarder.moved(), PollFlags::IN),
        ];
        // Readable until it is obeyed, which takes until the nodes have stopped.
        let stop = self.stop.as_ref().filter(|_| !self.suspending);
        events.extend(stop.map(|stop| PollFd::new(stop, PollFlags::IN)));
        events.extend(self.pidfd.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        events.extend(self.wire.iter().map(|wire| PollFd::new(wire, PollFlags::IN)));
        let owner = self.owner.iter().flat_map(|owner| [owner.wire.as_fd(), owner.process.as_fd()]);
        events.extend(owner.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)));
        let fed = events.len();
        let feeding = self.feeder.as_ref().and_then(Feeder::wanted);
        events.extend(feeding.map(|(source, flags)| PollFd::from_borrowed_fd(source, flags)));
        let streams = events.len();
        events.extend(
            wanted.iter().map(|&stream| PollFd::from_borrowed_fd(self.forwarder.source(stream), PollFlags::IN)),
        );
        let away = self.feeder.is_some() && fed == streams;
        let timeout = if self.pidfd.is_none() { self.ending.patience() } else { away.then_some(input::LOOK_AGAIN) };
        let waited = sleep::until_ready(&mut events, timeout.as_ref());
        let fed = events[fed..streams].iter().any(|event| !event.revents().is_empty());
        // Where nobody tells which of them has something, each is asked: none of them keeps its reader.
        let blind = waited.is_err();
        let ready = wanted.iter().zip(&events[streams..]).filter(|(_, event)| blind || !event.revents().is_empty());
        let ready: Vec<usize> = ready.map(|(&stream, _)| stream).collect();
        self.forwarder.clear_moved();
        self.forwarder.read(&ready);
        if fed && self.feeder.as_mut().is_some_and(|feeder| !feeder.advance()) {
            // The reader finds the end of its input.
            self.feeder = None;
        }
        if let Err(errno) = waited {
            self.cannot_wait(errno);
        }
    }

    /// Ends the run, once, when it cannot be watched as it should; until it has ended that is done by a clock.
    fn cannot_wait(&mut self, errno: Errno) {
        if self.ending.failed(ExitCode::Failure) {
            let why = sleep::refused("cannot watch the run", errno);
            self.forwarder.say(&format!("rsm-ctl: {why}"));
            self.tell(&ToWarden::End { signal: Signal::TERM.into(), code: ExitCode::Failure });
        }
    }

    /// Ends the run when an output or a log takes nothing any more.
    fn look_at_output(&mut self) {
        if let Some((output, errno)) = self.forwarder.failure() {
            // Nobody reads any more: end as quietly as a single program would.
            let code = if errno == Errno::PIPE { ExitCode::OutputClosed } else { ExitCode::Failure };
            let why = (errno != Errno::PIPE).then(|| format!("{}: {}", output.name(), reason(&errno.into())));
            self.output_failed(code, why);
        } else if let Some(why) = self.forwarder.log_failure() {
            self.output_failed(ExitCode::Failure, Some(why));
        }
    }

    fn output_failed(&mut self, code: ExitCode, why: Option<String>) {
        if self.ending.failed(code) {
            if let Some(why) = why {
                self.forwarder.say(&format!("rsm-ctl: cannot write {why}"));
            }
            self.tell(&ToWarden::End { signal: Signal::TERM.into(), code });
        }
    }

    /// Says once, after everything that nodes wrote, how a run went that failed.
    fn tell_summary(&mut self) {
        // Nothing failed in a run that was interrupted, if nothing had before.
        let failed = self.account.interrupted.is_none() || !self.account.ended(Blame::Cause).is_empty();
        let wanted = failed && !self.plan.terse && self.plan.verbosity > Verbosity::Quiet;
        if std::mem::replace(&mut self.told_summary, true) || !wanted {
            return;
        }
        if let Some(text) = summary::of(&self.plan.tasks, &self.account, &self.forwarder, Palette::of_stderr()) {
            self.forwarder.say(&text);
        }
        for line in &self.account.late {
            self.forwarder.say(&format!("rsm-ctl: {line}"));
        }
    }

    /// Hears what the warden has to say, and whether it is still there.
    fn listen(&mut self) {
        // Asked first: what a warden that has gone had to say before is then all here.
        let gone = self.pidfd.is_some() && self.warden_has_ended();
        while let Some(wire) = &self.wire {
            match wire.receive() {
                Received::Message(message) => self.told(&message),
                Received::Nothing => break,
                Received::Gone => self.wire = None,
            }
        }
        if gone {
            self.warden_gone();
        }
    }

    fn told(&mut self, message: &ToFront) {
        self.account.note(message);
        if let Some(line) = notice::of(message, &self.plan) {
            self.forwarder.say(&line);
        }
        if let Some(owner) = &self.owner {
            owner.wire.send(message);
        } else if let Some(announce) = self.announce.take_if(|_| !matches!(message, ToFront::Suspended)) {
            announce.send(message);
        } else if let (ToFront::Started { cluster, .. }, true) = (message, self.plan.stays) {
            let text = notice::usage(cluster, self.plan.nodes(), self.plan.verbosity);
            self.forwarder.say(text.trim_end());
        }
        match message {
            ToFront::Refused { code, .. } | ToFront::Finished { code } => self.ending.finished(*code),
            ToFront::TimedOut { .. } | ToFront::ClusterEnds { .. } => self.ending.hurry(),
            ToFront::Suspended => {
                self.obey_stop();
                self.tell(&ToWarden::Resume);
            }
            ToFront::Stacks { .. }
            | ToFront::Calls { .. }
            | ToFront::Leftovers { .. }
            | ToFront::Started { .. }
            | ToFront::Restarted { .. }
            | ToFront::RunEnds { .. }
            | ToFront::Scripted { .. }
            | ToFront::ScriptFailed { .. }
            | ToFront::TraceFailed { .. }
            | ToFront::Ended { .. }
            | ToFront::Left { .. }
            | ToFront::Late { .. }
            | ToFront::Looked { .. }
            | ToFront::Modelled { .. }
            | ToFront::Escaped { .. } => {}
        }
    }

    /// Whether the warden waits to be reaped. Not asked by poll(2), which may be refused.
    fn warden_has_ended(&self) -> bool {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.warden), how) {
                Err(Errno::INTR) => {}
                ended => return ended.is_ok_and(|status| status.is_some()),
            }
        }
    }

    /// Reaps the warden. If it went before its work was done, its descendants are ours now; they are ended.
    fn warden_gone(&mut self) {
        let status = waitpid(Some(self.warden), WaitOptions::empty()).ok().flatten();
        self.pidfd = None;
        self.wire = None;
        // The nodes it was to stop first have gone.
        self.suspending = false;
        if !self.ending.is_finished() {
            let left = descendants::end_all(&self.strangers);
            if !left.is_empty() {
                let processes = left.into_iter().map(descendants::described).collect();
                self.told(&ToFront::Escaped { processes });
            }
            let how = notice::warden_gone(self.warden, status.and_then(|(_, status)| Status::of(status)));
            self.forwarder.say(&format!("rsm-ctl: {how}"));
            self.account.lost = Some(how);
            self.ending.lost();
        }
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::WINCH => self.forwarder.resize(),
            Signal::USR1 | Signal::USR2 => self.tell(&ToWarden::Forward { signal: signal.into() }),
            _ => self.asked_to_end(signal),
        }
    }

    /// Whether Ctrl-Z waits to be obeyed.
    fn is_told_to_stop(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| !self.suspending && is_readable(stop))
    }

    /// Has the nodes stopped before this process.
    fn suspend(&mut self) {
        if self.wire.is_some() {
            self.suspending = true;
            self.tell(&ToWarden::Suspend);
        } else {
            self.obey_stop();
        }
    }

    /// Stops, unless somebody said meanwhile that this process is to go on.
    fn obey_stop(&mut self) {
        self.suspending = false;
        if let Some(stop) = &self.stop {
            stop.obey();
        }
    }

    /// First politely, then firmly; the third time without a warden that does not listen.
    fn asked_to_end(&mut self, signal: Signal) {
        let code = ExitCode::Signal(u8::try_from(signal.as_raw()).unwrap_or(u8::MAX));
        self.account.interrupted.get_or_insert(signal);
        match self.ending.asked(code) {
            1 => {
                let signal = if matches!(signal, Signal::INT | Signal::QUIT) { signal } else { Signal::TERM };
                self.tell(&ToWarden::End { signal: signal.into(), code });
            }
            2 => self.tell(&ToWarden::Kill { code }),
            _ => {
                if let Some(pidfd) = &self.pidfd {
                    let _ = pidfd_send_signal(pidfd, Signal::KILL);
                }
            }
        }
        if self.pidfd.is_none() {
            self.ending.give_up(code);
        }
    }

    fn tell(&self, message: &ToWarden) {
        if let Some(wire) = &self.wire {
            wire.send(message);
        }
    }
}

/// Whether a process has ended, or a signal waits.
fn is_readable(descriptor: &impl AsFd) -> bool {
    let mut event = [PollFd::new(descriptor, PollFlags::IN)];
    poll(&mut event, Some(&Default::default())).is_ok_and(|ready| ready > 0)
}
