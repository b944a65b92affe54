//! An object of the library in a Python object: calls borrow it, one call takes it away.
//!
//! A call has an `Arc` of its own while it runs. Whoever takes the object away gets it only when no call has it. The lock is
//! held for a few instructions, by threads that are attached to the interpreter, and nothing of Python runs meanwhile: a
//! thread that forks finds it free, and nobody waits for it with the interpreter in hand.

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
    /// Taken by a call that has not ended: the object may come back.
    away: bool,
}

/// A call has taken the object away, to end it, or to change it and give it back.
pub(crate) struct Away<'a, T>(&'a Held<T>);

/// Why an object cannot be taken away.
pub(crate) enum Refusal {
    /// It was already.
    Gone,
    /// So many views of its memory are left.
    Viewed(usize),
    /// A call, or a span, has it.
    Used,
    /// Another call has taken it away.
    Away,
}

impl<T> Held<T> {
    /// An object; `gone` is a sentence for who comes when it has been taken away.
    pub(crate) fn new(object: T, gone: &'static str) -> Held<T> {
        Held { state: Mutex::new(State { object: Some(Arc::new(object)), views: 0, away: false }), gone }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object, for a call.
    ///
    /// # Errors
    /// BAD_SEG_HNDL when it was taken away; SEG_IN_USE while it may come back.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<Arc<T>> {
        let (object, away) = {
            let state = self.lock();
            (state.object.clone(), state.away)
        };
        match object {
            Some(object) => Ok(object),
            None if away => Err(refused(py, Code::SegInUse, AWAY)),
            None => Err(refused(py, Code::BadSegHndl, self.gone)),
        }
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

    /// Takes the object away; until the second part is dropped others are told that it may come back.
    pub(crate) fn take(&self) -> Result<(T, Away<'_, T>), Refusal> {
        let mut state = self.lock();
        if state.object.is_some() && state.views > 0 {
            return Err(Refusal::Viewed(state.views));
        }
        let object = state.object.take().ok_or(if state.away { Refusal::Away } else { Refusal::Gone })?;
        match Arc::try_unwrap(object) {
            Ok(object) => {
                state.away = true;
                Ok((object, Away(self)))
            }
            Err(object) => {
                state.object = Some(object);
                Err(Refusal::Used)
            }
        }
    }

    /// Lets the object go, whoever has it: it ends with the last of them.
    pub(crate) fn let_go(&self) -> Option<Arc<T>> {
        self.lock().object.take()
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

impl<T> Away<'_, T> {
    /// Gives the object back.
    pub(crate) fn give_back(self, object: T) {
        self.0.lock().object = Some(Arc::new(object));
    }
}

impl<T> Drop for Away<'_, T> {
    fn drop(&mut self) {
        self.0.lock().away = false;
    }
}

/// What is said of an object that another call has taken away.
const AWAY: &str = "another thread is destroying or changing it";

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
            Refusal::Away => refused(py, Code::SegInUse, AWAY),
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
