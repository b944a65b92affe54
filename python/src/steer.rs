//! Disturbing a running cluster from outside.

use crate::observe::Observer;
use crate::{args, blocking};
use pyo3::prelude::*;
use rsm::steer::{self, Links};
use std::collections::BTreeMap;

/// The right to disturb a cluster: `Cluster.steering()`, or `Steering(name)` for one of your own that runs (another user's is
/// named by its address, `rsm:UID:NAME`). What a call changes is in force when it returns; processes that sleep or are stopped
/// learn of it when they run. Each call waits for the agent.
///
/// Raises CtlrNotPresent when there is no such cluster, PermDenied when its agent refuses.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Steering {
    steering: steer::Steering,
}

impl Steering {
    pub(crate) fn new(steering: steer::Steering) -> Steering {
        Steering { steering }
    }
}

fn links(a: &Bound<'_, PyAny>, b: &Bound<'_, PyAny>, one_way: bool, controller: Option<&str>) -> PyResult<Links> {
    let (a, b) = (args::node(a)?, args::node(b)?);
    let links = if one_way { Links::one_way(a, b) } else { Links::between(a, b) };
    Ok(match controller {
        Some(controller) => links.through(controller),
        None => links,
    })
}

#[pymethods]
impl Steering {
    #[new]
    #[pyo3(signature = (name=None))]
    fn attach(py: Python<'_>, name: Option<&str>) -> PyResult<Steering> {
        blocking::request(py, || steer::Steering::attach(name)).map(Steering::new)
    }

    /// An observer of the same cluster.
    fn observer(&self) -> Observer {
        Observer::new(self.steering.observer())
    }

    /// Takes the links between two nodes down until `link_up`: imports through them are aborted. Returns how many were.
    ///
    /// A direction belongs to the imports of one node from another: with `one_way` only those of node `a` from node `b`. Through
    /// every controller but loopback, or through `controller`.
    ///
    /// Raises CtlrNotPresent when there is no such controller; RemoteNodeUnreachable when there is no such node; PermDenied.
    #[pyo3(signature = (a, b, *, one_way=false, controller=None))]
    fn link_down(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        b: &Bound<'_, PyAny>,
        one_way: bool,
        controller: Option<&str>,
    ) -> PyResult<u32> {
        let links = links(a, b, one_way, controller)?;
        blocking::request(py, || self.steering.link_down(&links))
    }

    /// Brings links up that were taken down: connects work again. What was aborted stays aborted.
    ///
    /// A direction belongs to the imports of one node from another: with `one_way` only those of node `a` from node `b`. Through
    /// every controller but loopback, or through `controller`.
    ///
    /// Raises CtlrNotPresent when there is no such controller; RemoteNodeUnreachable when there is no such node; PermDenied.
    #[pyo3(signature = (a, b, *, one_way=false, controller=None))]
    fn link_up(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        b: &Bound<'_, PyAny>,
        one_way: bool,
        controller: Option<&str>,
    ) -> PyResult<()> {
        let links = links(a, b, one_way, controller)?;
        blocking::request(py, || self.steering.link_up(&links))
    }

    /// Counts an error on links: every span and implicit transfer under way raises BarrierFailure.
    ///
    /// A direction belongs to the imports of one node from another: with `one_way` only those of node `a` from node `b`. Through
    /// every controller but loopback, or through `controller`.
    ///
    /// Raises CtlrNotPresent when there is no such controller; RemoteNodeUnreachable when there is no such node; PermDenied.
    #[pyo3(signature = (a, b, *, one_way=false, controller=None))]
    fn link_error(
        &self,
        py: Python<'_>,
        a: &Bound<'_, PyAny>,
        b: &Bound<'_, PyAny>,
        one_way: bool,
        controller: Option<&str>,
    ) -> PyResult<()> {
        let links = links(a, b, one_way, controller)?;
        blocking::request(py, || self.steering.link_error(&links))
    }

    /// Kills (SIGKILL) every process of a node. Returns how many there were.
    ///
    /// Raises RemoteNodeUnreachable when there is no such node, or no process of it has joined; PermDenied when the node lives in
    /// the agent's own process.
    fn node_kill(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<u32> {
        let node = args::node(node)?;
        blocking::request(py, || self.steering.node_kill(node))
    }

    /// Stops (SIGSTOP) every process of a node until `node_cont`. Returns how many there were.
    ///
    /// Raises RemoteNodeUnreachable when there is no such node, or no process of it has joined; PermDenied when the node lives in
    /// the agent's own process.
    fn node_stop(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<u32> {
        let node = args::node(node)?;
        blocking::request(py, || self.steering.node_stop(node))
    }

    /// Lets every process of a node go on (SIGCONT). Returns how many there were.
    ///
    /// Raises RemoteNodeUnreachable when there is no such node, or no process of it has joined; PermDenied when the node lives in
    /// the agent's own process.
    fn node_cont(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<u32> {
        let node = args::node(node)?;
        blocking::request(py, || self.steering.node_cont(node))
    }

    /// Takes a segment from its exporter, who may publish it again: its imports are aborted. Returns how many were.
    ///
    /// Raises SegNotPublished, naming what the node publishes; RemoteNodeUnreachable when there is no such node.
    fn revoke_segment(&self, py: Python<'_>, node: &Bound<'_, PyAny>, segment_id: &Bound<'_, PyAny>) -> PyResult<u32> {
        let (node, id) = (args::node(node)?, args::segment_id(segment_id)?);
        blocking::request(py, || self.steering.revoke_segment(node, id))
    }

    /// The environment variables that make a program a process of `node`, its key included.
    ///
    /// Raises RemoteNodeUnreachable when there is no such node.
    fn environment(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<BTreeMap<&'static str, String>> {
        let node = args::node(node)?;
        let environment = blocking::request(py, || self.steering.environment(node))?;
        Ok(environment.into_iter().collect())
    }
}
