//! Reductions: which operations there are on which numbers.

use super::values::{Values, bytes};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use rsm_team::{Plain, Team};

/// How two numbers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Sum,
    Product,
    Least,
    Greatest,
    And,
    Or,
    Xor,
}

impl Operation {
    pub(crate) fn named(name: &str) -> PyResult<Operation> {
        Ok(match name {
            "sum" => Operation::Sum,
            "prod" => Operation::Product,
            "min" => Operation::Least,
            "max" => Operation::Greatest,
            "and" => Operation::And,
            "or" => Operation::Or,
            "xor" => Operation::Xor,
            _ => {
                let text = "an operation is \"sum\", \"prod\", \"min\", \"max\", \"and\", \"or\" or \"xor\", not";
                return Err(PyValueError::new_err(format!("{text} {name:?}")));
            }
        })
    }
}

/// Numbers that can be reduced.
trait Number: Plain + Send + Sync {
    /// How two of them become one, if that is known of them.
    fn by(operation: Operation) -> Option<fn(Self, Self) -> Self>;
}

macro_rules! whole {
    ($($number:ty)*) => {$(
        impl Number for $number {
            fn by(operation: Operation) -> Option<fn(Self, Self) -> Self> {
                Some(match operation {
                    Operation::Sum => <$number>::wrapping_add,
                    Operation::Product => <$number>::wrapping_mul,
                    Operation::Least => Ord::min,
                    Operation::Greatest => Ord::max,
                    Operation::And => |a, b| a & b,
                    Operation::Or => |a, b| a | b,
                    Operation::Xor => |a, b| a ^ b,
                })
            }
        }
    )*};
}

macro_rules! floating {
    ($($number:ty)*) => {$(
        impl Number for $number {
            fn by(operation: Operation) -> Option<fn(Self, Self) -> Self> {
                Some(match operation {
                    Operation::Sum => |a, b| a + b,
                    Operation::Product => |a, b| a * b,
                    // What is no number stays to be seen, as numpy has it.
                    Operation::Least => |a, b| if a < b || a.is_nan() { a } else { b },
                    Operation::Greatest => |a, b| if a > b || a.is_nan() { a } else { b },
                    Operation::And | Operation::Or | Operation::Xor => return None,
                })
            }
        }
    )*};
}

whole! { u8 u16 u32 u64 i8 i16 i32 i64 }
floating! { f32 f64 }

/// A reduction, ready to be made.
pub(crate) type Reduction = Box<dyn FnOnce(&Team, &Values) -> rsm::Result<Vec<u8>> + Send>;

fn reduction<T: Number + 'static>(operation: Operation) -> Option<Reduction> {
    let combine = T::by(operation)?;
    Some(Box::new(move |team, values| Ok(bytes(&team.all_reduce(&values.numbers::<T>(), combine)?))))
}

/// Makes the reduction of items of a format by an operation.
///
/// # Errors
/// TypeError for items that are no numbers which can be reduced, and for bits of floating ones.
pub(crate) fn reducer(values: &Values, operation: Operation) -> PyResult<Reduction> {
    let format = &*values.format;
    let native = if cfg!(target_endian = "little") { ['@', '=', '<'] } else { ['@', '=', '>'] };
    let letter = format.strip_prefix(native).unwrap_or(format);
    // How wide a letter is depends on the machine; the buffer says it.
    let made = match (letter, values.width) {
        ("B", 1) => reduction::<u8>(operation),
        ("b", 1) => reduction::<i8>(operation),
        ("H", 2) => reduction::<u16>(operation),
        ("h", 2) => reduction::<i16>(operation),
        ("I" | "L", 4) => reduction::<u32>(operation),
        ("i" | "l", 4) => reduction::<i32>(operation),
        ("L" | "Q" | "N", 8) => reduction::<u64>(operation),
        ("l" | "q" | "n", 8) => reduction::<i64>(operation),
        ("f", 4) => reduction::<f32>(operation),
        ("d", 8) => reduction::<f64>(operation),
        _ => {
            let text =
                "what is reduced are whole numbers of 8 to 64 bits, or floats of 32 or 64, in the machine's byte order";
            return Err(PyTypeError::new_err(format!("{text}, not items of the format {format:?}")));
        }
    };
    let text = "\"and\", \"or\" and \"xor\" are for whole numbers, not for floating ones";
    made.ok_or_else(|| PyTypeError::new_err(text))
}
