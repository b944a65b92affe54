//! Where processes note their calls, for an observer that traces a cluster which began without a trace.
//!
//! One observer at a time. When it asks first each process is told to look, and a look brings its ring along; one that joins
//! later gets its own with the answer. The observer asks for one after the other, to read them itself. When it has gone, the
//! processes are told again, and stop. A process keeps its ring for the next observer, for whom it begins where it then is;
//! and a second one for those who want the bytes, which are in no other.
//!
//! Bytes of segments are for the user of the cluster and for root. The agent has made the memory of all segments, so they can
//! have it anyway, by way of the agent's process; whoever else may look cannot.

use super::Agent;
use super::books::chores::{Chore, Owner};
use super::books::member::Member;
use super::books::memory::duplicate;
use super::books::request::Given;
use super::books::tracing::{KeptRings, MOST_LEFT, Observing, Offered};
use crate::memory::memfd;
use crate::memory::tables::{Parts, RecordMap};
use rsm_core::access::Permission;
use rsm_core::lens::event::Trace;
use rsm_core::message::{Answer, RingOf};
use rsm_core::{Code, Error, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// So many processes that have no ring get one while the observer is answered.
const AT_ONCE: usize = 4;

impl Agent {
    pub(super) fn next_ring(&mut self, party: u64, after: u64, trace: Trace) -> Result<Given> {
        self.check_looks(party)?;
        if trace.bytes {
            self.check_sees_bytes(party)?;
        }
        match self.books.tracing.observer {
            Some(Observing { party: observer, late }) if observer == party => {
                if late.trace != trace {
                    return Err(Error::with(Code::BadConf, "a trace has bytes from its beginning or not at all"));
                }
            }
            Some(Observing { party: other, .. }) => {
                let pid = self.books.members.get(&other).map_or(0, |member| member.pid);
                let text = format!("process {pid} traces the cluster already, and one can at a time");
                return Err(Error::with(Code::InsufficientResources, text));
            }
            None if self.parts.slots > 0 => {
                let text = "the cluster is traced from its beginning, and that trace has everything";
                return Err(Error::with(Code::BadConf, text));
            }
            None => self.begin_tracing(party, trace)?,
        }
        self.books.tracing.known_up_to(after);
        // There was no memory for it, or no room on the way, which may have changed since.
        let lacking = |(_, member): &(&u64, &Member)| lacks_ring(member, trace);
        let lacking: Vec<u64> =
            self.books.members.iter().filter(lacking).take(AT_ONCE).map(|(&party, _)| party).collect();
        lacking.into_iter().for_each(|party| self.send_look(party));
        match self.books.tracing.offered.first_key_value() {
            None => Ok((Answer::Ring(None), Vec::new())),
            Some((_, Offered { of, object })) => {
                Ok((Answer::Ring(Some(*of)), vec![memfd::reopen(&**object, Permission::Read)?]))
            }
        }
    }

    /// Whether it may have what segments hold.
    fn check_sees_bytes(&self, party: u64) -> Result<()> {
        let uid = self.books.members.get(&party).ok_or(Error::new(Code::InternalError))?.credentials.uid;
        let (name, owner) = (self.address.name(), self.address.uid());
        if uid == 0 || uid == owner {
            return Ok(());
        }
        let text = format!(
            "user {uid} may trace cluster {name:?}, but not with bytes: what segments hold is for its user, {owner}, and root"
        );
        Err(Error::with(Code::PermDenied, text))
    }

    fn begin_tracing(&mut self, party: u64, trace: Trace) -> Result<()> {
        // Where those begin that there are already, while nobody writes.
        let mut rings = Vec::new();
        for (&membership, member) in &self.books.members {
            if let (Some(node), Some(object)) = (member.node, member.rings.of(trace)) {
                let map = RecordMap::open(&**object)?;
                let from = map.ring().map_or(0, |ring| ring.end());
                rings.push(((membership, node, member.pid), from, Arc::clone(object)));
            }
        }
        self.books.tracing.begin(party, trace);
        for (who, from, object) in rings {
            self.books.tracing.offer(who, from, object);
        }
        self.tell_of_trace();
        Ok(())
    }

    /// An observer that traced is gone.
    pub(super) fn tracer_left(&mut self, party: u64) {
        if self.books.tracing.observer.is_some_and(|observing| observing.party == party) {
            self.books.tracing.observer = None;
            self.books.tracing.offered.clear();
            self.tell_of_trace();
        }
    }

    fn tell_of_trace(&mut self) {
        self.writer().set_traced(self.books.tracing.late());
        self.books.chores.add(Owner::Watchers, Chore::Watch { after: 0 });
    }

    /// The memory of the ring of a process that is traced and lacks one; the agent's side of it is kept once it is sent.
    pub(super) fn ring_to_send(&self, party: u64) -> Option<OwnedFd> {
        let (member, trace) = (self.books.members.get(&party)?, self.books.tracing.late()?.trace);
        if !lacks_ring(member, trace) {
            return None;
        }
        self.make_ring(trace).inspect_err(|error| tracing::warn!(party, %error, "no memory for a ring")).ok()
    }

    /// The memory of a ring, if anybody traces.
    fn make_ring(&self, trace: Trace) -> Result<OwnedFd> {
        let mut held = self.books.held();
        held.memories += 1;
        self.books.limits.check(held, self.books.kept())?;
        // No row is used, and no calls are counted.
        RecordMap::create(Parts { calls: false, slots: Parts::slots_for(trace) }).map(|(_, object)| object)
    }

    /// The ring of a process that joins, if anybody traces: to be sent, and to be kept.
    pub(super) fn ring_of_newcomer(&self) -> Option<(OwnedFd, OwnedFd)> {
        let trace = self.books.tracing.late()?.trace;
        let made = self.make_ring(trace).and_then(|object| Ok((duplicate(&object)?, object)));
        // Then its calls are not noted, until there is room.
        made.inspect_err(|error| tracing::warn!(%error, "no memory for a ring")).ok()
    }

    /// A process has been sent its ring.
    pub(super) fn keep_ring(&mut self, party: u64, object: OwnedFd) {
        let (Some(member), Some(late)) = (self.books.members.get_mut(&party), self.books.tracing.late()) else {
            return;
        };
        let Some(node) = member.node else { return };
        let object = Arc::new(object);
        member.rings.keep(late.trace, Arc::clone(&object));
        let who = (party, node, member.pid);
        self.books.tracing.kept += 1;
        self.books.tracing.offer(who, 0, object);
    }

    /// A process that had these is gone; whoever traces may not have them yet.
    pub(super) fn rings_left(&mut self, rings: &KeptRings) {
        self.books.tracing.kept -= rings.count();
        let (tracing, members) = (&mut self.books.tracing, &self.books.members);
        // Those of the living are as many as these at most, and are not offered again.
        while tracing.offered.len() as u64 > MOST_LEFT + tracing.kept {
            let gone = tracing.offered.values().find(|offered| !members.contains_key(&offered.of.membership));
            let Some(RingOf { number, node, pid, .. }) = gone.map(|offered| offered.of) else { break };
            tracing.offered.remove(&number);
            tracing::warn!(node, pid, "whoever traces does not ask for rings: one was given up");
        }
    }
}

/// Whether a process is to be sent a ring for this trace.
fn lacks_ring(member: &Member, trace: Trace) -> bool {
    member.node.is_some() && member.rings.of(trace).is_none() && !member.looking
}
