//! An object of the library in a Python object: calls borrow it, one call takes it away.
//!
//! A call has an `Arc` of its own while it runs. Whoever takes the object away gets it only when no call has it. The lock is
//! held for a few instructions, by threads that are attached to the interpreter: a thread that forks finds it free.

use crate::errors::refused;
use pyo3::prelude::*;
use rsm::Code;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The object, until it is taken away, and how many views of its memory there are.
pub(crate) struct Held<T> {
    state: Mutex<State<T>>,
    /// What is said of one that was taken away.
    gone: &'static str,
}

struct State<T> {
    object: Option<Arc<T>>,
    views: usize,
}

/// Why an object cannot be taken away.
pub(crate) enum Refusal {
    /// It was already.
    Gone,
    /// So many views of its memory are left.
    Viewed(usize),
    /// A call, or a span, has it.
    Used,
}

impl<T> Held<T> {
    /// An object; `gone` is a sentence for who comes when it has been taken away.
    pub(crate) fn new(object: T, gone: &'static str) -> Held<T> {
        Held { state: Mutex::new(State { object: Some(Arc::new(object)), views: 0 }), gone }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object, for a call.
    ///
    /// # Errors
    /// BAD_SEG_HNDL when it was taken away.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<Arc<T>> {
        self.lock().object.clone().ok_or_else(|| refused(py, Code::BadSegHndl, self.gone))
    }

    /// The object, if it is still there.
    pub(crate) fn peek(&self) -> Option<Arc<T>> {
        self.lock().object.clone()
    }

    /// The object for one more view of its memory: until [`unview`](Self::unview) it is not taken away.
    pub(crate) fn view(&self) -> Option<Arc<T>> {
        let mut state = self.lock();
        let object = state.object.clone()?;
        state.views += 1;
        Some(object)
    }

    /// A view is gone.
    pub(crate) fn unview(&self) {
        let mut state = self.lock();
        state.views = state.views.saturating_sub(1);
    }

    /// Takes the object away.
    pub(crate) fn take(&self) -> Result<T, Refusal> {
        let mut state = self.lock();
        if state.object.is_some() && state.views > 0 {
            return Err(Refusal::Viewed(state.views));
        }
        let object = state.object.take().ok_or(Refusal::Gone)?;
        Arc::try_unwrap(object).map_err(|object| {
            state.object = Some(object);
            Refusal::Used
        })
    }

    /// Gives back what was taken away.
    pub(crate) fn put_back(&self, object: T) {
        self.lock().object = Some(Arc::new(object));
    }

    /// The object, when its Python object goes: no call has it, and no view.
    pub(crate) fn leave(&mut self) -> Option<Arc<T>> {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).object.take()
    }

    /// What is said of one that was taken away.
    pub(crate) fn gone(&self) -> &'static str {
        self.gone
    }
}

impl Refusal {
    /// The exception, for an object that is called `what`.
    pub(crate) fn told(self, py: Python<'_>, gone: &str, what: &str) -> PyErr {
        match self {
            Refusal::Gone => refused(py, Code::BadSegHndl, gone),
            Refusal::Viewed(count) => {
                let views = if count == 1 { "a view".to_owned() } else { format!("{count} views") };
                let text = format!(
                    "{views} of the memory of {what} (memoryview, numpy array) still there: release or delete it first"
                );
                refused(py, Code::SegStillMapped, text)
            }
            Refusal::Used => {
                let text = format!("{what} is in use: a barrier of it is open, or another thread is in a call of it");
                refused(py, Code::SegInUse, text)
            }
        }
    }
}

/// Drops what may ask the agent, or wait for it, while the interpreter goes on.
pub(crate) fn drop_aside<T: Send>(object: T) {
    let mut object = Some(object);
    // Not when the interpreter has gone.
    let _ = Python::try_attach(|py| {
        let object = object.take();
        py.detach(move || drop(object));
    });
}
