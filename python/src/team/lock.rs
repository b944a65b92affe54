//! Locks of a team.

use super::keeper::Keeper;
use crate::errors::refused;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rsm::Code;
use rsm_team::Kept;
use std::sync::{Arc, Mutex, PoisonError};

/// A lock of a team that is held, from `Team.lock()`, until `unlock()`, the end of a `with` statement, or the end of the object.
///
/// What was put under it is to have arrived before: close the barrier first.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct TeamLock {
    keeper: Arc<Keeper>,
    held: Mutex<Option<(Kept, Arc<()>)>>,
    died_holding: Option<usize>,
}

impl TeamLock {
    pub(crate) fn new(keeper: Arc<Keeper>, kept: Kept, died_holding: Option<usize>) -> TeamLock {
        let held = Mutex::new(Some((kept, Arc::clone(&keeper.locks))));
        TeamLock { keeper, held, died_holding }
    }

    fn take(&self) -> Option<(Kept, Arc<()>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn is_held(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Drop for TeamLock {
    fn drop(&mut self) {
        if let Some((kept, _counted)) = self.take() {
            self.keeper.drop_lock(kept);
        }
    }
}

#[pymethods]
impl TeamLock {
    /// The rank that died while it held the lock, if one did since somebody last let it go: what the lock guards may be half done.
    #[getter]
    fn died_holding(&self) -> Option<usize> {
        self.died_holding
    }

    /// Lets go. Says so that what the lock guards is in order again.
    ///
    /// Raises ConnAborted when the keeper has ended, and the lock with it; InternalError when somebody has taken it from this node;
    /// BadSegHndl when it was unlocked already.
    fn unlock(&self, py: Python<'_>) -> PyResult<()> {
        let unlocked = self.keeper.call(py, |team| {
            // Here, where nothing refuses the call any more.
            let Some((kept, _counted)) = self.take() else { return Ok(false) };
            team.held(kept)?.unlock().map(|()| true)
        })?;
        if unlocked { Ok(()) } else { Err(refused(py, Code::BadSegHndl, "the lock was unlocked already")) }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.is_held() { self.unlock(py) } else { Ok(()) }
    }

    fn __repr__(&self) -> String {
        format!("<rsmapi.TeamLock, {}>", if self.is_held() { "held" } else { "not held" })
    }
}
