//! Whether memory can be mapped a second time from its mapping alone.
//!
//! Linux makes another mapping of shared memory where `mremap(2)` is given an old size of 0. Tools that answer system
//! calls themselves do not: valgrind refuses it. There, what needs a second mapping keeps the memory's descriptor, or does
//! without; and stores are not held back ([`super::uffd`]), for such a tool runs one thread at a time, and a thread that
//! waits in the middle of a store would keep the one it waits for from running.
#![allow(unsafe_code)]

use super::page_size;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MremapFlags, ProtFlags};
use std::sync::OnceLock;

/// Whether this process can. Tried until it is known; until then nothing speaks against it, and whoever needs a second
/// mapping is told why there is none.
pub(crate) fn is_possible() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    POSSIBLE.get().copied().or_else(|| attempt().map(|possible| *POSSIBLE.get_or_init(|| possible))).unwrap_or(true)
}

/// Tries; `None` where a lack of memory or address space says nothing of what the kernel can.
fn attempt() -> Option<bool> {
    let page = page_size();
    // SAFETY: a fresh page at addresses that the kernel chooses, and another mapping of it; both go at once. Nobody else
    // knows of either.
    unsafe {
        let flags = MapFlags::SHARED;
        let first = rustix::mm::mmap_anonymous(std::ptr::null_mut(), page, ProtFlags::READ, flags).ok()?;
        let second = rustix::mm::mremap(first, 0, page, MremapFlags::MAYMOVE);
        let _ = rustix::mm::munmap(first, page);
        match second {
            Ok(second) => {
                let _ = rustix::mm::munmap(second, page);
                Some(true)
            }
            // As many mappings as there may be, or as much locked memory: `mremap` is refused before `mmap` is.
            Err(Errno::NOMEM | Errno::AGAIN) => None,
            Err(_) => Some(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused;

    #[test]
    fn a_shortage_says_nothing_of_what_can_be_done() {
        assert_eq!(attempt(), Some(true));
        for errno in [Errno::NOMEM, Errno::AGAIN] {
            assert_eq!(refused::on_a_thread(libc::SYS_mremap, errno, attempt), None);
        }
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::PERM] {
            assert_eq!(refused::on_a_thread(libc::SYS_mremap, errno, attempt), Some(false));
        }
    }
}
