//! Where processes note their calls, for an observer that traces a cluster which began without a trace.
//!
//! One observer at a time. When it asks first each process is told to look, and a look brings its ring along; one that joins
//! later gets its own with the answer. The observer asks for one after the other, to read them itself. When it has gone, the
//! processes are told again, and stop. A process keeps its ring for the next observer, for whom it begins where it then is.

use super::Agent;
use super::books::chores::{Chore, Owner};
use super::books::member::Member;
use super::books::memory::duplicate;
use super::books::request::Given;
use super::books::tracing::{MOST_LEFT, Offered};
use crate::memory::memfd;
use crate::memory::tables::{Parts, RecordMap};
use rsm_core::access::Permission;
use rsm_core::lens::event::SLOTS;
use rsm_core::message::{Answer, RingOf};
use rsm_core::{Code, Error, Result};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// So many processes that have no ring get one while the observer is answered.
const AT_ONCE: usize = 4;

/// The part that a ring has: no row is used, and no calls are counted.
const PARTS: Parts = Parts { calls: false, slots: SLOTS };

impl Agent {
    pub(super) fn next_ring(&mut self, party: u64, after: u64) -> Result<Given> {
        self.check_looks(party)?;
        match self.books.tracing.observer {
            Some(observer) if observer == party => {}
            Some(other) => {
                let pid = self.books.members.get(&other).map_or(0, |member| member.pid);
                let text = format!("process {pid} traces the cluster already, and one can at a time");
                return Err(Error::with(Code::InsufficientResources, text));
            }
            None if self.parts.slots > 0 => {
                let text = "the cluster is traced from its beginning, and that trace has everything";
                return Err(Error::with(Code::BadConf, text));
            }
            None => self.begin_tracing(party)?,
        }
        self.books.tracing.known_up_to(after);
        // There was no memory for it, or no room on the way, which may have changed since.
        let lacking = |(_, member): &(&u64, &Member)| member.node.is_some() && member.ring.is_none() && !member.looking;
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

    fn begin_tracing(&mut self, party: u64) -> Result<()> {
        // Where those begin that there are already, while nobody writes.
        let mut rings = Vec::new();
        for (&membership, member) in &self.books.members {
            if let (Some(node), Some(object)) = (member.node, &member.ring) {
                let map = RecordMap::open(&**object)?;
                let from = map.ring().map_or(0, |ring| ring.end());
                rings.push(((membership, node, member.pid), from, Arc::clone(object)));
            }
        }
        self.books.tracing.observer = Some(party);
        for (who, from, object) in rings {
            self.books.tracing.offer(who, from, object);
        }
        self.set_traced(true);
        Ok(())
    }

    /// An observer that traced is gone.
    pub(super) fn tracer_left(&mut self, party: u64) {
        if self.books.tracing.observer == Some(party) {
            self.books.tracing.observer = None;
            self.books.tracing.offered.clear();
            self.set_traced(false);
        }
    }

    fn set_traced(&mut self, on: bool) {
        self.writer().set_traced(on);
        self.books.chores.add(Owner::Watchers, Chore::Watch { after: 0 });
    }

    /// The memory of the ring of a process that is traced and has none; the agent's side of it is kept once it is sent.
    pub(super) fn ring_to_send(&self, party: u64) -> Option<OwnedFd> {
        let member = self.books.members.get(&party)?;
        if member.node.is_none() || member.ring.is_some() || member.looking {
            return None;
        }
        self.make_ring().inspect_err(|error| tracing::warn!(party, %error, "no memory for a ring")).ok()
    }

    /// The memory of a ring, if anybody traces.
    fn make_ring(&self) -> Result<OwnedFd> {
        let mut held = self.books.held();
        held.memories += 1;
        self.books.limits.check(held, self.books.kept())?;
        RecordMap::create(PARTS).map(|(_, object)| object)
    }

    /// The ring of a process that joins, if anybody traces: to be sent, and to be kept.
    pub(super) fn ring_of_newcomer(&self) -> Option<(OwnedFd, OwnedFd)> {
        self.books.tracing.observer?;
        let made = self.make_ring().and_then(|object| Ok((duplicate(&object)?, object)));
        // Then its calls are not noted, until there is room.
        made.inspect_err(|error| tracing::warn!(%error, "no memory for a ring")).ok()
    }

    /// A process has been sent its ring.
    pub(super) fn keep_ring(&mut self, party: u64, object: OwnedFd) {
        let Some(member) = self.books.members.get_mut(&party) else { return };
        let Some(node) = member.node else { return };
        let object = Arc::new(object);
        member.ring = Some(Arc::clone(&object));
        let who = (party, node, member.pid);
        self.books.tracing.kept += 1;
        self.books.tracing.offer(who, 0, object);
    }

    /// A process that had a ring is gone; whoever traces may not have it yet.
    pub(super) fn ring_left(&mut self, ring: Option<Arc<OwnedFd>>) {
        if ring.is_some() {
            self.books.tracing.kept -= 1;
        }
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
