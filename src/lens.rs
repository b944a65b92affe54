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
//! Everything that is left to chance is drawn from the seed, so what fails once fails again; not always at the same place,
//! for when others look is not drawn. The loopback controller and implicit transfers are never weak.

pub use rsm_core::lens::fault::{FAULTS, Fault, Row};
pub use rsm_core::lens::log::{Delivered, Overtaking, Target};
pub use rsm_core::lens::{Faults, Gate, Lens, Model, Strength, parse_seed};
