//! From a packet to a function and back to a packet.

use super::members::Ending;
use super::serve::Token;
use super::{Agent, segments};
use crate::socket;
use rsm_core::access::AccessList;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, Ask, Reply, Request, SegmentName, decode, encode};
use rsm_core::{Code, Error, Result};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::{AsFd, OwnedFd};

/// An answer and the descriptors that go with it.
pub(super) type Given = (Answer, Vec<OwnedFd>);

/// How to undo a request whose caller is gone before it read the answer.
#[derive(Debug)]
pub(super) enum Undo {
    Nothing,
    Create(u32),
    Publish(u32),
    Replace(SegmentName),
    BeginRebind(SegmentName),
    Republish(u32, AccessList),
    Connect(u32),
}

/// Encodes a reply; one that cannot be encoded becomes an error that can.
pub(super) fn encode_reply(reply: &Reply) -> Vec<u8> {
    encode(reply).unwrap_or_else(|error| {
        let error = Error::new(error.code());
        encode(&Reply { number: reply.number, outcome: Err(error) }).unwrap_or_default()
    })
}

impl Agent {
    /// A control connection can be read, or has room for the reply it was owed.
    pub(super) fn control_ready(&mut self, party: u64, flags: EventFlags) {
        if flags.contains(EventFlags::OUT) {
            self.send_unsent(party);
        }
        let Some(member) = self.members.get(&party) else { return };
        let Some(control) = &member.control else { return };
        if member.unsent.is_some() {
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
                self.handle(party, &packet.bytes);
            }
            Err(Errno::AGAIN) => {}
            Ok(None) | Err(_) => self.lose_control(party),
        }
    }

    fn handle(&mut self, party: u64, packet: &[u8]) {
        let request = match decode::<Request>(packet) {
            Ok(request) => request,
            Err(error) => {
                // Whoever sends this speaks something else: the answer says so, and the connection ends.
                tracing::info!(party, %error, "bad message");
                self.reply(party, 0, Err(error));
                return self.lose_control(party);
            }
        };
        // Looking is no change: watchers that look at every change would wake themselves.
        self.changed |= !matches!(request.ask, Ask::Processes { .. } | Ask::Tallies { .. } | Ask::NodeKey { .. });
        match request.ask {
            Ask::Abandon { number } => self.undo(party, number),
            Ask::Leave => self.end_membership(party, Ending::Left),
            ask => {
                let outcome = self.carry_out(party, request.number, ask);
                crash_point!(AgentCarriedOut);
                self.reply(party, request.number, outcome);
            }
        }
    }

    fn carry_out(&mut self, party: u64, number: u64, ask: Ask) -> Result<Given> {
        let mut undo = Undo::Nothing;
        let done = |()| (Answer::Done, Vec::new());
        let outcome = match ask {
            Ask::Create { controller, length, default_mode, level, share } => {
                self.create(party, controller, length, default_mode, level, share).inspect(|(answer, _)| {
                    if let Answer::Created { segment, .. } = answer {
                        undo = Undo::Create(segment.row);
                    }
                })
            }
            Ask::BeginRebind { segment } => {
                self.begin_rebind(party, segment).inspect(|_| undo = Undo::BeginRebind(segment))
            }
            Ask::EndRebind { segment } => self.end_rebind(party, segment).map(done),
            Ask::Replace { segment } => self.replace(party, segment).inspect(|_| undo = Undo::Replace(segment)),
            Ask::Settle { segment, moved } => self.settle(party, segment, moved).map(done),
            Ask::Publish { segment, id, access } => self.publish(party, segment, id, access).map(|answer| {
                if matches!(answer, Answer::Published { .. }) {
                    undo = Undo::Publish(segment.row);
                }
                (answer, Vec::new())
            }),
            Ask::Republish { segment, access } => self.republish(party, segment, access).map(|before| {
                undo = Undo::Republish(segment.row, before);
                (Answer::Done, Vec::new())
            }),
            Ask::Unpublish { segment } => self.unpublish(party, segment).map(|a| (a, Vec::new())),
            Ask::Destroy { segment, insist } => self.destroy(party, segment, insist).map(|a| (a, Vec::new())),
            Ask::Connect { controller, node, id, permission, has_bells } => {
                self.connect(party, controller, node, id, permission, has_bells).inspect(|(answer, _)| {
                    if let Answer::Connected(connected) = answer {
                        undo = Undo::Connect(connected.connection.row);
                    }
                })
            }
            Ask::Disconnect { connection } => self.disconnect(party, connection).map(done),
            Ask::Inherit { connections } => self.inherit(party, &connections).map(done),
            Ask::PostImporters { segment, below, accumulate } => {
                self.post_importers(party, segment, below, accumulate).map(done)
            }
            Ask::Processes { after } => Ok((Answer::Processes(self.processes(after)), Vec::new())),
            Ask::SetLink { .. } | Ask::SignalNode { .. } | Ask::Revoke { .. } | Ask::NodeKey { .. } => {
                self.steer(party, &ask).map(|answer| (answer, Vec::new()))
            }
            Ask::Tallies { after } => self.tallies(party, after),
            Ask::Join { .. } | Ask::Attach { .. } | Ask::Abandon { .. } | Ask::Leave => {
                Err(Error::with(Code::BadArgsErrors, "this connection has joined already"))
            }
        };
        if let Some(member) = self.members.get_mut(&party) {
            member.last = Some((number, undo));
        }
        outcome
    }

    /// Undoes a request if it is the last one that was carried out. One that was refused left nothing to undo.
    fn undo(&mut self, party: u64, number: u64) {
        let last = self.members.get_mut(&party).and_then(|m| m.last.take_if(|(n, _)| *n == number));
        match last {
            Some((_, Undo::Create(row))) => self.remove_segment(row),
            Some((_, Undo::Publish(row))) => self.withdraw_abandoned(row),
            // Memory that did not arrive is memory that nothing was moved to.
            Some((_, Undo::Replace(segment))) => drop(self.settle(party, segment, false)),
            // Memory that did not arrive was not written to.
            Some((_, Undo::BeginRebind(segment))) => drop(self.end_rebind(party, segment)),
            Some((_, Undo::Republish(row, before))) => {
                if let Some(segment) = self.segments.get_mut(&row) {
                    segments::set_access(segment, before);
                }
            }
            Some((_, Undo::Connect(row))) => self.drop_holder(row, party, EndCause::Disconnected),
            Some((_, Undo::Nothing)) | None => {}
        }
        crash_point!(AgentUndone);
    }

    /// Sends a reply, or keeps it until the member has room; it is not read from before.
    pub(super) fn reply(&mut self, party: u64, number: u64, outcome: Result<Given>) {
        let (outcome, descriptors) = match outcome {
            Ok((answer, descriptors)) => (Ok(answer), descriptors),
            Err(error) => (Err(error), Vec::new()),
        };
        let bytes = encode_reply(&Reply { number, outcome });
        if let Some(member) = self.members.get_mut(&party) {
            member.unsent = Some((bytes, descriptors));
        }
        self.send_unsent(party);
    }

    /// Undoes the request whose answer cannot be sent, and says so instead.
    fn take_back(&mut self, party: u64) {
        let last = self.members.get(&party).and_then(|m| m.last.as_ref()).map(|(number, _)| *number);
        if let Some(number) = last {
            self.undo(party, number);
            let text = "too many descriptors are on their way to processes that do not read";
            self.reply(party, number, Err(Error::with(Code::InsufficientResources, text)));
        }
    }

    fn send_unsent(&mut self, party: u64) {
        let Some(member) = self.members.get_mut(&party) else { return };
        let (Some(control), Some((bytes, descriptors))) = (&member.control, &member.unsent) else { return };
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        match socket::send(control, bytes, &borrowed, SendFlags::DONTWAIT) {
            Ok(()) => {
                crash_point!(AgentAnswered);
                let waited = member.waits_for_room;
                member.unsent = None;
                if waited {
                    member.waits_for_room = false;
                    let _ = epoll::modify(&self.epoll, control, Token::Control(party).data(), EventFlags::IN);
                }
            }
            Err(Errno::AGAIN) => {
                member.waits_for_room = true;
                let _ = epoll::modify(&self.epoll, control, Token::Control(party).data(), EventFlags::OUT);
            }
            // Members that do not read hold too many of this user's descriptors on their way.
            Err(Errno::TOOMANYREFS) => self.take_back(party),
            Err(_) => self.lose_control(party),
        }
    }
}
