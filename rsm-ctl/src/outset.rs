//! What this program was started with, which Rust hides before `main`.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, open};
use rustix::stdio::dup2_stdout;

/// Whether standard output was closed when this program was started. Written before `main`, while there is one thread.
static WITHOUT_OUTPUT: AtomicBool = AtomicBool::new(false);

/// Rust opens /dev/null in place of a standard descriptor that is closed, before `main`: it has to be looked at earlier.
/// The C library calls what is listed in this section first.
#[used]
// SAFETY: the section holds addresses of C functions, which are called once, in the first thread; this is one, and what
// it calls needs nothing of Rust's that is not there yet.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = look_at_output;

extern "C" fn look_at_output() {
    // SAFETY: the call takes a number and touches no memory.
    if unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) } == -1 {
        // Relaxed: there is no other thread yet.
        WITHOUT_OUTPUT.store(true, Ordering::Relaxed);
    }
}

/// Makes writes to a standard output that is closed fail, as they would without Rust's help. To be called first.
pub(crate) fn refuse_missing_output() {
    // Relaxed: stored by this thread.
    if WITHOUT_OUTPUT.load(Ordering::Relaxed) {
        // What is open for reading only refuses with EBADF, and the number cannot become some other file.
        let refusing = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let _ = refusing.and_then(dup2_stdout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_has_an_output() {
        assert!(!WITHOUT_OUTPUT.load(Ordering::Relaxed));
    }
}
