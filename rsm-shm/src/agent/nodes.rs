//! Node processes and bell memory.

use super::Agent;
use super::rows::Rows;
use crate::memory::memfd::{self, Sealing};
use crate::memory::tables::Bells;
use crate::parking::Poster;
use rsm_core::bell::Bell;
use rsm_core::segment_id::AutomaticIds;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// What the agent knows of a node.
pub(super) struct NodeState {
    bells: Option<NodeBells>,
    bell_rows: Rows,
    members: BTreeSet<u64>,
    pub(super) automatic_ids: AutomaticIds,
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
    pub(super) fn new(bells: u32) -> NodeState {
        NodeState {
            bells: None,
            bell_rows: Rows::new(bells),
            members: BTreeSet::new(),
            automatic_ids: AutomaticIds::default(),
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
            self.limits.take(1);
        }
        state.bells.as_ref().ok_or(Error::new(Code::InternalError))
    }

    /// A bell of a node; `None` if there is none, which nobody can then sleep on either.
    pub(super) fn bell(&self, node: u32, number: u32) -> Option<&Bell> {
        self.nodes.get(node as usize)?.bells.as_ref()?.map.bell(number).ok()
    }

    /// Takes a free bell of a node; returns its number and its epoch from now on.
    pub(super) fn take_bell(&mut self, node: u32) -> Result<(u32, u32)> {
        self.bells_of(node)?;
        let number = self.nodes[node as usize].bell_rows.take().ok_or_else(|| {
            Error::with(Code::InsufficientResources, format!("node {node} has no free signal counters left"))
        })?;
        let epoch = self.bell(node, number).map(Bell::renew).ok_or(Error::new(Code::InternalError))?;
        Ok((number, epoch))
    }

    /// Gives a bell back. Its epoch moves at once, so that late posts fail.
    pub(super) fn give_bell(&mut self, node: u32, number: u32) {
        if let Some(bell) = self.bell(node, number) {
            bell.step_epoch();
            bell.abort(&Poster);
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
    pub(super) fn node_changed(&mut self, node: u32, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let state = &mut self.nodes[node as usize];
        change(&mut state.members);
        let processes = u32::try_from(state.members.len()).unwrap_or(u32::MAX);
        let first = state.members.first().and_then(|party| self.members.get(party));
        let first = first.map_or((0, 0), |m| (m.pid, m.credentials.uid));
        if self.writer().set_processes(node, processes, first) {
            self.something_reachable(node);
        }
    }

    /// Wakes those who wait for something of a node to become reachable.
    pub(super) fn something_reachable(&self, node: u32) {
        crate::futex::wake(self.writer().step_published(node), i32::MAX);
    }

    /// After a process of a node died: it may have slept on, or owed a wake to, bells it shared with the others.
    pub(super) fn nudge_siblings(&self, node: u32) {
        if self.nodes[node as usize].members.is_empty() {
            return;
        }
        for segment in self.segments.values().filter(|s| s.node == node) {
            if let Some(bell) = self.bell(node, segment.bell) {
                bell.nudge(&Poster);
            }
        }
        for connection in self.connections.values().filter(|c| c.exporter == node || c.importer == node) {
            if let Some(bell) = self.bell(connection.exporter, connection.bell) {
                bell.nudge(&Poster);
            }
        }
    }
}
