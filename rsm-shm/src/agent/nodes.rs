//! Node processes and bell memory.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::node::{NodeBells, NodeState};
use rsm_core::bell::Bell;
use rsm_core::{Code, Error, Result};

impl Agent {
    /// The bells of a node, created if need be.
    pub(super) fn bells_of(&mut self, node: u32) -> Result<&NodeBells> {
        let bells = self.map.registry().header.geometry().bells;
        let state = &mut self.books.nodes[node as usize];
        if state.bells.is_none() {
            state.bells = Some(NodeBells::create(bells)?);
        }
        state.bells.as_ref().ok_or(Error::new(Code::InternalError))
    }

    /// Takes a free bell of a node, for processes of `waiting` to wait on; returns its number and its epoch from now on.
    pub(super) fn take_bell(&mut self, node: u32, waiting: u32) -> Result<(u32, u32)> {
        self.bells_of(node)?;
        let number = self.books.nodes[node as usize].bell_rows.take(waiting).map_err(|error| {
            Error::with(error.code(), format!("signal counters of node {node}: {}", error.detail()))
        })?;
        let epoch = self.books.bell(node, number).map(Bell::renew).ok_or(Error::new(Code::InternalError))?;
        Ok((number, epoch))
    }

    /// Gives a bell back. Its epoch moves at once, so that late posts fail.
    pub(super) fn give_bell(&mut self, node: u32, number: u32) {
        if let Some(bell) = self.books.bell(node, number) {
            bell.step_epoch();
            bell.abort(&self.wakes);
        }
        self.forget_relay(node, number);
        self.books.nodes[node as usize].bell_rows.give(number);
    }

    /// Changes the members of a node, and what the registry says of it.
    pub(super) fn node_changed(&mut self, node: u32, change: impl FnOnce(&mut NodeState) -> bool) {
        let state = &mut self.books.nodes[node as usize];
        change(state);
        let processes = u32::try_from(state.members.len() + state.departing.len()).unwrap_or(u32::MAX);
        let first = state.members.first().and_then(|party| self.books.members.get(party));
        let first = first.map_or((0, 0), |m| (m.pid, m.credentials.uid));
        if self.writer().set_processes(node, processes, first) {
            self.something_reachable(node);
        }
        self.tell_of_node(node);
    }

    /// Wakes those who wait for something of a node to become reachable.
    pub(super) fn something_reachable(&self, node: u32) {
        self.wakes.all(self.writer().step_published(node));
    }

    /// After a process of a node died: it may have slept on, or owed a wake to, bells it shared with the others.
    pub(super) fn nudge_siblings(&mut self, node: u32) {
        let state = &mut self.books.nodes[node as usize];
        if state.members.is_empty() {
            return;
        }
        if state.nudging.replace(state.nudging.is_some()).is_none() {
            self.books.chores.add(Owner::Node(node), Chore::Nudge { node, bell: 0, import: 0 });
        }
    }

    /// Nudges some of the bells that a node's processes wait on or post to, from these numbers on: its own, then those
    /// of the connections it holds. Gives where to go on.
    pub(super) fn nudge_some(&mut self, node: u32, bell: u32, import: u32) -> Option<(u32, u32)> {
        let state = &self.books.nodes[node as usize];
        let end = state.bell_rows.fresh().min(bell.saturating_add(PIECE as u32));
        if bell < end {
            // One that is not in use has no sleepers.
            (bell..end).filter_map(|number| self.books.bell(node, number)).for_each(|bell| bell.nudge(&self.wakes));
            return Some((end, import));
        }
        let mut last = None;
        for &row in state.imports.range(import..).take(PIECE) {
            last = Some(row);
            if let Some(connection) = self.books.connections.get(&row)
                && let Some(bell) = self.books.bell(connection.exporter, connection.bell)
            {
                bell.nudge(&self.wakes);
            }
        }
        if let Some(next) = last.and_then(|row| row.checked_add(1)) {
            return Some((bell, next));
        }
        let state = &mut self.books.nodes[node as usize];
        let again = state.nudging.take()?;
        state.nudging = again.then_some(false);
        again.then_some((0, 0))
    }
}
