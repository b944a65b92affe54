//! Looking at running clusters.

use crate::errors::Told;
use crate::{args, blocking, records};
use pyo3::prelude::*;
use rsm::observe;

/// A look at a running cluster from outside: `name` is its name or address, and without one it is the cluster that
/// RSM_CLUSTER names, or the only one that runs.
///
/// Raises CtlrNotPresent when there is none, or more than one to choose from; PermDenied when its agent refuses; Timeout when
/// its agent does not answer for 2 s.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Observer {
    observer: observe::Observer,
}

impl Observer {
    pub(crate) fn new(observer: observe::Observer) -> Observer {
        Observer { observer }
    }
}

/// The clusters that run in this network namespace: name, user id, and the address that finds exactly this one.
///
/// Raises CtlrNotPresent without /proc.
#[pyfunction]
pub(crate) fn clusters(py: Python<'_>) -> PyResult<Vec<(String, u32, String)>> {
    let found = py.detach(observe::clusters).told(py)?;
    Ok(found.into_iter().map(|cluster| (cluster.name.clone(), cluster.uid, cluster.address())).collect())
}

#[pymethods]
impl Observer {
    #[new]
    #[pyo3(signature = (name=None))]
    fn attach(py: Python<'_>, name: Option<&str>) -> PyResult<Observer> {
        blocking::request(py, || observe::Observer::attach(name)).map(Observer::new)
    }

    /// Whether the cluster has ended.
    #[getter]
    fn is_gone(&self) -> bool {
        self.observer.is_gone()
    }

    /// A picture of everything at once. Asks the agent for the processes, 2 s at most.
    fn snapshot(&self, py: Python<'_>) -> Snapshot {
        Snapshot { snapshot: py.detach(|| self.observer.snapshot()) }
    }

    /// Sleeps until the cluster may look different from the snapshot `seen`, at most `timeout` seconds. Lets other threads go on; Ctrl-C ends it.
    ///
    /// Raises Timeout; CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (seen, timeout=None))]
    fn wait(&self, py: Python<'_>, seen: &Bound<'_, Snapshot>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (seen, timeout) = (&seen.get().snapshot, args::timeout(timeout)?);
        blocking::wait(py, timeout, |step| self.observer.wait(seen, step))
    }

    /// The processes of all nodes, in the order in which they joined. Asks the agent.
    ///
    /// Raises Timeout when the agent does not answer for 2 s, CtlrNotPresent when the cluster has ended.
    fn processes(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let processes = blocking::request(py, || self.observer.processes())?;
        records::told(py, &processes)
    }

    /// What processes wait for: signals, and segments that are not published. Asks the agent.
    ///
    /// Raises Timeout when the agent does not answer for 2 s, CtlrNotPresent when the cluster has ended.
    fn waits(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let waits = blocking::request(py, || self.observer.waits())?;
        records::told(py, &waits)
    }

    /// What each process has transferred and signalled since an observer first asked; loads and stores through mappings are not seen.
    /// Asks the agent, and has the processes count until this observer goes.
    ///
    /// Raises Timeout when the agent does not answer for 2 s, CtlrNotPresent when the cluster has ended.
    fn activity(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let activity = blocking::request(py, || self.observer.activity())?;
        records::told(py, &activity)
    }
}

/// A cluster as it stood at one moment, from `Observer.snapshot()`. Its parts are dictionaries, as in docs/json.md.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Snapshot {
    snapshot: observe::Snapshot,
}

#[pymethods]
impl Snapshot {
    /// A cluster with nothing in it: everything there is counts as a change since.
    #[staticmethod]
    fn empty() -> Snapshot {
        Snapshot { snapshot: observe::Snapshot::empty() }
    }

    /// The cluster as a whole.
    #[getter]
    fn cluster(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.cluster)
    }

    /// Its nodes.
    #[getter]
    fn nodes(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.nodes)
    }

    /// Its processes; None when the agent did not answer.
    #[getter]
    fn processes(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.processes)
    }

    /// Its controllers.
    #[getter]
    fn controllers(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.controllers)
    }

    /// Its export segments.
    #[getter]
    fn segments(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.segments)
    }

    /// Its connections, cut ones that importers still hold included.
    #[getter]
    fn connections(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.connections)
    }

    /// Its links, each direction by itself.
    #[getter]
    fn links(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.links)
    }

    /// Changes since an earlier snapshot of the same cluster, in an order in which they can have happened. What came and went in
    /// between is not seen.
    fn changes_since(&self, py: Python<'_>, before: &Bound<'_, Snapshot>) -> PyResult<Py<PyAny>> {
        records::told(py, &self.snapshot.changes_since(&before.get().snapshot))
    }
}
