//! The way in and out: results as numbers, panics and cancellation kept out.

use rsm_core::{Code, Error};
use rsm_shm::cancel::Shield;
use rsm_shm::membership::calls::failed;
use std::cell::RefCell;
use std::ffi::c_int;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of a C function. A panic, which would be a mistake of ours, becomes INTERNAL_ERROR. The thread is not
/// cancelled before it returns.
pub(crate) fn entry(body: impl FnOnce() -> Result<(), Error>) -> c_int {
    let _shield = Shield::raise();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => kept(error),
        Err(_) => kept(Error::new(Code::InternalError)),
    }
}

/// The same for transfers, which come to no cancellation point.
#[inline]
pub(crate) fn plain_entry(body: impl FnOnce() -> Result<(), Error>) -> c_int {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => number(result),
        Err(_) => Code::InternalError.number(),
    }
}

thread_local! {
    /// The last error of the thread that its function kept, for `rsm_ext_last_error`.
    static LAST: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// The number of an error, which is kept with its sentence. Functions of the data path keep none: they have nothing to say
/// beyond the number.
#[cold]
fn kept(error: Error) -> c_int {
    let code = error.code();
    // Nowhere at the end of a thread, nor in a handler that interrupts just this.
    let _ = LAST.try_with(|last| last.try_borrow_mut().map(|mut last| last.replace(error)));
    noted(0, 0, code)
}

/// Gives the last error that was kept in this thread.
pub(crate) fn with_last<T>(look: impl FnOnce(Option<&Error>) -> T) -> T {
    let last = LAST.try_with(|last| last.try_borrow().ok().and_then(|last| last.clone())).ok().flatten();
    look(last.as_ref())
}

/// The result of what stands on the data path, and cannot panic.
#[inline(always)]
pub(crate) fn number(result: Result<(), Error>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => failure(error),
    }
}

/// The number of an error, which is noted where calls are. Of the error itself nothing is left where it is passed on, so
/// that nobody has to keep it.
#[inline(always)]
pub(crate) fn failure(error: Error) -> c_int {
    let code = error.code();
    drop(error);
    noted(0, 0, code)
}

// C: nobody has to be ready for it to unwind. The first two arguments are nobody's: functions of the data path still have
// their own in these registers when they find that something is wrong.
#[cold]
#[inline(never)]
extern "C" fn noted(_: u64, _: u64, code: Code) -> c_int {
    failed(code);
    // Known to be what was passed, it would be kept over the call, which so could not be the last thing that is done.
    std::hint::black_box(code.number())
}

/// An error that says no more than its number, which is all that C gets.
pub(crate) fn fail<T>(code: Code) -> Result<T, Error> {
    Err(Error::new(code))
}
