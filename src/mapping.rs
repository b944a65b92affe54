//! Mappings of imports.

use crate::{BarrierType, Memory, Result, Span};
use rsm_shm::membership::part::Part;

/// Memory of another node, mapped: loads and stores go straight to it.
///
/// When the exporter takes the segment back the mapping stays where it is and leads to a trash page: nothing faults,
/// stores vanish, loads return anything. A [span](Self::open_barrier) tells.
#[doc(alias = "rsm_memseg_import_unmap")]
pub struct Mapping {
    part: Part,
}

impl Mapping {
    pub(crate) fn new(part: Part) -> Mapping {
        Mapping { part }
    }

    /// Length of the mapping in bytes.
    pub fn len(&self) -> usize {
        self.part.memory().len()
    }

    /// Whether the mapping has no bytes: never, there is no such mapping.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The mapped memory: atomics, volatile accesses, copies, the raw address.
    #[inline]
    pub fn memory(&self) -> Memory<'_> {
        self.part.memory()
    }

    /// The first mapped address; see [`Memory::as_ptr`].
    pub fn as_ptr(&self) -> *mut u8 {
        self.memory().as_ptr()
    }

    /// Opens a span over the import, as [`Import::open_barrier`](crate::Import::open_barrier).
    ///
    /// # Errors
    /// None on this interconnect; others may answer BARRIER_OPEN_FAILED.
    #[doc(alias = "rsm_memseg_import_open_barrier")]
    #[inline]
    pub fn open_barrier(&self) -> Result<Span<'_>> {
        Ok(Span::open(self.part.connection(), BarrierType::default()))
    }
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapping").field("memory", &self.memory()).finish()
    }
}
