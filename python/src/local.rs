//! Memory of Python's: what a transfer moves, and what is adopted.
#![allow(unsafe_code)]

use crate::errors::refused;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use rsm::Code;

/// Transfers of at least this many bytes let other threads of Python go on.
const LONG: usize = 1 << 16;

/// A run of bytes that some Python object has, held so that it is neither freed nor resized.
pub(crate) struct Local {
    buffer: PyUntypedBuffer,
    /// One item without dimensions, which `buffer` has as bytes.
    is_scalar: bool,
}

/// Where it is, for a thread that is detached from the interpreter.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    start: *mut u8,
    length: usize,
}

// SAFETY: an address and a length; who uses them promises that the bytes are held.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Local {
    /// The bytes of an object, to be read.
    pub(crate) fn readable(object: &Bound<'_, PyAny>) -> PyResult<Local> {
        let (buffer, is_scalar) = match PyUntypedBuffer::get(object) {
            Ok(buffer) => (buffer, false),
            Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => {
                let kind = object.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
                let text =
                    format!("bytes, or an object with a buffer such as bytearray, array or numpy array, not {kind}");
                return Err(PyTypeError::new_err(text));
            }
            Err(error) => (PyUntypedBuffer::get(&scalar(object).ok_or(error)?)?, true),
        };
        if !buffer.is_c_contiguous() {
            let text = "the buffer is not contiguous: copy it first (bytes(..), numpy.ascontiguousarray(..))";
            return Err(PyBufferError::new_err(text));
        }
        Ok(Local { buffer, is_scalar })
    }

    /// The bytes of an object, to be written.
    pub(crate) fn writable(object: &Bound<'_, PyAny>) -> PyResult<Local> {
        let local = Local::readable(object)?;
        if local.buffer.readonly() {
            return Err(PyBufferError::new_err("the buffer can only be read: give a bytearray or a numpy array, say"));
        }
        Ok(local)
    }

    /// Where the bytes are. Good for as long as this is.
    pub(crate) fn place(&self) -> Place {
        Place { start: self.buffer.buf_ptr().cast(), length: self.buffer.len_bytes() }
    }

    /// A copy of the bytes.
    pub(crate) fn copied(&self) -> Vec<u8> {
        let place = self.place();
        let mut bytes = Vec::with_capacity(place.length());
        if place.length() > 0 {
            // SAFETY: `self` holds the bytes, and there is room for so many. Who writes them meanwhile, in another thread, is
            // told that the buffer is shared.
            unsafe {
                std::ptr::copy_nonoverlapping(place.start(), bytes.as_mut_ptr(), place.length());
                bytes.set_len(place.length());
            }
        }
        bytes
    }

    /// Replaces the bytes by as many others. Good for what is [writable](Local::writable) only.
    pub(crate) fn fill(&self, bytes: &[u8]) {
        let place = self.place();
        assert!(place.length() == bytes.len() && !self.buffer.readonly(), "as many, and writable");
        if place.length() > 0 {
            // SAFETY: `self` holds the bytes, which are writable and as many; `bytes` is a slice of Rust's, and no buffer leads
            // there.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place.start(), bytes.len()) };
        }
    }

    /// What the items are, as the module struct says it.
    pub(crate) fn format(&self) -> String {
        self.buffer.format().to_string_lossy().into_owned()
    }

    /// Bytes of an item, and how many there are.
    pub(crate) fn items(&self) -> (usize, usize) {
        let width = if self.is_scalar { self.buffer.len_bytes() } else { self.buffer.item_size() }.max(1);
        (width, self.buffer.len_bytes() / width)
    }
}

impl Place {
    /// The first address.
    pub(crate) fn start(self) -> *mut u8 {
        self.start
    }

    /// Number of bytes.
    pub(crate) fn length(self) -> usize {
        self.length
    }
}

/// The bytes of one item without dimensions, such as a number of numpy's: its buffer has no shape, which pyo3 asks for.
fn scalar<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(object).ok()?;
    let dimensions: usize = view.getattr("ndim").ok()?.extract().ok()?;
    if dimensions == 0 { view.call_method1("cast", ("B",)).ok() } else { None }
}

/// Makes a transfer, without the interpreter if it is long.
fn carried<T: Send>(py: Python<'_>, length: usize, carry: impl FnOnce() -> T + Send) -> T {
    if length < LONG { carry() } else { py.detach(carry) }
}

/// Stores the bytes of `from` at `offset`.
pub(crate) fn put(py: Python<'_>, import: &rsm::Import, offset: u64, from: &Local) -> rsm::Result<()> {
    let place = from.place();
    // SAFETY: `from` holds the bytes.
    carried(py, place.length, || unsafe { import.put_raw(offset, place.start(), place.length()) })
}

/// The same, for a thread that is detached from the interpreter.
pub(crate) fn put_aside(import: &rsm::Import, offset: u64, from: &Local) -> rsm::Result<()> {
    let place = from.place();
    // SAFETY: `from` holds the bytes.
    unsafe { import.put_raw(offset, place.start(), place.length()) }
}

/// Loads from `offset` on to all of `to`.
pub(crate) fn get(py: Python<'_>, import: &rsm::Import, offset: u64, to: &Local) -> rsm::Result<()> {
    let place = to.place();
    // SAFETY: `to` holds the bytes, which are writable: who reads them meanwhile is told that they are shared.
    carried(py, place.length, || unsafe { import.get_raw(offset, place.start(), place.length()) })
}

/// Stores the items of `from` from `offset` on, each with one access.
pub(crate) fn put_items(import: &rsm::Import, offset: u64, from: &Local) -> rsm::Result<()> {
    let (width, count) = from.items();
    // SAFETY: `from` holds the bytes.
    unsafe { import.put_raw_words(offset, from.place().start(), count, width) }
}

/// Loads items of `to` from `offset` on, each with one access.
pub(crate) fn get_items(import: &rsm::Import, offset: u64, to: &Local) -> rsm::Result<()> {
    let (width, count) = to.items();
    // SAFETY: `to` holds the bytes, which are writable.
    unsafe { import.get_raw_words(offset, to.place().start(), count, width) }
}

/// Stores all parts.
pub(crate) fn put_all(py: Python<'_>, import: &rsm::Import, parts: &[(u64, Local)]) -> Result<(), rsm::Stopped> {
    let places: Vec<(u64, Place)> = parts.iter().map(|(offset, local)| (*offset, local.place())).collect();
    carried(py, total(&places), || {
        let parts: Vec<_> = places.iter().map(|&(at, p)| (at, p.start().cast_const(), p.length())).collect();
        // SAFETY: `parts` holds the bytes.
        unsafe { import.put_raw_vectored(&parts) }
    })
}

/// Loads all parts.
pub(crate) fn get_all(py: Python<'_>, import: &rsm::Import, parts: &[(u64, Local)]) -> Result<(), rsm::Stopped> {
    let places: Vec<(u64, Place)> = parts.iter().map(|(offset, local)| (*offset, local.place())).collect();
    carried(py, total(&places), || {
        let parts: Vec<_> = places.iter().map(|&(at, p)| (at, p.start(), p.length())).collect();
        // SAFETY: `parts` holds the bytes, which are writable.
        unsafe { import.get_raw_vectored(&parts) }
    })
}

fn total(places: &[(u64, Place)]) -> usize {
    places.iter().map(|(_, place)| place.length()).fold(0, usize::saturating_add)
}

/// What kind of memory may be adopted, as far as Python tells: the kernel is asked for the rest.
fn adoptable(object: &Bound<'_, PyAny>) -> PyResult<Local> {
    Local::writable(object).map_err(|error| {
        if error.is_instance_of::<PyBufferError>(object.py()) {
            let text = format!("memory to be exported has to be writable and contiguous: {error}");
            return refused(object.py(), Code::BadAddr, text);
        }
        error
    })
}

/// Exports the memory of an object, in place.
pub(crate) fn adopt(object: &Bound<'_, PyAny>, controller: &rsm::Controller) -> PyResult<(rsm::Export, Local)> {
    let local = adoptable(object)?;
    let place = local.place();
    // SAFETY: the buffer keeps its owner from unmapping, resizing or freeing the memory; it is released after the export
    // has gone. No Rust reference leads there.
    let export = crate::blocking::request(object.py(), || unsafe { controller.adopt(place.start(), place.length()) })?;
    Ok((export, local))
}

/// Replaces the memory of an export by that of an object.
pub(crate) fn rebind(object: &Bound<'_, PyAny>, export: &mut rsm::Export) -> PyResult<Local> {
    let local = adoptable(object)?;
    let place = local.place();
    let py = object.py();
    // SAFETY: as in `adopt`. No view of the old memory is left: the caller has the export alone.
    let rebound = py.detach(|| unsafe { export.rebind(place.start(), place.length()) });
    rebound.map_err(|error| crate::errors::raised(py, &error))?;
    Ok(local)
}
