//! Barriers as context managers.

use crate::errors::{Told, refused};
use crate::import::Import;
use crate::span::OwnedSpan;
use pyo3::prelude::*;
use rsm::{BarrierType, Code};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A barrier of an import: says whether what was stored through the import while it was open has arrived.
///
///     with import_.barrier() as barrier:
///         import_.put(0, data)
///         barrier.order()              # what follows becomes visible after what came before
///         import_.put(4096, flag)
///
/// The end of the `with` statement closes it, and raises ConnAborted when the connection was cut (connect again) and
/// BarrierFailure when the link had an error or changed (do it again). When the block itself raises, that is what is raised.
/// A barrier can be opened again when it is closed; any number of them may be open.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Barrier {
    /// First, so that it is not the span whose end frees the import.
    span: Mutex<Option<OwnedSpan>>,
    kind: BarrierType,
    import: Py<Import>,
}

impl Barrier {
    pub(crate) fn new(import: Py<Import>, kind: BarrierType) -> Barrier {
        Barrier { import, kind, span: Mutex::new(None) }
    }

    fn span(&self) -> MutexGuard<'_, Option<OwnedSpan>> {
        self.span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_open(py: Python<'_>) -> PyErr {
    refused(py, Code::BarrierNotOpened, "the barrier is not open: open it, or use it in a with statement")
}

#[pymethods]
impl Barrier {
    /// Whether it is open.
    #[getter]
    fn is_open(&self) -> bool {
        self.span().is_some()
    }

    /// Opens it. Succeeds on an aborted import, whose close then tells.
    ///
    /// Raises BarrierOpenFailed when it is open already; BadSegHndl when the import was disconnected.
    fn open(&self, py: Python<'_>) -> PyResult<()> {
        let import = self.import.get().get(py)?;
        let opened = OwnedSpan::open(import, self.kind).told(py)?;
        // Nothing of Python runs while it is locked.
        let surplus = {
            let mut span = self.span();
            if span.is_some() { Some(opened) } else { span.replace(opened) }
        };
        match surplus {
            None => Ok(()),
            Some(_) => {
                let text = "the barrier is open already: close it first, or make another one";
                Err(refused(py, Code::BarrierOpenFailed, text))
            }
        }
    }

    /// Makes what was stored before it visible before what is stored after it. The barrier stays open.
    ///
    /// Raises BarrierNotOpened when it is not open.
    fn order(&self, py: Python<'_>) -> PyResult<()> {
        let ordered = self.span().as_ref().map(OwnedSpan::order);
        ordered.map_or_else(|| Err(not_open(py)), |ordered| ordered.told(py))
    }

    /// Ends it, and says whether everything stored through the import since it was opened has reached the exporter's memory. Where
    /// stores may be late, waits for them.
    ///
    /// Raises ConnAborted when the connection was cut: connect again. BarrierFailure when the link had an error or changed its state
    /// meanwhile: do it again. BarrierNotOpened when it is not open.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let span = self.span().take();
        let span = span.ok_or_else(|| not_open(py))?;
        // With a lens it waits for what is late.
        py.detach(|| span.close()).told(py)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().open(slf.py())?;
        Ok(slf)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        raised: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if raised.is_none() {
            return if self.is_open() { self.close(py) } else { Ok(()) };
        }
        // What was raised is what is told; the span ends all the same.
        let span = self.span().take();
        py.detach(|| drop(span));
        Ok(())
    }

    fn __repr__(&self) -> String {
        let state = if self.is_open() { "open" } else { "not open" };
        format!("<rsmapi.Barrier, {state}>")
    }
}
