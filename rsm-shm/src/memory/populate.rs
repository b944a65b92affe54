//! Making pages present, so that no access waits for one, and a lack of memory is an error instead of a signal.
//!
//! Linux 5.14 has advice for it. Before, the kernel is made to look at a byte of each page, which tells of pages that
//! cannot be had as well; only memory that runs out altogether shows as it does at any first touch. Memory that cannot be
//! loaded from becomes present at the first store there.
#![allow(unsafe_code)]

use rustix::io::Errno;
use rustix::mm::Advice;

/// What the pages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Loads. Pages of shared memory exist afterwards and need a moment more at the first store.
    Load,
    /// Stores, to memory that may hold something.
    Store,
    /// Stores, to memory that may hold something and cannot be loaded from.
    StoreOnly,
    /// Stores, to private memory of zeros that nobody but the caller knows.
    Fresh,
}

/// Makes the pages of a range present. What they hold stays.
///
/// # Errors
/// ENOMEM, EFAULT where there is nothing behind a page, as past the end of a file, or it cannot be accessed like this.
pub(crate) fn populate(start: *mut u8, bytes: usize, purpose: Use) -> Result<(), Errno> {
    let advice = if purpose == Use::Load { Advice::LinuxPopulateRead } else { Advice::LinuxPopulateWrite };
    loop {
        // SAFETY: faulting pages in changes no contents; the kernel checks the range.
        match unsafe { rustix::mm::madvise(start.cast(), bytes, advice) } {
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Linux before 5.14 does not know the advice.
            Err(Errno::INVAL) => return touch(start, bytes, purpose),
            other => return other,
        }
    }
}

/// Whether the kernel has the advice.
pub(crate) fn probe() -> Result<(), Errno> {
    // SAFETY: a range of no bytes: the kernel looks at the advice and does nothing.
    unsafe { rustix::mm::madvise(std::ptr::null_mut(), 0, Advice::LinuxPopulateRead) }
}

/// One byte of each page, by the kernel's hand: where there is no page it says so.
fn touch(start: *mut u8, bytes: usize, purpose: Use) -> Result<(), Errno> {
    const BATCH: usize = 256;
    if purpose == Use::StoreOnly {
        // The kernel does not look at it for us either, and a store of ours might undo one of somebody else's.
        return Ok(());
    }
    let page = super::page_size();
    let (first, pages) = (start.addr() & !(page - 1), bytes.div_ceil(page));
    let mut seen = [0u8; BATCH];
    for batch in (0..pages).step_by(BATCH) {
        let count = BATCH.min(pages - batch);
        let mut theirs = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 1 }; BATCH];
        for (i, vector) in theirs.iter_mut().take(count).enumerate() {
            vector.iov_base = start.with_addr(first + (batch + i) * page).cast();
        }
        let mine = libc::iovec { iov_base: seen.as_mut_ptr().cast(), iov_len: count };
        // SAFETY: the kernel checks both lists; ours is `count` bytes of `seen`. A store goes to memory that holds zeros
        // and is the caller's alone.
        let done = unsafe {
            let (me, theirs, count) = (libc::getpid(), theirs.as_ptr(), count as libc::c_ulong);
            match purpose {
                Use::Load | Use::Store | Use::StoreOnly => {
                    libc::process_vm_readv(me, &raw const mine, 1, theirs, count, 0)
                }
                Use::Fresh => libc::process_vm_writev(me, &raw const mine, 1, theirs, count, 0),
            }
        };
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            // A filter of system calls that does not know this one: pages come at first touch.
            Some(Errno::NOSYS | Errno::PERM) if done < 0 => return Ok(()),
            Some(errno) if done < 0 => return Err(errno),
            _ if (done as usize) < count => return Err(Errno::FAULT),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::region::Region;
    use crate::memory::{memfd, page_size};
    use crate::refused;
    use rsm_core::access::Permission;

    /// As on a kernel that has the advice, and on one that has not.
    fn with_and_without(work: impl Fn() + Sync) {
        work();
        refused::on_a_thread(libc::SYS_madvise, Errno::INVAL, &work);
    }

    #[test]
    fn memory_of_any_permission_is_made_present() {
        let length = 3 * page_size();
        let object = memfd::create("rsm-test", length as u64).unwrap();
        for permission in [Permission::Read, Permission::Write, Permission::ReadWrite] {
            with_and_without(|| {
                let region = Region::map(&object, 0, length, permission).unwrap();
                region.populate(0, length, permission).unwrap_or_else(|error| panic!("{permission:?}: {error}"));
            });
        }
    }

    #[test]
    fn where_there_is_nothing_it_is_an_error() {
        let object = memfd::create("rsm-test", page_size() as u64).unwrap();
        let region = Region::map(&object, 0, 3 * page_size(), Permission::ReadWrite).unwrap();
        with_and_without(|| {
            let error = region.populate(0, region.len(), Permission::ReadWrite).unwrap_err();
            assert_eq!(error.code(), rsm_core::Code::InsufficientMem, "{error}");
        });
    }
}
