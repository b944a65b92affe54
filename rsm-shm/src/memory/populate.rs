//! Making pages present, so that no access waits for one, and a lack of memory is an error instead of a signal.
//!
//! Linux 5.14 has advice for it. Before, the kernel is made to look at a byte of each page, which tells of pages that
//! cannot be had as well; only memory that runs out altogether shows as it does at any first touch.
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
                Use::Load | Use::Store => libc::process_vm_readv(me, &raw const mine, 1, theirs, count, 0),
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
