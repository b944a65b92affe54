//! What is told of a cluster, as Python has it: dataclasses of `lib/rsmapi/records.py`, and dictionaries as in `docs/json.md`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rsm::{ControllerAttributes, Importer, LinkState, Topology};
use serde::Serialize;

fn record<'py>(py: Python<'py>, name: &str, fields: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    py.import("rsmapi.records")?.getattr(name)?.call((), Some(fields))
}

/// The attributes of a controller.
pub(crate) fn attributes(py: Python<'_>, of: &ControllerAttributes) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("direct_access_sizes", of.direct_access_sizes)?;
    fields.set_item("atomic_sizes", of.atomic_sizes)?;
    fields.set_item("page_size", of.page_size)?;
    fields.set_item("max_export_segment_size", of.max_export_segment_size)?;
    fields.set_item("tot_export_segment_size", of.tot_export_segment_size)?;
    fields.set_item("max_export_segments", of.max_export_segments)?;
    fields.set_item("max_import_map_size", of.max_import_map_size)?;
    fields.set_item("tot_import_map_size", of.tot_import_map_size)?;
    fields.set_item("max_import_segments", of.max_import_segments)?;
    record(py, "ControllerAttributes", &fields).map(Bound::unbind)
}

/// What a node can reach.
pub(crate) fn topology(py: Python<'_>, of: &Topology) -> PyResult<Py<PyAny>> {
    let mut controllers = Vec::new();
    for controller in &of.controllers {
        let mut remotes = Vec::new();
        for remote in &controller.remotes {
            let fields = PyDict::new(py);
            fields.set_item("node", remote.node)?;
            fields.set_item("name", &remote.name)?;
            fields.set_item("address", remote.address)?;
            fields.set_item("state", state(remote.state))?;
            remotes.push(record(py, "RemoteController", &fields)?);
        }
        let fields = PyDict::new(py);
        fields.set_item("name", &controller.name)?;
        fields.set_item("address", controller.address)?;
        fields.set_item("remotes", PyTuple::new(py, remotes)?)?;
        controllers.push(record(py, "LocalController", &fields)?);
    }
    let fields = PyDict::new(py);
    fields.set_item("local_node", of.local_node)?;
    fields.set_item("controllers", PyTuple::new(py, controllers)?)?;
    record(py, "Topology", &fields).map(Bound::unbind)
}

fn state(of: LinkState) -> &'static str {
    match of {
        LinkState::Down => "down",
        LinkState::Up => "up",
        LinkState::Active => "active",
    }
}

/// Something that happened to the connections of an export.
pub(crate) fn importer_event(
    py: Python<'_>,
    what: &str,
    importer: Importer,
    reason: Option<String>,
) -> PyResult<Py<PyAny>> {
    let fields = PyDict::new(py);
    fields.set_item("what", what)?;
    fields.set_item("node", importer.node)?;
    fields.set_item("pid", importer.pid)?;
    fields.set_item("connection", importer.connection)?;
    fields.set_item("reason", reason)?;
    record(py, "ImporterEvent", &fields).map(Bound::unbind)
}

/// Anything that `rsm-ctl --json` shows, as it does.
pub(crate) fn told(py: Python<'_>, what: &impl Serialize) -> PyResult<Py<PyAny>> {
    let text = serde_json::to_string(what).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    py.import("json")?.getattr("loads")?.call1((text,)).map(Bound::unbind)
}
