//! What is done when a member is gone: in pieces, for it may have held a lot.
//!
//! In this order: nobody waits for it any more; its segments are withdrawn and their importers told; the exporters that
//! it may have owed a wake are woken; its connections are given back; its node loses it; its siblings are woken. Until
//! its last segment is withdrawn, and everybody's connection to it cut, its node stays there.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::departing::Departing;
use super::books::member::Ending;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;

impl Agent {
    /// A member left or died: it is out of the tables at once, what it had goes piece by piece.
    pub(super) fn end_membership(&mut self, party: u64, ending: Ending) {
        let Some(member) = self.books.members.remove(&party) else { return };
        tracing::debug!(party, pid = member.pid, node = member.node, why = ending.why(), "membership ended");
        let causes = match ending {
            _ if member.killed => (EndCause::NodeKilled, EndCause::NodeKilled),
            Ending::Left => (EndCause::ExporterEnded, EndCause::Disconnected),
            Ending::EventsEnded | Ending::ProcessEnded => (EndCause::ExporterEnded, EndCause::ImporterEnded),
        };
        self.books.members_of.remove(member.pid, party);
        self.records.ended(party);
        if let Some((races, _)) = &self.races {
            // Before anybody can know that it has ended.
            rsm_race::process::end(races.table(), party);
        }
        for fd in [Some(&member.events), member.process.as_ref(), member.control.as_ref()].into_iter().flatten() {
            self.unwatch(fd);
        }
        drop((member.control, member.events, member.process));
        crash_point!(AgentForgot);
        match member.node {
            Some(node) => {
                let node = &mut self.books.nodes[node as usize];
                node.members.remove(&party);
                node.departing.insert(party);
            }
            None => drop(self.books.observers.remove(&party)),
        }
        self.watcher_left(party);
        self.tracer_left(party);
        self.rings_left(&member.rings);
        let number = self.books.take_serial();
        let departing = Departing {
            party,
            number,
            node: member.node,
            owes: member.owes,
            segments: member.segments,
            connections: member.connections,
            nudged: Some(0),
            withdrawn: false,
            causes,
        };
        self.books.departing.insert(number);
        self.books.chores.add(Owner::Party(party), Chore::Depart(Box::new(departing)));
    }

    /// Forgets some of what a member had; gives what is left.
    pub(super) fn forget_some(&mut self, mut departing: Box<Departing>) -> Option<Box<Departing>> {
        for _ in 0..PIECE {
            if let Some(row) = departing.owes.pop() {
                self.nobody_waits_for(row, departing.party);
            } else if let Some(&row) = departing.segments.first() {
                self.unlist(row);
                if !self.cut_some(row, departing.causes.0) {
                    return Some(departing);
                }
                self.books.withdrawals.end(row);
                self.remove_segment(row);
                departing.segments.remove(&row);
            } else if !departing.withdrawn {
                departing.withdrawn = true;
                crash_point!(AgentWithdrewDead);
            } else if let Some(from) = departing.nudged {
                let next = departing.connections.range(from..).next().copied();
                match next {
                    Some(row) => self.nudge_exporter(row),
                    None => {
                        crash_point!(AgentNudged);
                    }
                }
                departing.nudged = next.and_then(|row| row.checked_add(1));
            } else if let Some(row) = departing.connections.pop_first() {
                self.drop_holder(row, departing.party, departing.causes.1);
            } else {
                self.departed(&departing);
                return None;
            }
        }
        Some(departing)
    }

    fn departed(&mut self, gone: &Departing) {
        self.books.departing.remove(&gone.number);
        if let Some(node) = gone.node {
            self.node_changed(node, |state| state.departing.remove(&gone.party));
            self.nudge_siblings(node);
        }
        crash_point!(AgentCleaned);
        self.ask_again();
    }
}
