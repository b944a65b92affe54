//! Steering: what peers may ask that are no part of a node.

use super::Agent;
use super::chores::{Chore, Owner};
use crate::error::from_errno;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, Ask, NodeSignal, Secret, SegmentName};
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Ids that an error names before it says "and more".
const NAMED: usize = 8;

impl Agent {
    /// Carries out a request that steers.
    /// The answer to some comes later, when connections are cut: `None`.
    pub(super) fn steer(&mut self, party: u64, number: u64, ask: &Ask) -> Result<Option<Answer>> {
        self.check_steers(party)?;
        let count = match *ask {
            Ask::SetLink { controller, from, to, both, change } => {
                self.set_link((party, number), (controller, from, to), both, change)?
            }
            Ask::SignalNode { node, signal } => Some(self.signal_node(node, signal)?),
            Ask::Revoke { node, id } => self.revoke((party, number), node, id)?,
            Ask::NodeKey { node } => return self.node_key(node).map(|key| Some(Answer::Key { key })),
            _ => return Err(Error::new(Code::InternalError)),
        };
        Ok(count.map(|count| Answer::Affected { count }))
    }

    /// Whether a membership may steer: it was let in by its user or group, which still holds, and not by a node's key.
    fn check_steers(&self, party: u64) -> Result<()> {
        let Some(member) = self.members.get(&party) else { return Err(Error::new(Code::InternalError)) };
        if member.node.is_some() {
            return Err(Error::with(Code::PermDenied, "a process of a node may not steer the cluster"));
        }
        self.check_welcome(&member.credentials, "steer")
    }

    /// Whether there is such a node.
    pub(super) fn check_node(&self, node: u32) -> Result<()> {
        if (1..=self.node_count).contains(&node) {
            return Ok(());
        }
        let text = format!("there is no node {node}: nodes are 1 to {}", self.node_count);
        Err(Error::with(Code::RemoteNodeUnreachable, text))
    }

    /// Signals every process of a node that is a member; returns how many.
    ///
    /// By descriptor, which cannot mean another process, and with the rights of the agent's user.
    fn signal_node(&mut self, node: u32, signal: NodeSignal) -> Result<u32> {
        self.check_node(node)?;
        // A process may be a member more than once.
        let processes: BTreeMap<u32, Option<&OwnedFd>> =
            self.members_of_node(node).map(|(_, m)| (m.pid, m.process.as_ref())).collect();
        if processes.is_empty() {
            let text = format!("no process of node {node} has joined the cluster");
            return Err(Error::with(Code::RemoteNodeUnreachable, text));
        }
        let me = std::process::id();
        if processes.contains_key(&me) {
            let text = format!("node {node} lives in process {me}, which is also the cluster's agent");
            return Err(Error::with(Code::PermDenied, text));
        }
        let (signal, name) = match signal {
            NodeSignal::Kill => (Signal::KILL, "kill"),
            NodeSignal::Stop => (Signal::STOP, "stop"),
            NodeSignal::Cont => (Signal::CONT, "continue"),
        };
        let mut count = 0;
        // Only the agent's own may be without a descriptor, and was told off above.
        for (pid, process) in processes.into_iter().filter_map(|(pid, process)| Some((pid, process?))) {
            if signal == Signal::KILL {
                self.kills.add(node, pid);
            }
            match rustix::process::pidfd_send_signal(process, signal) {
                Ok(()) => count += 1,
                Err(Errno::SRCH) => {} // just ended; its end is on its way here
                Err(e) => return Err(from_errno(e, &format!("cannot {name} process {pid} of node {node}"))),
            }
        }
        if signal == Signal::KILL {
            // Whoever loses a connection by it is told so.
            for party in &self.nodes[node as usize].members {
                self.members.get_mut(party).into_iter().for_each(|member| member.killed = true);
            }
        }
        Ok(count)
    }

    /// Takes a segment from its exporter; returns how many imports were cut, `None` when that is answered later.
    ///
    /// The exporter's memory is not moved away from importers that do not let go, which only its own process can do: it
    /// does when it unpublishes or publishes next.
    fn revoke(&mut self, (party, number): (u64, u64), node: u32, id: u32) -> Result<Option<u32>> {
        self.check_node(node)?;
        let Some(&row) = self.published.get(&(node, id)) else {
            return Err(Error::with(Code::SegNotPublished, self.no_such_segment(node, id)));
        };
        let Some(segment) = self.segments.get_mut(&row) else { return Err(Error::new(Code::InternalError)) };
        segment.revoked = true;
        let name = SegmentName { row, incarnation: segment.incarnation };
        let imports = u32::try_from(segment.connections.len()).unwrap_or(u32::MAX);
        self.unlist(row);
        let all_cut = self.cut_some(row, EndCause::Revoked);
        crash_point!(AgentRevoked);
        tracing::debug!(node, id, imports, "segment revoked");
        if all_cut {
            return Ok(Some(imports));
        }
        let owed = self.owe(party, number);
        self.chores.add(
            Owner::Party(party),
            Chore::Cut { segment: name, cause: EndCause::Revoked, owed: Some((owed, imports)) },
        );
        Ok(None)
    }

    fn no_such_segment(&self, node: u32, id: u32) -> String {
        let ids = self.published.range((node, 0)..=(node, u32::MAX)).map(|((_, id), _)| format!("{id:#x}"));
        let mut named: Vec<String> = ids.take(NAMED + 1).collect();
        if named.is_empty() {
            return format!("node {node} publishes no segment {id:#x}, nor any other");
        }
        if named.len() > NAMED {
            named[NAMED] = "and more".to_owned();
        }
        format!("node {node} publishes no segment {id:#x}; it publishes: {}", named.join(", "))
    }

    /// The key of a node.
    fn node_key(&self, node: u32) -> Result<Secret> {
        self.check_node(node)?;
        Ok(self.keys[node as usize])
    }
}
