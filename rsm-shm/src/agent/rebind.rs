//! Rebinding: other contents come into a segment's memory, and no verdict vouches for anything meanwhile.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::request::Given;
use rsm_core::access::Level;
use rsm_core::crash_point;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::{Code, Error, Result};

impl Agent {
    /// Begins a rebind: until that is over no verdict of the segment's importers vouches for anything. Then the exporter
    /// is sent its memory once more. `None` when the answer comes later.
    pub(super) fn begin_rebind(&mut self, (party, number): (u64, u64), name: SegmentName) -> Result<Option<Given>> {
        let segment = self.books.own_segment(party, name)?;
        if segment.level == Level::Sealed {
            return Err(Error::with(Code::RebindNotAllowed, "a sealed segment keeps the memory it was made with"));
        }
        segment.rebinding = true;
        self.suspend_across(name);
        self.suspend((party, number), name, true)
    }

    /// The contents of a segment stand again: from here on its importers' spans are vouched for. `None` when the answer
    /// comes later.
    pub(super) fn end_rebind(&mut self, (party, number): (u64, u64), name: SegmentName) -> Result<Option<Given>> {
        let segment = self.books.own_segment(party, name)?;
        if std::mem::take(&mut segment.rebinding) {
            return self.suspend((party, number), name, false);
        }
        Ok(Some((Answer::Done, Vec::new())))
    }

    /// As [`end_rebind`](Self::end_rebind), for a caller that is gone: nothing was written to the memory.
    pub(super) fn undo_rebind(&mut self, party: u64, segment: SegmentName) {
        let rebinding =
            self.books.own_segment(party, segment).is_ok_and(|segment| std::mem::take(&mut segment.rebinding));
        if !rebinding {
            return;
        }
        if let Some(below) = self.suspend_some(segment, false, u64::MAX) {
            let chore = Chore::Suspend { segment, rebinding: false, below, owed: None };
            self.books.chores.add(Owner::Party(party), chore);
        } else {
            self.rebound_across(segment);
        }
    }

    /// What was just noted of a segment, for all of its connections; those that come later know it.
    fn suspend(&mut self, (party, number): (u64, u64), segment: SegmentName, rebinding: bool) -> Result<Option<Given>> {
        let Some(below) = self.suspend_some(segment, rebinding, u64::MAX) else {
            if !rebinding && self.rebound_across(segment) {
                let owed = self.owe(party, number);
                self.await_rebound(segment, owed);
                return Ok(None);
            }
            return self.rebind_answer(party, segment, rebinding).map(Some);
        };
        let owed = Some(self.owe(party, number));
        self.books.chores.add(Owner::Party(party), Chore::Suspend { segment, rebinding, below, owed });
        Ok(None)
    }

    /// Suspends, or resumes, some connections of a segment with serial numbers below this one; gives the number to go on
    /// with. Nothing is left to do when the segment has been told otherwise since.
    pub(super) fn suspend_some(&self, name: SegmentName, rebinding: bool, below: u64) -> Option<u64> {
        let segment = self.books.segments.get(&name.row).filter(|s| s.incarnation == name.incarnation)?;
        if segment.rebinding != rebinding {
            return None;
        }
        let mut last = None;
        for (at, (&serial, &row)) in (1..).zip(segment.connections.range(..below).rev().take(PIECE)) {
            last = (at == PIECE).then_some(serial);
            if rebinding { self.writer().suspend(row) } else { self.writer().resume(row) }
        }
        last
    }

    /// The answer to the begin or the end of a rebind, when all connections know.
    pub(super) fn rebind_answer(&mut self, party: u64, name: SegmentName, began: bool) -> Result<Given> {
        if !began {
            crash_point!(AgentResumed);
            return Ok((Answer::Done, Vec::new()));
        }
        let memory = self.books.own_segment(party, name)?.memory().duplicate();
        if memory.is_err() {
            // Nothing will come into it, and nobody will say that it is over.
            self.undo_rebind(party, name);
        }
        crash_point!(AgentSuspended);
        Ok((Answer::Memory, vec![memory?]))
    }
}
