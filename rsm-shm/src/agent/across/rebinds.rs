//! Rebinding a segment that the other host has connections to.
//!
//! No verdict there vouches for anything while the contents are replaced: its seals are suspended, which is done at once and
//! waits for nobody. Spans that were open meanwhile may end later; they find their path words changed, which only the other
//! host's agent can do. Who rebinds waits until it has, so that what is done next is vouched for again; but not for long.

use super::Agent;
use crate::agent::books::request::Owed;
use crate::agent::books::segment::Segment;
use rsm_core::crash_point;
use rsm_core::message::SegmentName;
use std::time::{Duration, Instant};

/// How long the other host's agent is waited for. Until it has answered, its importers are vouched for nothing.
const PATIENCE: Duration = Duration::from_millis(100);

impl Agent {
    /// Contents are about to be replaced.
    pub(in crate::agent) fn suspend_across(&mut self, segment: SegmentName) {
        if self.with_host(|host, agent| host.suspend(agent, segment)).is_some() {
            crash_point!(AcrossSuspended);
        }
    }

    /// The other host was met, maybe anew: it is to vouch for nothing that is being replaced, before it is granted anything.
    pub(super) fn suspend_again(&mut self) {
        let rebinding = self.books.segments.iter().filter(|(_, segment)| segment.rebinding);
        let name = |(&row, segment): (&u32, &Segment)| SegmentName { row, incarnation: segment.incarnation };
        for segment in rebinding.map(name).collect::<Vec<_>>() {
            self.suspend_across(segment);
        }
    }

    /// They are in place. `true`: the other host is to see to its spans first.
    pub(in crate::agent) fn rebound_across(&mut self, segment: SegmentName) -> bool {
        self.with_host(|host, agent| host.rebound(agent, segment)).unwrap_or(false)
    }

    /// Who rebinds is answered when it has.
    pub(in crate::agent) fn await_rebound(&mut self, segment: SegmentName, owed: Owed) {
        if let Some(across) = &mut self.across {
            across.rebinding.insert(segment, (owed, Instant::now() + PATIENCE));
        }
    }

    /// It has, or there is nobody left there.
    pub(super) fn resumed_across(&mut self, segment: SegmentName) {
        let waiting = self.across.as_mut().and_then(|across| across.rebinding.remove(&segment));
        if let Some((owed, _)) = waiting {
            let given = self.rebind_answer(owed.party, segment, false);
            self.pay(owed, given);
        }
    }

    /// Those are answered whom the other host has let wait for too long.
    pub(super) fn late_rebinds(&mut self) {
        let now = Instant::now();
        let late = |across: &super::Across| across.rebinding.iter().find(|(_, (_, at))| *at <= now).map(|(&s, _)| s);
        while let Some(segment) = self.across.as_ref().and_then(late) {
            self.resumed_across(segment);
        }
    }

    /// Other contents are in place in a segment of the other host: spans that are open now are to be done again.
    pub(super) fn rebound_there(&mut self, segment: SegmentName, number: u64) {
        let row = self.across.as_ref().and_then(|across| across.rows.get(&segment)).copied();
        if let Some(mirror) = row.and_then(|row| self.books.segments.get(&row)) {
            for &row in mirror.connections.values() {
                self.writer().suspend(row);
                self.writer().resume(row);
            }
        }
        crash_point!(AcrossStepped);
        self.with_host(|host, _| host.stepped(number));
    }
}
