//! Memory that every node of a team offers to the others.

use super::keeper::Keeper;
use super::rank;
use crate::errors::refused;
use crate::export::Export;
use crate::import::Import;
use pyo3::prelude::*;
use pyo3::types::PyAny;
use rsm::Code;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A segment of every node of a team, and connections to all of them, from `Team.share()`.
///
/// At the end of a `with` statement it is closed; when the block raises, the others lose the own segment at once.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Shared {
    keeper: Arc<Keeper>,
    memory: Py<Export>,
    all: Vec<Py<Import>>,
    /// Until it is closed.
    open: Mutex<Option<Open>>,
}

struct Open {
    /// Counts it at its team.
    _counted: Arc<()>,
    /// Whether all nodes were to meet in `close`.
    met: bool,
}

impl Shared {
    pub(crate) fn new(
        py: Python<'_>,
        keeper: Arc<Keeper>,
        (own, all): (rsm::Export, Vec<rsm::Import>),
    ) -> PyResult<Shared> {
        let memory = Py::new(py, Export::new(own, None))?;
        let all = all.into_iter().map(|import| Py::new(py, Import::new(import))).collect::<PyResult<_>>()?;
        let open = Mutex::new(Some(Open { _counted: Arc::clone(&keeper.shares), met: false }));
        Ok(Shared { keeper, memory, all, open })
    }

    pub(crate) fn is_of(&self, keeper: &Arc<Keeper>) -> bool {
        Arc::ptr_eq(&self.keeper, keeper)
    }

    pub(crate) fn import(&self, py: Python<'_>, rank: usize) -> PyResult<&Py<Import>> {
        let size = self.all.len();
        self.all.get(rank).ok_or_else(|| {
            let text = format!("there is no rank {rank} in a team of {size}, whose last is {}", size - 1);
            refused(py, Code::BadAddr, text)
        })
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was closed, and else whether all nodes were to meet for that.
    fn state(&self) -> (bool, bool) {
        self.open().as_ref().map_or((true, true), |open| (false, open.met))
    }

    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        for import in &self.all {
            import.bind(py).call_method0("__exit__")?;
        }
        self.memory.bind(py).call_method0("__exit__")?;
        self.open().take();
        Ok(())
    }
}

#[pymethods]
impl Shared {
    /// The own segment, which others read and write at any time. It is a buffer: `numpy.frombuffer(shared.memory, "f8")`.
    #[getter]
    fn memory(&self, py: Python<'_>) -> Py<Export> {
        self.memory.clone_ref(py)
    }

    /// The connection to the segment of a rank, readable and writable; the own rank has one, too.
    ///
    /// Raises BadAddr for a rank that there is not.
    #[pyo3(signature = (rank))]
    fn at(&self, rank: &Bound<'_, PyAny>) -> PyResult<Py<Import>> {
        let py = rank.py();
        self.import(py, self::rank(rank)?).map(|import| import.clone_ref(py))
    }

    /// Waits until every node has called this, and gives the memory and the connections back. Again it does nothing.
    ///
    /// Raises as `Team.barrier`; SegStillMapped while there is a view of the memory, or a mapping of a connection: without that,
    /// it can be called again, and waits for nobody any more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let (closed, met) = self.state();
        if closed {
            return Ok(());
        }
        if !met {
            let met = self.keeper.call(py, |team| {
                // Here, where nothing refuses the call any more.
                if let Some(open) = &mut *self.open() {
                    open.met = true;
                }
                team.barrier()
            });
            if let Err(error) = met {
                // There will be no other barrier for it: what can be given back is.
                if self.state().1 || !self.keeper.is_open() {
                    let _ = self.give_back(py);
                }
                return Err(error);
            }
        }
        self.give_back(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        raised: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if raised.is_none() {
            return self.close(py);
        }
        // What was raised is what is told.
        let _ = self.give_back(py);
        Ok(())
    }

    fn __repr__(&self) -> String {
        let state = if self.state().0 { ", closed" } else { "" };
        format!("<rsmapi.Shared by {} nodes{state}>", self.all.len())
    }
}
