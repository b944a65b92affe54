//! Requests to the agent: numbered, one at a time for each membership, read by the thread that asks.
//!
//! The agent answers at once, so this takes one round trip and sleeps for it. The socket lives in the application's
//! descriptor table, where the application may close it, even by mistake; before each use it is compared with the one
//! that was opened, and a lost one is replaced.

use super::{Link, gone, lock};
use crate::address::Address;
use crate::error::from_errno;
use crate::socket;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask, Reply, Request, decode, encode};
use rsm_core::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// An answer and the descriptors that came with it.
pub(super) type Given = (Answer, Vec<OwnedFd>);

/// How long a request that a signal handler interrupted still waits: an agent that runs has answered by then, and only
/// a call that is really stuck returns INTERRUPTED.
const GRACE: Duration = Duration::from_millis(50);

/// How long who only looks waits for an agent that does not answer: it may be stopped.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may wait to be accepted.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(30);

/// A control connection.
#[derive(Debug)]
pub(super) struct Control {
    socket: Option<OwnedFd>,
    /// Device and inode of the socket: its number may be somebody else's file by now.
    identity: (u64, u64),
    /// Effective user, group, and groups when it was opened: what the agent takes this process for.
    ids: Ids,
    /// Number of the latest request.
    number: u64,
    /// A request whose answer nobody read; it is undone before the next.
    owed: Option<u64>,
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

fn identity(socket: &OwnedFd) -> rustix::io::Result<(u64, u64)> {
    rustix::fs::fstat(socket).map(|stat| (stat.st_dev, stat.st_ino))
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
            Ok(socket) => {
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

/// Opens a connection to the agent and makes sure that it is the right user's.
fn open(address: &Address) -> Result<OwnedFd> {
    let socket = socket::packet_socket(SocketFlags::empty())?;
    let setup = |e| from_errno(e, "cannot set up the control connection");
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
    check_agent(&socket, address)?;
    // With a receive timeout the kernel never restarts a receive after a signal handler, SA_RESTART or not (D-77).
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_secs(3600))).map_err(setup)?;
    Ok(socket)
}

/// Makes sure that who listens at an address is of the user that it names.
pub(super) fn check_agent(socket: &OwnedFd, address: &Address) -> Result<()> {
    let (agent, _) = socket::peer(socket)?;
    if agent.uid == address.uid() {
        return Ok(());
    }
    Err(Error::with(
        Code::PermDenied,
        format!("the agent of {:?} should be user {}, but is user {}", address.name(), address.uid(), agent.uid),
    ))
}

impl Control {
    /// Opens a connection; nothing is sent yet.
    pub(super) fn open(address: &Address) -> Result<Control> {
        let ids = Ids::now();
        let socket = open(address)?;
        let identity = identity(&socket).map_err(|e| from_errno(e, "cannot look at a socket"))?;
        Ok(Control { socket: Some(socket), identity, ids, number: 0, owed: None })
    }

    /// What the kernel says of the process at the other end; `None` where it cannot.
    pub(super) fn peer_pidfd(&self, address: &Address) -> Result<Option<OwnedFd>> {
        match self.socket.as_ref().map_or(Ok(None), socket::peer_pidfd) {
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

    /// Waits for the answer to a request.
    pub(super) fn answer(&mut self, address: &Address, number: u64, interruptible: bool) -> Result<Given> {
        let mut give_up: Option<Instant> = None;
        let mut passed_over = 0;
        loop {
            let socket = self.socket.as_ref().ok_or_else(|| gone(address))?;
            if let Some(at) = give_up
                && !readable_until(socket, at)
            {
                self.owed = Some(number);
                return Err(Error::with(
                    Code::Interrupted,
                    "interrupted by a signal handler while the agent did not answer",
                ));
            }
            let packet = match socket::receive(socket, RecvFlags::empty()) {
                Ok(Some(packet)) => packet,
                Err(Errno::INTR) if interruptible => {
                    give_up.get_or_insert_with(|| Instant::now() + GRACE);
                    continue;
                }
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Ok(None) | Err(_) => {
                    // The agent is gone, or it refused to speak on; the next request finds out.
                    self.socket = None;
                    self.owed = Some(number);
                    return Err(closed(address));
                }
            };
            let reply: Reply = match decode(&packet.bytes) {
                Ok(reply) => reply,
                Err(error) => return self.misunderstood(format!("no reply: {}", error.detail())),
            };
            // Number 0: a message that the agent could not read, which is this one.
            if reply.number != number && reply.number != 0 {
                // The answer to a request whose caller gave up; its descriptors go with it. They come in order, so that
                // this ends.
                if reply.number > number || reply.number <= passed_over {
                    return self.misunderstood(format!("a reply to {} when asked {number}", reply.number));
                }
                passed_over = reply.number;
                continue;
            }
            if packet.descriptors_lost {
                self.owed = Some(number);
                return Err(Error::with(
                    Code::InsufficientResources,
                    "no free descriptor for what the agent sent: the limit of open descriptors is reached (see ulimit -n)",
                ));
            }
            crash_point!(AskAnswered);
            return reply.outcome.map(|answer| (answer, packet.descriptors));
        }
    }
}

impl Control {
    /// Gives up a connection on which the agent does not speak the protocol.
    fn misunderstood<T>(&mut self, what: String) -> Result<T> {
        self.socket = None;
        Err(Error::with(Code::InternalError, format!("the agent does not follow the protocol: it sent {what}")))
    }
}

/// Whether something arrives before `at`; signal handlers that run meanwhile change nothing.
fn readable_until(socket: &OwnedFd, at: Instant) -> bool {
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

impl Link {
    /// Asks, and waits for the answer.
    pub(super) fn ask(&self, address: &Address, ask: Ask) -> Result<Given> {
        if self.parking.is_gone() {
            return Err(gone(address));
        }
        let control = &mut *lock(&self.control);
        // What gives something back must not end half-way; what asks for something may.
        // Nor what cannot be undone: its outcome would be lost. Waiting for a withdrawal to end is interruptible.
        let interruptible =
            matches!(ask, Ask::Create { .. } | Ask::Publish { .. } | Ask::Republish { .. } | Ask::Connect { .. });
        self.make_ready(control, address, &ask, interruptible)?;
        let socket = control.socket.as_ref().ok_or_else(|| gone(address))?;
        if let Some(number) = control.owed {
            send(socket, &Request { number: control.number, ask: Ask::Abandon { number } }, address)?;
            control.owed = None;
            crash_point!(AbandonSent);
        }
        control.number += 1;
        let number = control.number;
        let only_looks = matches!(ask, Ask::Processes { .. } | Ask::Tallies { .. } | Ask::Waits { .. });
        send(socket, &Request { number, ask }, address)?;
        crash_point!(AskSent);
        if only_looks && !readable_until(socket, Instant::now() + LOOK_PATIENCE) {
            control.owed = Some(number);
            return Err(silent(address, LOOK_PATIENCE));
        }
        control.answer(address, number, interruptible)
    }

    /// Replaces a connection that was closed under us, or whose credentials are not ours any more.
    fn make_ready(&self, control: &mut Control, address: &Address, ask: &Ask, interruptible: bool) -> Result<()> {
        if let Some(socket) = control.socket.take() {
            if identity(&socket) == Ok(control.identity) {
                control.socket = Some(socket);
            } else {
                // The number belongs to somebody else now, or to nobody: not ours to close.
                let _ = socket.into_raw_fd();
            }
        }
        let rights_matter = matches!(ask, Ask::Create { .. } | Ask::Connect { .. });
        if control.socket.is_some() && !(rights_matter && control.ids != Ids::now()) {
            return Ok(());
        }
        let mut fresh = Control::open(address)?;
        fresh.number = control.number + 1;
        let number = fresh.number;
        let attach = Ask::Attach { membership: self.membership, token: self.token };
        let socket = fresh.socket.as_ref().ok_or_else(|| gone(address))?;
        send(socket, &Request { number, ask: attach }, address)?;
        crash_point!(AttachSent);
        fresh.answer(address, number, interruptible)?;
        fresh.owed = control.owed;
        *control = fresh;
        Ok(())
    }

    /// Gives the membership up. The answer is the end of the events link.
    pub(super) fn leave(&self) {
        let control = &mut *lock(&self.control);
        if let Some(socket) = control.socket.take() {
            if identity(&socket) != Ok(control.identity) {
                let _ = socket.into_raw_fd();
                return;
            }
            if let Ok(packet) = encode(&Request { number: control.number + 1, ask: Ask::Leave }) {
                let _ = socket::send(&socket, &packet, &[], SendFlags::empty());
                crash_point!(LeaveSent);
            }
        }
    }
}

fn send(socket: &impl AsFd, request: &Request, address: &Address) -> Result<()> {
    let packet = encode(request)?;
    loop {
        match socket::send(socket, &packet, &[], SendFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET) => return Err(closed(address)),
            Err(e) => return Err(from_errno(e, "cannot ask the agent")),
        }
    }
}
