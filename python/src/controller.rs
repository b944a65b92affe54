//! Nodes and their controllers: a place in a cluster, and the way to others.

use crate::errors::Told;
use crate::export::Export;
use crate::import::Import;
use crate::{args, blocking, local, records};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::time::Duration;

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
        blocking::request(py, rsm::Node::current).map(Node::new)
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

/// An interconnect adapter of the local node. `Controller("shm0")` opens one of the node that this process is part of by its
/// environment, as `python -m rsmapi.run` and `rsm-ctl run` set it; without one, a private cluster of one node is started.
///
/// Raises CtlrNotPresent when there is no such controller, or no cluster where the environment says. Joins: waits for the
/// agent, at most 30 s.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Controller {
    controller: rsm::Controller,
}

impl Controller {
    pub(crate) fn new(controller: rsm::Controller) -> Controller {
        Controller { controller }
    }

    pub(crate) fn inner(&self) -> &rsm::Controller {
        &self.controller
    }
}

/// The segment ids reserved for the application `appid`, by /etc/rsm/rsm.segmentid or the file that RSM_SEGMENTID_FILE names:
/// the first one and how many. Purely a look-up: nothing is reserved by it.
///
/// Raises BadConf when the file cannot be read or a line before the match is malformed; BadAppid when no line names it.
#[pyfunction]
pub(crate) fn reserved_segment_ids(py: Python<'_>, appid: &str) -> PyResult<(u32, u32)> {
    let (first, count) = rsm::reserved_segment_ids(appid).told(py)?;
    Ok((first.get(), count))
}

/// Has the run that this process is part of end with an exit code, 0 to 255: all that `python -m rsmapi.run`, `rsm-ctl run` or a
/// test on real nodes has started together, by the launcher's rules. It returns when the launcher has heard it; call `sys.exit`
/// then. The others may end by themselves for the grace; the run ends with `code` however they end.
///
/// Raises CtlrNotPresent when no launcher has started this process, or it has gone; PermDenied when this process has become
/// another user's, whom it does not hear; Timeout when it does not answer within ten seconds; BadArgsErrors for another code.
#[pyfunction]
pub(crate) fn end_run(py: Python<'_>, code: &Bound<'_, PyAny>) -> PyResult<()> {
    let code = args::exit_code(code)?;
    py.detach(|| rsm::end_run(code)).told(py)
}

#[pymethods]
impl Controller {
    #[new]
    #[pyo3(signature = (name="shm0"))]
    pub(crate) fn open(py: Python<'_>, name: &str) -> PyResult<Controller> {
        blocking::request(py, || rsm::Controller::open(name)).map(Controller::new)
    }

    /// Name of the controller, such as `shm0`.
    #[getter]
    fn name(&self) -> String {
        self.controller.name()
    }

    /// The node that the controller belongs to.
    #[getter]
    fn node(&self) -> Node {
        Node::new(self.controller.node().clone())
    }

    /// Limits of the controller. Sizes are in bytes, but for the page size.
    #[getter]
    fn attributes(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        records::attributes(py, &self.controller.attributes())
    }

    /// Creates an export segment of `length` zeroed bytes, a multiple of the page size; private until published. `sealed`: others
    /// can only read it, whatever they try. `huge`: in huge pages, whose size it must have at least. Waits for the agent.
    ///
    /// Raises BadLength for 0 and above the controller's limit; BadMemAlignment when `length` is no multiple of the page size;
    /// InsufficientMem, InsufficientResources; CtlrNotPresent when the cluster has ended, or without huge pages.
    #[pyo3(signature = (length, *, sealed=false, huge=false))]
    fn export(&self, py: Python<'_>, length: &Bound<'_, PyAny>, sealed: bool, huge: bool) -> PyResult<Export> {
        let (length, controller) = (args::length(length)?, &self.controller);
        let export = match (sealed, huge) {
            (false, false) => blocking::request(py, || controller.export(length)),
            (true, false) => blocking::request(py, || controller.export_sealed(length)),
            (false, true) => blocking::request(py, || controller.export_huge(length)),
            (true, true) => Err(PyValueError::new_err("a segment is sealed or in huge pages, not both")),
        }?;
        Ok(Export::new(export, None))
    }

    /// Exports memory that the program has, in place: an object with a writable buffer that begins and ends with a page, such as
    /// `mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)`. Contents stay; the object cannot be closed or resized
    /// until the export is destroyed, which `destroy` alone does when the object refers to it. Waits for the agent, and until the
    /// memory has been moved.
    ///
    /// Raises BadLength, BadMemAlignment; BadAddr when it is mapped shared, overlaps another export without being equal to it, or
    /// cannot be written; otherwise as `export`.
    fn adopt(&self, memory: &Bound<'_, PyAny>) -> PyResult<Export> {
        let (export, local) = local::adopt(memory, &self.controller)?;
        Ok(Export::new(export, Some(local)))
    }

    /// Connects to the segment that `node` publishes as `segment_id`, with `permission` ("r", "w", "rw" or a Permission; both
    /// rights without it). Fails at once when it is not published; with `within` it waits for at most so many seconds until it is,
    /// asleep. Lets other threads go on; Ctrl-C ends it.
    ///
    /// Raises SegNotPublished, SegNotPublishedToNode, PermDenied; RemoteNodeUnreachable when there is no such node, or the link to it
    /// is down; CtlrNotPresent for another node through loopback and when the cluster has ended; InsufficientResources,
    /// InsufficientMem; with `within` Timeout, which says what was missing.
    #[pyo3(signature = (node, segment_id, permission=None, *, within=None))]
    fn connect(
        &self,
        py: Python<'_>,
        node: &Bound<'_, PyAny>,
        segment_id: &Bound<'_, PyAny>,
        permission: Option<&Bound<'_, PyAny>>,
        within: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Import> {
        let (node, id) = (args::node(node)?, args::segment_id(segment_id)?);
        let permission = permission.map_or(Ok(rsm::Permission::ReadWrite), args::permission)?;
        let controller = &self.controller;
        let import = match within {
            None => blocking::request(py, || controller.connect(node, id, permission)),
            Some(within) => {
                let within = args::timeout(Some(within))?;
                let connect = |step: Option<Duration>| {
                    controller.connect_within(node, id, permission, step.unwrap_or(Duration::MAX))
                };
                blocking::wait(py, within, connect)
            }
        }?;
        Ok(Import::new(import))
    }

    /// Connects to a segment of the cluster, which no node owns: for flags, counters and barriers that outlive whoever made them.
    /// The first process that asks for an id makes the segment, of `length` zeroed bytes, a multiple of the page size; it stays until
    /// the cluster ends, and nobody can take it back. All ask for the same length. `access`, as for `Export.publish`, counts if this
    /// call makes it. What is returned is an import like any other, but that there is nobody to signal or to be signalled by. Who has
    /// to do with memory that is there already, or waits until it is, connects to node 0, `rsmapi.CLUSTER_NODE`. Waits for the agent.
    ///
    /// Raises BadLength, also when the segment is there with another length; BadMemAlignment; ReservedSegid, also for id 0; BadAcl;
    /// PermDenied, SegNotPublishedToNode; CtlrNotPresent through loopback and when the cluster has ended; InsufficientMem,
    /// InsufficientResources, also where there are 256 such segments.
    #[pyo3(signature = (segment_id, length, permission=None, access=None))]
    fn common(
        &self,
        py: Python<'_>,
        segment_id: &Bound<'_, PyAny>,
        length: &Bound<'_, PyAny>,
        permission: Option<&Bound<'_, PyAny>>,
        access: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Import> {
        let (id, length) = (args::segment_id(segment_id)?, args::length(length)?);
        let permission = permission.map_or(Ok(rsm::Permission::ReadWrite), args::permission)?;
        let (access, controller) = (args::access(access)?, &self.controller);
        blocking::request(py, || controller.common(id, length, permission, &access)).map(Import::new)
    }

    fn __repr__(&self) -> String {
        format!("<rsmapi.Controller {:?} of node {}>", self.controller.name(), self.controller.node().id())
    }
}
