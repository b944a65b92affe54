//! Memory of segments as Python's buffers.
#![allow(unsafe_code)]

use crate::held::Held;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use rsm::Memory;
use std::ffi::c_int;
use std::sync::Arc;

/// What has memory that Python may look at.
pub(crate) trait Viewed: Send + Sync {
    /// The memory, which stays at its addresses, mapped with its permission, until this is dropped or changed by somebody who
    /// has it alone.
    fn memory(&self) -> Memory<'_>;
}

impl Viewed for rsm::Export {
    fn memory(&self) -> Memory<'_> {
        self.memory()
    }
}

impl Viewed for rsm::Mapping {
    fn memory(&self) -> Memory<'_> {
        self.memory()
    }
}

/// Fills a buffer with the memory of what `owner`, the Python object, holds.
///
/// # Errors
/// BufferError for an object that was taken away, and when somebody wants to write what may only be read.
///
/// # Safety
/// `view` is what Python gave to `__getbuffer__`, `flags` too, and `held` is part of `owner`.
pub(crate) unsafe fn fill<T: Viewed>(
    owner: &Bound<'_, PyAny>,
    held: &Held<T>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("there is no buffer to fill"));
    }
    let object: Arc<T> = held.view().ok_or_else(|| PyBufferError::new_err(held.gone()))?;
    let memory = object.memory();
    let readonly = c_int::from(!memory.permission().writes());
    let length = memory.len().cast_signed();
    // SAFETY: `view` is Python's, and on success gets a reference to `owner`, which holds what the memory belongs to. That
    // keeps the memory at its addresses: it is dropped, or taken away to be changed, only when no view is counted, and this
    // one is until it is given back (`Held`). Other threads and processes store to the memory meanwhile, as Python's own
    // shared memory has it: Python derives nothing from a buffer's bytes staying what they are. A segment that is withdrawn
    // stays mapped with the same rights, so nothing faults.
    let filled =
        unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), memory.as_ptr().cast(), length, readonly, flags) };
    if filled == 0 {
        return Ok(());
    }
    held.unview();
    Err(PyErr::fetch(owner.py()))
}
