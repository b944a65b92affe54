//! Closing a file with its error seen, which the standard library does not offer.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;

/// Closes a file. What the file system did not keep of earlier writes, it says now (a quota on NFS).
pub(crate) fn close(file: File) -> io::Result<()> {
    // SAFETY: the file was ours alone and is given up here, so nobody uses or closes its number again.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
