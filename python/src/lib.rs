//! The RSMAPI for Python: what the package `rsmapi` is made of, as its module `_native`. Users read `lib/rsmapi/_native.pyi`.
//!
//! | what | file |
//! |---|---|
//! | memory that Python sees, and memory of Python's | `view`, `local` |
//! | how long an object of the library lives | `held` |
//! | a span that owns what it is of | `span` |
//! | waits and requests that Ctrl-C ends | `blocking` |
//! | errors, arguments, records | `errors`, `args`, `records` |
//! | the one interpreter that this works in | `interpreter` |
//! | the classes | `cluster`, `controller`, `export`, `importers`, `import`, `transfers`, `mapping`, `barrier`, `observe`, `steer` |
//! | teams of all nodes | `team` |
//! | what the race detector is told | `annotate` |
//! | runs of real processes | `launch` |
//!
//! # Why nothing is used after it was freed
//!
//! Whatever order Python's garbage collector takes objects in:
//!
//! * A `memoryview`, and a numpy array made of one, has a reference to the `Export` or
//!   `Mapping` that it is of (`Py_buffer.obj`), and is counted there until it gives the buffer back. The
//!   memory goes with the last of these, or by `destroy` and `unmap`, which are refused while the count is not zero
//!   (`view`).
//! * Of an object of the library, each call has an [`Arc`](std::sync::Arc) of its own while it runs (`held`), so `destroy`,
//!   `disconnect` or `close` in another thread cannot free it under a call that has let go of the interpreter: they are
//!   refused, or the last call frees it.
//! * A mapping keeps its connection, a connection its membership, in Rust. A span borrows its import, and owns an `Arc` of it
//!   (`span`).
//! * A team is had by one call at a time; its locks and shared memory are kept in parts that borrow nothing of it (`team`).
//! * Memory of Python's that a transfer moves, and memory that was adopted, is held by a buffer of its exporter: it can be
//!   neither freed nor resized before that is released (`local`).
//! * A withdrawn segment's mappings lead to trash pages at the same addresses with the same rights: that is the library's
//!   promise ([`rsm::Mapping`]), and why a view needs not know.
//!
//! Only an export of adopted memory refers to a Python object that could lead back to it. The garbage collector is not told:
//! such a cycle lasts until `destroy`, and so do the segment and the memory. All other objects here lead to none of them.

mod annotate;
mod args;
mod barrier;
mod blocking;
mod cluster;
mod controller;
mod errors;
mod export;
mod held;
mod import;
mod importers;
mod interpreter;
mod launch;
mod local;
mod mapping;
mod observe;
mod records;
mod span;
mod steer;
mod team;
mod transfers;
mod view;

use pyo3::prelude::*;

/// The RSMAPI in Rust: use the package `rsmapi`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::annotate::{benign, happens_after, happens_before};
    #[pymodule_export]
    use crate::barrier::Barrier;
    #[pymodule_export]
    use crate::cluster::Cluster;
    #[pymodule_export]
    use crate::controller::{Controller, Node, end_run, reserved_segment_ids};
    #[pymodule_export]
    use crate::errors::codes;
    #[pymodule_export]
    use crate::export::Export;
    #[pymodule_export]
    use crate::import::Import;
    #[pymodule_export]
    use crate::importers::ImporterEvents;
    #[pymodule_export]
    use crate::launch::{end_with_parent, run, run_for_facts};
    #[pymodule_export]
    use crate::mapping::Mapping;
    #[pymodule_export]
    use crate::observe::{Observer, Snapshot, clusters};
    #[pymodule_export]
    use crate::steer::Steering;
    #[pymodule_export]
    use crate::team::{Shared, Team, TeamLock};

    #[pymodule_init]
    fn begin(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        crate::interpreter::check(module.py())
    }
}
