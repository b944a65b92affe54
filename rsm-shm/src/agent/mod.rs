//! The agent: what the kernel agent was to the original.
//!
//! One thread, one epoll loop, never waiting for a client. It owns the registry, creates segment memory, decides who
//! may connect, watches the processes and cleans up after them. Whatever arrives is an allegation; whatever it
//! promises to a third party it has asked the kernel about.
//!
//! Two rooms: the `books` hold what it knows and cannot act; the files here are the deeds, which all belong to
//! `Agent`.
//!
//! | file | what |
//! |---|---|
//! | [`config`] | what an agent is started with |
//! | [`handle`] | starting and stopping one |
//! | `books` | records, their tables, and what must hold between those |
//! | `serve` | the loop: what happened on which descriptor |
//! | `requests` | from a packet to a deed and back to a packet |
//! | `join` | joining, identity, losing a socket |
//! | `naming` | which process a descriptor is of, where the kernel names no peer |
//! | `depart` | what is done when a member is gone |
//! | `nodes` | node processes and bells |
//! | `publish` | create, publish, republish; moving a segment's memory |
//! | `common` | segments of the cluster, which no node owns |
//! | `connect` | connect, inherit, disconnect |
//! | `rebind` | what importers are told while other contents come into a segment's memory |
//! | `withdraw` | taking segments back |
//! | `chores` | doing work that takes longer than a pass |
//! | `links` | links that change from outside |
//! | `disturb` | faults that processes ask for, where the cluster has them |
//! | `steer` | what else may be asked without being a node |
//! | `tallies` | what processes do, for observers |
//! | `rings` | where they note their calls, for one that traces |
//! | `waits` | what they wait for |
//! | `wakes` | waking threads that sleep, however many |
//! | `shm_driver` | segment memory of this host |
//! | [`far`] | how agents of two hosts talk, and how memory reaches across |
//! | `across` | what the tables say of another host, and what that is told of this one |

mod across;
mod books;
mod chores;
mod common;
pub mod config;
mod connect;
mod depart;
mod disturb;
pub mod far;
pub mod handle;
mod join;
mod links;
mod naming;
mod nodes;
mod publish;
mod rebind;
mod requests;
mod rings;
mod serve;
mod shm_driver;
mod steer;
mod tallies;
mod waits;
mod wakes;
mod withdraw;

/// Accesses that nothing orders, as who started a cluster is told of them.
pub mod races {
    pub use rsm_race::cell::Kind;
    pub use rsm_race::clock::Who;
    pub use rsm_race::report::{Access, Frames, Looked, Race, Why};
    pub use rsm_race::site::Module;
    pub use rsm_race::table::Lack;
}

pub use books::held::HeldSegment;
pub use books::told::Noted;
pub use config::Config;
pub use handle::AgentHandle;

use crate::address::Address;
use crate::memory::tables::Parts;
use crate::memory::tables::RegistryMap;
use books::Books;
use books::held::Held;
use books::token::Token;
use naming::Naming;
use rsm_core::Result;
use rsm_core::driver::WindowKind;
use rsm_core::lens::{Faults, Gate};
use rsm_core::message::Secret;
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::Writer;
use rustix::event::epoll;
use shm_driver::ShmDriver;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;

/// What the agent acts with, and what it knows.
struct Agent {
    address: Address,
    node_count: u32,
    /// Users and groups that may connect without a key.
    allow: (Vec<u32>, Vec<u32>),
    keys: Vec<Secret>,
    /// Where the kernel names no peer: what tells who joins, or why nothing does.
    naming: Option<Result<Naming>>,
    epoll: OwnedFd,
    listener: OwnedFd,
    accepting: bool,
    /// When to listen again, after the system had no room for a connection.
    accept_again: Option<std::time::Instant>,
    books: Books,
    map: RegistryMap,
    /// A read-only description of the registry, for members.
    registry: OwnedFd,
    driver: ShmDriver,
    /// How importers reach memory through every controller but loopback.
    window: WindowKind,
    /// What goes wrong now and then.
    faults: Faults,
    /// Nodes of this host.
    here: Nodes,
    /// Controller of the bridge to the other host, where there is one.
    bridge: Option<u32>,
    /// The other host.
    across: Option<across::Across>,
    /// Whose calls are counted.
    gate: Option<Gate>,
    /// What the record of a process has.
    parts: Parts,
    /// Where processes look for races.
    races: Option<(std::sync::Arc<crate::memory::races::RaceMap>, OwnedFd)>,
    /// Where the lens notes bytes.
    held: Option<Held>,
    /// A process counts them.
    appointed: bool,
    wakes: wakes::Wakes,
    /// There is a chore for those that are left to be woken.
    waking: bool,
    /// Segments whose connections, or whose publication, changed in this pass of the loop.
    attended: BTreeSet<u32>,
    /// The registry may have changed in this pass of the loop.
    changed: bool,
    longest_pass: books::told::LongestPass,
    kills: books::told::Kills,
    records: books::told::Records,
}

impl Agent {
    fn writer(&self) -> Writer<'_> {
        Writer::over(self.map.registry())
    }

    fn watch(&self, fd: impl std::os::fd::AsFd, token: Token, events: epoll::EventFlags) -> rsm_core::Result<()> {
        epoll::add(&self.epoll, fd, token.data(), events)
            .map_err(|e| crate::error::from_errno(e, "cannot watch a descriptor"))
    }

    /// Takes a descriptor out of the epoll set. Closing alone does not while another process has a copy of it.
    fn unwatch(&self, fd: &OwnedFd) {
        // Fails when it was never in.
        let _ = epoll::delete(&self.epoll, fd);
    }
}
