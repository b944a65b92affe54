//! Exports: memory that other nodes may reach.
#![allow(unsafe_code)] // the buffer protocol: see `view`

use crate::errors::{Told, raised, refused};
use crate::held::{Away, Held, Refusal, drop_aside};
use crate::importers::ImporterEvents;
use crate::local::{self, Local};
use crate::view;
use crate::{args, blocking};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use rsm::Code;
use rustix::process::{Pid, getpid};
use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// An export segment: memory that other nodes may reach. It is a buffer: `memoryview(export)` and `numpy.frombuffer(export)`
/// are the memory itself, which importers read and write at any time.
///
/// The segment is destroyed with `destroy()`, at the end of a `with` statement, or with the object. In a forked child it can
/// be read, written, waited and posted on; what changes it raises NotCreator.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Export {
    held: Held<rsm::Export>,
    length: usize,
    /// The process that made it, and may change it.
    creator: Pid,
    /// Memory of Python's that is exported: released after the export has gone.
    adopted: Mutex<Option<Local>>,
}

impl Export {
    pub(crate) fn new(export: rsm::Export, adopted: Option<Local>) -> Export {
        let length = export.len();
        let held = Held::new(export, "the export was destroyed");
        Export { held, length, creator: getpid(), adopted: Mutex::new(adopted) }
    }

    fn take(&self, py: Python<'_>) -> PyResult<(rsm::Export, Away<'_, rsm::Export>)> {
        self.held.take().map_err(|refusal| match refusal {
            // Threads of the parent's that were in a call of it are not here to end that.
            Refusal::Used if getpid() != self.creator => {
                refused(py, Code::NotCreator, "the export belongs to the process that this one was forked from")
            }
            refusal => refusal.told(py, self.held.gone(), "this export"),
        })
    }

    fn adopted(&self) -> std::sync::MutexGuard<'_, Option<Local>> {
        self.adopted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        drop_aside(self.held.leave());
    }
}

#[pymethods]

impl Export {
    /// Length of the segment in bytes.
    fn __len__(&self) -> usize {
        self.length
    }

    /// Makes the segment importable under `segment_id` (0x400000 to 0x7fffffff), or under an automatic id; returns the id.
    ///
    /// `access` says who may connect: "everyone" (the default: reading and writing, every user), "readers", "default" (as the
    /// umask says, which is what C programs get), or permissions by node, read like file modes: `{2: 0o600, 3: 0o444}` lets in
    /// nodes 2 and 3. Waits for the agent.
    ///
    /// Raises SegAlreadyPublished; ReservedSegid for other ids; SegidInUse on this node; BadAcl; NotCreator in a forked child;
    /// InsufficientResources when a former importer still reaches the memory; CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (segment_id=None, access=None))]
    fn publish(
        &self,
        py: Python<'_>,
        segment_id: Option<&Bound<'_, PyAny>>,
        access: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u32> {
        let id = segment_id.map_or(Ok(rsm::SegmentId::any()), args::segment_id)?;
        let (export, access) = (self.held.get(py)?, args::access(access)?);
        blocking::request(py, || export.publish(id, &access)).map(rsm::SegmentId::get)
    }

    /// Replaces the access list. Connections that exist keep what they have. Waits for the agent.
    ///
    /// Raises SegNotPublished, NotCreator; BadAcl, and the old list stays.
    fn republish(&self, py: Python<'_>, access: &Bound<'_, PyAny>) -> PyResult<()> {
        let (export, access) = (self.held.get(py)?, args::access(Some(access))?);
        blocking::request(py, || export.republish(&access))
    }

    /// Takes the segment back: when this returns, nobody reaches its memory any more. Imports are aborted, and their mappings lead
    /// to trash pages. Sleeps until every importer has let go; from one that has not after 100 ms the memory is moved away, in
    /// place.
    ///
    /// Raises SegNotPublished, NotCreator; InsufficientMem when there is no memory to move to; InsufficientResources when the same
    /// range is published as another segment too.
    fn unpublish(&self, py: Python<'_>) -> PyResult<()> {
        let export = self.held.get(py)?;
        blocking::request(py, || export.unpublish())
    }

    /// Replaces the memory of an export made with `adopt` by that of another such object, of the same length. Importers stay
    /// connected, and see the contents of the new one; the old one is ordinary memory again. Transfers that meet it raise
    /// BarrierFailure, and are to be done again.
    ///
    /// Raises BadAddr, BadLength, PermDenied; RebindNotAllowed when the memory was not adopted; NotCreator in a forked child;
    /// SegStillMapped while there is a view of the old memory; SegInUse while another thread is in a call of it.
    fn rebind(&self, memory: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = memory.py();
        let (mut export, away) = self.take(py)?;
        let rebound = local::rebind(memory, &mut export);
        away.give_back(export);
        // The old memory is the program's again.
        let old = self.adopted().replace(rebound?);
        drop(old);
        Ok(())
    }

    /// Withdraws the segment if it is published, and gives its memory up. Waits as `unpublish` does.
    ///
    /// Raises SegStillMapped while there is a view of its memory (memoryview, numpy array); SegInUse while another thread is in a
    /// call of it; InsufficientMem, InsufficientResources when adopted memory cannot be given back, and it can be tried again;
    /// CtlrNotPresent when the cluster has ended, and the segment with it; BadSegHndl when it was destroyed already.
    fn destroy(&self, py: Python<'_>) -> PyResult<()> {
        let (mut export, away) = self.take(py)?;
        loop {
            let failed = match py.detach(|| export.try_destroy()) {
                Ok(()) => break,
                Err(error) if error.code() == Code::Interrupted => match py.check_signals() {
                    Ok(()) => continue,
                    Err(raised) => raised,
                },
                Err(error) => raised(py, &error),
            };
            // One that has gone with its cluster is not there to be tried again.
            if !export.is_empty() {
                away.give_back(export);
            }
            return Err(failed);
        }
        py.detach(|| drop(export));
        let memory = self.adopted().take();
        drop(memory);
        Ok(())
    }

    /// Posts a signal to every import of the segment that there is now; with `accumulate=False` to those that have none pending.
    /// Without importers it does nothing.
    ///
    /// Raises CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (*, accumulate=true))]
    fn signal(&self, py: Python<'_>, accumulate: bool) -> PyResult<()> {
        let export = self.held.get(py)?;
        py.detach(|| if accumulate { export.signal() } else { export.signal_no_accumulate() }).told(py)
    }

    /// Takes one signal that an importer posted; waits for at most `timeout` seconds, for ever with None, not at all with 0. What
    /// an importer put before it posted is visible afterwards. Lets other threads go on; Ctrl-C ends it.
    ///
    /// Raises Timeout; CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (export, timeout) = (self.held.get(py)?, args::timeout(timeout)?);
        blocking::wait(py, timeout, |step| export.wait(step))
    }

    /// Takes one signal as `wait` does, but waits no longer than there is somebody who could post one: ends when the segment was
    /// imported since it was last published and nobody imports it any more, or when it is not published. Lets other threads go on; Ctrl-C ends it.
    ///
    /// Raises SegNotConnected when nobody is left; Timeout; CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (timeout=None))]
    fn wait_while_imported(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (export, timeout) = (self.held.get(py)?, args::timeout(timeout)?);
        blocking::wait(py, timeout, |step| export.wait_while_imported(step))
    }

    /// As `wait`, for asyncio: a coroutine that takes one signal while other tasks go on. One that is cancelled takes nothing.
    ///
    /// Raises as `wait`, and InsufficientResources without descriptors or room for the thread that serves them.
    #[pyo3(signature = (timeout=None))]
    fn wait_async(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        args::timeout(timeout)?;
        slf.py().import("rsmapi._waiting")?.getattr("wait")?.call1((slf, timeout)).map(Bound::unbind)
    }

    /// A descriptor that is readable while a signal is pending here: the object itself can be given to `select` and `selectors`. Polling
    /// takes nothing: `wait(0)` does. Read, write and close nothing through it; it is good for as long as the object.
    ///
    /// Raises InsufficientResources without descriptors or room for the thread that serves it.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let export = self.held.get(py)?;
        let descriptor = py.detach(|| export.poll_descriptor()).told(py)?;
        Ok(descriptor.as_fd().as_raw_fd())
    }

    /// Events of importers from now on, as they come and go; those that are connected already come first.
    ///
    /// Raises InsufficientResources without descriptors or room for the thread that serves it.
    fn watch_importers(&self, py: Python<'_>) -> PyResult<ImporterEvents> {
        let export = self.held.get(py)?;
        py.detach(|| export.watch_importers()).told(py).map(ImporterEvents::new)
    }

    /// The word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
    /// visible afterwards (acquire).
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 4; BadOffset; PermDenied; BadSegHndl when the memory has gone.
    fn load_u32(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u32> {
        // Acquire: pairs with the Release of whoever stored the word, by `store_u32` for one.
        self.held.get(py)?.memory().load_u32(args::offset(offset)?, Ordering::Acquire).told(py)
    }

    /// The word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
    /// visible afterwards (acquire).
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 8; BadOffset; PermDenied; BadSegHndl when the memory has gone.
    fn load_u64(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u64> {
        // Acquire: pairs with the Release of whoever stored the word, by `store_u64` for one.
        self.held.get(py)?.memory().load_u64(args::offset(offset)?, Ordering::Acquire).told(py)
    }

    /// Stores a word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
    /// visible to who loads it (release).
    ///
    /// Raises OverflowError for what is no such word; otherwise as `load_u32`.
    fn store_u32(&self, py: Python<'_>, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // Release: pairs with the Acquire of whoever loads the word, by `load_u32` for one.
        let (export, value) = (self.held.get(py)?, args::word(value, 32)? as u32);
        export.memory().store_u32(args::offset(offset)?, value, Ordering::Release).told(py)?;
        Ok(())
    }

    /// Stores a word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
    /// visible to who loads it (release).
    ///
    /// Raises OverflowError for what is no such word; otherwise as `load_u64`.
    fn store_u64(&self, py: Python<'_>, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        // Release: pairs with the Acquire of whoever loads the word, by `load_u64` for one.
        let (export, value) = (self.held.get(py)?, args::word(value, 64)?);
        export.memory().store_u64(args::offset(offset)?, value, Ordering::Release).told(py)?;
        Ok(())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.held.peek().is_some() { self.destroy(py) } else { Ok(()) }
    }

    unsafe fn __getbuffer__(slf: &Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: Python's, and its own part.
        unsafe { view::fill(slf.as_any(), &slf.get().held, view, flags) }
    }

    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.held.unview();
    }

    fn __repr__(&self) -> String {
        let state = if self.held.peek().is_some() { "" } else { ", destroyed" };
        format!("<rsmapi.Export of {} bytes{state}>", self.length)
    }
}
