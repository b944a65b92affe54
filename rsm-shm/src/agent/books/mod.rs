//! What the agent knows: records, the tables they are in, and what each node and process may take of those.
//!
//! Nothing here acts: the deeds ([`Agent`](super)) look things up, change them, and tell the registry. What must hold
//! between the tables is in `check`, which debug builds ask after each pass of the loop.
//!
//! | file | what |
//! |---|---|
//! | `member` | strangers and members |
//! | `owes` | what a member has yet to look at |
//! | `departing` | a member that is gone, while it is being forgotten |
//! | `request` | a request while it is answered |
//! | `node` | nodes and their bell memory |
//! | `segment` | exports |
//! | `memory` | memory objects of segments |
//! | `aside` | a thread that closes the large ones |
//! | `connection` | connections |
//! | `withdrawals` | segments that are being taken back, and which of them go on when |
//! | `relay` | bells whose waiters are on the other host |
//! | `relinking` | links while they are being changed |
//! | `chores` | work that takes longer than a pass |
//! | `rows` | which rows of a table are free, and which node holds the others |
//! | `signalling` | the processes of a node, while they are signalled |
//! | `shares` | what one node or process may take of what there is for all |
//! | `limits` | descriptors |
//! | `token` | what a descriptor of the agent stands for |
//! | `told` | what the agent tells whoever started it |
//! | `tracing` | who traces, and where processes note their calls |
//! | `check` | whether all of this agrees |

mod aside;
#[cfg(any(debug_assertions, test))]
mod check;
pub(in crate::agent) mod chores;
pub(in crate::agent) mod connection;
pub(in crate::agent) mod departing;
pub(in crate::agent) mod held;
pub(in crate::agent) mod limits;
pub(in crate::agent) mod member;
pub(in crate::agent) mod memory;
pub(in crate::agent) mod node;
pub(in crate::agent) mod owes;
pub(in crate::agent) mod relay;
pub(in crate::agent) mod relinking;
pub(in crate::agent) mod request;
mod rows;
pub(in crate::agent) mod segment;
mod shares;
pub(in crate::agent) mod signalling;
pub(in crate::agent) mod token;
pub(in crate::agent) mod told;
pub(in crate::agent) mod tracing;
mod withdrawals;

use chores::Chores;
use connection::Connection;
use limits::{Held, Limits, PER_MEMBER};
use member::{Member, Stranger};
use memory::Ledger;
use node::NodeState;
use relay::Relay;
use relinking::Closing;
use rows::Rows;
use rsm_core::bell::Bell;
use rsm_core::message::{MAX_PROCESSES, Process, SegmentName};
use rsm_core::registry::{CLUSTER, Geometry};
use rsm_core::{Code, Error, Result};
use segment::{Segment, Segments};
use shares::{PerProcess, SHARE};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use tracing::Tracing;
use withdrawals::Withdrawals;

/// Ids that an error names before it says "and more".
const NAMED: usize = 8;

/// Everything the agent knows of others. Maps are ordered so that what it does is the same in every run.
pub(in crate::agent) struct Books {
    pub(in crate::agent) limits: Limits,
    /// Sockets by which nobody has joined, and memberships, by process.
    pub(in crate::agent) strangers_of: PerProcess,
    pub(in crate::agent) members_of: PerProcess,
    pub(in crate::agent) ledger: Ledger,
    pub(in crate::agent) strangers: BTreeMap<u64, Stranger>,
    pub(in crate::agent) members: BTreeMap<u64, Member>,
    /// Numbers strangers and members; never used twice.
    next_party: u64,
    pub(in crate::agent) nodes: Vec<NodeState>,
    pub(in crate::agent) segments: Segments,
    pub(in crate::agent) segment_rows: Rows,
    /// Numbers segments, connections and departures; never used twice.
    next_serial: u64,
    /// Row of each published segment, by node and id.
    pub(in crate::agent) published: BTreeMap<(u32, u32), u32>,
    pub(in crate::agent) connections: BTreeMap<u32, Connection>,
    pub(in crate::agent) connection_rows: Rows,
    pub(in crate::agent) withdrawals: Withdrawals,
    pub(in crate::agent) chores: Chores,
    /// Members that are gone and not yet forgotten, by the number of their departure.
    pub(in crate::agent) departing: BTreeSet<u64>,
    /// Members whose request is put off until one of those is.
    pub(in crate::agent) putting_off: BTreeSet<u64>,
    pub(in crate::agent) closing: Closing,
    /// Bells whose waiters are on the other host, by node and number.
    pub(in crate::agent) relayed: BTreeMap<(u32, u32), Relay>,
    /// Rows of connections between the hosts, by whether this one imports, and their number there.
    pub(in crate::agent) crossing: BTreeMap<(bool, u64), u32>,
    /// Members that only look.
    pub(in crate::agent) observers: BTreeSet<u64>,
    /// Observers that watch what processes do.
    pub(in crate::agent) watchers: BTreeSet<u64>,
    /// The observer that traces, and what it is to be told.
    pub(in crate::agent) tracing: Tracing,
}

impl Books {
    /// The books of a cluster of so many nodes, with nobody in it.
    pub(in crate::agent) fn new(limits: Limits, geometry: Geometry, nodes: u32) -> Books {
        // No more than there are descriptors for, even if no memory is shared.
        let share = shares::of_each(limits.max_segments().min(geometry.segments.into()), nodes);
        Books {
            limits,
            strangers_of: PerProcess::default(),
            members_of: PerProcess::default(),
            ledger: Ledger::default(),
            strangers: BTreeMap::new(),
            members: BTreeMap::new(),
            next_party: 0,
            nodes: (0..=nodes).map(|_| NodeState::new(geometry.bells, nodes)).collect(),
            segments: Segments::default(),
            segment_rows: Rows::new("segments", geometry.segments, share, nodes),
            next_serial: 0,
            published: BTreeMap::new(),
            connections: BTreeMap::new(),
            connection_rows: Rows::new("connections", geometry.connections, SHARE, nodes),
            withdrawals: Withdrawals::default(),
            chores: Chores::default(),
            departing: BTreeSet::new(),
            putting_off: BTreeSet::new(),
            closing: Closing::default(),
            relayed: BTreeMap::new(),
            crossing: BTreeMap::new(),
            observers: BTreeSet::new(),
            watchers: BTreeSet::new(),
            tracing: Tracing::default(),
        }
    }

    pub(in crate::agent) fn take_party(&mut self) -> u64 {
        self.next_party += 1;
        self.next_party
    }

    /// The node a member is a process of.
    pub(in crate::agent) fn node_of(&self, party: u64) -> Result<u32> {
        let node = self.members.get(&party).and_then(|m| m.node);
        node.ok_or_else(|| Error::with(Code::PermDenied, "an observer is no node of the cluster"))
    }

    /// The segment of that name.
    pub(in crate::agent) fn segment(&mut self, name: SegmentName) -> Result<&mut Segment> {
        let segment = self.segments.get_mut(&name.row).filter(|s| s.incarnation == name.incarnation);
        segment.ok_or_else(segment::gone)
    }

    /// The segment of that name, if `party` created it.
    pub(in crate::agent) fn own_segment(&mut self, party: u64, name: SegmentName) -> Result<&mut Segment> {
        let segment = self.segment(name)?;
        segment.check_creator(party)?;
        Ok(segment)
    }

    /// Whether who exports a segment is gone; what is left of it is then only being cleaned up.
    pub(in crate::agent) fn is_orphan(&self, row: u32) -> bool {
        self.segments
            .get(&row)
            .is_some_and(|s| s.far.is_none() && s.node != CLUSTER && !self.members.contains_key(&s.member))
    }

    /// A bell of a node; `None` if there is none, which nobody can then sleep on either.
    pub(in crate::agent) fn bell(&self, node: u32, number: u32) -> Option<&Bell> {
        self.nodes.get(node as usize)?.bells.as_ref()?.map.bell(number).ok()
    }

    /// Whether no process belongs to a node.
    pub(in crate::agent) fn is_absent(&self, node: u32) -> bool {
        self.nodes[node as usize].members.is_empty()
    }

    /// Nodes that no process belongs to.
    pub(in crate::agent) fn absent_nodes(&self) -> u64 {
        self.nodes.iter().skip(1).filter(|node| node.members.is_empty()).count() as u64
    }

    pub(in crate::agent) fn is_withdrawing(&self, row: u32) -> bool {
        self.withdrawals.get(row).is_some()
    }

    /// The number of the withdrawal under way of a publication that its exporter never learned of.
    pub(in crate::agent) fn abandoned(&self, row: u32) -> Option<u32> {
        self.withdrawals.get(row).filter(|w| w.abandoned).map(|w| w.number)
    }

    /// The next processes of nodes after a membership, at most as many as an answer holds.
    pub(in crate::agent) fn processes(&self, after: u64) -> Vec<Process> {
        let of_node = |(&membership, member): (&u64, &Member)| {
            let (pid, uid) = (member.pid, member.credentials.uid);
            member.node.map(|node| Process { membership, node, pid, uid })
        };
        let later = self.members.range((Excluded(after), Unbounded));
        later.filter_map(of_node).take(MAX_PROCESSES).collect()
    }

    pub(in crate::agent) fn no_such_segment(&self, node: u32, id: u32) -> String {
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

    pub(in crate::agent) fn take_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// What holds descriptors now.
    pub(in crate::agent) fn held(&self) -> Held {
        Held {
            members: self.members.len() as u64,
            memories: self.ledger.count() + self.tracing.held(),
            strangers: self.strangers.len() as u64,
        }
    }

    /// Descriptors that must be left: for a process of each node that has none, and for the segments that each node can
    /// count on.
    pub(in crate::agent) fn kept(&self) -> u64 {
        self.absent_nodes() * PER_MEMBER + self.segment_rows.kept()
    }
}
