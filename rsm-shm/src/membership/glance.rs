//! A look at many clusters at once, for who lists them.
//!
//! Anybody may take the name of a cluster and say nothing. So all agents are asked before one is waited for, and all
//! together have no longer than one alone. Where there are more names than may be asked at once, users take turns:
//! whoever takes many names delays his own.

use super::control::{names_its_peer, silent, unexpected};
use super::join::{OBSERVER_PATIENCE, describe_process};
use crate::address::Address;
use crate::error::from_errno;
use crate::guest::Guest;
use crate::memory::tables::RegistryMap;
use crate::socket;
use rsm_core::message::{Answer, Ask, PROTOCOL, Reply, Request, decode, encode};
use rsm_core::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Most agents that are asked at once.
const AT_ONCE: u64 = 128;
/// How often it is tried to connect where more wait to be accepted than an agent's queue holds.
const KNOCK: Duration = Duration::from_millis(5);

/// Somebody who was asked, or whom it is tried to reach.
struct Asked {
    /// Which of the addresses.
    at: usize,
    socket: Guest,
    connected: bool,
    until: Instant,
}

/// Asks the agents at all these addresses for a look at their registries; together they have the time that one has.
pub fn glance(addresses: &[Address]) -> Vec<Result<RegistryMap>> {
    // A quarter of what this process may open: answers bring descriptors along.
    let slots = AT_ONCE.min(crate::rlimit::descriptors() / 4).max(1) as usize;
    let rounds = addresses.len().div_ceil(slots).max(1);
    let patience = OBSERVER_PATIENCE / u32::try_from(rounds).unwrap_or(u32::MAX);
    let mut waiting = in_turn(addresses);
    let mut asked: Vec<Asked> = Vec::new();
    let mut found: Vec<Option<Result<RegistryMap>>> = addresses.iter().map(|_| None).collect();
    loop {
        while asked.len() < slots
            && let Some(at) = waiting.pop_front()
        {
            match packet_to_nowhere() {
                Ok(socket) => {
                    let until = Instant::now() + patience;
                    asked.push(Asked { at, socket, connected: false, until });
                }
                Err(error) => found[at] = Some(Err(error)),
            }
        }
        asked.retain_mut(|asked| {
            let outcome = asked.step(&addresses[asked.at]);
            let late = || (Instant::now() >= asked.until).then(|| Err(silent(&addresses[asked.at], patience)));
            found[asked.at] = outcome.or_else(late);
            found[asked.at].is_none()
        });
        if asked.is_empty() && waiting.is_empty() {
            let none = || Err(Error::new(Code::InternalError));
            return found.into_iter().map(|found| found.unwrap_or_else(none)).collect();
        }
        sleep(&asked);
    }
}

/// Addresses by number, one of each user after the other.
fn in_turn(addresses: &[Address]) -> VecDeque<usize> {
    let mut of_user: BTreeMap<u32, usize> = BTreeMap::new();
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        let before = of_user.entry(address.uid()).or_default();
        order.push((*before, at));
        *before += 1;
    }
    order.sort_unstable();
    order.into_iter().map(|(_, at)| at).collect()
}

fn packet_to_nowhere() -> Result<Guest> {
    Guest::new(socket::packet_socket(SocketFlags::NONBLOCK)?).map_err(|e| from_errno(e, "cannot create a socket"))
}

/// Sleeps until somebody answers, has had his time, or is to be tried again.
fn sleep(asked: &[Asked]) {
    let now = Instant::now();
    let knocking = asked.iter().any(|asked| !asked.connected).then_some(KNOCK);
    let left = asked.iter().map(|asked| asked.until.saturating_duration_since(now)).chain(knocking).min();
    let left = left.unwrap_or(KNOCK);
    let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
    let connected = asked.iter().filter(|asked| asked.connected);
    let mut fds: Vec<PollFd<'_>> = connected.map(|asked| PollFd::new(&asked.socket, PollFlags::IN)).collect();
    // A signal handler only makes the next look come sooner.
    let _ = rustix::event::poll(&mut fds, Some(&timeout));
}

impl Asked {
    /// Goes on as far as it can without waiting; the outcome, once there is one.
    fn step(&mut self, address: &Address) -> Option<Result<RegistryMap>> {
        if !self.connected {
            match self.connect(address) {
                Ok(connected) => self.connected = connected,
                Err(error) => return Some(Err(error)),
            }
        }
        if !self.connected {
            return None;
        }
        match socket::receive(&self.socket, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::INTR) => None,
            Ok(Some(packet)) => {
                let registry = registry_in(packet);
                // The membership ends with the socket that came along; this says so.
                let leave = encode(&Request { number: 2, ask: Ask::Leave }).unwrap_or_default();
                let _ = socket::send(&self.socket, &leave, &[], SendFlags::DONTWAIT);
                Some(registry)
            }
            Ok(None) | Err(_) => Some(Err(super::gone(address))),
        }
    }

    /// Connects and asks; `false` when the agent's queue is full.
    fn connect(&self, address: &Address) -> Result<bool> {
        match rustix::net::connect(&self.socket, &address.socket_address()?) {
            Ok(()) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(Errno::CONNREFUSED | Errno::NOENT) => return Err(super::gone(address)),
            Err(e) => return Err(from_errno(e, "cannot reach the cluster's agent")),
        }
        super::control::check_agent(&self.socket, address)?;
        let process = describe_process(names_its_peer(&self.socket)?)?;
        let descriptors: Vec<_> = process.iter().map(AsFd::as_fd).collect();
        let packet = encode(&Request { number: 1, ask: Ask::Join { protocol: PROTOCOL, claim: None } })?;
        socket::send(&self.socket, &packet, &descriptors, SendFlags::DONTWAIT)
            .map_err(|e| from_errno(e, "cannot join"))?;
        Ok(true)
    }
}

/// The registry that an answer brought along.
fn registry_in(packet: socket::Packet) -> Result<RegistryMap> {
    if packet.descriptors_lost {
        let text =
            "no free descriptor for what the agent sent: the limit of open descriptors is reached (see ulimit -n)";
        return Err(Error::with(Code::InsufficientResources, text));
    }
    let reply: Reply = decode(&packet.bytes)?;
    match reply.outcome? {
        Answer::Joined { .. } => {
            let descriptors: rustix::io::Result<Vec<Guest>> = packet.descriptors.into_iter().map(Guest::new).collect();
            let descriptors = descriptors.map_err(|e| from_errno(e, "cannot keep what the agent sent"))?;
            let registry = descriptors.into_iter().next();
            let incomplete = || Error::with(Code::InternalError, "the agent's answer is incomplete");
            RegistryMap::open(registry.ok_or_else(incomplete)?)
        }
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_take_turns() {
        let of = |uid, name: &str| Address::new(name, uid).unwrap();
        let all = [of(1, "a"), of(1, "b"), of(1, "c"), of(2, "d"), of(3, "e"), of(2, "f")];
        assert_eq!(in_turn(&all), [0, 3, 4, 1, 5, 2]);
    }
}
