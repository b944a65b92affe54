//! Who imports an export.

use crate::{args, blocking, records};
use pyo3::prelude::*;
use rsm::{Code, Error, ImporterEvent};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Mutex;

/// Events of an export's importers, as they come and go, from `Export.watch_importers()`.
///
/// It is the difference of two looks, each made when an event is asked for: who came and went in between is told as having
/// done both. What an importer put and signalled before it left is visible to who is told that it left.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct ImporterEvents {
    events: Mutex<rsm::ImporterEvents>,
    descriptor: i32,
}

impl ImporterEvents {
    pub(crate) fn new(events: rsm::ImporterEvents) -> ImporterEvents {
        let descriptor = events.as_fd().as_raw_fd();
        ImporterEvents { events: Mutex::new(events), descriptor }
    }
}

#[pymethods]
impl ImporterEvents {
    /// The next event, as an ImporterEvent; waits for at most `timeout` seconds, for ever with None, not at all with 0. Lets
    /// other threads go on; Ctrl-C ends it.
    ///
    /// Raises Timeout; BadSegHndl once the export is gone and all its importers were told to have left; SegInUse while another
    /// thread waits for these events; CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (timeout=None))]
    fn next(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let event = blocking::wait(py, args::timeout(timeout)?, |step| match self.events.try_lock() {
            Ok(mut events) => events.next(step),
            Err(_) => Err(Error::with(Code::SegInUse, "another thread waits for these events")),
        })?;
        let (what, importer, why) = match event {
            ImporterEvent::Connected(importer) => ("connected", importer, None),
            ImporterEvent::Left(importer, cause) => ("left", importer, cause.map(|cause| cause.to_string())),
            _ => return Err(crate::errors::refused(py, Code::InternalError, format!("an unknown event: {event:?}"))),
        };
        records::importer_event(py, what, importer, why)
    }

    /// A descriptor that is readable when there is an event to ask for, and at times when there is not: the object itself can
    /// be given to `select` and `selectors`. Read, write and close nothing through it.
    fn fileno(&self) -> i32 {
        self.descriptor
    }
}
