//! Requests to the agent: numbered, one at a time for each membership, read by the thread that asks.
//!
//! The agent answers at once, so this takes one round trip and sleeps for it. The socket lives in the application's
//! descriptor table, where the application may close it, even by mistake: it is a [`Guest`] there, and a lost one is
//! replaced. A request whose answer was lost with it is undone and made again.

use super::{Tie, gone, lock};
use crate::address::Address;
use crate::error::from_errno;
use crate::guest::Guest;
use crate::private_table;
use crate::socket;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask, Reply, Request, decode, encode};
use rsm_core::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// An answer and the descriptors that came with it.
pub(super) type Given = (Answer, Vec<Guest>);

/// How long a request that a signal handler interrupted still waits: an agent that runs has answered by then, and only
/// a call that is really stuck returns INTERRUPTED.
const GRACE: Duration = Duration::from_millis(50);

/// How long who only looks waits for an agent that does not answer: it may be stopped.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may wait to be accepted.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(30);

/// How often a waiting thread looks whether the connection it waits on is still there.
const CHECK: Duration = Duration::from_secs(1);
/// How often a request is made anew because the program closed the connection under it.
const ATTEMPTS: u32 = 16;
/// How many lost connections are remembered.
const REMEMBERED: usize = 8;

/// Why there is no answer.
enum Failure {
    /// The program closed or replaced the descriptor; another connection can be made.
    Lost,
    Error(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Error(error)
    }
}

impl Failure {
    fn error(self) -> Error {
        match self {
            Failure::Lost => from_errno(Errno::BADF, "cannot ask the agent"),
            Failure::Error(error) => error,
        }
    }
}

/// A control socket.
#[derive(Debug)]
pub(super) struct Control {
    socket: Option<Guest>,
    /// Process id of the agent in this process's PID namespace; 0 where it is not to be seen there.
    pub(super) agent: u32,
    /// Sockets that were not found at their numbers. Where threads have descriptor tables of their own, they may still
    /// be in another one, and go when they are met there.
    elsewhere: Vec<Guest>,
    /// Effective user, group, and groups when it was opened: what the agent takes this process for.
    ids: Ids,
    /// Number of the latest request.
    number: u64,
    /// A request whose answer nobody read; it is undone before the next.
    owed: Option<u64>,
    /// What gives something back and could not be asked; it is before the next request, and nobody reads the answers.
    later: Vec<Ask>,
}

#[derive(Debug, PartialEq, Eq)]
struct Ids {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Ids {
    fn now() -> Ids {
        let groups = rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw);
        Ids {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: groups.collect(),
        }
    }
}

/// What an answer of the wrong kind means.
pub(super) fn unexpected(answer: &Answer) -> Error {
    Error::with(Code::InternalError, format!("the agent answered something else: {answer:?}"))
}

/// The error for an agent that does not answer.
pub(super) fn silent(address: &Address, waited: Duration) -> Error {
    let text = format!("the agent of cluster {:?} does not answer (waited {waited:?})", address.name());
    Error::with(Code::Timeout, text)
}

/// The error for a connection that the other end closed: the cluster has ended, or its agent lacks something to serve it.
fn closed(address: &Address) -> Error {
    let until = Instant::now() + LOOK_PATIENCE;
    loop {
        match open(address) {
            Err(error) if matches!(error.code(), Code::CtlrNotPresent | Code::PermDenied) => return gone(address),
            Err(error) => return error,
            // Of an agent that ends, the queue may take a connection once more. One that lives answers whatever it is told.
            Ok((socket, _)) => {
                let asked = encode(&Request { number: 0, ask: Ask::Leave })
                    .is_ok_and(|packet| socket::send(&socket, &packet, &[], SendFlags::empty()).is_ok());
                let answer = || socket::receive(&socket, RecvFlags::DONTWAIT);
                if asked && readable_until(&socket, until) && matches!(answer(), Ok(Some(_)) | Err(Errno::AGAIN)) {
                    break;
                }
            }
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let text =
        format!("the agent of cluster {:?} closed the connection: it lacks memory or descriptors", address.name());
    Error::with(Code::InsufficientResources, text)
}

/// Opens a connection to the agent and makes sure that it is the right user's. Gives its process id as well.
fn open(address: &Address) -> Result<(Guest, u32)> {
    let setup = |e| from_errno(e, "cannot set up the control socket");
    let socket = Guest::new(socket::packet_socket(SocketFlags::empty())?).map_err(setup)?;
    // Where more wait to be accepted than the agent's queue holds, this waits as well.
    set_socket_timeout(&socket, Timeout::Send, Some(ACCEPT_PATIENCE)).map_err(setup)?;
    let (place, began) = (address.socket_address()?, Instant::now());
    let connected = loop {
        match rustix::net::connect(&socket, &place) {
            Err(Errno::INTR) if began.elapsed() < ACCEPT_PATIENCE => {}
            other => break other,
        }
    };
    connected.map_err(|e| match e {
        Errno::AGAIN | Errno::INTR => {
            let text = format!("the agent of cluster {:?} takes no connections (waited 30 s)", address.name());
            Error::with(Code::Timeout, text)
        }
        Errno::CONNREFUSED | Errno::NOENT => {
            // The name is one of the abstract namespace, which each network namespace has for itself.
            let text = format!("no cluster named {:?} is running in this network namespace", address.name());
            Error::with(Code::CtlrNotPresent, text)
        }
        e => from_errno(e, "cannot reach the cluster's agent"),
    })?;
    let agent = check_agent(&socket, address)?;
    Ok((socket, agent))
}

/// Makes sure that who listens at an address is of the user that it names; gives its process id, as it is here.
pub(super) fn check_agent(socket: &Guest, address: &Address) -> Result<u32> {
    let (agent, pid) = socket::peer(socket)?;
    crate::user::check_agent(address, agent.uid)?;
    Ok(pid)
}

/// Whether the kernel names the process at the other end of a socket.
pub(super) fn names_its_peer(socket: &Guest) -> Result<bool> {
    let process = socket::peer_pidfd(socket)?.map(Guest::new).transpose();
    process.map(|process| process.is_some()).map_err(|e| from_errno(e, "cannot look at the agent"))
}

impl Control {
    /// Opens a connection; nothing is sent yet.
    pub(super) fn open(address: &Address) -> Result<Control> {
        let ids = Ids::now();
        let (socket, agent) = open(address)?;
        Ok(Control {
            socket: Some(socket),
            agent,
            elsewhere: Vec::new(),
            ids,
            number: 0,
            owed: None,
            later: Vec::new(),
        })
    }

    /// Whether the kernel names the process at the other end of a socket.
    pub(super) fn names_its_peer(&self, address: &Address) -> Result<bool> {
        match self.socket.as_ref().map_or(Ok(false), names_its_peer) {
            Err(error) if error.code() == Code::ConnAborted => Err(gone(address)),
            other => other,
        }
    }

    /// Sends the first message, which may bring descriptors along, and waits for the answer.
    pub(super) fn join(
        &mut self,
        address: &Address,
        ask: Ask,
        descriptors: &[std::os::fd::BorrowedFd<'_>],
    ) -> Result<u64> {
        self.number += 1;
        let packet = encode(&Request { number: self.number, ask })?;
        let socket = self.socket.as_ref().ok_or(Error::new(Code::InternalError))?;
        socket::send(socket, &packet, descriptors, SendFlags::empty()).map_err(|e| match e {
            Errno::PIPE | Errno::CONNRESET => closed(address),
            e => from_errno(e, "cannot join"),
        })?;
        Ok(self.number)
    }

    /// Waits until the answer to a join is there, no longer than `patience`: an agent that does not answer that is
    /// stopped, and who only wants to look must not be stopped with it. The answer is not taken.
    ///
    /// # Errors
    /// TIMEOUT.
    pub(super) fn await_answer(&self, address: &Address, patience: Option<Duration>) -> Result<()> {
        let socket = self.socket.as_ref().ok_or_else(|| gone(address))?;
        match patience {
            Some(patience) if !readable_until(socket, Instant::now() + patience) => Err(silent(address, patience)),
            Some(_) => Ok(()),
            None => {
                while !readable_until(socket, Instant::now() + ACCEPT_PATIENCE) {}
                Ok(())
            }
        }
    }

    /// Takes the answer to a join.
    ///
    /// # Errors
    /// What the agent answers.
    pub(super) fn join_answer(&mut self, address: &Address, number: u64) -> Result<Given> {
        self.answer(address, number, false).map_err(Failure::error)
    }

    /// Waits for the answer to a request.
    fn answer(&mut self, address: &Address, number: u64, interruptible: bool) -> std::result::Result<Given, Failure> {
        let mut passed_over = 0;
        loop {
            let socket = self.socket.as_ref().ok_or_else(|| gone(address))?;
            // What may be interrupted sleeps in poll(2), which returns after a signal handler, SA_RESTART or not (D-77),
            // and after nothing else: not when the process was stopped, nor when another thread took a signal. What may
            // not sleeps in the receive, which keeps the socket even when its number is closed.
            if interruptible && let Err(error) = wait_for_handlers(socket) {
                self.owed = Some(number);
                return Err(error);
            }
            let flags = if interruptible { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            let packet = match socket::receive(socket, flags) {
                Ok(Some(packet)) => packet,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(Errno::BADF | Errno::NOTSOCK) => {
                    self.owed = Some(number);
                    return Err(Failure::Lost);
                }
                Ok(None) | Err(_) => {
                    // The agent is gone, or it refused to speak on; the next request finds out.
                    self.socket = None;
                    self.owed = Some(number);
                    return Err(closed(address).into());
                }
            };
            // At once, while they are known to be what was received.
            let descriptors: rustix::io::Result<Vec<Guest>> = packet.descriptors.into_iter().map(Guest::new).collect();
            let reply: Reply = match decode(&packet.bytes) {
                Ok(reply) => reply,
                Err(error) => return Err(self.misunderstood(format!("no reply: {}", error.detail())).into()),
            };
            // Number 0: a message that the agent could not read, which is this one.
            if reply.number != number && reply.number != 0 {
                // The answer to a request whose caller gave up; its descriptors go with it. They come in order, so that
                // this ends.
                if reply.number > number || reply.number <= passed_over {
                    let what = format!("a reply to {} when asked {number}", reply.number);
                    return Err(self.misunderstood(what).into());
                }
                passed_over = reply.number;
                continue;
            }
            let descriptors = match descriptors {
                Ok(descriptors) if !packet.descriptors_lost => descriptors,
                // Or a number outside of the standard streams for one that was received among them.
                _ => {
                    self.owed = Some(number);
                    let text = "no free descriptor for what the agent sent: the limit of open descriptors is reached \
                                (see ulimit -n)";
                    return Err(Error::with(Code::InsufficientResources, text).into());
                }
            };
            crash_point!(AskAnswered);
            return Ok(reply.outcome.map(|answer| (answer, descriptors))?);
        }
    }
}

impl Control {
    /// Gives up a connection on which the agent does not speak the protocol.
    fn misunderstood(&mut self, what: String) -> Error {
        self.socket = None;
        Error::with(Code::InternalError, format!("the agent does not follow the protocol: it sent {what}"))
    }
}

/// Sleeps until something arrives. After a signal handler it waits a moment more.
///
/// # Errors
/// INTERRUPTED when a handler ran and that moment is over.
fn wait_for_handlers(socket: &Guest) -> std::result::Result<(), Failure> {
    let check = Timespec { tv_sec: CHECK.as_secs().cast_signed(), tv_nsec: 0 };
    loop {
        // The kernel looks at the number again when it wakes up; it may lead to a file by then that is never readable.
        if !socket.is_ours() {
            return Err(Failure::Lost);
        }
        match rustix::event::poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&check)) {
            Ok(0) => {}
            Err(Errno::INTR) if readable_until(socket, Instant::now() + GRACE) => return Ok(()),
            Err(Errno::INTR) => {
                let text = "interrupted by a signal handler while the agent did not answer";
                return Err(Error::with(Code::Interrupted, text).into());
            }
            Ok(_) | Err(_) => return Ok(()), // an error shows again, with its reason, at the receive
        }
    }
}

/// Whether something arrives before `at`; signal handlers that run meanwhile change nothing.
fn readable_until(socket: &Guest, at: Instant) -> bool {
    loop {
        let left = at.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let mut fds = [PollFd::new(socket, PollFlags::IN)];
        match rustix::event::poll(&mut fds, Some(&timeout)) {
            Ok(0) => return false,
            Err(Errno::INTR) if !left.is_zero() => {}
            Ok(_) | Err(_) => return true, // an error shows again, with its reason, at the receive
        }
    }
}

impl Tie {
    /// Asks, and waits for the answer.
    pub(super) fn ask(&self, address: &Address, ask: Ask) -> Result<Given> {
        if self.parking.is_gone() {
            return Err(gone(address));
        }
        if self.pid != rustix::process::getpid() {
            return Err(Error::with(Code::CtlrNotPresent, super::fork::SHARES_MEMORY));
        }
        let control = &mut *lock(&self.control);
        // What gives something back must not end half-way; what asks for something may.
        // Nor what cannot be undone: its outcome would be lost. Waiting for a withdrawal to end is interruptible.
        let interruptible =
            matches!(ask, Ask::Create { .. } | Ask::Publish { .. } | Ask::Republish { .. } | Ask::Connect { .. });
        // What is undone by `Abandon` can be asked again, and so can what only looks. For the others the answer that was
        // lost was the only one.
        let repeatable = interruptible
            || matches!(
                ask,
                Ask::BeginRebind { .. }
                    | Ask::Replace { .. }
                    | Ask::Processes { .. }
                    | Ask::Tallies { .. }
                    | Ask::NextRing { .. }
                    | Ask::Bridge
            );
        for _ in 1..ATTEMPTS {
            match self.ask_once(control, address, &ask, interruptible) {
                Err((Failure::Lost, sent)) if repeatable || !sent => {}
                other => return other.map_err(|(failure, _)| failure.error()),
            }
        }
        self.ask_once(control, address, &ask, interruptible).map_err(|(failure, _)| failure.error())
    }

    /// Asks before the next request is made: this gives something back, and could not be asked now, since the socket was
    /// closed and there is none to be had.
    pub(super) fn ask_later(&self, ask: Ask) {
        lock(&self.control).later.push(ask);
    }

    /// One attempt. With the failure comes whether the request may have reached the agent.
    fn ask_once(
        &self,
        control: &mut Control,
        address: &Address,
        ask: &Ask,
        interruptible: bool,
    ) -> std::result::Result<Given, (Failure, bool)> {
        let unsent = |failure| (failure, false);
        self.make_ready(control, address, ask, interruptible).map_err(unsent)?;
        let socket = control.socket.as_ref().ok_or_else(|| unsent(gone(address).into()))?;
        if let Some(number) = control.owed {
            send(socket, control.number, &Ask::Abandon { number }, address).map_err(unsent)?;
            control.owed = None;
            crash_point!(AbandonSent);
        }
        while let Some(ask) = control.later.last() {
            control.number += 1;
            send(socket, control.number, ask, address).map_err(unsent)?;
            control.later.pop();
        }
        control.number += 1;
        let number = control.number;
        let only_looks = matches!(
            ask,
            Ask::Processes { .. }
                | Ask::Tallies { .. }
                | Ask::NextRing { .. }
                | Ask::Waits { .. }
                | Ask::Closing
                | Ask::Bridge
        );
        send(socket, number, ask, address).map_err(unsent)?;
        crash_point!(AskSent);
        if only_looks && !readable_until(socket, Instant::now() + LOOK_PATIENCE) {
            control.owed = Some(number);
            return Err((silent(address, LOOK_PATIENCE).into(), true));
        }
        control.answer(address, number, interruptible).map_err(|failure| (failure, true))
    }

    /// Replaces a connection that was closed under us, or whose credentials are not ours any more.
    fn make_ready(
        &self,
        control: &mut Control,
        address: &Address,
        ask: &Ask,
        interruptible: bool,
    ) -> std::result::Result<(), Failure> {
        if let Some(socket) = control.socket.take_if(|socket| !socket.is_ours()) {
            control.elsewhere.retain(|old| !old.is_ours()); // what is met here is closed
            if control.elsewhere.len() == REMEMBERED {
                control.elsewhere.remove(0);
            }
            control.elsewhere.push(socket);
        }
        let rights_matter = matches!(ask, Ask::Create { .. } | Ask::Connect { .. });
        if control.socket.is_some() && !(rights_matter && control.ids != Ids::now()) {
            return Ok(());
        }
        let mut fresh = Control::open(address)?;
        fresh.number = control.number + 1;
        let number = fresh.number;
        let socket = fresh.socket.as_ref().ok_or_else(|| gone(address))?;
        send(socket, number, &self.attach(), address)?;
        crash_point!(AttachSent);
        fresh.answer(address, number, interruptible)?;
        fresh.owed = control.owed;
        fresh.elsewhere = std::mem::take(&mut control.elsewhere);
        fresh.later = std::mem::take(&mut control.later);
        *control = fresh;
        Ok(())
    }

    /// Gives the membership up. The answer is the end of the events socket.
    pub(super) fn leave(&self, address: &Address) {
        let control = &mut *lock(&self.control);
        let Ok(packet) = encode(&Request { number: control.number + 1, ask: Ask::Leave }) else { return };
        let send = |socket: BorrowedFd<'_>, packet: &[u8]| socket::send(socket, packet, &[], SendFlags::empty());
        let sent = control.socket.take().map_or(Err(Errno::BADF), |socket| send(socket.as_fd(), &packet));
        if sent == Err(Errno::BADF)
            && let Ok(attach) = encode(&Request { number: control.number + 1, ask: self.attach() })
        {
            // The program closed it, and may have no room for another. Neither message is waited for.
            let address = address.clone();
            let _ = private_table::aside(move || {
                let (fresh, _) = open(&address)?;
                let _ = send(fresh.as_fd(), &attach).and_then(|()| send(fresh.as_fd(), &packet));
                Ok(())
            });
        }
        crash_point!(LeaveSent);
    }

    /// What goes on with this membership over another connection.
    fn attach(&self) -> Ask {
        Ask::Attach { membership: self.membership, token: self.token }
    }
}

fn send(socket: &impl AsFd, number: u64, ask: &Ask, address: &Address) -> std::result::Result<(), Failure> {
    // The bytes of a `Request`.
    let packet = encode(&(number, ask))?;
    loop {
        match socket::send(socket, &packet, &[], SendFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(closed(address).into()),
            Err(Errno::BADF | Errno::NOTSOCK) => return Err(Failure::Lost),
            Err(e) => return Err(from_errno(e, "cannot ask the agent").into()),
        }
    }
}
