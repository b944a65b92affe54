//! Descriptors as the kernel has them: which of the standard ones this program was started without, and closing one with
//! its error seen. Some file systems (quota on NFS, FUSE) take every write and say only then that it is lost; what
//! `rsm-ctl` writes is not written before [`close`] or [`settle`] has said so.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::retry_on_intr;
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

/// Closes a descriptor.
///
/// # Errors
/// What the kernel had kept to itself of earlier writes. The descriptor is closed all the same.
pub(crate) fn close(descriptor: impl Into<OwnedFd>) -> io::Result<()> {
    let number: RawFd = descriptor.into().into_raw_fd();
    // SAFETY: the descriptor was owned and is given up by the line above, so nobody uses or closes its number again.
    match unsafe { libc::close(number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Has the file system say what it would say if the descriptor were closed now, and leaves it open.
///
/// # Errors
/// As [`close`]; EMFILE without a descriptor to spare.
pub(crate) fn settle(descriptor: impl AsFd) -> io::Result<()> {
    // Each close of a file counts, also of a duplicate.
    close(descriptor.as_fd().try_clone_to_owned()?)
}

/// Rings an eventfd. Rung again when interrupted: whoever sleeps on it may have nobody else to wake it.
pub(crate) fn ring(eventfd: impl AsFd) {
    // Fails only when it was rung two to the 64 times without being read.
    let _ = retry_on_intr(|| rustix::io::write(&eventfd, &1_u64.to_ne_bytes()));
}

/// Writes a file, anew.
///
/// # Errors
/// Whatever keeps the bytes from being in it.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    close(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_closes() {
        let (reader, writer) = io::pipe().unwrap();
        settle(&writer).unwrap();
        (&writer).write_all(b"x").unwrap();
        close(writer).unwrap();
        // The end comes only when nobody holds the other end any more.
        assert_eq!(io::read_to_string(reader).unwrap(), "x");
    }

    #[test]
    fn this_test_has_an_output() {
        assert!(!WITHOUT_OUTPUT.load(Ordering::Relaxed));
    }
}
