//! Joining, identity, leaving.
//!
//! A membership is a control connection, an events link, and a descriptor of the process. It ends when the events link
//! or the process does; the end of the control connection alone means nothing, the process may have closed it by
//! mistake and will open another.

use super::limits::PER_MEMBER;
use super::owes::Owes;
use super::requests::{PutOff, Undo};
use super::serve::Token;
use super::{Agent, requests};
use crate::memory::tables::TallyMap;
use crate::socket::{self, Packet};
use rsm_core::access::Credentials;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask, Claim, MAX_PROCESSES, PROTOCOL, Process, Reply, Request, Secret, decode};
use rsm_core::{Code, Error, Result};
use rustix::event::epoll::{self, EventFlags};
use rustix::net::{RecvFlags, SendFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// A connection that has not said what it wants.
pub(super) struct Stranger {
    pub(super) socket: OwnedFd,
    pub(super) since: Instant,
    /// Who, by the kernel's word.
    uid: u32,
    pid: u32,
}

/// A member, or an observer.
pub(super) struct Member {
    /// Its node; `None` for an observer.
    pub(super) node: Option<u32>,
    pub(super) credentials: Credentials,
    pub(super) pid: u32,
    pub(super) control: Option<OwnedFd>,
    pub(super) events: OwnedFd,
    /// Watched, and what the process is signalled by. On old kernels the member has copies of it. None of the agent's own
    /// process, where there is no other way to get one: the two end together.
    pub(super) process: Option<OwnedFd>,
    token: Secret,
    /// Revision it reported last.
    pub(super) seen: u64,
    /// A look is on its way or being worked on.
    pub(super) looking: bool,
    /// A reply it has no room for; until it has, it is not read from. Never with descriptors: what would bring some
    /// is undone then.
    pub(super) unsent: Option<Vec<u8>>,
    /// The epoll set watches for room instead of requests.
    pub(super) waits_for_room: bool,
    /// The request answered last, and how to undo it.
    pub(super) last: Option<(u64, Undo)>,
    /// Node and id of the segment that it asked for last and was refused.
    pub(super) wants: Option<(u32, u32)>,
    /// What it says it did, once somebody watched.
    pub(super) tally: Option<TallyMap>,
    /// Whether its last look told it to tally.
    told_to_tally: bool,
    /// Its last request is answered later; until then no other is read.
    pub(super) owed: bool,
    /// Its last request, which asks again when a member that departs is forgotten.
    pub(super) put_off: Option<PutOff>,
    /// What it has yet to look at.
    pub(super) owes: Owes,
    /// Its process was killed from outside, through the agent.
    pub(super) killed: bool,
    pub(super) segments: BTreeSet<u32>,
    pub(super) connections: BTreeSet<u32>,
}

/// How a membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was given up in order.
    Left,
    /// The events link ended, which the kernel does with the process or its exec.
    LinkEnded,
    /// The process did.
    ProcessEnded,
}

impl Ending {
    pub(super) fn why(self) -> &'static str {
        match self {
            Ending::Left => "it left",
            Ending::LinkEnded => "its events link ended",
            Ending::ProcessEnded => "its process ended",
        }
    }
}

impl Agent {
    pub(super) fn add_stranger(&mut self, socket: OwnedFd) {
        self.next_party += 1;
        let party = self.next_party;
        // A dozen replies, with their descriptors, is what a member that does not read can be owed.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, 8192);
        let Ok((Credentials { uid, .. }, pid)) = socket::peer(&socket) else { return };
        let watched = self.watch(&socket, Token::Stranger(party), EventFlags::IN);
        self.strangers.insert(party, Stranger { socket, since: Instant::now(), uid, pid });
        self.strangers_of.add(pid, party);
        if let Err(error) = watched {
            // What it wants would not be heard.
            return self.refuse(party, 0, error);
        }
        crash_point!(AgentAccepted);
        self.turn_one_away(pid);
    }

    /// Where too many wait to join, the one that has waited longest goes: of a process that has many, or of the user
    /// that has most. Whoever connects and says what it wants is not kept out by those who say nothing.
    fn turn_one_away(&mut self, newcomer: u32) {
        let oldest_of_process = self.strangers_of.oldest_of_too_many(newcomer);
        let of_process = oldest_of_process.is_some();
        let oldest = if let Some(party) = oldest_of_process {
            self.strangers.get_key_value(&party)
        } else if self.limits.has_too_many_strangers(self.held(), self.kept()) {
            let mut count = BTreeMap::<u32, usize>::new();
            self.strangers.values().for_each(|s| *count.entry(s.uid).or_default() += 1);
            let most = count.into_iter().max_by_key(|(_, n)| *n).map(|(uid, _)| uid);
            self.strangers.iter().find(|(_, s)| Some(s.uid) == most)
        } else {
            None
        };
        let Some((&party, stranger)) = oldest else { return };
        let who = if of_process { format!("process {newcomer}") } else { format!("user {}", stranger.uid) };
        let text = format!("{who} has too many connections to the agent that have not joined");
        self.refuse(party, 0, Error::with(Code::InsufficientResources, text));
    }

    /// Tells a stranger why it is refused, and ends the connection.
    fn refuse(&mut self, party: u64, number: u64, error: Error) {
        if let Some(stranger) = self.strangers.get(&party) {
            tracing::info!(party, %error, "refused");
            let reply = requests::encode_reply(&Reply { number, outcome: Err(error) });
            let _ = socket::send(&stranger.socket, &reply, &[], SendFlags::DONTWAIT);
            self.drop_stranger(party);
        }
    }

    pub(super) fn drop_stranger(&mut self, party: u64) {
        self.take_stranger(party);
    }

    fn take_stranger(&mut self, party: u64) -> Option<Stranger> {
        let stranger = self.strangers.remove(&party)?;
        self.strangers_of.remove(stranger.pid, party);
        Some(stranger)
    }

    pub(super) fn stranger_ready(&mut self, party: u64) {
        let Some(stranger) = self.strangers.get(&party) else { return };
        let packet = match socket::receive(&stranger.socket, RecvFlags::DONTWAIT) {
            Ok(Some(packet)) => packet,
            Err(rustix::io::Errno::AGAIN) => return,
            Ok(None) | Err(_) => return self.drop_stranger(party),
        };
        let mut number = 0;
        let admitted = decode::<Request>(&packet.bytes).and_then(|request| {
            number = request.number;
            match request.ask {
                Ask::Join { protocol, claim } => self.join(party, number, protocol, claim, packet),
                Ask::Attach { membership, token } => self.attach(party, number, membership, token),
                _ => Err(Error::with(Code::BadArgsErrors, "the first message of a connection must join or attach")),
            }
        });
        if let Err(error) = admitted {
            self.refuse(party, number, error);
        }
    }

    fn join(&mut self, party: u64, number: u64, protocol: u32, claim: Option<Claim>, packet: Packet) -> Result<()> {
        if protocol != PROTOCOL {
            return Err(Error::with(
                Code::BadLibraryVersion,
                format!("the library speaks protocol {protocol}, this agent speaks {PROTOCOL}"),
            ));
        }
        let socket = &self.strangers[&party].socket;
        let (credentials, pid) = socket::peer(socket)?;
        self.members_of.check_membership(pid)?;
        let process = match socket::peer_pidfd(socket)? {
            Some(process) => Some(process),
            None => packet.descriptors.into_iter().next().filter(|fd| socket::is_pidfd_of(fd, pid)),
        };
        if process.is_none() && pid != std::process::id() {
            let text = "the join message came without a process descriptor (is pidfd_open refused to the process?)";
            return Err(Error::with(Code::BadArgsErrors, text));
        }
        let node = self.admit(claim, &credentials)?;
        let (mut held, mut kept) = (self.held(), self.kept());
        held.members += 1;
        held.strangers -= 1;
        // A node's first process takes the descriptors that were kept for it.
        if node.is_some_and(|node| self.is_absent(node)) {
            kept -= PER_MEMBER;
        }
        self.limits.check(held, kept)?;
        let token = crate::address::random_secret()?;
        // Both ends are made here: one that a member made could be anything, and could be kept open behind our back.
        let (events, theirs) = socket::packet_pair()?;
        // As on the control connection: nothing sent this way has to be closed by us. False where the kernel cannot.
        socket::refuse_descriptors(&events);
        let mut given = vec![duplicate(&self.registry)?, theirs];
        if let Some(node) = node {
            given.push(duplicate(self.bells_of(node)?.object())?);
        }
        self.watch(&events, Token::Events(party), EventFlags::IN)?;
        if let Some(process) = &process
            && let Err(error) = self.watch(process, Token::Process(party), EventFlags::IN)
        {
            self.unwatch(&events);
            return Err(error);
        }
        crash_point!(AgentAdmitted);
        let stranger = self.take_stranger(party).expect("looked up above");
        self.members_of.add(pid, party);
        self.members.insert(
            party,
            Member {
                node,
                credentials,
                pid,
                control: None,
                events,
                process,
                token,
                // What was cut before it came does not concern it.
                seen: self.map.registry().header.revision(),
                looking: false,
                unsent: None,
                waits_for_room: false,
                last: None,
                wants: None,
                tally: None,
                told_to_tally: false,
                owed: false,
                put_off: None,
                owes: Owes::default(),
                killed: false,
                segments: BTreeSet::new(),
                connections: BTreeSet::new(),
            },
        );
        self.set_control(party, stranger.socket)?;
        match node {
            Some(node) => self.node_changed(node, |state| state.members.insert(party)),
            None => drop(self.observers.insert(party)),
        }
        tracing::debug!(party, pid, ?node, "joined");
        crash_point!(AgentJoined);
        self.reply(party, number, Ok((Answer::Joined { membership: party, token }, given)));
        if !self.watchers.is_empty() && node.is_some() {
            self.send_look(party);
        }
        Ok(())
    }

    /// Whether a process with these credentials may be part of the claimed node, or may look.
    fn admit(&self, claim: Option<Claim>, who: &Credentials) -> Result<Option<u32>> {
        if let Some(Claim { node, key }) = claim {
            if !(1..=self.node_count).contains(&node) {
                return Err(Error::with(
                    Code::CtlrNotPresent,
                    format!(
                        "cluster {:?} has no node {node}: its nodes are 1 to {}",
                        self.address.name(),
                        self.node_count
                    ),
                ));
            }
            if !same_secret(&self.keys[node as usize], &key) {
                return Err(Error::with(Code::PermDenied, format!("wrong key for node {node}")));
            }
            return Ok(Some(node));
        }
        self.check_welcome(who, "look at").map(|()| None)
    }

    /// Whether somebody with these credentials may look at the cluster and steer it without being a node.
    pub(super) fn check_welcome(&self, who: &Credentials, what: &str) -> Result<()> {
        let (uids, gids) = &self.allow;
        let welcome = who.uid == 0
            || who.uid == self.address.uid()
            || uids.contains(&who.uid)
            || gids.iter().any(|g| *g == who.gid || who.groups.contains(g));
        if welcome {
            return Ok(());
        }
        let (name, owner) = (self.address.name(), self.address.uid());
        let text = format!("user {} may not {what} cluster {name:?} of user {owner}", who.uid);
        Err(Error::with(Code::PermDenied, text))
    }

    /// A process goes on with its membership over a new control connection: the old one is lost, or its ids changed.
    fn attach(&mut self, party: u64, number: u64, membership: u64, token: Secret) -> Result<()> {
        let refused = || Error::with(Code::PermDenied, "no such membership");
        let (credentials, _) = socket::peer(&self.strangers[&party].socket)?;
        let member = self.members.get_mut(&membership).filter(|m| same_secret(&m.token, &token)).ok_or_else(refused)?;
        member.credentials = credentials;
        member.unsent = None;
        member.waits_for_room = false;
        let stranger = self.take_stranger(party).expect("looked up above");
        self.set_control(membership, stranger.socket)?;
        crash_point!(AgentAttached);
        self.reply(membership, number, Ok((Answer::Done, Vec::new())));
        Ok(())
    }

    fn set_control(&mut self, party: u64, control: OwnedFd) -> Result<()> {
        epoll::modify(&self.epoll, &control, Token::Control(party).data(), EventFlags::IN)
            .map_err(|e| crate::error::from_errno(e, "cannot watch a descriptor"))?;
        if let Some(member) = self.members.get_mut(&party) {
            member.control = Some(control);
        }
        self.listen_to(party);
        Ok(())
    }

    /// The control connection ended; the membership lives on.
    pub(super) fn lose_control(&mut self, party: u64) {
        if let Some(member) = self.members.get_mut(&party)
            && member.control.take().is_some()
        {
            member.unsent = None;
            crash_point!(AgentLostControl);
        }
    }

    /// A message on the events link: what a member has seen. Its end: the membership's.
    pub(super) fn events_ready(&mut self, party: u64) {
        let Some(member) = self.members.get_mut(&party) else { return };
        match socket::receive(&member.events, RecvFlags::DONTWAIT) {
            Ok(Some(packet)) => {
                // An allegation, and harmless: it shortens a wait, after which the kernel is asked.
                if let Ok(bytes) = packet.bytes.try_into() {
                    member.seen = member.seen.max(u64::from_le_bytes(bytes));
                    member.looking = false;
                }
                self.importer_answered(party);
                let on = !self.watchers.is_empty();
                if self.members.get(&party).is_some_and(|m| m.node.is_some() && m.told_to_tally != on) {
                    self.send_look(party);
                }
            }
            Err(rustix::io::Errno::AGAIN) => {}
            Ok(None) | Err(_) => self.end_membership(party, Ending::LinkEnded),
        }
    }

    /// The next processes of nodes after a membership, at most as many as an answer holds.
    pub(super) fn processes(&self, after: u64) -> Vec<Process> {
        let of_node = |(&membership, member): (&u64, &Member)| {
            let (pid, uid) = (member.pid, member.credentials.uid);
            member.node.map(|node| Process { membership, node, pid, uid })
        };
        let later = self.members.range((Excluded(after), Unbounded));
        later.filter_map(of_node).take(MAX_PROCESSES).collect()
    }

    /// Tells a member to look at the registry, unless it has been told and not answered.
    pub(super) fn send_look(&mut self, party: u64) {
        let tally = self.tally_to_send(party);
        let on = !self.watchers.is_empty();
        if let Some(member) = self.members.get_mut(&party)
            && !member.looking
        {
            member.told_to_tally = on;
            // At most one is on its way, so there is room; an error shows as the end of the link.
            if let Some((map, fd)) = tally {
                member.looking = socket::send(&member.events, &[1], &[fd.as_fd()], SendFlags::DONTWAIT).is_ok();
                if member.looking {
                    member.tally = Some(map);
                    return;
                }
                // Too many descriptors are on their way to processes of this user that do not read: without, then.
            }
            member.looking = socket::send(&member.events, &[1], &[], SendFlags::DONTWAIT).is_ok();
        }
    }
}

/// Compares in a time that does not tell how much of it is right.
fn same_secret(one: &Secret, other: &Secret) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Another descriptor of the same description, to be sent.
pub(super) fn duplicate(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone()
        .map_err(|e| Error::with(Code::InsufficientResources, format!("the agent has no free descriptor: {e}")))
}
