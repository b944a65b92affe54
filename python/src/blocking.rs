//! Calls that may take long: the interpreter goes on meanwhile, and Ctrl-C ends them.

use crate::errors::raised;
use pyo3::prelude::*;
use rsm::{Code, Error};
use std::time::{Duration, Instant};

/// How long Python's handlers may be late. Its main thread alone runs them, when a call of the system was interrupted; a
/// signal that comes just before the call is not seen by it.
const STEP: Duration = Duration::from_millis(500);

/// Makes a request again that was interrupted by a signal whose handler raised nothing, as Python does with its own.
pub(crate) fn request<T: Send>(py: Python<'_>, make: impl Fn() -> rsm::Result<T> + Sync) -> PyResult<T> {
    loop {
        match py.detach(&make) {
            Err(error) if error.code() == Code::Interrupted => py.check_signals()?,
            Err(error) => return Err(raised(py, &error)),
            Ok(value) => return Ok(value),
        }
    }
}

/// A wait of at most `timeout` that `step` makes for as long as it is told.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    timeout: Option<Duration>,
    step: impl Fn(Option<Duration>) -> rsm::Result<T> + Sync,
) -> PyResult<T> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let is_main = rustix::thread::gettid() == rustix::process::getpid();
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let now = if is_main { Some(left.map_or(STEP, |left| left.min(STEP))) } else { left };
        match py.detach(|| step(now)) {
            Ok(value) => return Ok(value),
            Err(error) if error.code() == Code::Interrupted => py.check_signals()?,
            Err(error) if error.code() == Code::Timeout => {
                py.check_signals()?;
                if now == left {
                    return Err(raised(py, &in_all(error, timeout)));
                }
            }
            Err(error) => return Err(raised(py, &error)),
        }
    }
}

/// The same error, whose sentence tells of the whole wait and not of its last step.
fn in_all(error: Error, timeout: Option<Duration>) -> Error {
    match (error.detail().rsplit_once(" (waited "), timeout) {
        (Some((what, _)), Some(timeout)) => Error::with(error.code(), format!("{what} (waited {timeout:?})")),
        _ => error,
    }
}
