//! What may be written where: results of bodies, numbers of nodes, times.

use std::fmt::Debug;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

/// What a body may return.
#[diagnostic::on_unimplemented(
    message = "a body of `on_nodes!` returns `()` or a `Result`, not `{Self}`",
    note = "an async body is written `async |node| {{ .. }}`"
)]
pub trait Verdict {
    /// Why the node failed, if it did.
    fn failure(self) -> Option<String>;
}

impl Verdict for () {
    fn failure(self) -> Option<String> {
        None
    }
}

/// What a function returns: a way to name the type of one that does not, for which stable Rust has no name.
#[doc(hidden)]
pub trait Returns {
    /// The type.
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// A body that never comes to its end, such as one that waits to be killed.
impl Verdict for <fn() -> ! as Returns>::Value {
    fn failure(self) -> Option<String> {
        self
    }
}

impl<T: Verdict, E: Debug> Verdict for std::result::Result<T, E> {
    fn failure(self) -> Option<String> {
        match self {
            Ok(verdict) => verdict.failure(),
            Err(error) => Some(format!("Error: {error:?}")),
        }
    }
}

/// A number of nodes, or several of them.
pub trait Counts {
    /// All of them, in the order in which they are tried. Whether a cluster has so many nodes is not looked at.
    fn counts(self) -> Vec<i64>;
}

impl Counts for i32 {
    fn counts(self) -> Vec<i64> {
        vec![self.into()]
    }
}

impl Counts for u32 {
    fn counts(self) -> Vec<i64> {
        vec![self.into()]
    }
}

impl<T: Counts, const N: usize> Counts for [T; N] {
    fn counts(self) -> Vec<i64> {
        self.into_iter().flat_map(Counts::counts).collect()
    }
}

impl<T: Counts> Counts for Vec<T> {
    fn counts(self) -> Vec<i64> {
        self.into_iter().flat_map(Counts::counts).collect()
    }
}

impl Counts for Range<i32> {
    fn counts(self) -> Vec<i64> {
        self.map(i64::from).collect()
    }
}

impl Counts for RangeInclusive<i32> {
    fn counts(self) -> Vec<i64> {
        self.map(i64::from).collect()
    }
}

/// A time in seconds, or as it is.
pub trait Limit {
    /// The time.
    fn time(self) -> Duration;
}

impl Limit for Duration {
    fn time(self) -> Duration {
        self
    }
}

impl Limit for i32 {
    fn time(self) -> Duration {
        Duration::from_secs(u64::try_from(self).unwrap_or(0))
    }
}

impl Limit for u64 {
    fn time(self) -> Duration {
        Duration::from_secs(self)
    }
}

impl Limit for f64 {
    fn time(self) -> Duration {
        Duration::try_from_secs_f64(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_nodes() {
        assert_eq!(3.counts(), [3]);
        assert_eq!([1, 2, 4].counts(), [1, 2, 4]);
        assert_eq!((2..=4).counts(), [2, 3, 4]);
        assert_eq!((2..4).counts(), [2, 3]);
        assert_eq!(vec![3_u32].counts(), [3]);
        assert_eq!((-1).counts(), [-1], "refused by that name");
    }
}
