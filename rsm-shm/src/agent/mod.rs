//! The agent: what the kernel agent was to the original.
//!
//! One thread, one epoll loop, never waiting for a client. It owns the registry, creates segment memory, decides who
//! may connect, watches the processes and cleans up after them. Whatever arrives is an allegation; whatever it
//! promises to a third party it has asked the kernel about.
//!
//! | file | what |
//! |---|---|
//! | [`config`] | what an agent is started with |
//! | [`handle`] | starting and stopping one |
//! | `serve` | the loop: what happened on which descriptor |
//! | `members` | joining, identity, leaving |
//! | `departure` | what is done when a member is gone |
//! | `owes` | what a member has yet to look at |
//! | `nodes` | node processes and bell memory |
//! | `segments` | create, publish, republish |
//! | `connections` | connect, inherit, disconnect |
//! | `rebind` | what importers are told while other contents come into a segment's memory |
//! | `revoke` | taking segments back |
//! | `withdrawals` | which of them go on when |
//! | `chores` | work that takes longer than a turn |
//! | `aside` | a thread for what takes the kernel long |
//! | `links` | links that change from outside |
//! | `steer` | what else may be asked without being a node |
//! | `requests` | from a packet to a function and back to a packet |
//! | `rows` | which rows of a table are free, and which node holds the others |
//! | `shares` | what one node or process may take of what there is for all |
//! | `limits` | descriptors |
//! | `memory` | memory objects of segments |
//! | `books` | whether all of this agrees |
//! | `shm_driver` | segment memory on this interconnect |
//! | `tallies` | what processes do, for observers |
//! | `waits` | what they wait for |
//! | `wakes` | waking threads that sleep, however many |

mod aside;
mod books;
mod chores;
pub mod config;
mod connections;
mod departure;
pub mod handle;
pub mod limits;
mod links;
mod members;
mod memory;
mod nodes;
mod owes;
mod rebind;
mod requests;
mod revoke;
mod rows;
mod segments;
mod serve;
mod shares;
mod shm_driver;
mod steer;
mod tallies;
mod waits;
mod wakes;
mod withdrawals;

pub use config::Config;
pub use handle::AgentHandle;

use crate::address::Address;
use crate::memory::tables::RegistryMap;
use limits::Limits;
use members::{Member, Stranger};
use nodes::NodeState;
use rows::Rows;
use rsm_core::driver::WindowKind;
use rsm_core::message::Secret;
use rsm_core::registry::Writer;
use rustix::event::epoll;
use segments::Segments;
use shares::PerProcess;
use shm_driver::ShmDriver;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

/// Everything the agent knows. Maps are ordered so that what it does is the same in every run.
struct Agent {
    address: Address,
    node_count: u32,
    /// Users and groups that may connect without a key.
    allow: (Vec<u32>, Vec<u32>),
    keys: Vec<Secret>,
    epoll: OwnedFd,
    listener: OwnedFd,
    accepting: bool,
    /// When to listen again, after the system had no room for a connection.
    accept_again: Option<std::time::Instant>,
    limits: Limits,
    /// Connections that have not joined, and memberships, by process.
    strangers_of: PerProcess,
    members_of: PerProcess,
    map: RegistryMap,
    /// A read-only description of the registry, for members.
    registry: OwnedFd,
    driver: ShmDriver,
    /// How importers reach memory, but through loopback.
    window: WindowKind,
    ledger: memory::Ledger,
    strangers: BTreeMap<u64, Stranger>,
    members: BTreeMap<u64, Member>,
    /// Numbers strangers and members; never used twice.
    next_party: u64,
    nodes: Vec<NodeState>,
    segments: Segments,
    segment_rows: Rows,
    /// Numbers segments and connections; never used twice.
    next_serial: u64,
    /// Row of each published segment, by node and id.
    published: BTreeMap<(u32, u32), u32>,
    connections: BTreeMap<u32, connections::Connection>,
    connection_rows: Rows,
    withdrawals: withdrawals::Withdrawals,
    chores: chores::Chores,
    wakes: wakes::Wakes,
    /// There is a chore for those that are left to be woken.
    waking: bool,
    /// Members that are gone and not yet forgotten, by the number of their departure.
    departing: BTreeSet<u64>,
    /// Members whose request is put off until one of those is.
    putting_off: BTreeSet<u64>,
    /// Links that are being taken down: controller, importing node, exporting node.
    closing: BTreeSet<(u32, u32, u32)>,
    /// Segments whose connections, or whose publication, changed in this turn of the loop.
    attended: BTreeSet<u32>,
    /// Members that only look.
    observers: BTreeSet<u64>,
    /// The registry may have changed in this turn of the loop.
    changed: bool,
    /// Observers that watch what processes do.
    watchers: BTreeSet<u64>,
    longest_turn: handle::LongestTurn,
    kills: handle::Kills,
}

impl Agent {
    fn writer(&self) -> Writer<'_> {
        Writer::over(self.map.registry())
    }

    fn take_serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    fn watch(
        &self,
        fd: impl std::os::fd::AsFd,
        token: serve::Token,
        events: epoll::EventFlags,
    ) -> rsm_core::Result<()> {
        epoll::add(&self.epoll, fd, token.data(), events)
            .map_err(|e| crate::error::from_errno(e, "cannot watch a descriptor"))
    }

    /// Takes a descriptor out of the epoll set. Closing alone does not while another process has a copy of it.
    fn unwatch(&self, fd: &OwnedFd) {
        // Fails when it was never in.
        let _ = epoll::delete(&self.epoll, fd);
    }
}
