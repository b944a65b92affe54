//! Joining, identity, leaving.
//!
//! A membership is a control socket, an events socket, and a descriptor of the process. It ends when the events socket
//! or the process does; the end of the control socket alone means nothing, the process may have closed it by
//! mistake and will open another.

use super::Agent;
use super::books::limits::PER_MEMBER;
use super::books::member::{Ending, Member, Stranger};
use super::books::memory::duplicate;
use super::books::owes::Owes;
use super::books::request::encode_reply;
use super::books::token::Token;
use super::books::tracing::KeptRings;
use crate::memory::tables::{Parts, RecordMap};
use crate::socket::{self, Packet};
use rsm_core::access::Credentials;
use rsm_core::crash_point;
use rsm_core::driver::WindowKind;
use rsm_core::message::{Answer, Ask, Claim, LOOK, LOOK_WITH_RING, PROTOCOL, Reply, Request, Secret, decode};
use rsm_core::registry::no_such_node;
use rsm_core::{Code, Error, Result};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

impl Agent {
    pub(super) fn add_stranger(&mut self, socket: OwnedFd) {
        let party = self.books.take_party();
        // A dozen replies, with their descriptors, is what a member that does not read can be owed.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, 8192);
        let Ok((Credentials { uid, .. }, pid)) = socket::peer(&socket) else { return };
        let watched = self.watch(&socket, Token::Stranger(party), EventFlags::IN);
        self.books.strangers.insert(party, Stranger { socket, since: Instant::now(), uid, pid });
        self.books.strangers_of.add(pid, party);
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
        let oldest_of_process = self.books.strangers_of.oldest_of_too_many(newcomer);
        let of_process = oldest_of_process.is_some();
        let oldest = if let Some(party) = oldest_of_process {
            self.books.strangers.get_key_value(&party)
        } else if self.books.limits.has_too_many_strangers(self.books.held(), self.books.kept()) {
            let mut count = BTreeMap::<u32, usize>::new();
            self.books.strangers.values().for_each(|s| *count.entry(s.uid).or_default() += 1);
            let most = count.into_iter().max_by_key(|(_, n)| *n).map(|(uid, _)| uid);
            self.books.strangers.iter().find(|(_, s)| Some(s.uid) == most)
        } else {
            None
        };
        let Some((&party, stranger)) = oldest else { return };
        let who = if of_process { format!("process {newcomer}") } else { format!("user {}", stranger.uid) };
        let text = format!("{who} has too many sockets at the agent by which nobody has joined");
        self.refuse(party, 0, Error::with(Code::InsufficientResources, text));
    }

    /// Tells a stranger why it is refused, and lets go of it.
    fn refuse(&mut self, party: u64, number: u64, error: Error) {
        if let Some(stranger) = self.books.strangers.get(&party) {
            tracing::info!(party, %error, "refused");
            let reply = encode_reply(&Reply { number, outcome: Err(error) });
            let _ = socket::send(&stranger.socket, &reply, &[], SendFlags::DONTWAIT);
            self.drop_stranger(party);
        }
    }

    pub(super) fn drop_stranger(&mut self, party: u64) {
        self.take_stranger(party);
    }

    fn take_stranger(&mut self, party: u64) -> Option<Stranger> {
        let stranger = self.books.strangers.remove(&party)?;
        self.books.strangers_of.remove(stranger.pid, party);
        Some(stranger)
    }

    pub(super) fn stranger_ready(&mut self, party: u64) {
        let Some(stranger) = self.books.strangers.get(&party) else { return };
        let packet = match socket::receive(&stranger.socket, RecvFlags::DONTWAIT) {
            Ok(Some(packet)) => packet,
            Err(Errno::AGAIN) => return,
            Ok(None) | Err(_) => return self.drop_stranger(party),
        };
        let mut number = 0;
        let admitted = decode::<Request>(&packet.bytes).and_then(|request| {
            number = request.number;
            match request.ask {
                Ask::Join { protocol, claim } => self.join(party, number, protocol, claim, packet),
                Ask::Attach { membership, token } => self.attach(party, number, membership, token),
                _ => Err(Error::with(Code::BadArgsErrors, "the first message on a socket must join or attach")),
            }
        });
        if let Err(error) = admitted {
            self.refuse(party, number, error);
        }
    }

    /// The descriptor of itself that a process sent which the kernel does not name.
    fn introduced(&mut self, pid: u32, packet: Packet) -> Result<OwnedFd> {
        let Some(process) = packet.descriptors.into_iter().next() else {
            let text = "before Linux 6.5 a process that joins sends a descriptor of itself, and this one sent none (is \
                        pidfd_open refused to it?)";
            return Err(Error::with(Code::PermDenied, text));
        };
        let unknown = |error: &Error| {
            let text = format!("the agent cannot tell who joins (before Linux 6.5 by /proc only): {error}");
            Error::with(error.code(), text)
        };
        let naming = match &mut self.naming {
            Some(Ok(naming)) => naming,
            Some(Err(error)) => return Err(unknown(error)),
            // The kernel named peers when this agent started, and does no more.
            None => return Err(Error::with(Code::InternalError, "the kernel does not name the process that joins")),
        };
        if naming.is_of(&process, pid).map_err(|error| unknown(&error))? {
            return Ok(process);
        }
        if pid == 0 {
            let text =
                "a process of another PID namespace joins, which the agent cannot tell from others before Linux 6.5";
            return Err(Error::with(Code::CtlrNotPresent, text));
        }
        Err(Error::with(
            Code::BadArgsErrors,
            "the join message came with a descriptor that is not of the process that joins",
        ))
    }

    fn join(&mut self, party: u64, number: u64, protocol: u32, claim: Option<Claim>, packet: Packet) -> Result<()> {
        if protocol != PROTOCOL {
            return Err(Error::with(
                Code::BadLibraryVersion,
                format!("the library speaks protocol {protocol}, this agent speaks {PROTOCOL}"),
            ));
        }
        let socket = &self.books.strangers[&party].socket;
        let (credentials, pid) = socket::peer(socket)?;
        self.books.members_of.check_membership(pid)?;
        let mut process = socket::peer_pidfd(socket)?;
        if process.is_none() {
            process = match self.introduced(pid, packet) {
                // This process ends with its agent.
                Err(_) if pid == std::process::id() => None,
                told => Some(told?),
            };
        }
        let node = self.admit(claim, &credentials)?;
        let (mut held, mut kept) = (self.books.held(), self.books.kept());
        held.members += 1;
        held.strangers -= 1;
        // A node's first process takes the descriptors that were kept for it.
        if node.is_some_and(|node| self.books.is_absent(node)) {
            kept -= PER_MEMBER;
        }
        self.books.limits.check(held, kept)?;
        let token = crate::address::random_secret()?;
        // Both ends are made here: one that a member made could be anything, and could be kept open behind our back.
        let (events, theirs) = socket::packet_pair()?;
        // As on the control socket: nothing sent this way has to be closed by us. False where the kernel cannot.
        socket::refuse_descriptors(&events);
        let mut given = vec![duplicate(&self.registry)?, theirs];
        if let Some(node) = node {
            given.push(duplicate(self.bells_of(node)?.object())?);
            if self.window == WindowKind::Lensed || self.parts != Parts::default() || self.races.is_some() {
                let (record, object) = RecordMap::create(self.parts)?;
                given.push(object);
                // The first process of the node counts, until it is dead and after.
                if let Some(calls) = record.calls()
                    && self.gate.is_some_and(|gate| gate.node == node)
                    && !std::mem::replace(&mut self.appointed, true)
                {
                    calls.appoint();
                }
                self.records.add(party, (node, pid), record);
                if let Some((_, object)) = &self.races {
                    given.push(duplicate(object)?);
                }
            }
        }
        let mut ring = None;
        if let Some((sent, kept)) = node.and_then(|_| self.ring_of_newcomer()) {
            given.push(sent);
            ring = Some(kept);
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
        self.books.members_of.add(pid, party);
        self.books.members.insert(
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
                look_unsent: false,
                unsent: None,
                waits_for_room: false,
                last: None,
                wants: None,
                tally: None,
                told_to_tally: false,
                rings: KeptRings::default(),
                told_to_note: None,
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
            None => drop(self.books.observers.insert(party)),
        }
        tracing::debug!(party, pid, ?node, "joined");
        crash_point!(AgentJoined);
        let with_ring = ring.is_some();
        if let Some(ring) = ring {
            self.keep_ring(party, ring);
        }
        self.reply(party, number, Ok((Answer::Joined { membership: party, token, ring: with_ring }, given)));
        if (!self.books.watchers.is_empty() || self.books.tracing.observer.is_some()) && node.is_some() {
            self.send_look(party);
        }
        Ok(())
    }

    /// Whether a process with these credentials may be part of the claimed node, or may look.
    fn admit(&self, claim: Option<Claim>, who: &Credentials) -> Result<Option<u32>> {
        if let Some(Claim { node, key }) = claim {
            if !(1..=self.node_count).contains(&node) {
                let cluster = format!("cluster {:?}", self.address.name());
                return Err(no_such_node(&cluster, node, self.node_count));
            }
            self.check_here(node, Code::CtlrNotPresent, "start its processes there")?;
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

    /// A process goes on with its membership over a new control socket: the old one is lost, or its ids changed.
    fn attach(&mut self, party: u64, number: u64, membership: u64, token: Secret) -> Result<()> {
        let refused = || Error::with(Code::PermDenied, "no such membership");
        let (credentials, _) = socket::peer(&self.books.strangers[&party].socket)?;
        let member =
            self.books.members.get_mut(&membership).filter(|m| same_secret(&m.token, &token)).ok_or_else(refused)?;
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
        if let Some(member) = self.books.members.get_mut(&party) {
            member.control = Some(control);
        }
        self.listen_to(party);
        Ok(())
    }

    /// The control socket ended; the membership lives on.
    pub(super) fn lose_control(&mut self, party: u64) {
        if let Some(member) = self.books.members.get_mut(&party)
            && member.control.take().is_some()
        {
            member.unsent = None;
            crash_point!(AgentLostControl);
        }
    }

    /// A message on the events socket: what a member has seen. Its end: the membership's. Or room for a look.
    pub(super) fn events_ready(&mut self, party: u64, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.send_look(party);
        }
        let Some(member) = self.books.members.get_mut(&party) else { return };
        match socket::receive(&member.events, RecvFlags::DONTWAIT) {
            Ok(Some(packet)) => {
                // An allegation, and harmless: it shortens a wait, after which the kernel is asked.
                if let Ok(bytes) = packet.bytes.try_into() {
                    member.seen = member.seen.max(u64::from_le_bytes(bytes));
                    member.looking = false;
                }
                self.importer_answered(party);
                let on = (!self.books.watchers.is_empty(), self.books.tracing.late());
                let otherwise = |m: &Member| m.node.is_some() && (m.told_to_tally, m.told_to_note) != on;
                if self.books.members.get(&party).is_some_and(otherwise) {
                    self.send_look(party);
                }
            }
            Err(Errno::AGAIN) => {}
            Ok(None) | Err(_) => self.end_membership(party, Ending::EventsEnded),
        }
    }

    /// Tells a member to look at the registry, unless it has been told and not answered.
    pub(super) fn send_look(&mut self, party: u64) {
        let tally = self.tally_to_send(party);
        let (on, noted) = (!self.books.watchers.is_empty(), self.books.tracing.late());
        // One at a time.
        let ring = if noted.is_some() && tally.is_none() { self.ring_to_send(party) } else { None };
        let Some(member) = self.books.members.get_mut(&party) else { return };
        if member.looking {
            return;
        }
        let send = |what, fds: &[BorrowedFd<'_>]| socket::send(&member.events, &[what], fds, SendFlags::DONTWAIT);
        let mut sent = Err(Errno::TOOMANYREFS);
        if let Some((map, fd)) = tally {
            sent = send(LOOK, &[fd.as_fd()]);
            if sent.is_ok() {
                member.tally = Some(map);
            }
        }
        let mut kept = None;
        if let Some(fd) = ring {
            sent = send(LOOK_WITH_RING, &[fd.as_fd()]);
            kept = sent.is_ok().then_some(fd);
        }
        // Too many descriptors are on their way to processes of this user that do not read: without, then.
        if sent == Err(Errno::TOOMANYREFS) {
            sent = send(LOOK, &[]);
        }
        member.looking = sent.is_ok();
        (member.told_to_tally, member.told_to_note) = (on, noted);
        // At most one is on its way, so there is room in the socket, but perhaps no memory: it is asked for until there
        // is some. Another error shows as the end of the socket.
        let unsent = sent == Err(Errno::AGAIN);
        if std::mem::replace(&mut member.look_unsent, unsent) != unsent {
            let flags = if unsent { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            let _ = epoll::modify(&self.epoll, &member.events, Token::Events(party).data(), flags);
        }
        if let Some(ring) = kept {
            self.keep_ring(party, ring);
        }
    }
}

/// Compares in a time that does not tell how much of it is right.
fn same_secret(one: &Secret, other: &Secret) -> bool {
    one.iter().zip(other).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
