//! Taking segments back.
//!
//! 1. The row leaves the hash: no new connections. 2. Generations and epochs step, bells abort and wake: from here on
//!    every barrier, implicit transfer, post and wait is told. 3. The importers are told to look; willing ones put
//!    trash pages under their mappings and answer. 3b. The agent believes nobody and asks the kernel whether any
//!    description of the memory is left: in a process, in a forked child, in a socket. When none is, the memory is the
//!    exporter's alone. When one is left after [`PATIENCE`](super::books), or the kernel cannot tell, the withdrawal ends *not freed*. 4. Then
//!    the exporter moves the memory away, into an object that it asks for (`Replace`) and, once the contents are there,
//!    makes the segment's (`Settle`); whoever did not let go keeps the old one.
//!
//! The memory of a segment that is destroyed goes with it, and the kernel is not asked; unless another segment exports
//! the same addresses and has the memory on. Then it goes only when it could be taken back.
//!
//! A publication whose caller gave up before it learned of it is withdrawn like any other; but to its exporter it never
//! was: who asks to publish waits for the end of that, and who asks to unpublish is told that nothing is published.
//!
//! # Crash
//! An importer that dies in between drops out of the wait with its descriptors. An exporter that dies ends the
//! withdrawal, since its memory goes.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use rsm_core::bell::Bell;
use rsm_core::crash_point;
use rsm_core::driver::Driver;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::registry::Withdrawn;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Instant;

impl Agent {
    pub(super) fn unpublish(&mut self, party: u64, name: SegmentName) -> Result<Answer> {
        let under_way = self.books.withdrawals.get(name.row).filter(|w| !w.abandoned).map(|w| w.number);
        let segment = self.books.segment(name)?;
        // One that was revoked is taken back in earnest here: who exports it need not know.
        if segment.id.is_none() && !segment.revoked {
            // A caller whose wait was interrupted asks again.
            return match under_way {
                Some(number) if segment.member == party => Ok(Answer::Withdrawing { number }),
                _ => Err(Error::new(Code::SegNotPublished)),
            };
        }
        let row = name.row;
        if segment.member != party {
            return Err(Error::new(Code::NotCreator));
        }
        self.cut(row, EndCause::Withdrawn);
        let segment = self.books.segment(name)?;
        segment.revoked = false;
        if !segment.granted && !segment.is_being_cut() {
            return Ok(Answer::Done);
        }
        Ok(Answer::Withdrawing { number: self.begin(row, false) })
    }

    pub(super) fn destroy(&mut self, party: u64, name: SegmentName, insist: bool) -> Result<Answer> {
        let row = name.row;
        let published = self.books.own_segment(party, name)?.id.is_some();
        self.cut(row, EndCause::Withdrawn);
        if let Some(under_way) = self.books.withdrawals.get_mut(row) {
            under_way.destroy = true;
            let number = under_way.number;
            self.books.withdrawals.look_at(row, Some(Instant::now()));
            return Ok(Answer::Withdrawing { number });
        }
        // Memory that goes on as another export's does so only after the kernel was asked who still reaches it: this
        // one's importers were a reason to believe the other's.
        let segment = self.books.own_segment(party, name)?;
        let granted = segment.granted;
        let goes_on = granted && segment.memory().sharers().len() > 1;
        let waits = segment.is_being_cut() || published && !segment.told.is_empty();
        if !waits && (!goes_on || insist) {
            if granted {
                self.distrust_sharers(row);
            }
            self.remove_segment(row);
            return Ok(Answer::Done);
        }
        Ok(Answer::Withdrawing { number: self.begin(row, true) })
    }

    /// Steps 1 to 3 for a publication whose caller never learned of it.
    pub(super) fn withdraw_abandoned(&mut self, row: u32) {
        if self.books.segments.get(&row).is_some_and(|s| s.id.is_some()) {
            self.cut(row, EndCause::Withdrawn);
            if self.books.segments.get(&row).is_some_and(|s| s.is_being_cut() || !s.told.is_empty()) {
                self.begin(row, false);
                if let Some(withdrawal) = self.books.withdrawals.get_mut(row) {
                    withdrawal.abandoned = true;
                }
            }
        }
    }

    /// Steps 1 to 3, for a reason that importers are told; the second and third piece by piece where there are many
    /// connections. The withdrawal that is begun next waits for their end, and for those who must let go.
    pub(super) fn cut(&mut self, row: u32, cause: EndCause) {
        if self.unlist(row) && !self.cut_some(row, cause) {
            let Some(segment) = self.books.segments.get(&row) else { return };
            let name = SegmentName { row, incarnation: segment.incarnation };
            self.books.chores.add(Owner::Party(segment.member), Chore::Cut { segment: name, cause, owed: None });
        }
    }

    /// Step 1: nobody connects to a segment any more. `false` when it is not published.
    pub(super) fn unlist(&mut self, row: u32) -> bool {
        let Some(segment) = self.books.segments.get_mut(&row) else { return false };
        let Some(id) = segment.id.take() else { return false };
        let name = SegmentName { row, incarnation: segment.incarnation };
        let (node, newer) = (segment.node, segment.newer_in_bucket.take());
        self.books.published.remove(&(node, id));
        let older = self.writer().withdraw(row, newer);
        if let Some(older) = older.and_then(|row| self.books.segments.get_mut(&row)) {
            older.newer_in_bucket = newer;
        }
        self.attended.insert(row);
        crash_point!(AgentUnlisted);
        self.withdraw_across(name);
        true
    }

    /// Steps 2 and 3 for some connections of a segment that is not published, the newest first, as the chain runs;
    /// `true` when none is left.
    pub(super) fn cut_some(&mut self, row: u32, cause: EndCause) -> bool {
        let Some(segment) = self.books.segments.get_mut(&row) else { return true };
        let (node, bell) = (segment.node, segment.bell);
        let rows: Vec<u32> = segment.connections.values().rev().take(PIECE).copied().collect();
        let all = rows.len() == segment.connections.len();
        let holders = self.cut_connections(&rows, cause);
        if all {
            let epoch = self.books.bell(node, bell).map(Bell::step_epoch);
            if let (Some(epoch), Some(segment)) = (epoch, self.books.segments.get_mut(&row)) {
                segment.epoch = epoch;
            }
            crash_point!(AgentCut);
            self.books.withdrawals.all_cut(row, Instant::now());
        }
        self.tell_to_look(&holders);
        self.note_told(row, &holders);
        all
    }

    /// Step 2 for some connections; returns the members that hold them, which must be told to look.
    pub(super) fn cut_connections(&mut self, rows: &[u32], cause: EndCause) -> BTreeSet<u64> {
        let mut holders = BTreeSet::new();
        for &row in rows {
            // The generation first: who finds the bell aborted finds the connection cut.
            self.writer().abort_connection(row, cause);
            crash_point!(AgentAborted);
            self.unlink(row);
            let Some(connection) = self.books.connections.get(&row) else { continue };
            holders.extend(&connection.holders);
            let (exporter, bell) = (connection.exporter, connection.bell);
            if let Some(bell) = self.books.bell(exporter, bell) {
                bell.abort(&self.wakes);
                crash_point!(AgentRang);
            }
        }
        holders
    }

    /// Step 3: holders of connections that were cut look at the registry.
    pub(super) fn tell_to_look(&mut self, holders: &BTreeSet<u64>) {
        if !holders.is_empty() {
            self.writer().step_revision();
            for &party in holders {
                self.send_look(party);
            }
            crash_point!(AgentTold);
        }
    }

    /// Notes that members were told to look: a withdrawal of the segment waits for them, one under way or the next.
    pub(super) fn note_told(&mut self, row: u32, holders: &BTreeSet<u64>) {
        let revision = self.map.registry().header.revision();
        let Some(segment) = self.books.segments.get_mut(&row) else { return };
        for party in holders {
            if let Some(member) = self.books.members.get_mut(party).filter(|m| m.seen < revision) {
                segment.told.insert(*party, revision);
                member.owes.note(row, revision);
            }
        }
    }

    /// Begins a withdrawal, unless one is under way; gives its number.
    pub(super) fn begin(&mut self, row: u32, destroy: bool) -> u32 {
        if let Some(under_way) = self.books.withdrawals.get(row) {
            return under_way.number;
        }
        let told: Vec<u64> =
            self.books.segments.get(&row).map(|s| s.told.keys().copied().collect()).unwrap_or_default();
        for party in told {
            self.send_look(party);
        }
        let number = self.writer().begin_withdrawal(row);
        self.books.withdrawals.begin(row, number, destroy, Instant::now());
        crash_point!(AgentWithdrawing);
        number
    }

    /// A member has looked; what it has seen does not wait for it any more.
    pub(super) fn importer_answered(&mut self, party: u64) {
        crash_point!(AgentHeard);
        if self.hear_some(party) {
            self.books.chores.add(Owner::Party(party), Chore::Heard(party));
        }
        let Some(member) = self.books.members.get(&party) else { return };
        // Something was cut between its look and its answer, and no second look was sent meanwhile.
        let behind = member.seen < self.map.registry().header.revision();
        if behind && !(member.owes.is_empty() && member.connections.is_empty()) {
            self.send_look(party);
        }
    }

    /// Goes through some of what a member was waited for; `true` when more is left of what it has seen.
    pub(super) fn hear_some(&mut self, party: u64) -> bool {
        for _ in 0..PIECE {
            let Some(member) = self.books.members.get_mut(&party) else { return false };
            let Some(row) = member.owes.paid(member.seen) else { return false };
            let seen = member.seen;
            if self.books.segments.get(&row).and_then(|s| s.told.get(&party)).is_some_and(|due| *due <= seen) {
                self.nobody_waits_for(row, party);
            }
        }
        true
    }

    /// A member has let go of a segment, or is gone.
    pub(super) fn nobody_waits_for(&mut self, row: u32, party: u64) {
        let Some(segment) = self.books.segments.get_mut(&row) else { return };
        segment.told.remove(&party);
        if segment.told.is_empty() {
            self.books.withdrawals.look_at(row, Some(Instant::now()));
        }
    }

    /// Goes on with every withdrawal that can, for a while.
    pub(super) fn advance_withdrawals(&mut self, until: Instant) {
        loop {
            let now = Instant::now();
            let Some((at, row)) = self.books.withdrawals.first() else { return };
            if at > now {
                return;
            }
            self.books.withdrawals.look_at(row, None);
            if let Some(how) = self.decide(row, now) {
                self.changed = true;
                self.end_withdrawal(row, how);
            }
            if now >= until {
                return;
            }
        }
    }

    fn end_withdrawal(&mut self, row: u32, how: Withdrawn) {
        let Some(ended) = self.books.withdrawals.end(row) else { return };
        let held = how == Withdrawn::Held;
        if ended.destroy && !held {
            self.remove_segment(row);
        } else if let Some(segment) = self.books.segments.get_mut(&row) {
            segment.granted = held;
            // Its exporter moves it away from who did not let go. Until it says that it has, it may ask again; but not whose
            // publication was never told to it.
            segment.revoked |= held && segment.id.is_none() && !ended.abandoned;
        }
        let word = self.writer().end_withdrawal(row, how);
        crash_point!(AgentWithdrew);
        self.wakes.all(word);
    }

    /// An importer of a segment that goes may still reach memory that another export has on: should that be published
    /// or taken back later, the kernel is asked first.
    fn distrust_sharers(&mut self, row: u32) {
        let Some(segment) = self.books.segments.get(&row) else { return };
        let sharers = segment.memory().sharers().clone();
        for row in sharers {
            if let Some(segment) = self.books.segments.get_mut(&row) {
                segment.granted = true;
            }
        }
    }

    /// Whether a withdrawal ends now, and whether the memory is free. `None` when it is to be looked at again.
    fn decide(&mut self, row: u32, now: Instant) -> Option<Withdrawn> {
        let withdrawal = self.books.withdrawals.get(row)?;
        let (late, deadline, destroy) = (now >= withdrawal.deadline, withdrawal.deadline, withdrawal.destroy);
        let segment = self.books.segments.get(&row)?;
        if segment.is_being_cut() {
            return None; // looked at again when the last connection is cut
        }
        let all_answered = segment.told.is_empty();
        if !all_answered && !late {
            self.books.withdrawals.look_at(row, Some(deadline));
            return None;
        }
        if !self.is_free_across(row) {
            return None; // looked at again when it is detached
        }
        let memory = Rc::clone(segment.memory());
        let mut others = memory.sharers().clone();
        others.remove(&row);
        // Memory that nobody else exports goes with its segment.
        if destroy && others.is_empty() {
            return Some(Withdrawn::Free);
        }
        if others.iter().filter_map(|row| self.books.segments.get(row)).any(|s| s.granted) {
            // Importers of another export of the same range reach this memory rightly, and the kernel does not tell
            // whose description is whose: here the importers' word must do.
            return Some(if all_answered { Withdrawn::Free } else { Withdrawn::Held });
        }
        let returned = self.driver.all_returned(memory.object());
        crash_point!(AgentProbed);
        match returned {
            Ok(true) => Some(Withdrawn::Free),
            Ok(false) if !late => {
                self.books.withdrawals.probe_later(row, now);
                None
            }
            Ok(false) => Some(Withdrawn::Held),
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether a segment's memory is free");
                Some(Withdrawn::Held)
            }
        }
    }
}
