//! The way in and out: results as numbers, panics and cancellation kept out.

use rsm_core::{Code, Error};
use rsm_shm::cancel::Shield;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of a C function. A panic, which would be a mistake of ours, becomes INTERNAL_ERROR. The thread is not
/// cancelled before it returns.
pub(crate) fn entry(body: impl FnOnce() -> Result<(), Error>) -> c_int {
    let _shield = Shield::raise();
    plain_entry(body)
}

/// The same for transfers, which come to no cancellation point.
#[inline]
pub(crate) fn plain_entry(body: impl FnOnce() -> Result<(), Error>) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => number(result),
        Err(_) => Code::InternalError.number(),
    }
}

/// The result of what stands on the data path, and cannot panic.
#[inline(always)]
pub(crate) fn number(result: Result<(), Error>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.code().number(),
    }
}

/// An error that says no more than its number, which is all that C gets.
pub(crate) fn fail<T>(code: Code) -> Result<T, Error> {
    Err(Error::new(code))
}
