//! Steering: what peers may ask that are no part of a node.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::member::Member;
use super::books::signalling::{Signalling, Step};
use crate::error::from_errno;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, Ask, NodeSignal, Secret, SegmentName};
use rsm_core::registry::check_node;
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use rustix::process::Signal;
use std::collections::BTreeSet;

/// Signals a member's process; `false` when it has just ended, which is on its way here.
fn send_signal(member: &Member, node: u32, signal: NodeSignal) -> Result<bool> {
    let (signal, name) = match signal {
        NodeSignal::Kill => (Signal::KILL, "kill"),
        NodeSignal::Stop => (Signal::STOP, "stop"),
        NodeSignal::Cont => (Signal::CONT, "continue"),
    };
    // Only the agent's own may be without a descriptor.
    let Some(process) = &member.process else { return Ok(false) };
    match rustix::process::pidfd_send_signal(process, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(Errno::INVAL) => {
            let text = format!("cannot {name} a process of node {node}: it is in another PID namespace than the agent");
            Err(Error::with(Code::PermDenied, text))
        }
        Err(e) => Err(from_errno(e, &format!("cannot {name} process {} of node {node}", member.pid))),
    }
}

/// What tells the process of a member from others: a process may be a member more than once, and one of another PID
/// namespace has no number here.
fn of_process(party: u64, member: &Member) -> (u32, u64) {
    (member.pid, if member.pid == 0 { party } else { 0 })
}

impl Agent {
    /// Carries out a request that steers.
    /// The answer to some comes later, when connections are cut: `None`.
    pub(super) fn steer(&mut self, party: u64, number: u64, ask: &Ask) -> Result<Option<Answer>> {
        self.check_steers(party)?;
        let count = match *ask {
            Ask::SetLink { controller, from, to, both, change } => {
                self.set_link((party, number), (controller, from, to), both, change)?
            }
            Ask::SignalNode { node, signal } => {
                self.signal_node((party, number), node, signal)?;
                None
            }
            Ask::Revoke { node, id } => self.revoke((party, number), node, id)?,
            Ask::NodeKey { node } => return self.node_key(node).map(|key| Some(Answer::Key { key })),
            _ => return Err(Error::new(Code::InternalError)),
        };
        Ok(count.map(|count| Answer::Affected { count }))
    }

    /// Whether a membership may steer: it was let in by its user or group, which still holds, and not by a node's key.
    fn check_steers(&self, party: u64) -> Result<()> {
        let Some(member) = self.books.members.get(&party) else { return Err(Error::new(Code::InternalError)) };
        if member.node.is_some() {
            return Err(Error::with(Code::PermDenied, "a process of a node may not steer the cluster"));
        }
        self.check_welcome(&member.credentials, "steer")
    }

    /// Whether there is such a node.
    pub(super) fn check_node(&self, node: u32) -> Result<()> {
        check_node(node, self.node_count)
    }

    /// Signals every process of a node that is a member.
    ///
    /// By descriptor, which cannot mean another process, and with the rights of the agent's user.
    fn signal_node(&mut self, (party, number): (u64, u64), node: u32, signal: NodeSignal) -> Result<()> {
        self.check_node(node)?;
        self.check_here(node, Code::RemoteNodeUnreachable, "ask its agent")?;
        let Some(&last) = self.books.nodes[node as usize].members.last() else {
            let text = format!("no process of node {node} has joined the cluster");
            return Err(Error::with(Code::RemoteNodeUnreachable, text));
        };
        let owed = self.owe(party, number);
        let (step, after, processes) = (Step::Look, 0, BTreeSet::new());
        let signalling = Signalling { node, signal, owed, step, after, last, processes, count: 0 };
        self.books.chores.add(Owner::Party(party), Chore::Signal(Box::new(signalling)));
        Ok(())
    }

    /// Signals some of the processes, or prepares it; gives what is left.
    pub(super) fn signal_some(&mut self, mut signalling: Box<Signalling>) -> Option<Box<Signalling>> {
        let outcome = match self.signal_next(&mut signalling) {
            Ok(false) => return Some(signalling),
            Ok(true) => Ok((Answer::Affected { count: signalling.count }, Vec::new())),
            Err(error) => Err(error),
        };
        self.pay(signalling.owed, outcome);
        None
    }

    /// The next members; `true` when all is done.
    fn signal_next(&mut self, signalling: &mut Signalling) -> Result<bool> {
        let Signalling { node, signal, step, after, last, .. } = *signalling;
        let most = if step == Step::Send { PIECE / 4 } else { PIECE };
        // Who has joined meanwhile is not meant.
        let range = after.saturating_add(1)..=last;
        let members = &self.books.nodes[node as usize].members;
        // All may have gone.
        let parties: Vec<u64> =
            if range.is_empty() { Vec::new() } else { members.range(range).take(most).copied().collect() };
        let Some(&reached) = parties.last() else {
            (signalling.step, signalling.after) = (step.next(signal), 0);
            return Ok(step == Step::Send);
        };
        signalling.after = reached;
        // Answered in the pass of the last signal: the cluster may end with the process.
        let is_last = step == Step::Send && (reached == last || parties.len() < most);
        for party in parties {
            let Some(member) = self.books.members.get_mut(&party) else { continue };
            match step {
                Step::Look if member.pid == std::process::id() => {
                    let text =
                        format!("node {node} lives in process {}, which is also the cluster's agent", member.pid);
                    return Err(Error::with(Code::PermDenied, text));
                }
                Step::Look => {}
                // Whoever loses a connection by it is told so, also by the end of a member whose process was signalled
                // as another.
                Step::Mark => member.killed = true,
                Step::Send if signalling.processes.insert(of_process(party, member)) => {
                    if signal == NodeSignal::Kill {
                        self.kills.add(node, member.pid);
                    }
                    match send_signal(member, node, signal) {
                        Ok(sent) => signalling.count += u32::from(sent),
                        Err(error) => {
                            self.spare(party, signalling);
                            return Err(error);
                        }
                    }
                }
                Step::Send => {}
            }
        }
        Ok(is_last)
    }

    /// The process of this member cannot be signalled, and no later one will be: however they end, nobody killed them.
    fn spare(&mut self, party: u64, signalling: &mut Signalling) {
        if signalling.signal != NodeSignal::Kill {
            return;
        }
        let Some(member) = self.books.members.get(&party) else { return };
        self.kills.take_back(signalling.node, member.pid);
        signalling.processes.remove(&of_process(party, member));
        for later in self.books.nodes[signalling.node as usize].members.range(party..=signalling.last) {
            if let Some(member) = self.books.members.get_mut(later) {
                member.killed &= signalling.processes.contains(&of_process(*later, member));
            }
        }
    }

    /// Takes a segment from its exporter; returns how many imports were cut, `None` when that is answered later.
    ///
    /// The exporter's memory is not moved away from importers that do not let go, which only its own process can do: it
    /// does when it unpublishes or publishes next.
    pub(super) fn revoke(&mut self, (party, number): (u64, u64), node: u32, id: u32) -> Result<Option<u32>> {
        self.check_node(node)?;
        self.check_here(node, Code::RemoteNodeUnreachable, "ask its agent")?;
        let Some(&row) = self.books.published.get(&(node, id)) else {
            return Err(Error::with(Code::SegNotPublished, self.books.no_such_segment(node, id)));
        };
        let Some(segment) = self.books.segments.get_mut(&row) else { return Err(Error::new(Code::InternalError)) };
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
        self.books.chores.add(
            Owner::Party(party),
            Chore::Cut { segment: name, cause: EndCause::Revoked, owed: Some((owed, imports)) },
        );
        Ok(None)
    }

    /// The key of a node.
    fn node_key(&self, node: u32) -> Result<Secret> {
        self.check_node(node)?;
        self.check_here(node, Code::CtlrNotPresent, "start its processes there")?;
        Ok(self.keys[node as usize])
    }
}
