//! Asking the kernel whether anybody still reaches a memory object.
//!
//! The kernel grants a lease on an open file only while no other description of it exists in a conflicting mode: in no
//! process, no mapping, no forked child, and in no socket on its way. A write lease conflicts with every other
//! description, so one that is granted says that nobody can read or write the object, whatever importers claim. The
//! description the object was created with does not count: it is the exporter's.
//!
//! What the kernel does not count either: pages that were handed to a pipe (vmsplice) or registered with io_uring, and
//! O_PATH descriptors, which a process of the same user can open again. Only moving the memory away would cut those off.
#![allow(unsafe_code)]

use super::memfd;
use crate::error::from_errno;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use std::os::fd::{AsFd, AsRawFd};

/// `F_SETSIG` of the generic Linux ABI, which the libc crate does not name.
const F_SETSIG: libc::c_int = 10;

/// Whether no description of the object exists but the one it was created with (and duplicates of it).
///
/// Takes 2 to 4 us. The lease is given back at once; should somebody open the object in between, the kernel sends the
/// signal set below, which is ignored by default, instead of SIGIO, which kills.
///
/// # Errors
/// INTERNAL_ERROR where the kernel gives no leases (`fs.leases-enable` is 0, or the object belongs to another user).
pub fn only_original(created: impl AsFd) -> Result<bool> {
    let probe = match memfd::reopen(created, Permission::ReadWrite) {
        Ok(probe) => probe,
        // Somebody holds a lease of its own, so has it open; or there is no descriptor to ask with right now.
        Err(error) if error.code() == Code::InsufficientResources => return Ok(false),
        Err(error) => return Err(error),
    };
    let fd = probe.as_raw_fd();
    // SAFETY: plain fcntl commands with integer arguments on a descriptor we own.
    let granted = unsafe {
        libc::fcntl(fd, F_SETSIG, libc::SIGURG);
        libc::fcntl(fd, libc::F_SETLEASE, libc::F_WRLCK) == 0
    };
    if granted {
        // Closing the probe gives the lease back as well; this says so.
        // SAFETY: as above.
        unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK) };
        return Ok(true);
    }
    match rustix::io::Errno::from_io_error(&std::io::Error::last_os_error()) {
        Some(rustix::io::Errno::AGAIN) => Ok(false),
        Some(e) => Err(from_errno(e, "the kernel gives no leases on memory objects (see fs.leases-enable)")),
        None => Err(Error::new(Code::InternalError)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::region::Region;
    use super::*;

    #[test]
    fn a_lease_tells_whether_a_grant_is_out() {
        let object = memfd::create("rsm-test", 4096).unwrap();
        memfd::seal(&object, memfd::Sealing::Size).unwrap();
        let exporter = Region::map(&object, 0, 4096, Permission::ReadWrite).unwrap();
        assert!(only_original(&object).unwrap(), "the exporter's own mapping does not count");
        for permission in [Permission::Read, Permission::ReadWrite] {
            let grant = memfd::reopen(&object, permission).unwrap();
            assert!(!only_original(&object).unwrap(), "a descriptor is out");
            let mapped = Region::map(&grant, 0, 4096, permission).unwrap();
            drop(grant);
            assert!(!only_original(&object).unwrap(), "a mapping is out");
            super::super::trash::cover(&mapped, permission).unwrap();
            assert!(only_original(&object).unwrap(), "trash lies over it");
        }
        drop(exporter);
    }
}
