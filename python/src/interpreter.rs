//! Which interpreter of the process this is.
#![allow(unsafe_code)]

use pyo3::exceptions::PyImportError;
use pyo3::ffi;
use pyo3::prelude::*;

/// Refuses every interpreter but the process's first one.
///
/// Exception classes are looked up once for the process, and objects are dropped with `PyGILState_Ensure`, which knows
/// the first interpreter only: in another one it waits for ever.
///
/// # Errors
/// ImportError.
pub(crate) fn check(_attached: Python<'_>) -> PyResult<()> {
    // SAFETY: this thread is attached to an interpreter, which these ask for and of which they change nothing.
    let id = unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) };
    // The first one's is 0 in every version of Python.
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err("rsmapi can be used in the main interpreter of a process only, not in a subinterpreter"))
}
