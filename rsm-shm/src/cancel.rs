//! Thread cancellation (pthreads(7)): whoever calls the library may be a thread that another one cancels.
//!
//! Cancelling unwinds the thread from within a system call and runs nothing of ours on the way: locks would stay locked.
//! So calls that hold anything are [`Shield`]ed; the cancellation acts when the thread comes to its next cancellation
//! point. Only a sleep that holds nothing is one itself ([`crate::futex::Nap`]).
#![allow(unsafe_code)]

use libc::c_int;

unsafe extern "C" {
    fn pthread_setcancelstate(to: c_int, before: *mut c_int) -> c_int;
}

/// `PTHREAD_CANCEL_DISABLE` of glibc and musl.
const DISABLE: c_int = 1;

/// While this lives the calling thread is not cancelled. Costs two calls into libc and no system call.
#[derive(Debug)]
pub struct Shield {
    before: c_int,
    /// Of one thread.
    _here: std::marker::PhantomData<*const ()>,
}

impl Shield {
    /// Holds cancellation off.
    #[inline]
    pub fn raise() -> Shield {
        let mut before = 0;
        // SAFETY: stores an integer. It cannot act on a cancellation: it only forbids.
        unsafe { pthread_setcancelstate(DISABLE, &raw mut before) };
        Shield { before, _here: std::marker::PhantomData }
    }
}

impl Drop for Shield {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: gives back what was. To permit is no cancellation point where the type is deferred; for the other type
        // the library promises nothing.
        unsafe { pthread_setcancelstate(self.before, std::ptr::null_mut()) };
    }
}
