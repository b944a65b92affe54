//! Remote shared memory on one machine, or on two at a PCIe bridge: Sun's RSMAPI for Linux.
//!
//! A *cluster* has nodes; a node is one process or several. A node exports a segment of memory and publishes it; other
//! nodes connect to it and read and write it with [`Import::put`] and [`Import::get`], or map it and use plain loads
//! and stores. Barriers say whether what was written has arrived; signals wake the other side. What is shared is real
//! memory: a store through a mapping costs a store.
//!
//! ```
//! use rsm::{AccessList, Cluster, Permission, SegmentId};
//! use std::time::Duration;
//!
//! # fn main() -> rsm::Result<()> {
//! // Two nodes in one program, as tests like it; real ones are started with `rsm-ctl run -n 2 -- program`.
//! let cluster = Cluster::new(2)?;
//! let exporter = cluster.node(1)?.controller("shm0")?;
//! let importer = cluster.node(2)?.controller("shm0")?;
//!
//! let export = exporter.export(65536)?;
//! let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone())?;
//!
//! let import = importer.connect(1, id, Permission::ReadWrite)?;
//! import.put(0, b"hello")?; // a verdict with every transfer: implicit mode
//! import.signal()?;
//!
//! export.wait(Some(Duration::from_secs(5)))?;
//! let mut text = [0; 5];
//! export.memory().read(0, &mut text)?;
//! assert_eq!(&text, b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | open a controller and look at the cluster | [`Controller`], [`Node`], [`Topology`] |
//! | offer memory | [`Export`], [`AccessList`], [`SegmentId`], [`ImporterEvents`] |
//! | reach it | [`Import`], [`Mapping`], [`Memory`] |
//! | know whether it arrived | [`Span`], [`BarrierMode`] |
//! | memory that no node owns | [`Controller::common`] |
//! | run a cluster inside a program | [`Cluster`] |
//! | end the whole run | [`end_run`] |
//! | look at a running cluster from outside | [`observe`] |
//! | disturb it | [`steer`] |
//! | let stores be late, and things go wrong | [`lens`] |
//! | test a program on real nodes, and with faults | `on_nodes!` of the crate `rsm-run` |
//!
//! # Guides
//!
//! In `docs/` of the repository and of this package. The programs that they are about are run by tests.
//!
//! | page | about |
//! |---|---|
//! | `second-program.md` | neighbours that exchange halos in Rust, C and Python, and how to end: who leaves when |
//! | `testing-with-faults.md` | tests on real nodes, under faults: `cargo test`, nextest, CTest, pytest, a build server |
//! | `weak-order.md` | what one may rely on when stores are late, with six bugs |
//! | `failover.md` | sealed memory, a sequence lock, a standby that takes over |
//! | `debugging.md`, `exploring.md` | gdb on one node, a hang; deaths tried one by one |
//! | `finding-bugs.md` | one wrong program, taken to its line by chaos, race and trace |
//! | `tracing.md`, `races.md` | who wrote this byte, what came before what; accesses that nothing orders |
//! | `faults.md`, `profiles.md` | faults of an interconnect by seed; its times |
//! | `porting-solaris.md`, `from-mpi.md` | where you come from |
//! | `teams.md` | joining, barriers, reductions, locks and messages: the crate `rsm-team` |
//! | `python.md`, `openshmem.md` | the Python package and its pytest plugin; OpenSHMEM 1.5 in C |
//! | `two-hosts.md`, `cluster-file.md` | nodes on two hosts; what is to run, in a file |
//! | `containers.md` | Docker and Kubernetes |
//! | `gallery.md` | what the tools print and draw |
//! | `promises.md`, `attacks.md` | what a program can rely on, and what it cannot; what holds against whom |
//!
//! # Inside
//!
//! Follow one `put`: [`Import::put`], then `rsm-shm/src/membership/connection/transfer.rs` (checks and verdict) and
//! `rsm-shm/src/memory/copy.rs` (the bytes).
//!
//! Names are the RSMAPI's; each item finds its C function by search. Errors carry its numbers ([`Error::code`]).

pub mod annotate;
mod barrier;
mod cluster;
mod controller;
mod export;
mod import;
mod importers;
pub mod lens;
pub mod log;
mod mapping;
mod node;
pub mod observe;
mod poll;
mod raw;
#[doc(hidden)]
pub mod run;
mod segment_ids;
pub mod steer;

pub use barrier::Span;
pub use cluster::{Cluster, ClusterBuilder};
pub use controller::Controller;
pub use export::Export;
pub use import::{Import, Stopped};
pub use importers::ImporterEvents;
pub use mapping::Mapping;
pub use node::Node;
pub use poll::PollDescriptor;
pub use rsm_core::access::{AccessEntry, AccessList, Permission};
pub use rsm_core::attr::ControllerAttributes;
pub use rsm_core::generation::EndCause;
/// The node of segments that no node owns: the cluster itself ([`Controller::common`]).
pub use rsm_core::registry::CLUSTER as CLUSTER_NODE;
pub use rsm_core::registry::{Geometry, LinkState};
pub use rsm_core::segment_id::SegmentId;
pub use rsm_core::topology::{LocalController, RemoteController, Topology};
pub use rsm_core::verdict::BarrierType;
pub use rsm_core::{Code, Error, Result};
pub use rsm_shm::agent::config::Bridge;
pub use rsm_shm::capabilities::{Capabilities, Feature};
pub use rsm_shm::membership::connection::BarrierMode;
pub use rsm_shm::membership::importers::{Importer, ImporterEvent};
pub use rsm_shm::memory::view::Memory;
pub use run::end_run;
pub use segment_ids::{RESERVATION_FILE, reserved_segment_ids};

/// Keeps the code of the README compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
