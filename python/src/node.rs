//! A node, as one of its processes sees it.

use crate::controller::Controller;
use crate::errors::Told;
use crate::records;
use pyo3::prelude::*;

/// Membership of this process in a cluster, as one of the processes of a node: from `Node.current()` or `Cluster.node()`.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Node {
    node: rsm::Node,
}

impl Node {
    pub(crate) fn new(node: rsm::Node) -> Node {
        Node { node }
    }
}

#[pymethods]
impl Node {
    /// The node that this process is part of by its environment, as `python -m rsmapi.run` and `rsm-ctl run` set it. Without one, a
    /// private cluster of one node is started in this process. Waits for the agent, at most 30 s.
    ///
    /// Raises CtlrNotPresent when the environment names a cluster that does not run, or is incomplete.
    #[staticmethod]
    fn current(py: Python<'_>) -> PyResult<Node> {
        crate::blocking::request(py, rsm::Node::current).map(Node::new)
    }

    /// Id of the node.
    #[getter]
    fn id(&self) -> u32 {
        self.node.id()
    }

    /// Number of nodes of the cluster; their ids are 1 to this number. Not all of them need to have joined.
    #[getter]
    fn node_count(&self) -> u32 {
        self.node.node_count()
    }

    /// Opens a controller: `shm0`, and others that the cluster was started with, reach every node, `loopback` the local one only.
    ///
    /// Raises CtlrNotPresent when there is no such controller.
    #[pyo3(signature = (name="shm0"))]
    fn controller(&self, py: Python<'_>, name: &str) -> PyResult<Controller> {
        self.node.controller(name).told(py).map(Controller::new)
    }

    /// Nodes that this node reaches through each controller but loopback.
    fn topology(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::topology(py, &self.node.topology().told(py)?)
    }

    /// How long calls of this process would have taken so far, in seconds, where time is virtual; None elsewhere.
    fn modelled(&self) -> Option<f64> {
        self.node.modelled().map(|time| time.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        format!("<rsmapi.Node {} of {}>", self.id(), self.node_count())
    }
}
