//! Trash pages: what lies under an import's mapping once its connection was cut.
//!
//! The mapping is replaced in place, in one system call, by private memory with the same protection. Threads that
//! store or load meanwhile never fault; what they store vanishes, what they load is unspecified (reference 3.2).
#![allow(unsafe_code)]

use super::region::Region;
use crate::error::from_errno;
use rsm_core::Result;
use rsm_core::access::Permission;
use rustix::mm::{MapFlags, ProtFlags};

/// Puts private zeroed memory over the whole region.
///
/// # Errors
/// INSUFFICIENT_MEM; the old mapping then still stands.
pub(crate) fn cover(region: &Region, permission: Permission) -> Result<()> {
    let mut protection = ProtFlags::empty();
    protection.set(ProtFlags::READ, permission.reads());
    protection.set(ProtFlags::WRITE, permission.writes());
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the range belongs to `region`, which stays its owner. Whoever holds pointers into it holds them as raw
    // pointers or references to atomics, for which any content is valid; both go on pointing to mapped memory.
    unsafe { rustix::mm::mmap_anonymous(region.as_ptr().cast(), region.len(), protection, flags) }
        .map(|_| ())
        .map_err(|e| from_errno(e, "cannot cut a mapping off"))
}
