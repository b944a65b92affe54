//! Steering: what peers may ask that are no part of a node.

use super::Agent;
use crate::error::from_errno;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, Ask, NodeSignal, Secret};
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Ids that an error names before it says "and more".
const NAMED: usize = 8;

impl Agent {
    /// Carries out a request that steers.
    pub(super) fn steer(&mut self, party: u64, ask: &Ask) -> Result<Answer> {
        self.check_steers(party)?;
        let count = match *ask {
            Ask::SetLink { controller, from, to, both, change } => self.set_link(controller, from, to, both, change)?,
            Ask::SignalNode { node, signal } => self.signal_node(node, signal)?,
            Ask::Revoke { node, id } => self.revoke(node, id)?,
            Ask::NodeKey { node } => return self.node_key(node).map(|key| Answer::Key { key }),
            _ => return Err(Error::new(Code::InternalError)),
        };
        Ok(Answer::Affected { count })
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
        let processes: BTreeMap<u32, &OwnedFd> =
            self.members.values().filter(|m| m.node == Some(node)).map(|m| (m.pid, &m.process)).collect();
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
        for (pid, process) in processes {
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
            self.members.values_mut().filter(|m| m.node == Some(node)).for_each(|m| m.killed = true);
        }
        Ok(count)
    }

    /// Takes a segment from its exporter; returns how many imports were cut.
    ///
    /// The exporter's memory is not moved away from importers that do not let go, which only its own process can do: it
    /// does when it unpublishes or publishes next.
    fn revoke(&mut self, node: u32, id: u32) -> Result<u32> {
        self.check_node(node)?;
        let Some(&row) = self.published.get(&(node, id)) else {
            return Err(Error::with(Code::SegNotPublished, self.no_such_segment(node, id)));
        };
        let imports = self.writer().connections_of(row).len();
        let holders = self.cut(row, EndCause::Revoked);
        self.note_told(row, &holders);
        if let Some(segment) = self.segments.get_mut(&row) {
            segment.revoked = true;
        }
        crash_point!(AgentRevoked);
        tracing::debug!(node, id, imports, "segment revoked");
        Ok(u32::try_from(imports).unwrap_or(u32::MAX))
    }

    fn no_such_segment(&self, node: u32, id: u32) -> String {
        let ids: Vec<u32> = self.published.range((node, 0)..=(node, u32::MAX)).map(|((_, id), _)| *id).collect();
        if ids.is_empty() {
            return format!("node {node} publishes no segment {id:#x}, nor any other");
        }
        let mut named: Vec<String> = ids.iter().take(NAMED).map(|id| format!("{id:#x}")).collect();
        if ids.len() > NAMED {
            named.push(format!("and {} more", ids.len() - NAMED));
        }
        format!("node {node} publishes no segment {id:#x}; it publishes: {}", named.join(", "))
    }

    /// The key of a node.
    fn node_key(&self, node: u32) -> Result<Secret> {
        self.check_node(node)?;
        Ok(self.keys[node as usize])
    }
}
