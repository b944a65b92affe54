//! Lenses: what a cluster shows that real memory hides.
//!
//! Memory of one machine is coherent, and x86 processors keep stores in order, so a barrier that a program forgets is
//! missed nowhere but on the interconnect that it was written for. A cluster with a lens shows it: what importers put in
//! explicit mode and signal is *posted*, and arrives later and out of order, as far as a [`Model`] permits. No model permits
//! more than the RSMAPI does: a program with the barriers that it needs notices nothing but time.
//!
//! ```
//! use rsm::lens::{Lens, Model};
//!
//! let cluster = rsm::Cluster::builder(2).lens(Lens::chaos(7).model(Model::Sci)).start()?;
//! # Ok::<(), rsm::Error>(())
//! ```
//!
//! With [`Faults`] things go wrong besides that memory never does: spans that cannot be vouched for, links that go down,
//! segments that are revoked, signals that are late, merged, or mean nothing, requests that are refused. Each happens once in
//! so many calls of its kind, and a program is told by the error that it would get from an interconnect; the table is
//! [`FAULTS`], and in `docs/faults.md`. Faults need no model: without one nothing is late.
//!
//! ```
//! use rsm::lens::{Faults, Lens};
//!
//! let lens = Lens::clear(7).faults(Faults::parse("error,abort,refuse")?);
//! let cluster = rsm::Cluster::builder(2).lens(lens).start()?;
//! # let segment = || cluster.node(1)?.controller("shm0")?.export(1 << 16);
//! // A program that is to stand this tries again.
//! let export = std::iter::repeat_with(segment).find_map(Result::ok);
//! assert!(cluster.faults().iter().all(|(_, _, injected)| injected.count < 1000));
//! # Ok::<(), rsm::Error>(())
//! ```
//!
//! With a [`Profile`] calls take as long as on an interconnect that somebody has measured, or guessed: [`PROFILES`], and
//! `docs/profiles.md`. What is stored and loaded through mappings takes as long as it does. With [virtual
//! time](Lens::virtual_time) nobody waits, and each process adds up what its calls would take ([`crate::Node::modelled`]).
//!
//! ```
//! use rsm::lens::{Lens, Profile};
//! use std::time::Duration;
//!
//! let lens = Lens::clear(0).profile(Profile::DolphinNtb).virtual_time();
//! let cluster = rsm::Cluster::builder(1).lens(lens).start()?;
//! assert_eq!(cluster.node(1)?.modelled(), Some(Duration::ZERO));
//! # Ok::<(), rsm::Error>(())
//! ```
//!
//! Everything that is left to chance is drawn from the seed, so what fails once fails again; not always at the same place,
//! for when others look is not drawn. The loopback controller and implicit transfers are never weak.

pub use rsm_core::lens::event;
pub use rsm_core::lens::fault::{FAULTS, Fault, Row, lines as fault_lines};
pub use rsm_core::lens::gate;
pub use rsm_core::lens::inject::{Call, Injected, Last};
pub use rsm_core::lens::log::{Delivered, Overtaking, Target};
pub use rsm_core::lens::profile::{Cost, PROFILES, Point, Profile, Row as ProfileRow, Source, lines as profile_lines};
pub use rsm_core::lens::ring;
pub use rsm_core::lens::{Faults, Gate, Lens, Model, Strength, Trace, parse_seed};
pub use rsm_shm::agent::races;
pub use rsm_shm::agent::{HeldSegment, Noted};
