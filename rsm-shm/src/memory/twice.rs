//! Whether memory can be mapped a second time from its mapping alone.
//!
//! Linux makes another mapping of shared memory where `mremap(2)` is given an old size of 0. Tools that answer system
//! calls themselves do not: valgrind refuses it. There, what needs a second mapping keeps the memory's descriptor, or does
//! without; and stores are not held back ([`super::uffd`]), for such a tool runs one thread at a time, and a thread that
//! waits in the middle of a store would keep the one it waits for from running.
#![allow(unsafe_code)]

use super::page_size;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags};
use std::sync::OnceLock;

/// Whether this process can. Tried once.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        let page = page_size();
        // SAFETY: a fresh page at addresses that the kernel chooses, and another mapping of it; both go at once. Nobody
        // else knows of either.
        unsafe {
            let Ok(first) = rustix::mm::mmap_anonymous(std::ptr::null_mut(), page, ProtFlags::READ, MapFlags::SHARED)
            else {
                return true; // no address space: nothing is said of what the kernel can
            };
            let second = rustix::mm::mremap(first, 0, page, MremapFlags::MAYMOVE);
            let _ = rustix::mm::munmap(first, page);
            second.map(|second| rustix::mm::munmap(second, page)).is_ok()
        }
    })
}
