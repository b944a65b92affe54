//! Mappings of imports.
#![allow(unsafe_code)] // the buffer protocol: see `view`

use crate::barrier::Barrier;
use crate::errors::Told;
use crate::held::Held;
use crate::import::Import;
use crate::{args, view};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::ffi::c_int;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Memory of another node, mapped, from `Import.map()`. It is a buffer: `memoryview(mapping)` and `numpy.frombuffer(mapping)`
/// are the memory itself; loads and stores go straight to it. It can be written if its permission allows that.
///
/// When the exporter takes the segment back, the mapping stays where it is and leads to a trash page: nothing faults, stores
/// vanish, loads give anything. A `barrier()` tells.
///
/// It ends with `unmap()`, at the end of a `with` statement, or with the object and the last view of its memory.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Mapping {
    held: Held<rsm::Mapping>,
    /// For its barriers.
    import: Py<Import>,
    /// Counts it at its import, until it is unmapped.
    counted: Mutex<Option<Arc<()>>>,
    length: usize,
}

impl Mapping {
    pub(crate) fn new(mapping: rsm::Mapping, import: Py<Import>, count: Arc<()>) -> Mapping {
        let length = mapping.len();
        let held = Held::new(mapping, "the mapping was unmapped");
        Mapping { held, import, counted: Mutex::new(Some(count)), length }
    }
}

#[pymethods]
impl Mapping {
    /// Length of the mapping in bytes.
    fn __len__(&self) -> usize {
        self.length
    }

    /// The import that it is of.
    #[getter]
    fn import_(&self, py: Python<'_>) -> Py<Import> {
        self.import.clone_ref(py)
    }

    /// A barrier, to be opened by a `with` statement or `open()`. `of` says which stores it waits for where they may be late: those
    /// of all imports from the same "node", or of this "segment" only.
    ///
    /// The same as the import's.
    #[pyo3(signature = (of="node"))]
    fn barrier(&self, py: Python<'_>, of: &str) -> PyResult<Barrier> {
        Ok(Barrier::new(self.import.clone_ref(py), args::barrier_type(of)?))
    }

    /// The word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
    /// visible afterwards (acquire).
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 4; BadOffset; PermDenied; BadSegHndl when the memory has gone.
    fn load_u32(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u32> {
        // Acquire: pairs with the Release of whoever stored the word, by `store_u32` for one.
        self.held.get(py)?.memory().load_u32(args::offset(offset)?, Ordering::Acquire).told(py)
    }

    /// The word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
    /// visible afterwards (acquire).
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 8; BadOffset; PermDenied; BadSegHndl when the memory has gone.
    fn load_u64(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u64> {
        // Acquire: pairs with the Release of whoever stored the word, by `store_u64` for one.
        self.held.get(py)?.memory().load_u64(args::offset(offset)?, Ordering::Acquire).told(py)
    }

    /// Stores a word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
    /// visible to who loads it (release).
    ///
    /// Raises OverflowError for what is no such word; otherwise as `load_u32`.
    fn store_u32(&self, py: Python<'_>, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // Release: pairs with the Acquire of whoever loads the word, by `load_u32` for one.
        let (mapping, value) = (self.held.get(py)?, args::word(value, 32)? as u32);
        mapping.memory().store_u32(args::offset(offset)?, value, Ordering::Release).told(py)?;
        Ok(())
    }

    /// Stores a word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
    /// visible to who loads it (release).
    ///
    /// Raises OverflowError for what is no such word; otherwise as `load_u64`.
    fn store_u64(&self, py: Python<'_>, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // Release: pairs with the Acquire of whoever loads the word, by `load_u64` for one.
        let (mapping, value) = (self.held.get(py)?, args::word(value, 64)?);
        mapping.memory().store_u64(args::offset(offset)?, value, Ordering::Release).told(py)?;
        Ok(())
    }

    /// Ends the mapping.
    ///
    /// Raises SegStillMapped while there is a view of its memory (memoryview, numpy array); BadSegHndl when it was unmapped already.
    fn unmap(&self, py: Python<'_>) -> PyResult<()> {
        let (mapping, _away) =
            self.held.take().map_err(|refusal| refusal.told(py, self.held.gone(), "this mapping"))?;
        py.detach(|| drop(mapping));
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.held.peek().is_some() { self.unmap(py) } else { Ok(()) }
    }

    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: Python's, and its own part.
        unsafe { view::fill(slf.as_any(), &slf.get().held, view, flags) }
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.held.unview();
    }

    fn __repr__(&self) -> String {
        let state = if self.held.peek().is_some() { "" } else { ", unmapped" };
        format!("<rsmapi.Mapping of {} bytes{state}>", self.length)
    }
}
