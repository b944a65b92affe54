//! What is done with an import: transfers, barriers, mappings, signals.

use crate::barrier::Barrier;
use crate::errors::{Told, refused, stopped};
use crate::held::{Refusal, drop_aside};
use crate::import::Import;
use crate::local::{self, Local};
use crate::mapping::Mapping;
use crate::{args, blocking};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use rsm::{BarrierMode, Code};
use rustix::process::getpid;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

impl Import {
    fn parts(parts: &Bound<'_, PyAny>, local: fn(&Bound<'_, PyAny>) -> PyResult<Local>) -> PyResult<Vec<(u64, Local)>> {
        let part = |part: PyResult<Bound<'_, PyAny>>| {
            let part = part?;
            let (offset, memory): (Bound<'_, PyAny>, Bound<'_, PyAny>) = part
                .extract()
                .map_err(|_| PyTypeError::new_err("a part of a vector is a tuple of an offset and a buffer"))?;
            Ok((args::offset(&offset)?, local(&memory)?))
        };
        parts.try_iter()?.map(part).collect()
    }

    fn put_word(&self, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, bits: u32) -> PyResult<()> {
        let py = offset.py();
        let (import, offset, value) = (self.held.get(py)?, args::offset(offset)?, args::word(value, bits)?);
        match bits {
            8 => import.put_u8(offset, value as u8),
            16 => import.put_u16(offset, value as u16),
            32 => import.put_u32(offset, value as u32),
            _ => import.put_u64(offset, value),
        }
        .told(py)
    }
}

#[pymethods]
impl Import {
    /// Length of the segment in bytes.
    fn __len__(&self) -> usize {
        self.length
    }

    /// The exporting node.
    #[getter]
    fn node(&self) -> u32 {
        self.node
    }

    /// Id under which the segment was published when this import connected.
    #[getter]
    fn segment_id(&self) -> u32 {
        self.segment_id
    }

    /// Rights of the connection.
    #[getter]
    fn permission(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let class = py.import("rsmapi.records")?.getattr("Permission")?;
        class.call1((self.permission.bits(),)).map(Bound::unbind)
    }

    /// Stores bytes at `offset`: of bytes, or of any object with a contiguous buffer, which is not copied. No word of them is
    /// promised to be of one piece.
    ///
    /// Raises PermDenied; BadOffset outside the segment; in implicit mode ConnAborted and BarrierFailure.
    fn put(&self, offset: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = offset.py();
        let (import, offset, data) = (self.held.get(py)?, args::offset(offset)?, Local::readable(data)?);
        local::put(py, &import, offset, &data).told(py)
    }

    /// Loads `length` bytes from `offset` on. No word of them is promised to be of one piece.
    ///
    /// Raises PermDenied; BadOffset outside the segment; in implicit mode ConnAborted and BarrierFailure.
    // Not named get in Rust: that gives the object.
    #[pyo3(name = "get")]
    fn get_bytes<'py>(
        &self,
        py: Python<'py>,
        offset: &Bound<'py, PyAny>,
        length: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (import, offset, length) = (self.held.get(py)?, args::offset(offset)?, args::length(length)?);
        if length > self.length {
            // Before there is memory for it.
            let text = format!("{length} bytes at offset {offset} of a segment of {} bytes", self.length);
            return Err(refused(py, Code::BadOffset, text));
        }
        PyBytes::new_with(py, length, |bytes| py.detach(|| import.get(offset, bytes)).told(py))
    }

    /// Loads bytes from `offset` on into all of a writable buffer (bytearray, numpy array ..), without a copy between.
    ///
    /// Raises PermDenied; BadOffset outside the segment; in implicit mode ConnAborted and BarrierFailure. Then the buffer has whatever was loaded.
    fn get_into(&self, offset: &Bound<'_, PyAny>, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = offset.py();
        let (import, offset, buffer) = (self.held.get(py)?, args::offset(offset)?, Local::writable(buffer)?);
        local::get(py, &import, offset, &buffer).told(py)
    }

    /// Stores several pieces, in order: `[(offset, data), ..]`. In implicit mode each is a span of its own.
    ///
    /// Raises as `put`; `completed` of the error is the number of parts that were completed before.
    fn putv(&self, py: Python<'_>, parts: &Bound<'_, PyAny>) -> PyResult<()> {
        let (import, parts) = (self.held.get(py)?, Import::parts(parts, Local::readable)?);
        local::put_all(py, &import, &parts).map_err(|error| stopped(py, &error))
    }

    /// Loads into several writable buffers, in order: `[(offset, buffer), ..]`. In implicit mode each is a span of its own.
    ///
    /// Raises as `get_into`; `completed` of the error is the number of parts that were completed before.
    fn getv(&self, py: Python<'_>, parts: &Bound<'_, PyAny>) -> PyResult<()> {
        let (import, parts) = (self.held.get(py)?, Import::parts(parts, Local::writable)?);
        local::get_all(py, &import, &parts).map_err(|error| stopped(py, &error))
    }

    /// Stores the items of a buffer (array, numpy array ..) from `offset` on, in ascending order, each with one access of its
    /// width: 1, 2, 4 or 8 bytes.
    ///
    /// Raises BadMemAlignment when `offset`, or where the buffer lies, is no multiple of the width; BadLength for another width;
    /// otherwise as `put`.
    fn put_words(&self, offset: &Bound<'_, PyAny>, words: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = offset.py();
        let (import, offset, words) = (self.held.get(py)?, args::offset(offset)?, Local::readable(words)?);
        local::put_items(&import, offset, &words).told(py)
    }

    /// Loads items from `offset` on into all of a writable buffer, in ascending order, each with one access of its width.
    ///
    /// Raises as `put_words`.
    fn get_words(&self, offset: &Bound<'_, PyAny>, words: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = offset.py();
        let (import, offset, words) = (self.held.get(py)?, args::offset(offset)?, Local::writable(words)?);
        local::get_items(&import, offset, &words).told(py)
    }

    /// Stores a word of 8 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises OverflowError for what is no such word; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn put_u8(&self, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_word(offset, value, 8)
    }

    /// Stores a word of 16 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises OverflowError for what is no such word; BadMemAlignment when `offset` is no multiple of 2; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn put_u16(&self, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_word(offset, value, 16)
    }

    /// Stores a word of 32 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises OverflowError for what is no such word; BadMemAlignment when `offset` is no multiple of 4; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn put_u32(&self, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_word(offset, value, 32)
    }

    /// Stores a word of 64 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises OverflowError for what is no such word; BadMemAlignment when `offset` is no multiple of 8; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn put_u64(&self, offset: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.put_word(offset, value, 64)
    }

    /// Loads the word of 8 bits at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn get_u8(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u8> {
        self.held.get(py)?.get_u8(args::offset(offset)?).told(py)
    }

    /// Loads the word of 16 bits at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 2; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn get_u16(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u16> {
        self.held.get(py)?.get_u16(args::offset(offset)?).told(py)
    }

    /// Loads the word of 32 bits at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 4; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn get_u32(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u32> {
        self.held.get(py)?.get_u32(args::offset(offset)?).told(py)
    }

    /// Loads the word of 64 bits at `offset`, in the machine's byte order, with one access of its width.
    ///
    /// Raises BadMemAlignment when `offset` is no multiple of 8; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
    fn get_u64(&self, py: Python<'_>, offset: &Bound<'_, PyAny>) -> PyResult<u64> {
        self.held.get(py)?.get_u64(args::offset(offset)?).told(py)
    }

    /// Who vouches for transfers: each of them ("implicit", the default), or a barrier ("explicit"). Can be set, which counts from
    /// the next transfer on.
    #[getter]
    fn mode(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(match self.held.get(py)?.mode() {
            BarrierMode::Implicit => "implicit",
            BarrierMode::Explicit => "explicit",
        })
    }

    #[setter]
    fn set_mode(&self, py: Python<'_>, mode: &str) -> PyResult<()> {
        self.held.get(py)?.set_mode(args::mode(py, mode)?);
        Ok(())
    }

    /// A barrier, to be opened by a `with` statement or `open()`. `of` says which stores it waits for where they may be late: those
    /// of all imports from the same "node", or of this "segment" only.
    #[pyo3(signature = (of="node"))]
    fn barrier(slf: Bound<'_, Self>, of: &str) -> PyResult<Barrier> {
        Ok(Barrier::new(slf.unbind(), args::barrier_type(of)?))
    }

    /// Maps `length` bytes from `offset` on, a multiple of the page size: all of the segment without arguments, with the rights of
    /// the connection unless `permission` says less.
    ///
    /// Raises BadPerms for none or more than the connection's; BadLength when empty or outside the segment; BadMemAlignment;
    /// ConnAborted; MapFailed; InsufficientMem.
    #[pyo3(signature = (offset=None, length=None, permission=None))]
    fn map(
        slf: &Bound<'_, Self>,
        offset: Option<&Bound<'_, PyAny>>,
        length: Option<&Bound<'_, PyAny>>,
        permission: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Mapping> {
        let (py, this) = (slf.py(), slf.get());
        let import = this.held.get(py)?;
        let offset = offset.map_or(Ok(0), args::offset)?;
        let rest = this.length.saturating_sub(usize::try_from(offset).unwrap_or(usize::MAX));
        let length = length.map_or(Ok(rest), args::length)?;
        let permission = permission.map_or(Ok(this.permission), args::permission)?;
        let mapping = py.detach(|| import.map(offset, length, permission)).told(py)?;
        Ok(Mapping::new(mapping, slf.clone().unbind(), Arc::clone(&this.mappings)))
    }

    /// Posts a signal to the export; with `accumulate=False` unless one is pending there. Does not wait.
    ///
    /// Raises ConnAborted when the connection was cut.
    #[pyo3(signature = (*, accumulate=true))]
    fn signal(&self, py: Python<'_>, accumulate: bool) -> PyResult<()> {
        let import = self.held.get(py)?;
        py.detach(|| if accumulate { import.signal() } else { import.signal_no_accumulate() }).told(py)
    }

    /// Takes one signal that the exporter posted; waits for at most `timeout` seconds, for ever with None, not at all with 0. What
    /// the exporter put before it posted is visible afterwards. Lets other threads go on; Ctrl-C ends it.
    ///
    /// Raises Timeout; ConnAborted at once when nothing is pending and the connection was cut; CtlrNotPresent when the cluster has ended.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (import, timeout) = (self.held.get(py)?, args::timeout(timeout)?);
        blocking::wait(py, timeout, |step| import.wait(step))
    }

    /// As `wait`, for asyncio: a coroutine that takes one signal while other tasks go on. One that is cancelled takes nothing.
    ///
    /// Raises as `wait`, and InsufficientResources without descriptors or room for the thread that serves them.
    #[pyo3(signature = (timeout=None))]
    fn wait_async(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        args::timeout(timeout)?;
        slf.py().import("rsmapi._waiting")?.getattr("wait")?.call1((slf, timeout)).map(Bound::unbind)
    }

    /// A descriptor that is readable while a signal is pending here, or the connection was cut: the object itself can be given to `select` and `selectors`. Polling
    /// takes nothing: `wait(0)` does. Read, write and close nothing through it; it is good for as long as the object.
    ///
    /// Raises InsufficientResources without descriptors or room for the thread that serves it.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        let import = self.held.get(py)?;
        let descriptor = py.detach(|| import.poll_descriptor()).told(py)?;
        Ok(descriptor.as_fd().as_raw_fd())
    }

    /// Whether the connection was cut. A barrier tells the same, with the order that makes it a verdict.
    #[getter]
    fn is_aborted(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.held.get(py)?.is_aborted())
    }

    /// Why the connection was cut, as a sentence; None while it was not.
    #[getter]
    fn why_aborted(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.held.get(py)?.why_aborted().map(|cause| cause.to_string()))
    }

    /// Ends the connection. Waits for the agent.
    ///
    /// Raises SegStillMapped while there is a mapping; SegInUse while a barrier is open or another thread is in a call of it: it then
    /// stays. CtlrNotPresent when the cluster has ended; BadSegHndl when it was disconnected already.
    ///
    /// A forked child ends its own share, and its parent's stays. Threads that the parent had are not in the child, but calls that they
    /// were in hold the share: then no SegInUse is raised, and it ends with the child.
    fn disconnect(&self, py: Python<'_>) -> PyResult<()> {
        let mapped = Arc::strong_count(&self.mappings) - 1;
        if mapped > 0 && self.held.peek().is_some() {
            let text = match mapped {
                1 => "a mapping of this import is left: unmap it first".to_owned(),
                _ => format!("{mapped} mappings of this import are left: unmap them first"),
            };
            return Err(refused(py, Code::SegStillMapped, text));
        }
        match self.held.take() {
            Ok((import, _away)) => py.detach(|| import.disconnect()).told(py),
            // Of threads that have stayed behind nobody knows which calls they were in.
            Err(Refusal::Used) if self.process != getpid() => {
                drop_aside(self.held.let_go());
                Ok(())
            }
            Err(refusal) => Err(refusal.told(py, self.held.gone(), "this import")),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        if self.held.peek().is_some() { self.disconnect(py) } else { Ok(()) }
    }

    fn __repr__(&self) -> String {
        let state = match self.held.peek() {
            None => ", disconnected",
            Some(import) if import.is_aborted() => ", aborted",
            Some(_) => "",
        };
        let (id, node, length, permission) = (self.segment_id, self.node, self.length, self.permission);
        format!("<rsmapi.Import of segment {id:#x} of node {node}, {length} bytes, {permission}{state}>")
    }
}
