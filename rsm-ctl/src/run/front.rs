//! The process the user started: hears the terminal, shows the nodes' output, gives the exit code.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, WaitOptions, getpid, getrlimit, pidfd_open, pidfd_send_signal,
    set_child_subreaper, setrlimit, waitpid,
};
use rustix::stdio::{dup2_stdin, stdin};
use rustix::termios::isatty;

use super::ending::Ending;
use super::link::{Link, Received};
use super::message::{ToFront, ToWarden};
use super::node::Ends;
use super::output::{self, Forwarder, Streams};
use super::signals::SignalQueue;
use super::status::Status;
use super::warden::{self, Channels};
use super::{Plan, descendants, notice};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::process::{self, Forked};

/// The front at work.
struct Front {
    plan: Plan,
    signals: SignalQueue,
    warden: Pid,
    /// Refers to the warden until it is reaped.
    pidfd: Option<OwnedFd>,
    /// `None` when the warden has closed its end.
    link: Option<Link>,
    forwarder: Forwarder,
    ending: Ending,
    /// Children from before, of whoever executed this program in its place. They are not ours to end.
    strangers: Vec<Pid>,
    suspending: bool,
}

/// Starts the warden, which starts everything else, and watches until nothing is left.
///
/// # Crash
/// The warden notices by its pidfd and ends every process of the run, then itself.
pub(crate) fn run(plan: Plan) -> Result<ExitCode, Failure> {
    raise_descriptor_limit();
    let (streams, ends) = output::open_streams(plan.nodes)
        .map_err(|error| Failure::system(&format!("cannot make the output streams of {} nodes", plan.nodes), error))?;
    start(plan, streams, ends).map_err(|error| Failure::system("cannot start a run", error))
}

fn start(plan: Plan, streams: Streams, ends: Vec<Ends>) -> io::Result<ExitCode> {
    let signals = SignalQueue::new(&heard())?;
    let (link, wardens_link) = Link::pair()?;
    // Opened by its owner and inherited: it cannot mean anybody else, whatever happens meanwhile.
    let itself = pidfd_open(getpid(), PidfdFlags::empty())?;
    set_child_subreaper(Some(getpid()))?;
    let strangers = descendants::list(&[]);
    let input = take_input()?;
    match process::fork()? {
        Forked::Child => {
            drop((signals, streams, link));
            warden::serve(&plan, wardens_link, itself, Channels { input, ends });
            std::process::exit(0);
        }
        Forked::Parent(warden) => {
            drop((wardens_link, itself, ends, input));
            // The child is not reaped yet, so the number is still its.
            let pidfd = Some(pidfd_open(warden, PidfdFlags::empty())?);
            let forwarder = Forwarder::new(streams, plan.tag_output)?;
            let (link, ending) = (Some(link), Ending::default());
            let front = Front { plan, signals, warden, pidfd, link, forwarder, ending, strangers, suspending: false };
            Ok(front.watch())
        }
    }
}

/// The signals the front turns into something else than their default action.
fn heard() -> Vec<Signal> {
    // A shell has its background jobs ignore some, and nohup does; that stands.
    let mut heard = vec![Signal::HUP, Signal::INT, Signal::QUIT, Signal::TSTP];
    heard.retain(|&signal| !process::is_ignored(signal));
    heard.extend([Signal::TERM, Signal::USR1, Signal::USR2, Signal::WINCH]);
    heard
}

/// Takes standard input out of the way for node 1, which alone may hold it: whoever writes there must notice when node 1
/// goes. A terminal is left to its session, which no node is in: node 1 would be refused what it reads.
fn take_input() -> io::Result<OwnedFd> {
    let null = output::null()?;
    let input = if isatty(stdin()) { null.try_clone()? } else { stdin().try_clone_to_owned()? };
    dup2_stdin(&null)?;
    Ok(input)
}

/// Many nodes need many descriptors here. What nodes themselves may have was noted in the plan before.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

impl Front {
    /// Goes on until the warden has gone and everything the nodes wrote is shown.
    fn watch(mut self) -> ExitCode {
        loop {
            self.wait();
            self.look_at_output();
            self.listen();
            while let Some(signal) = self.signals.next() {
                self.hear(signal);
            }
            if self.pidfd.is_none() {
                self.forwarder.drain();
                if self.forwarder.is_done() || self.ending.gives_up(self.forwarder.written()) {
                    return self.ending.code();
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
        events.extend(self.pidfd.iter().map(|pidfd| PollFd::new(pidfd, PollFlags::IN)));
        events.extend(self.link.iter().map(|link| PollFd::new(link, PollFlags::IN)));
        let streams = events.len();
        events.extend(
            wanted.iter().map(|&stream| PollFd::from_borrowed_fd(self.forwarder.source(stream), PollFlags::IN)),
        );
        let timeout = if self.pidfd.is_none() { self.ending.patience() } else { None };
        let _ = poll(&mut events, timeout.as_ref());
        let ready = wanted.iter().zip(&events[streams..]).filter(|(_, event)| !event.revents().is_empty());
        let ready: Vec<usize> = ready.map(|(&stream, _)| stream).collect();
        self.forwarder.clear_moved();
        self.forwarder.read(&ready);
    }

    /// Ends the run when an output takes nothing any more.
    fn look_at_output(&mut self) {
        let Some((output, errno)) = self.forwarder.failure() else { return };
        // Nobody reads any more: end as quietly as a single program would.
        let code = if errno == Errno::PIPE { ExitCode::OutputClosed } else { ExitCode::Failure };
        if self.ending.output_failed(code) {
            if errno != Errno::PIPE {
                self.forwarder.say(&format!("rsm-ctl: cannot write {}: {}", output.name(), reason(&errno.into())));
            }
            self.tell(&ToWarden::End { signal: Signal::TERM.into(), code });
        }
    }

    /// Hears what the warden has to say, and whether it is still there.
    fn listen(&mut self) {
        // Asked first: what a warden that has gone had to say before is then all here.
        let gone = self.pidfd.as_ref().is_some_and(has_ended);
        while let Some(link) = &self.link {
            match link.receive() {
                Received::Message(message) => self.told(&message),
                Received::Nothing => break,
                Received::Gone => self.link = None,
            }
        }
        if gone {
            self.warden_gone();
        }
    }

    fn told(&mut self, message: &ToFront) {
        if let Some(line) = notice::of(message, self.plan.verbosity, self.plan.timeout) {
            self.forwarder.say(&line);
        }
        match message {
            ToFront::Refused { code, .. } | ToFront::Finished { code } => self.ending.finished(*code),
            ToFront::TimedOut { .. } => self.ending.hurry(),
            ToFront::Suspended => {
                process::stop_self();
                self.suspending = false;
                self.tell(&ToWarden::Resume);
            }
            ToFront::Started { .. } | ToFront::Ended { .. } | ToFront::Left { .. } => {}
        }
    }

    /// Reaps the warden. If it went before its work was done, its descendants are ours now; they are ended.
    fn warden_gone(&mut self) {
        let status = waitpid(Some(self.warden), WaitOptions::empty()).ok().flatten();
        self.pidfd = None;
        self.link = None;
        if !self.ending.is_finished() {
            descendants::end_all(&self.strangers);
            self.forwarder.say(&notice::warden_gone(self.warden, status.and_then(|(_, status)| Status::of(status))));
            self.ending.lost();
        }
    }

    fn hear(&mut self, signal: Signal) {
        match signal {
            Signal::WINCH => self.forwarder.resize(),
            Signal::USR1 | Signal::USR2 => self.tell(&ToWarden::Forward { signal: signal.into() }),
            Signal::TSTP if self.suspending => {}
            Signal::TSTP => {
                self.suspending = true;
                self.tell(&ToWarden::Suspend);
            }
            _ => self.asked_to_end(signal),
        }
    }

    /// First politely, then firmly; the third time without a warden that does not listen.
    fn asked_to_end(&mut self, signal: Signal) {
        let code = ExitCode::Signal(u8::try_from(signal.as_raw()).unwrap_or(u8::MAX));
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
        if let Some(link) = &self.link {
            link.send(message);
        }
    }
}

/// Whether the process has ended.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut event = [PollFd::new(pidfd, PollFlags::IN)];
    poll(&mut event, Some(&Default::default())).is_ok_and(|ready| ready > 0)
}
