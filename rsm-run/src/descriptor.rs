//! Closing a descriptor with its error seen. Some file systems (quota on NFS, FUSE) take every write and say only then that
//! it is lost; what is written here is not written before [`close`] or [`settle`] has said so.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::io::retry_on_intr;

/// Closes a descriptor.
///
/// # Errors
/// What the kernel had kept to itself of earlier writes. The descriptor is closed all the same.
pub fn close(descriptor: impl Into<OwnedFd>) -> io::Result<()> {
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
pub fn settle(descriptor: impl AsFd) -> io::Result<()> {
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
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
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
}
