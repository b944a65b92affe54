//! A team in a Python object: one call at a time, in the process that joined, until it is taken away.

use crate::errors::{raised, refused};
use crate::held::drop_aside;
use pyo3::prelude::*;
use rsm::Code;
use rsm_team::{Kept, Team};
use rustix::process::{Pid, getpid};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

/// What a call has to raise, whatever the team says: of a handler of signals, or of a condition of the program's.
pub(crate) type Told = Arc<Mutex<Option<PyErr>>>;

/// The team, and what of it is elsewhere.
pub(crate) struct Keeper {
    /// Locked for the time of a call, and never waited for.
    team: Mutex<Option<Team>>,
    told: Told,
    /// The process that joined.
    process: Pid,
    /// Locks whose objects went while they were held.
    dropped: Mutex<Vec<Kept>>,
    /// Of which each lock that is held, and all memory that is shared, has one too.
    pub(crate) locks: Arc<()>,
    pub(crate) shares: Arc<()>,
}

/// What is said of a team that was left or closed.
const GONE: &str = "the team was left or closed";

fn inside<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keeper {
    pub(crate) fn join(py: Python<'_>, controller: &rsm::Controller, limit: Option<Duration>) -> PyResult<Keeper> {
        let told = Told::default();
        let meanwhile = attend(&told);
        let joined = py.detach(|| Team::join_attended(controller, limit.unwrap_or(Duration::MAX), meanwhile));
        if let Some(told) = inside(&told).take() {
            return Err(told);
        }
        let team = joined.map_err(|error| raised(py, &error))?;
        Ok(Keeper {
            team: Mutex::new(Some(team)),
            told,
            process: getpid(),
            dropped: Mutex::default(),
            locks: Arc::default(),
            shares: Arc::default(),
        })
    }

    /// What a condition of the program's raises is put here; the call raises it.
    pub(crate) fn told(&self) -> Told {
        Arc::clone(&self.told)
    }

    /// Makes a call of the team, without the interpreter.
    pub(crate) fn call<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Team) -> rsm::Result<T> + Send,
    ) -> PyResult<T> {
        self.call_or_undo(py, act, drop)
    }

    /// The same; `undo` gets what the call gave when it raises all the same.
    pub(crate) fn call_or_undo<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Team) -> rsm::Result<T> + Send,
        undo: impl FnOnce(T),
    ) -> PyResult<T> {
        let mut team = self.alone(py)?;
        let there = team.as_mut().ok_or_else(|| refused(py, Code::BadSegHndl, GONE))?;
        // As the only one who has it.
        let done = py.detach(move || act(there));
        drop(team);
        self.let_go(py);
        self.outcome(py, done, undo)
    }

    /// Leaves, when every node has come to that.
    pub(crate) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        let mut team = self.alone(py)?;
        for (what, count) in [
            ("memory of it is still shared: close that first", &self.shares),
            ("a lock is held: unlock it first", &self.locks),
        ] {
            if Arc::strong_count(count) > 1 {
                return Err(refused(py, Code::SegInUse, format!("the team cannot be left while {what}")));
            }
        }
        let there = team.take().ok_or_else(|| refused(py, Code::BadSegHndl, GONE))?;
        let done = py.detach(|| there.leave());
        self.outcome(py, done, drop)
    }

    /// Gives the team up.
    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        let there = self.alone(py)?.take();
        py.detach(|| drop(there));
        Ok(())
    }

    /// Whether it can still be used.
    pub(crate) fn is_open(&self) -> bool {
        match self.team.try_lock() {
            Ok(team) => team.is_some(),
            Err(TryLockError::Poisoned(team)) => team.into_inner().is_some(),
            // In a call.
            Err(TryLockError::WouldBlock) => true,
        }
    }

    /// Whether this is another process than the one that joined.
    pub(crate) fn is_inherited(&self) -> bool {
        getpid() != self.process
    }

    /// A lock that nobody can let go of any more is let go of, now or after the call that is under way.
    pub(crate) fn drop_lock(&self, kept: Kept) {
        inside(&self.dropped).push(kept);
        // Not when the interpreter has gone: then the process ends, and the lock with it.
        let _ = Python::try_attach(|py| self.let_go(py));
    }

    /// Lets go of the locks that were dropped, unless a call is under way, which does it in the end.
    fn let_go(&self, py: Python<'_>) {
        while !self.is_inherited() && !inside(&self.dropped).is_empty() {
            let Ok(mut team) = self.team.try_lock() else { return };
            let dropped = std::mem::take(&mut *inside(&self.dropped));
            let Some(team) = team.as_mut() else { return };
            // Who wants to know unlocks.
            py.detach(move || dropped.into_iter().for_each(|kept| drop(team.held(kept))));
        }
    }

    fn alone(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Option<Team>>> {
        if self.is_inherited() {
            let text = "the team belongs to the process that this one was forked from";
            return Err(refused(py, Code::NotCreator, text));
        }
        match self.team.try_lock() {
            Ok(team) => Ok(team),
            Err(TryLockError::Poisoned(team)) => Ok(team.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let text = "another call of the team is under way: it is used by one thread at a time";
                Err(refused(py, Code::SegInUse, text))
            }
        }
    }

    fn outcome<T>(&self, py: Python<'_>, done: rsm::Result<T>, undo: impl FnOnce(T)) -> PyResult<T> {
        let told = inside(&self.told).take();
        match told {
            Some(told) => {
                let _ = done.map(undo);
                Err(told)
            }
            None => done.map_err(|error| raised(py, &error)),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop_aside(self.team.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Has Python run its handlers of signals while a call waits. Its main thread alone runs them.
fn attend(told: &Told) -> impl Fn() -> rsm::Result<()> + Send + 'static {
    let told = Arc::clone(told);
    move || {
        if rustix::thread::gettid() != getpid() {
            return Ok(());
        }
        match Python::try_attach(|py| py.check_signals()) {
            Some(Err(error)) => {
                *inside(&told) = Some(error);
                Err(rsm::Error::with(Code::Interrupted, "a handler of a signal has raised"))
            }
            Some(Ok(())) | None => Ok(()),
        }
    }
}

/// Asks a condition of the program's; what that raises ends the wait as if it held.
pub(crate) fn holds(condition: &Py<PyAny>, told: &Told, value: u64) -> bool {
    let asked = Python::try_attach(|py| condition.bind(py).call1((value,))?.is_truthy());
    match asked {
        Some(Ok(holds)) => holds,
        Some(Err(error)) => {
            *inside(told) = Some(error);
            true
        }
        // The interpreter has gone, and with it who waits.
        None => true,
    }
}
