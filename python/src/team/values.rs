//! Values of a call of all nodes: items of a buffer of Python's, whose width all nodes have to agree on.

use crate::local::Local;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyFloat, PyInt, PyMemoryView};
use rsm_team::Plain;

/// Items, copied out of a buffer.
pub(crate) struct Values {
    pub(crate) bytes: Vec<u8>,
    /// What the items are, as the module struct says it.
    pub(crate) format: String,
    /// Bytes of one, if a number has so many, or else 1.
    pub(crate) width: usize,
}

/// Does something with the type that stands for items of a width.
macro_rules! by_width {
    ($width:expr, $T:ident => $act:expr) => {
        match $width {
            2 => {
                type $T = u16;
                $act
            }
            4 => {
                type $T = u32;
                $act
            }
            8 => {
                type $T = u64;
                $act
            }
            16 => {
                type $T = u128;
                $act
            }
            _ => {
                type $T = u8;
                $act
            }
        }
    };
}
pub(crate) use by_width;

/// The width by which items of so many bytes are told to the other nodes.
pub(crate) fn width(bytes: usize) -> usize {
    if matches!(bytes, 2 | 4 | 8 | 16) { bytes } else { 1 }
}

impl Values {
    /// Those of an object with a contiguous buffer; one without dimensions is one item.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Values> {
        let flat = flat(object);
        let local = Local::readable(flat.as_ref().unwrap_or(object))?;
        Ok(Values { bytes: local.copied(), format: local.format(), width: width(local.items().0) })
    }

    /// As numbers, of the type that [`by_width`] has for them or of another as wide.
    pub(crate) fn numbers<T: Plain>(&self) -> Vec<T> {
        self.bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect()
    }
}

/// A number of Python's, in place of an array of one.
pub(crate) enum Scalar {
    Whole(i64),
    Floating(f64),
}

impl Scalar {
    /// The number that an object is, if it is an int or a float.
    ///
    /// # Errors
    /// OverflowError for an int of more than 64 bits.
    pub(crate) fn of(object: &Bound<'_, PyAny>) -> PyResult<Option<Scalar>> {
        if object.is_exact_instance_of::<PyInt>() {
            return object.extract().map(|number| Some(Scalar::Whole(number)));
        }
        // numpy's of 64 bits is one, too.
        if object.is_instance_of::<PyFloat>() {
            return object.extract().map(|number| Some(Scalar::Floating(number)));
        }
        Ok(None)
    }

    pub(crate) fn values(&self) -> Values {
        let (bytes, format) = match self {
            Scalar::Whole(number) => (number.to_ne_bytes(), "q"),
            Scalar::Floating(number) => (number.to_ne_bytes(), "d"),
        };
        Values { bytes: bytes.to_vec(), format: format.to_owned(), width: bytes.len() }
    }

    /// A number of the same kind, of its bytes.
    pub(crate) fn told<'py>(&self, py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        Ok(match self {
            Scalar::Whole(_) => i64::from_bytes(bytes).into_pyobject(py)?.into_any(),
            Scalar::Floating(_) => f64::from_bytes(bytes).into_pyobject(py)?.into_any(),
        })
    }
}

/// One item without dimensions, such as a number of numpy's, as an array of one.
fn flat<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(object).ok()?;
    let dimensions: usize = view.getattr("ndim").ok()?.extract().ok()?;
    if dimensions > 0 {
        return None;
    }
    let format = view.getattr("format").ok()?;
    view.call_method1("cast", ("B",)).ok()?.call_method1("cast", (format,)).ok()
}

/// The bytes of numbers.
pub(crate) fn bytes<T: Plain>(numbers: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(numbers));
    numbers.iter().for_each(|&number| number.append(&mut bytes));
    bytes
}

/// A memory of Python's own with these bytes, seen as items of a format, or as bytes where memoryviews do not know it.
pub(crate) fn view<'py>(py: Python<'py>, bytes: &[u8], format: &str) -> PyResult<Bound<'py, PyAny>> {
    let view = PyMemoryView::from(PyByteArray::new(py, bytes).as_any())?.into_any();
    Ok(view.call_method1("cast", (format,)).unwrap_or(view))
}
