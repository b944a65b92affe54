//! Links that are taken down, brought up, or said to have had an error.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::connection::Connection;
use super::books::relinking::{LinkName, Relinking, Step};
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::message::Answer;
use rsm_core::registry::{LinkChange, LinkState};
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
        let mut links = vec![(controller, from, to)];
        if both && from != to {
            links.push((controller, to, from));
        }
        // All or nothing.
        for &(controller, from, to) in &links {
            self.check_link(controller, from, to)?;
        }
        for &(controller, from, to) in &links {
            self.tell_of_link(controller, from, to, change);
        }
        if change == LinkChange::Up {
            links.into_iter().for_each(|link| self.bring_up(link));
            return Ok(Some(0));
        }
        self.begin_change((party, number), links, change, None);
        Ok(None)
    }

    /// Takes the link between two nodes down, and up again where it was not down before. The answer comes later.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE where there is no such link.
    pub(super) fn drop_link(
        &mut self,
        (party, number): (u64, u64),
        (controller, from, to): (u32, u32, u32),
    ) -> Result<()> {
        let links = if from == to {
            vec![(controller, from, to)]
        } else {
            vec![(controller, from, to), (controller, to, from)]
        };
        for &(controller, from, to) in &links {
            self.check_link(controller, from, to)?;
        }
        let registry = self.map.registry();
        // One that an operator is taking down stays so.
        let is_there = |link: &LinkName| {
            let &(controller, from, to) = link;
            let is_open = !self.books.closing.has(link);
            is_open && registry.link_now(controller, from, to).is_some_and(|link| link.state() != LinkState::Down)
        };
        let again = links.iter().copied().filter(is_there).collect();
        self.begin_change((party, number), links, LinkChange::Down, Some(again));
        Ok(())
    }

    /// Begins to change links, and to bring some of them up `again` afterwards.
    fn begin_change(
        &mut self,
        (party, number): (u64, u64),
        links: Vec<LinkName>,
        change: LinkChange,
        again: Option<Vec<LinkName>>,
    ) {
        if change == LinkChange::Down {
            links.iter().for_each(|&link| self.books.closing.begin(link, again.is_none()));
        }
        let owed = self.owe(party, number);
        let relinking = Relinking {
            change,
            links,
            again: again.unwrap_or_default(),
            step: Step::first(change),
            at: 0,
            count: 0,
            owed,
        };
        self.books.chores.add(Owner::Party(party), Chore::Link(Box::new(relinking)));
    }

    /// A link between the hosts was changed at the other one.
    pub(super) fn link_set_across(&mut self, (from, to): (u32, u32), change: LinkChange) {
        let Some(link) = self.bridge.map(|controller| (controller, from, to)) else { return };
        match change {
            LinkChange::Up => self.bring_up(link),
            // One at a time, however often it is said.
            LinkChange::Down if self.books.closing.stays_down(&link) => {}
            LinkChange::Down => self.begin_change((0, 0), vec![link], change, None),
            LinkChange::Error => {
                self.change_link(link.0, from, to, change);
                let through = |c: &&Connection| c.segment.is_some() && (c.controller, c.exporter) == (link.0, to);
                for row in &self.books.nodes[from as usize].imports {
                    if self.books.connections.get(row).filter(through).is_some() {
                        self.writer().change_path(*row, change);
                    }
                }
            }
        }
    }

    fn check_link(&self, controller: u32, from: u32, to: u32) -> Result<()> {
        self.check_node(from)?;
        self.check_node(to)?;
        if self.map.registry().link_now(controller, from, to).is_some() {
            return Ok(());
        }
        let name = self.controller_name(controller);
        let text = format!("there is no link from node {from} to node {to} through {name}");
        Err(Error::with(Code::RemoteNodeUnreachable, text))
    }

    /// Brings a link up: one that was down has no connections. One that is on its way down comes up when it is there, or what
    /// takes it down would have the last word.
    fn bring_up(&mut self, link: LinkName) {
        if !self.books.closing.reopens(&link) {
            let (controller, from, to) = link;
            self.change_link(controller, from, to, LinkChange::Up);
        }
    }

    /// Changes the link itself.
    fn change_link(&mut self, controller: u32, from: u32, to: u32, change: LinkChange) {
        if self.writer().change_link(controller, from, to, change) {
            tracing::debug!(controller, from, to, ?change, "link changed");
            if change == LinkChange::Up {
                self.something_reachable(to);
            }
        }
        crash_point!(AgentRelinked);
    }

    /// Goes on changing links; gives what is left.
    pub(super) fn change_some(&mut self, mut change: Box<Relinking>) -> Option<Box<Relinking>> {
        let Some(&link) = change.links.last() else {
            // One that an operator is taking down by now stays so.
            for &link in change.again.iter().filter(|link| !self.books.closing.has(link)).collect::<Vec<_>>() {
                self.bring_up(link);
            }
            self.pay(change.owed, Ok((Answer::Affected { count: change.count }, Vec::new())));
            return None;
        };
        let (controller, from, to) = link;
        if change.step == Step::Link {
            self.change_link(controller, from, to, change.change);
            change.step = Step::Connections;
            return Some(change);
        }
        let imports: Vec<u32> =
            self.books.nodes[from as usize].imports.range(change.at..).take(PIECE).copied().collect();
        let next = imports.last().and_then(|row| row.checked_add(1));
        let through = |c: &&Connection| c.segment.is_some() && (c.controller, c.exporter) == (controller, to);
        let rows = imports.iter().copied().filter(|row| self.books.connections.get(row).filter(through).is_some());
        let rows: Vec<u32> = rows.collect();
        match (change.step, change.change) {
            (Step::Generations, _) => {
                rows.iter().for_each(|&row| self.writer().abort_connection(row, EndCause::LinkDown));
            }
            (_, LinkChange::Down) => {
                change.count = change.count.saturating_add(rows.len() as u32);
                self.cut_through(&rows);
            }
            (_, other) => rows.iter().for_each(|&row| self.writer().change_path(row, other)),
        }
        if let Some(next) = next {
            change.at = next;
        } else if change.step == Step::Generations {
            (change.at, change.step) = (0, Step::Link);
        } else {
            if change.change == LinkChange::Down && self.books.closing.end(&link) {
                self.bring_up(link);
            }
            change.links.pop();
            (change.at, change.step) = (0, Step::first(change.change));
        }
        Some(change)
    }

    /// Cuts connections whose link went down.
    fn cut_through(&mut self, rows: &[u32]) {
        let mut told: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for connection in rows.iter().filter_map(|row| self.books.connections.get(row)) {
            connection.segment.into_iter().for_each(|s| told.entry(s).or_default().extend(&connection.holders));
        }
        rows.iter().for_each(|&row| self.writer().change_path(row, LinkChange::Down));
        let holders = self.cut_connections(rows, EndCause::LinkDown);
        self.tell_to_look(&holders);
        for (segment, holders) in told {
            self.note_told(segment, &holders);
        }
    }
}
