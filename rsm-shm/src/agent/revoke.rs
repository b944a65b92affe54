//! Taking segments back.
//!
//! 1. The row leaves the hash: no new connections. 2. Generations and epochs step, bells abort and wake: from here on
//!    every barrier, implicit transfer, post and wait is told. 3. The importers are told to look; willing ones put
//!    trash pages under their mappings and answer. 3b. The agent believes nobody and asks the kernel whether any
//!    description of the memory is left: in a process, in a forked child, in a socket. When none is, the memory is the
//!    exporter's alone. When one is left after [`PATIENCE`], or the kernel cannot tell, the withdrawal ends *not freed*. 4. Then
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
use super::segments::Segment;
use crate::parking::Poster;
use rsm_core::bell::Bell;
use rsm_core::crash_point;
use rsm_core::driver::Driver;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long importers have to let go.
const PATIENCE: Duration = Duration::from_millis(100);
/// First and longest time between two questions to the kernel.
const PROBE_GAPS: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(8));

/// A withdrawal under way.
pub(super) struct Withdrawing {
    row: u32,
    number: u32,
    /// Members that have not answered.
    awaiting: BTreeSet<u64>,
    /// What they must have seen.
    revision: u64,
    deadline: Instant,
    next_probe: Instant,
    gap: Duration,
    /// The segment goes when this ends well.
    destroy: bool,
    /// What is withdrawn was published by a call that was given up.
    abandoned: bool,
}

impl Withdrawing {
    pub(super) fn forget(&mut self, party: u64) {
        self.awaiting.remove(&party);
    }

    /// When to look again if nothing happens.
    pub(super) fn next_step(&self) -> Instant {
        if self.awaiting.is_empty() { self.next_probe } else { self.deadline }
    }
}

impl Agent {
    pub(super) fn is_withdrawing(&self, row: u32) -> bool {
        self.withdrawals.iter().any(|w| w.row == row)
    }

    /// The number of the withdrawal under way of a publication that its exporter never learned of.
    pub(super) fn abandoned(&self, row: u32) -> Option<u32> {
        self.withdrawals.iter().find(|w| w.row == row && w.abandoned).map(|w| w.number)
    }

    pub(super) fn unpublish(&mut self, party: u64, name: SegmentName) -> Result<Answer> {
        let under_way = self.withdrawals.iter().find(|w| w.row == name.row && !w.abandoned).map(|w| w.number);
        let segment = self.segment(name)?;
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
        let awaiting = if segment.id.is_some() { self.cut(row, EndCause::Withdrawn) } else { BTreeSet::new() };
        let segment = self.segment(name)?;
        segment.revoked = false;
        if !segment.granted {
            return Ok(Answer::Done);
        }
        Ok(Answer::Withdrawing { number: self.begin(row, awaiting, false) })
    }

    pub(super) fn destroy(&mut self, party: u64, name: SegmentName, insist: bool) -> Result<Answer> {
        let row = name.row;
        let published = self.own_segment(party, name)?.id.is_some();
        let awaiting = if published { self.cut(row, EndCause::Withdrawn) } else { BTreeSet::new() };
        if let Some(under_way) = self.withdrawals.iter_mut().find(|w| w.row == row) {
            under_way.destroy = true;
            return Ok(Answer::Withdrawing { number: under_way.number });
        }
        // Memory that goes on as another export's does so only after the kernel was asked who still reaches it: this
        // one's importers were a reason to believe the other's.
        let segment = self.own_segment(party, name)?;
        let (granted, memory) = (segment.granted, Rc::clone(&segment.memory));
        let goes_on = granted && self.segments.iter().any(|(r, s)| *r != row && Rc::ptr_eq(&s.memory, &memory));
        if awaiting.is_empty() && (!goes_on || insist) {
            if granted {
                self.distrust_sharers(row);
            }
            self.remove_segment(row);
            return Ok(Answer::Done);
        }
        Ok(Answer::Withdrawing { number: self.begin(row, awaiting, true) })
    }

    /// Steps 1 to 3 for the segment of a member that is gone; its memory goes with it.
    pub(super) fn withdraw_of_dead(&mut self, row: u32, cause: EndCause) {
        if self.segments.get(&row).is_some_and(|s| s.id.is_some()) {
            self.cut(row, cause);
        }
        self.withdrawals.retain(|w| w.row != row);
        self.remove_segment(row);
    }

    /// Steps 1 to 3 for a publication whose caller never learned of it.
    pub(super) fn withdraw_abandoned(&mut self, row: u32) {
        if self.segments.get(&row).is_some_and(|s| s.id.is_some()) {
            let awaiting = self.cut(row, EndCause::Withdrawn);
            if !awaiting.is_empty() {
                self.begin(row, awaiting, false);
                if let Some(withdrawal) = self.withdrawals.last_mut() {
                    withdrawal.abandoned = true;
                }
            }
        }
    }

    /// Steps 1 to 3, for a reason that importers are told; returns the members that must let go.
    pub(super) fn cut(&mut self, row: u32, cause: EndCause) -> BTreeSet<u64> {
        let Some(segment) = self.segments.get_mut(&row) else { return BTreeSet::new() };
        let (node, bell) = (segment.node, segment.bell);
        if let Some(id) = segment.id.take() {
            self.published.remove(&(node, id));
        }
        self.writer().withdraw(row);
        self.attended.insert(row);
        crash_point!(AgentUnlisted);
        let awaiting = self.cut_connections(&self.writer().connections_of(row), cause);
        let epoch = self.bell(node, bell).map(Bell::step_epoch);
        if let (Some(epoch), Some(segment)) = (epoch, self.segments.get_mut(&row)) {
            segment.epoch = epoch;
        }
        crash_point!(AgentCut);
        self.tell_to_look(&awaiting);
        awaiting
    }

    /// Step 2 for some connections; returns the members that hold them, which must be told to look.
    pub(super) fn cut_connections(&mut self, rows: &[u32], cause: EndCause) -> BTreeSet<u64> {
        let mut holders = BTreeSet::new();
        for &row in rows {
            // The generation first: who finds the bell aborted finds the connection cut.
            self.writer().abort_connection(row, cause);
            crash_point!(AgentAborted);
            self.writer().unlink_connection(row);
            let Some(connection) = self.connections.get_mut(&row) else { continue };
            self.attended.extend(connection.segment.take());
            holders.extend(&connection.holders);
            let (exporter, bell) = (connection.exporter, connection.bell);
            if let Some(bell) = self.bell(exporter, bell) {
                bell.abort(&Poster);
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

    /// Notes who was told to look when nobody waited for it.
    pub(super) fn note_told(&mut self, row: u32, holders: &BTreeSet<u64>) {
        let revision = self.map.registry().header.revision();
        if let Some(segment) = self.segments.get_mut(&row) {
            segment.told.retain(|party, due| self.members.get(party).is_some_and(|m| m.seen < *due));
            segment.told.extend(holders.iter().map(|&party| (party, revision)));
        }
    }

    pub(super) fn begin(&mut self, row: u32, mut awaiting: BTreeSet<u64>, destroy: bool) -> u32 {
        let told = self.segments.get_mut(&row).map(|s| std::mem::take(&mut s.told)).unwrap_or_default();
        for (party, due) in told {
            if self.members.get(&party).is_some_and(|m| m.seen < due) {
                self.send_look(party);
                awaiting.insert(party);
            }
        }
        let number = self.writer().begin_withdrawal(row);
        let now = Instant::now();
        self.withdrawals.push(Withdrawing {
            row,
            number,
            awaiting,
            revision: self.map.registry().header.revision(),
            deadline: now + PATIENCE,
            next_probe: now,
            gap: PROBE_GAPS.0,
            destroy,
            abandoned: false,
        });
        crash_point!(AgentWithdrawing);
        number
    }

    /// A member has looked; those withdrawals it saw do not wait for it any more.
    pub(super) fn importer_answered(&mut self, party: u64) {
        let Some(member) = self.members.get(&party) else { return };
        crash_point!(AgentHeard);
        let seen = member.seen;
        let mut look_again = false;
        for withdrawal in &mut self.withdrawals {
            if withdrawal.revision <= seen {
                withdrawal.awaiting.remove(&party);
            } else {
                look_again |= withdrawal.awaiting.contains(&party);
            }
        }
        // Something was cut between its look and its answer, and no second look was sent meanwhile.
        if look_again || seen < self.map.registry().header.revision() && !self.members[&party].connections.is_empty() {
            self.send_look(party);
        }
    }

    /// Goes on with every withdrawal that can.
    pub(super) fn advance_withdrawals(&mut self, now: Instant) {
        let mut at = 0;
        while at < self.withdrawals.len() {
            match self.decide(at, now) {
                None => at += 1,
                Some(freed) => {
                    self.changed = true;
                    let ended = self.withdrawals.swap_remove(at);
                    if ended.destroy && freed {
                        self.remove_segment(ended.row);
                    } else if let Some(segment) = self.segments.get_mut(&ended.row) {
                        segment.granted = !freed;
                        segment.told.extend(ended.awaiting.iter().map(|&party| (party, ended.revision)));
                    }
                    let word = self.writer().end_withdrawal(ended.row, freed);
                    crash_point!(AgentWithdrew);
                    crate::futex::wake(word, i32::MAX);
                }
            }
        }
    }

    /// An importer of a segment that goes may still reach memory that another export has on: should that be published
    /// or taken back later, the kernel is asked first.
    fn distrust_sharers(&mut self, row: u32) {
        let Some(memory) = self.segments.get(&row).map(|s| Rc::clone(&s.memory)) else { return };
        for segment in self.segments.values_mut().filter(|s| Rc::ptr_eq(&s.memory, &memory)) {
            segment.granted = true;
        }
    }

    /// Whether a withdrawal ends now, and whether the memory is free.
    fn decide(&mut self, at: usize, now: Instant) -> Option<bool> {
        let withdrawal = &mut self.withdrawals[at];
        let late = now >= withdrawal.deadline;
        if !withdrawal.awaiting.is_empty() && !late {
            return None;
        }
        let memory = Rc::clone(&self.segments.get(&withdrawal.row)?.memory);
        let mine = withdrawal.row;
        // Beside the segment's and ours; most memory is one segment's, which then costs no look at all the others.
        let others: Vec<&Segment> = if Rc::strong_count(&memory) == 2 {
            Vec::new()
        } else {
            let sharing = self.segments.iter().filter(|(row, s)| **row != mine && Rc::ptr_eq(&s.memory, &memory));
            sharing.map(|(_, s)| s).collect()
        };
        // Memory that nobody else exports goes with its segment.
        if withdrawal.destroy && others.is_empty() {
            return Some(true);
        }
        if now < withdrawal.next_probe && !late {
            return None;
        }
        if others.iter().any(|s| s.granted) {
            // Importers of another export of the same range reach this memory rightly, and the kernel does not tell
            // whose description is whose: here the importers' word must do.
            return Some(withdrawal.awaiting.is_empty());
        }
        let returned = self.driver.all_returned(&memory);
        crash_point!(AgentProbed);
        match returned {
            Ok(true) => Some(true),
            Ok(false) if !late => {
                withdrawal.next_probe = now + withdrawal.gap;
                withdrawal.gap = (withdrawal.gap * 2).min(PROBE_GAPS.1);
                None
            }
            Ok(false) => Some(false),
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether a segment's memory is free");
                Some(false)
            }
        }
    }
}
