//! Errors of the library as exceptions: the classes are in `lib/rsmapi/errors.py`, one for each RSMERR number.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use rsm::{Code, Error};

/// The classes by their numbers.
static CLASSES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();

/// Every RSMERR number with its name in C and what it means.
#[pyfunction]
pub(crate) fn codes() -> Vec<(i32, &'static str, &'static str)> {
    Code::ALL.iter().map(|code| (code.number(), code.name(), code.meaning())).collect()
}

/// The exception for an error.
#[cold]
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    instance(py, error).map_or_else(|failed| failed, PyErr::from_value)
}

/// The exception for a vector of transfers that stopped: its `completed` says after how many parts.
#[cold]
pub(crate) fn stopped(py: Python<'_>, stopped: &rsm::Stopped) -> PyErr {
    let instance = instance(py, &stopped.error).and_then(|instance| {
        instance.setattr("completed", stopped.completed)?;
        Ok(instance)
    });
    instance.map_or_else(|failed| failed, PyErr::from_value)
}

/// An exception that the library has not raised, but would have.
#[cold]
pub(crate) fn refused(py: Python<'_>, code: Code, sentence: impl Into<String>) -> PyErr {
    raised(py, &Error::with(code, sentence.into()))
}

fn instance<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let classes = CLASSES.get_or_try_init(py, || -> PyResult<Py<PyDict>> {
        Ok(py.import("rsmapi.errors")?.getattr("BY_CODE")?.cast_into::<PyDict>()?.unbind())
    })?;
    classes.bind(py).as_any().get_item(error.code().number())?.call1((error.detail(),))
}

/// Results of the library as Python has them.
pub(crate) trait Told<T> {
    /// The value, or the exception.
    fn told(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> Told<T> for rsm::Result<T> {
    fn told(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}
