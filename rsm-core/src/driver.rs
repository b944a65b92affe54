//! What the agent needs of an interconnect.
//!
//! The agent decides who may do what; a driver carries it out. All policy (ids, access lists, generations, verdicts)
//! stays above this line, so that another interconnect brings only memory and a way to reach it.

use crate::access::{Level, Permission};
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// Way in which an importer reaches the memory behind a grant; decides which way its transfers go, what a barrier has to do, and
/// what may be mapped. It comes with each grant, and is a property of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WindowKind {
    /// Cache-coherent memory of this host: mapping and atomics work, a full fence is the flush.
    #[default]
    Coherent,
    /// The same memory through the cluster's [lens](crate::lens): stores are late.
    Lensed,
    /// Memory of another host: stores are posted, and a load of the grant's [seal](crate::seal) says whether they came.
    Posted {
        /// Slot of the seal.
        slot: u32,
        /// Its word.
        seal: u64,
        /// Offset in bytes at which what the other host lets be read begins in the descriptor of its seals.
        seals_at: u64,
        /// The descriptors are of a device, and not of memory objects, and behind that of the seals there is one more, which is
        /// readable while the link may have gone and the agent has not answered.
        device: bool,
    },
}

/// An interconnect, as the agent uses it. Every operation returns at once.
pub trait Driver {
    /// Memory of an exported segment.
    type Memory;
    /// What an importer is handed to reach such memory.
    type Grant;

    /// Allocates zeroed memory of `length` bytes for a segment of `level`.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM or INSUFFICIENT_RESOURCES.
    fn allocate(&mut self, length: u64, level: Level) -> Result<Self::Memory>;

    /// Makes the memory what `level` promises, for good: the exporter has mapped it, the first grant comes next. Done
    /// before every publication; what is in order already stays as it is.
    ///
    /// # Errors
    /// PERM_DENIED when the exporter made it impossible; INTERNAL_ERROR when the system cannot.
    fn enforce(&mut self, memory: &Self::Memory, level: Level) -> Result<()>;

    /// Makes a way to reach the memory with no more than `permission`, independent of every other grant.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    fn grant(&mut self, memory: &Self::Memory, permission: Permission) -> Result<Self::Grant>;

    /// Whether no grant of this memory reaches it any more, by the word of the system and not of an importer.
    ///
    /// # Errors
    /// INTERNAL_ERROR when the system cannot tell.
    fn all_returned(&mut self, memory: &Self::Memory) -> Result<bool>;
}
