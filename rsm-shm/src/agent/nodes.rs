//! Node processes and bell memory.

use super::Agent;
use super::chores::{Chore, Owner, PIECE};
use super::rows::Rows;
use super::shares::SHARE;
use crate::memory::memfd::{self, Sealing};
use crate::memory::tables::Bells;
use rsm_core::bell::Bell;
use rsm_core::segment_id::AutomaticIds;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// What the agent knows of a node.
pub(super) struct NodeState {
    bells: Option<NodeBells>,
    /// Held by the node that waits there: the exporter at an export's, the importer at a connection's.
    pub(super) bell_rows: Rows,
    pub(super) members: BTreeSet<u64>,
    /// Members that are gone and not yet forgotten.
    pub(super) departing: BTreeSet<u64>,
    /// Rows of the connections that its processes hold.
    pub(super) imports: BTreeSet<u32>,
    pub(super) automatic_ids: AutomaticIds,
    /// Its bells are being nudged; `true`: and once more from the beginning.
    nudging: Option<bool>,
}

/// The bell memory of a node, created when its first process joins. It stays for the life of the cluster: importers
/// map it, and a node that comes back goes on with it.
pub(super) struct NodeBells {
    object: OwnedFd,
    map: Bells,
}

impl NodeBells {
    fn create(bells: u32) -> Result<NodeBells> {
        let object = memfd::create("rsm-bells", u64::from(bells) * size_of::<Bell>() as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        let map = Bells::open(&object)?;
        map.region().dont_fork()?;
        Ok(NodeBells { object, map })
    }

    pub(super) fn object(&self) -> &OwnedFd {
        &self.object
    }
}

impl NodeState {
    pub(super) fn new(bells: u32, nodes: u32) -> NodeState {
        NodeState {
            bells: None,
            bell_rows: Rows::new("signal counters", bells, SHARE, nodes),
            members: BTreeSet::new(),
            departing: BTreeSet::new(),
            imports: BTreeSet::new(),
            automatic_ids: AutomaticIds::default(),
            nudging: None,
        }
    }
}

impl Agent {
    /// The bells of a node, created if need be.
    pub(super) fn bells_of(&mut self, node: u32) -> Result<&NodeBells> {
        let bells = self.map.registry().header.geometry().bells;
        let state = &mut self.nodes[node as usize];
        if state.bells.is_none() {
            state.bells = Some(NodeBells::create(bells)?);
        }
        state.bells.as_ref().ok_or(Error::new(Code::InternalError))
    }

    /// A bell of a node; `None` if there is none, which nobody can then sleep on either.
    pub(super) fn bell(&self, node: u32, number: u32) -> Option<&Bell> {
        self.nodes.get(node as usize)?.bells.as_ref()?.map.bell(number).ok()
    }

    /// Takes a free bell of a node, for processes of `waiting` to wait on; returns its number and its epoch from now on.
    pub(super) fn take_bell(&mut self, node: u32, waiting: u32) -> Result<(u32, u32)> {
        self.bells_of(node)?;
        let number = self.nodes[node as usize].bell_rows.take(waiting).map_err(|error| {
            Error::with(error.code(), format!("signal counters of node {node}: {}", error.detail()))
        })?;
        let epoch = self.bell(node, number).map(Bell::renew).ok_or(Error::new(Code::InternalError))?;
        Ok((number, epoch))
    }

    /// Gives a bell back. Its epoch moves at once, so that late posts fail.
    pub(super) fn give_bell(&mut self, node: u32, number: u32) {
        if let Some(bell) = self.bell(node, number) {
            bell.step_epoch();
            bell.abort(&self.wakes);
        }
        self.nodes[node as usize].bell_rows.give(number);
    }

    /// Whether no process belongs to a node.
    pub(super) fn is_absent(&self, node: u32) -> bool {
        self.nodes[node as usize].members.is_empty()
    }

    /// Nodes that no process belongs to.
    pub(super) fn absent_nodes(&self) -> u64 {
        self.nodes.iter().skip(1).filter(|node| node.members.is_empty()).count() as u64
    }

    /// Changes the members of a node, and what the registry says of it.
    pub(super) fn node_changed(&mut self, node: u32, change: impl FnOnce(&mut NodeState) -> bool) {
        let state = &mut self.nodes[node as usize];
        change(state);
        let processes = u32::try_from(state.members.len() + state.departing.len()).unwrap_or(u32::MAX);
        let first = state.members.first().and_then(|party| self.members.get(party));
        let first = first.map_or((0, 0), |m| (m.pid, m.credentials.uid));
        if self.writer().set_processes(node, processes, first) {
            self.something_reachable(node);
        }
    }

    /// Wakes those who wait for something of a node to become reachable.
    pub(super) fn something_reachable(&self, node: u32) {
        self.wakes.all(self.writer().step_published(node));
    }

    /// After a process of a node died: it may have slept on, or owed a wake to, bells it shared with the others.
    pub(super) fn nudge_siblings(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        if state.members.is_empty() {
            return;
        }
        if state.nudging.replace(state.nudging.is_some()).is_none() {
            self.chores.add(Owner::Node(node), Chore::Nudge { node, bell: 0, import: 0 });
        }
    }

    /// Nudges some of the bells that a node's processes wait on or post to, from these numbers on: its own, then those
    /// of the connections it holds. Gives where to go on.
    pub(super) fn nudge_some(&mut self, node: u32, bell: u32, import: u32) -> Option<(u32, u32)> {
        let state = &self.nodes[node as usize];
        let end = state.bell_rows.fresh().min(bell.saturating_add(PIECE as u32));
        if bell < end {
            // One that is not in use has no sleepers.
            (bell..end).filter_map(|number| self.bell(node, number)).for_each(|bell| bell.nudge(&self.wakes));
            return Some((end, import));
        }
        let mut last = None;
        for &row in state.imports.range(import..).take(PIECE) {
            last = Some(row);
            if let Some(connection) = self.connections.get(&row)
                && let Some(bell) = self.bell(connection.exporter, connection.bell)
            {
                bell.nudge(&self.wakes);
            }
        }
        if let Some(next) = last.and_then(|row| row.checked_add(1)) {
            return Some((bell, next));
        }
        let state = &mut self.nodes[node as usize];
        let again = state.nudging.take()?;
        state.nudging = again.then_some(false);
        again.then_some((0, 0))
    }
}
