//! Imports: memory of other nodes. What is done with them is in `transfers`.

use crate::held::{Held, drop_aside};
use pyo3::prelude::*;
use rustix::process::{Pid, getpid};
use std::sync::Arc;

/// A connection to a published segment, from `Controller.connect()`. Offsets are in bytes from the start of the segment. Any
/// number of threads may use it.
///
/// In implicit mode, the default, each transfer raises ConnAborted or BarrierFailure when it may not have arrived. In explicit
/// mode transfers only move data, and a `barrier()` says whether it arrived.
///
/// The connection ends with `disconnect()`, at the end of a `with` statement, or with the object.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Import {
    pub(crate) held: Held<rsm::Import>,
    /// Of which each mapping has one too.
    pub(crate) mappings: Arc<()>,
    pub(crate) length: usize,
    pub(crate) node: u32,
    pub(crate) segment_id: u32,
    pub(crate) permission: rsm::Permission,
    /// The process that connected.
    pub(crate) process: Pid,
}

impl Import {
    pub(crate) fn new(import: rsm::Import) -> Import {
        let (length, node, permission) = (import.len(), import.node(), import.permission());
        let segment_id = import.segment_id().get();
        let held = Held::new(import, "the import was disconnected");
        Import { held, mappings: Arc::default(), length, node, segment_id, permission, process: getpid() }
    }

    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<Arc<rsm::Import>> {
        self.held.get(py)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        drop_aside(self.held.leave());
    }
}
