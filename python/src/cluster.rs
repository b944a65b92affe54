//! A cluster whose agent lives in this process.

use crate::args::{self, LensWords};
use crate::controller::Node;
use crate::errors::Told;
use crate::held::{Held, Refusal, drop_aside};
use crate::steer::Steering;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rsm::Code;
use std::collections::BTreeMap;

/// A cluster whose agent is a thread of this process: for tests, and for programs that are a whole cluster.
///
/// `nodes` is their number, 1 to 63; ids are 1 to this number. `name` is what `rsm-ctl ls` shows, `controllers` the names of
/// the controllers that reach every node, in place of `shm0` alone. With the others the cluster is seen through a lens:
/// `chaos` is a seed (7, "7:storm") by which stores and signals are late and out of order, as far as `model` ("tso", "pcie"
/// or "sci") permits; `faults` names what goes wrong now and then ("error,revoke", "all"); with `profile` calls take as long
/// as on that interconnect, or, with `virtual_time`, only add it up.
///
/// The cluster ends with `close()`, at the end of a `with` statement, or with the object: members keep what they have mapped,
/// and every call that needs the agent raises CtlrNotPresent.
///
/// Raises BadConf for a bad or taken name and for what is no seed, model, fault or profile; BadLength for a bad number of
/// nodes; CtlrNotPresent where the kernel lacks a feature; InsufficientResources, InsufficientMem.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Cluster {
    held: Held<rsm::Cluster>,
    name: String,
    nodes: u32,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop_aside(self.held.leave());
    }
}

/// Node, process id, how many, and the last one in words.
type ProcessFaults = (u32, u32, u64, Option<String>);

#[pymethods]
impl Cluster {
    #[new]
    #[pyo3(signature = (nodes, *, name=None, controllers=None, chaos=None, model=None, faults=None, profile=None,
                        virtual_time=false))]
    #[allow(clippy::too_many_arguments)] // they have names in Python
    fn new(
        py: Python<'_>,
        nodes: &Bound<'_, PyAny>,
        name: Option<&str>,
        controllers: Option<Vec<String>>,
        chaos: Option<&Bound<'_, PyAny>>,
        model: Option<String>,
        faults: Option<String>,
        profile: Option<String>,
        virtual_time: bool,
    ) -> PyResult<Cluster> {
        let nodes = args::number(nodes, "a number of nodes", u32::MAX.into(), Code::BadLength)? as u32;
        let words = LensWords { chaos: args::seed(chaos)?, model, faults, profile, is_virtual: virtual_time };
        let mut builder = rsm::Cluster::builder(nodes);
        if let Some(name) = name {
            builder = builder.name(name);
        }
        if let Some(controllers) = controllers {
            builder = builder.controllers(controllers);
        }
        if let Some(lens) = args::lens(py, &words)? {
            builder = builder.lens(lens);
        }
        let cluster = py.detach(|| builder.start()).told(py)?;
        let (name, nodes) = (cluster.name().to_owned(), cluster.node_count());
        Ok(Cluster { held: Held::new(cluster, "the cluster was closed"), name, nodes })
    }

    /// Name of the cluster, as `rsm-ctl ls` shows it.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    /// Number of nodes; their ids are 1 to this number.
    #[getter]
    fn node_count(&self) -> u32 {
        self.nodes
    }

    /// Joins as `node` from inside this process. Called again, it gives the same membership.
    ///
    /// Raises CtlrNotPresent when there is no such node, or the cluster was closed; InsufficientResources, InsufficientMem.
    fn node(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<Node> {
        let (cluster, node) = (self.held.get(py)?, args::node(node)?);
        py.detach(|| cluster.node(node)).told(py).map(Node::new)
    }

    /// The environment variables that make a program a process of `node`, its key included.
    ///
    /// Raises CtlrNotPresent when there is no such node.
    fn environment(&self, py: Python<'_>, node: &Bound<'_, PyAny>) -> PyResult<BTreeMap<&'static str, String>> {
        let environment = self.held.get(py)?.environment(args::node(node)?).told(py)?;
        Ok(environment.into_iter().collect())
    }

    /// The right to disturb the cluster.
    ///
    /// Raises InsufficientResources, InsufficientMem.
    fn steering(&self, py: Python<'_>) -> PyResult<Steering> {
        let cluster = self.held.get(py)?;
        py.detach(|| cluster.steering()).told(py).map(Steering::new)
    }

    /// Node and process id of each process that was killed on purpose, in that order.
    fn kills(&self, py: Python<'_>) -> PyResult<Vec<(u32, u32)>> {
        Ok(self.held.get(py)?.kills())
    }

    /// What became of late stores and signals, in a cluster with a lens: node, process id, number of pieces delivered, and how
    /// many of them out of order.
    fn deliveries(&self, py: Python<'_>) -> PyResult<Vec<(u32, u32, u64, u64)>> {
        let told = self.held.get(py)?.deliveries();
        Ok(told.into_iter().map(|(node, pid, told)| (node, pid, told.pieces, told.out_of_order)).collect())
    }

    /// The faults that processes were given, in a cluster with any: node, process id, how many, and the last one in words.
    fn faults(&self, py: Python<'_>) -> PyResult<Vec<ProcessFaults>> {
        let told = self.held.get(py)?.faults();
        Ok(told
            .into_iter()
            .map(|(node, pid, told)| (node, pid, told.count, told.last.map(|l| l.to_string())))
            .collect())
    }

    /// How long calls would have taken, where time is virtual: node, process id, seconds.
    fn modelled(&self, py: Python<'_>) -> PyResult<Vec<(u32, u32, f64)>> {
        let told = self.held.get(py)?.modelled();
        Ok(told.into_iter().map(|(node, pid, time)| (node, pid, time.as_secs_f64())).collect())
    }

    /// Ends the cluster. Once is enough; again it does nothing.
    ///
    /// Raises SegInUse while another thread is in a call of it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.held.take() {
            Ok((cluster, _away)) => {
                py.detach(|| drop(cluster));
                Ok(())
            }
            // Closed before: as files have it.
            Err(Refusal::Gone) => Ok(()),
            Err(refusal) => Err(refusal.told(py, self.held.gone(), "the cluster")),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("<rsmapi.Cluster {:?} of {} nodes>", self.name, self.nodes)
    }
}
