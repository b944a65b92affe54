//! What a program tells the race detector of `rsm-ctl run --race`.

use crate::args;
use crate::local::Local;
use pyo3::prelude::*;

/// What this process has done so far comes before what others do after :func:`happens_after` with the same token.
///
/// Say it before that which lets the other process go on. Of what was put, that is part whose barrier was closed. The token is
/// any number of 64 bits. Does not wait.
#[pyfunction]
#[pyo3(text_signature = "(token)")]
pub(crate) fn happens_before(token: &Bound<'_, PyAny>) -> PyResult<()> {
    rsm::annotate::happens_before(args::token(token)?);
    Ok(())
}

/// What this process does from now on comes after what others had done at :func:`happens_before` with the same token.
///
/// Say it behind that which let this process go on. Does not wait.
#[pyfunction]
#[pyo3(text_signature = "(token)")]
pub(crate) fn happens_after(token: &Bound<'_, PyAny>) -> PyResult<()> {
    rsm::annotate::happens_after(args::token(token)?);
    Ok(())
}

/// Nobody wants to hear of races in this memory: the program makes sure by other means that what it read is whole.
///
/// A view of a published export or of a mapping, whole or in part: ``benign(memoryview(export)[8:16])``, an array of numpy. Words
/// of eight bytes that it touches are not reported from now on, as long as the segment is there. Other memory is left alone. Does
/// not wait.
#[pyfunction]
#[pyo3(text_signature = "(memory)")]
pub(crate) fn benign(memory: &Bound<'_, PyAny>) -> PyResult<()> {
    let local = Local::readable(memory)?;
    let place = local.place();
    rsm::annotate::benign_at(place.start().addr(), place.length());
    Ok(())
}
