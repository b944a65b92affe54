//! From a packet to a function and back to a packet.

use super::Agent;
use super::books::chores::{Chore, Owner};
use super::books::member::{Ending, Member};
use super::books::request::{Given, PutOff, Undo, encode_reply};
use super::books::token::Token;
use crate::socket;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, Ask, Reply, Request, decode};
use rsm_core::{Code, Error, Result};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::{AsFd, OwnedFd};

impl Member {
    /// Sends an answer.
    fn answer(&self, bytes: &[u8], descriptors: &[OwnedFd]) -> rustix::io::Result<()> {
        let Some(control) = &self.control else { return Err(Errno::NOTCONN) };
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        socket::send(control, bytes, &borrowed, SendFlags::DONTWAIT)?;
        crash_point!(AgentAnswered);
        Ok(())
    }
}

impl Agent {
    /// A control socket can be read, or has room for the reply it was owed.
    pub(super) fn control_ready(&mut self, party: u64, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.send_unsent(party);
        }
        let Some(member) = self.books.members.get(&party) else { return };
        let Some(control) = &member.control else { return };
        if member.unsent.is_some() || member.owed {
            // Shut down without being closed: there will never be room.
            if flags.intersects(EventFlags::HUP | EventFlags::ERR) {
                self.lose_control(party);
            }
            return;
        }
        match socket::receive(control, RecvFlags::DONTWAIT) {
            // Descriptors that were not asked for are closed with the packet.
            Ok(Some(packet)) => {
                crash_point!(AgentAsked);
                self.handle(party, packet.bytes, 0);
            }
            Err(Errno::AGAIN) => {}
            Ok(None) | Err(_) => self.lose_control(party),
        }
    }

    /// Hears a request, after so many `tries`.
    fn handle(&mut self, party: u64, packet: Vec<u8>, tries: u32) {
        let request = match decode::<Request>(&packet) {
            Ok(request) => request,
            Err(error) => {
                // Whoever sends this speaks something else: the answer says so, and the connection ends.
                tracing::info!(party, %error, "bad message");
                self.reply(party, 0, Err(error));
                return self.lose_control(party);
            }
        };
        // Looking is no change: watchers that look at every change would wake themselves.
        self.changed |= !matches!(
            request.ask,
            Ask::Processes { .. }
                | Ask::Tallies { .. }
                | Ask::NextRing { .. }
                | Ask::Waits { .. }
                | Ask::NodeKey { .. }
                | Ask::Closing
                | Ask::Bridge
        );
        match request.ask {
            Ask::Abandon { number } => self.undo(party, number),
            Ask::Leave => self.end_membership(party, Ending::Left),
            ask => {
                let takes = matches!(ask, Ask::Create { .. } | Ask::Connect { .. });
                let far = if let Ask::Connect { node, .. } = ask { Some(node) } else { None };
                let outcome = self.carry_out(party, request.number, ask);
                crash_point!(AgentCarriedOut);
                match (outcome, self.books.departing.last().copied()) {
                    // A chore answers, or the other host.
                    (None, _) if far.is_none() => {}
                    (None, _) => self.keep(party, PutOff { packet, behind: u64::MAX, tries }),
                    (Some(Err(error)), Some(behind))
                        if takes && tries == 0 && error.code() == Code::InsufficientResources =>
                    {
                        self.put_off(party, request.number, PutOff { packet, behind, tries });
                    }
                    (Some(Err(_)), _)
                        if tries == 0 && far.is_some_and(|node| self.look_first(party, request.number, node)) =>
                    {
                        self.owe(party, request.number);
                        self.keep(party, PutOff { packet, behind: u64::MAX, tries });
                    }
                    (Some(outcome), _) => self.reply(party, request.number, outcome),
                }
            }
        }
    }

    fn put_off(&mut self, party: u64, number: u64, request: PutOff) {
        self.owe(party, number);
        self.keep(party, request);
        if self.books.members.contains_key(&party) {
            self.books.putting_off.insert(party);
        }
    }

    /// A member's request may be heard again.
    fn keep(&mut self, party: u64, request: PutOff) {
        if let Some(member) = self.books.members.get_mut(&party) {
            member.put_off = Some(request);
        }
    }

    /// A member that was gone is forgotten: who found no room meanwhile may have some now.
    pub(super) fn ask_again(&mut self) {
        let oldest = self.books.departing.first().copied().unwrap_or(u64::MAX);
        let waiting = |party: &u64| self.books.members.get(party).and_then(|m| m.put_off.as_ref());
        let ready = self.books.putting_off.iter().filter(|party| waiting(party).is_none_or(|p| p.behind < oldest));
        for party in ready.copied().collect::<Vec<u64>>() {
            self.books.putting_off.remove(&party);
            self.books.chores.add(Owner::Party(party), Chore::Again(party));
        }
    }

    /// Hears a request again that was put off.
    pub(super) fn hear_again(&mut self, party: u64) {
        let Some(member) = self.books.members.get_mut(&party) else { return };
        member.owed = false;
        if let Some(request) = member.put_off.take() {
            self.handle(party, request.packet, request.tries + 1);
            self.listen_to(party);
        }
    }

    /// Carries a request out; the answer to some comes later: `None`.
    fn carry_out(&mut self, party: u64, number: u64, ask: Ask) -> Option<Result<Given>> {
        let mut undo = Undo::Nothing;
        let wants = match ask {
            Ask::Connect { node, id, .. } => Some((node, id)),
            _ => None,
        };
        let alone = |answer: Option<Answer>| answer.map(|answer| (answer, Vec::new()));
        let outcome = match ask {
            Ask::BeginRebind { segment } => {
                let begun = self.begin_rebind((party, number), segment);
                begun.inspect(|_| undo = Undo::BeginRebind(segment)).transpose()
            }
            Ask::EndRebind { segment } => self.end_rebind((party, number), segment).transpose(),
            Ask::PostImporters { segment, below, accumulate } => {
                self.post_importers((party, number), segment, below, accumulate).map(alone).transpose()
            }
            Ask::SetLink { .. } | Ask::SignalNode { .. } | Ask::Revoke { .. } | Ask::NodeKey { .. } => {
                self.steer(party, number, &ask).map(alone).transpose()
            }
            Ask::Disturb { connection, how } => self.disturb((party, number), connection, how).map(alone).transpose(),
            Ask::Connect { controller, node, id, permission, has_bells } => {
                let given = self.connect((party, number), controller, node, id, permission, has_bells);
                given
                    .inspect(|given| {
                        if let Some((Answer::Connected(connected), _)) = given {
                            undo = Undo::Connect(connected.connection.row);
                        }
                    })
                    .transpose()
            }
            ask => Some(self.carry_out_now(party, ask, &mut undo)),
        };
        if let Some(member) = self.books.members.get_mut(&party) {
            member.last = Some((number, undo));
            // Refused, it may wait until there is one; whatever it asks next says that it does not.
            member.wants = wants.filter(|_| matches!(outcome, Some(Err(_))));
        }
        outcome
    }

    fn carry_out_now(&mut self, party: u64, ask: Ask, undo: &mut Undo) -> Result<Given> {
        let done = |()| (Answer::Done, Vec::new());
        match ask {
            Ask::Create { controller, length, default_mode, level, share } => {
                self.create(party, controller, length, default_mode, level, share).inspect(|(answer, _)| {
                    if let Answer::Created { segment, .. } = answer {
                        *undo = Undo::Create(segment.row);
                    }
                })
            }
            Ask::Replace { segment } => self.replace(party, segment).inspect(|_| *undo = Undo::Replace(segment)),
            Ask::Settle { segment, moved } => self.settle(party, segment, moved).map(done),
            Ask::Publish { segment, id, access } => self.publish(party, segment, id, access).map(|answer| {
                if matches!(answer, Answer::Published { .. }) {
                    *undo = Undo::Publish(segment.row);
                }
                (answer, Vec::new())
            }),
            Ask::Republish { segment, access } => self.republish(party, segment, access).map(|before| {
                *undo = Undo::Republish(segment.row, before);
                (Answer::Done, Vec::new())
            }),
            Ask::Unpublish { segment } => self.unpublish(party, segment).map(|a| (a, Vec::new())),
            Ask::Destroy { segment, insist } => self.destroy(party, segment, insist).map(|a| (a, Vec::new())),
            Ask::MakeCommon { controller, id, length, default_mode, access } => {
                let made = self.make_common((party, controller), id, (length, default_mode), access)?;
                Ok((Answer::Common { made }, Vec::new()))
            }
            Ask::Disconnect { connection } => self.disconnect(party, connection).map(done),
            Ask::Inherit { connections } => self.inherit(party, &connections).map(done),
            Ask::Processes { after } => Ok((Answer::Processes(self.books.processes(after)), Vec::new())),
            Ask::Tallies { after } => self.tallies(party, after),
            Ask::NextRing { after, trace } => self.next_ring(party, after, trace),
            Ask::Waits { from } => self.check_looks(party).map(|()| (self.waits(from), Vec::new())),
            Ask::Bridge => Ok((Answer::Bridge(self.bridge_report()), Vec::new())),
            Ask::Closing => Ok((Answer::Closing { objects: self.books.ledger.closing() }, Vec::new())),
            Ask::Join { .. } | Ask::Attach { .. } => {
                Err(Error::with(Code::BadArgsErrors, "this connection has joined already"))
            }
            _ => Err(Error::new(Code::InternalError)),
        }
    }

    /// Undoes a request if it is the last one that was carried out. One that was refused left nothing to undo.
    fn undo(&mut self, party: u64, number: u64) {
        let last = self.books.members.get_mut(&party).and_then(|m| m.last.take_if(|(n, _)| *n == number));
        match last {
            Some((_, Undo::Create(row))) => self.remove_segment(row),
            Some((_, Undo::Publish(row))) => self.withdraw_abandoned(row),
            // Memory that did not arrive is memory that nothing was moved to.
            Some((_, Undo::Replace(segment))) => drop(self.settle(party, segment, false)),
            // Memory that did not arrive was not written to.
            Some((_, Undo::BeginRebind(segment))) => self.undo_rebind(party, segment),
            Some((_, Undo::Republish(row, before))) => {
                if let Some(segment) = self.books.segments.get_mut(&row) {
                    segment.set_access(before);
                }
            }
            Some((_, Undo::Connect(row))) => self.drop_holder(row, party, EndCause::Disconnected),
            Some((_, Undo::Nothing)) | None => {}
        }
        crash_point!(AgentUndone);
    }

    /// Sends a reply. Without room for it, it is kept until there is some, and the member not read from before; what
    /// brings descriptors is undone then, so that nobody keeps descriptors of the agent's open by not reading.
    pub(super) fn reply(&mut self, party: u64, number: u64, outcome: Result<Given>) {
        let (outcome, descriptors) = match outcome {
            Ok((answer, descriptors)) => (Ok(answer), descriptors),
            Err(error) => (Err(error), Vec::new()),
        };
        let bytes = encode_reply(&Reply { number, outcome });
        let Some(member) = self.books.members.get_mut(&party) else { return };
        if descriptors.is_empty() {
            member.unsent = Some(bytes);
            return self.send_unsent(party);
        }
        match member.answer(&bytes, &descriptors) {
            Ok(()) => {}
            Err(Errno::AGAIN) => self.take_back(party, number, "earlier answers are not read"),
            // Members that do not read hold too many of this user's descriptors on their way.
            Err(Errno::TOOMANYREFS) => {
                self.take_back(party, number, "too many descriptors are on their way to processes that do not read");
            }
            Err(_) => self.lose_control(party),
        }
    }

    /// Undoes the request whose answer cannot be sent, and says so instead.
    fn take_back(&mut self, party: u64, number: u64, why: &'static str) {
        self.undo(party, number);
        self.reply(party, number, Err(Error::with(Code::InsufficientResources, why)));
    }

    fn send_unsent(&mut self, party: u64) {
        let Some(member) = self.books.members.get_mut(&party) else { return };
        let Some(bytes) = &member.unsent else { return };
        match member.answer(bytes, &[]) {
            Ok(()) => {
                member.unsent = None;
                if std::mem::take(&mut member.waits_for_room) {
                    self.listen_to(party);
                }
            }
            Err(Errno::AGAIN) => {
                member.waits_for_room = true;
                self.listen_to(party);
            }
            Err(_) => self.lose_control(party),
        }
    }

    /// Watches a control socket for what is to be done with it next: room for an answer, nothing as long as one is
    /// owed, or another request.
    pub(super) fn listen_to(&mut self, party: u64) {
        let Some(member) = self.books.members.get(&party) else { return };
        let Some(control) = &member.control else { return };
        let flags = match (member.waits_for_room, member.owed) {
            (true, _) => EventFlags::OUT,
            (false, true) => EventFlags::empty(),
            (false, false) => EventFlags::IN,
        };
        // Fails when the connection is no more, which is told by itself.
        let _ = epoll::modify(&self.epoll, control, Token::Control(party).data(), flags);
    }
}
