//! Limits of this process (getrlimit(2)), where the kernel tells them.
//!
//! A filter may refuse to. rustix takes that for impossible, and panics; so it is the C library that is asked.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

/// What there is of descriptors where nobody says: as many as Linux gives a process by itself.
pub const USUAL_DESCRIPTORS: u64 = 1024;

/// The limit of a resource; `None` in it means that there is none.
///
/// # Errors
/// What stands between the kernel and us says: EPERM or ENOSYS.
pub fn limit(resource: Resource) -> Result<Rlimit, Errno> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the struct, which is ours; a `Resource` is a number that the kernel knows.
    if unsafe { libc::getrlimit(resource as _, &raw mut limits) } != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    let bytes = |value: libc::rlim_t| (value != libc::RLIM_INFINITY).then_some(value);
    Ok(Rlimit { current: bytes(limits.rlim_cur), maximum: bytes(limits.rlim_max) })
}

/// How many descriptors this process may have open.
pub fn descriptors() -> u64 {
    limit(Resource::Nofile).map_or(USUAL_DESCRIPTORS, |limit| limit.current.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_kernel() {
        for resource in [Resource::Nofile, Resource::Memlock, Resource::Fsize] {
            assert_eq!(limit(resource), Ok(rustix::process::getrlimit(resource)));
        }
    }
}
