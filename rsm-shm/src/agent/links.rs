//! Links that are taken down, brought up, or said to have had an error.

use super::Agent;
use super::chores::{Chore, Owed, Owner, PIECE};
use super::connections::Connection;
use rsm_core::crash_point;
use rsm_core::message::Answer;
use rsm_core::registry::{LinkChange, LinkWord};
use rsm_core::sync::Ordering::Relaxed;
use rsm_core::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

impl Agent {
    /// Changes the link of imports of `from` from `to`, and the other direction if `both`. The answer is how many
    /// imports were cut; `None` when it comes later.
    pub(super) fn set_link(
        &mut self,
        (party, number): (u64, u64),
        (controller, from, to): (u32, u32, u32),
        both: bool,
        change: LinkChange,
    ) -> Result<Option<u32>> {
        self.controller_kind(controller)?;
        let mut ways = vec![(controller, from, to)];
        if both && from != to {
            ways.push((controller, to, from));
        }
        // All or nothing.
        for &(controller, from, to) in &ways {
            self.check_link(controller, from, to)?;
        }
        if change != LinkChange::Down {
            for (controller, from, to) in ways {
                self.change_link(controller, from, to, change);
            }
            return Ok(Some(0));
        }
        self.closing.extend(&ways);
        let owed = self.owe(party, number);
        let down = LinkDown { ways, at: 0, told: false, count: 0, owed };
        self.chores.add(Owner::Party(party), Chore::Link(Box::new(down)));
        Ok(None)
    }

    fn check_link(&self, controller: u32, from: u32, to: u32) -> Result<()> {
        self.check_node(from)?;
        self.check_node(to)?;
        let link = self.map.registry().link(controller, from, to);
        if link.is_some_and(|word| LinkWord::from_word(word.load(Relaxed)).exists()) {
            return Ok(());
        }
        let name = self.controller_name(controller);
        let text = format!("there is no link from node {from} to node {to} through {name}");
        Err(Error::with(Code::RemoteNodeUnreachable, text))
    }

    /// Takes up the change: at once, or piece by piece where connections must be cut.
    fn change_link(&mut self, controller: u32, from: u32, to: u32, change: LinkChange) {
        if self.writer().change_link(controller, from, to, change) {
            tracing::debug!(controller, from, to, ?change, "link changed");
            if change == LinkChange::Up {
                self.something_reachable(to);
            }
        }
        crash_point!(AgentRelinked);
    }

    /// Goes on taking links down; gives what is left.
    pub(super) fn change_some(&mut self, mut change: Box<LinkDown>) -> Option<Box<LinkDown>> {
        let Some(&way) = change.ways.last() else {
            self.pay(change.owed, Ok(Answer::Affected { count: change.count }));
            return None;
        };
        let (controller, from, to) = way;
        let imports: Vec<u32> = self.nodes[from as usize].imports.range(change.at..).take(PIECE).copied().collect();
        let next = imports.last().and_then(|row| row.checked_add(1));
        let through = |c: &&Connection| c.segment.is_some() && (c.controller, c.exporter) == (controller, to);
        let rows = || imports.iter().copied().filter(|row| self.connections.get(row).filter(through).is_some());
        if !change.told {
            // The generations first: a path that is gone for good is told as CONN_ABORTED and never as BARRIER_FAILURE,
            // after which a program would only try again. Who is woken by the cut finds the link down. Nobody connects
            // through it meanwhile.
            rows().for_each(|row| self.writer().abort_connection(row));
        } else {
            let rows: Vec<u32> = rows().collect();
            change.count = change.count.saturating_add(rows.len() as u32);
            self.cut_through(&rows);
        }
        match next {
            Some(next) => change.at = next,
            None if change.told => {
                tracing::debug!(controller, from, to, imports = change.count, "link is down");
                self.closing.remove(&way);
                change.ways.pop();
                (change.at, change.told) = (0, false);
            }
            None => {
                self.change_link(controller, from, to, LinkChange::Down);
                (change.at, change.told) = (0, true);
            }
        }
        Some(change)
    }

    /// Cuts connections whose link went down.
    fn cut_through(&mut self, rows: &[u32]) {
        let mut told: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for connection in rows.iter().filter_map(|row| self.connections.get(row)) {
            connection.segment.into_iter().for_each(|s| told.entry(s).or_default().extend(&connection.holders));
        }
        let holders = self.cut_connections(rows);
        self.tell_to_look(&holders);
        for (segment, holders) in told {
            self.note_told(segment, &holders);
        }
    }
}

/// Links that go down.
#[derive(Debug)]
pub(super) struct LinkDown {
    /// Controller, importing node, exporting node.
    ways: Vec<(u32, u32, u32)>,
    /// Imports from this row on are still to be looked at for the last of them.
    at: u32,
    /// Its word says so, and its connections are being cut; before, their generations are stepped.
    told: bool,
    count: u32,
    owed: Owed,
}
