//! Waiting for the signals that ask a process to end, so that it ends in order.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

/// The signals, blocked in this thread and in those it starts.
pub(crate) struct Signals(libc::sigset_t);

/// Blocks SIGINT, SIGTERM and SIGHUP.
pub(crate) fn block() -> io::Result<Signals> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` makes a set of what it is given, the others change that set, and the mask is this thread's.
    let (set, error) = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        (set, libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))
    };
    if error == 0 { Ok(Signals(set)) } else { Err(io::Error::from_raw_os_error(error)) }
}

impl Signals {
    /// Waits for one of them.
    pub(crate) fn wait(&self) {
        let mut signal = 0;
        // SAFETY: both are this function's; `sigwait` fails only for a set that is none.
        unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
    }
}
