//! Addresses for the symmetric heap.
#![allow(unsafe_code)]

use crate::place::Place;

/// The heap's first byte is at a multiple of this, so that a block that is aligned on one PE is on each.
pub(crate) const ALIGNMENT: usize = 1 << 30;

/// Memory whose byte `before` is at a multiple of [`ALIGNMENT`]; zeroed pages, made when they are touched.
///
/// # Errors
/// What the kernel says.
pub(crate) fn reserve(before: usize, bytes: usize) -> std::io::Result<Place> {
    let map = |bytes: usize| {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
        // SAFETY: anonymous memory at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
        if start == libc::MAP_FAILED { Err(std::io::Error::last_os_error()) } else { Ok(start.cast::<u8>()) }
    };
    let whole = bytes.checked_add(ALIGNMENT).ok_or(std::io::ErrorKind::OutOfMemory)?;
    let found = map(whole)?;
    let start = found.wrapping_add((found.addr() + before).next_multiple_of(ALIGNMENT) - before - found.addr());
    let end = start.wrapping_add(bytes);
    let unmap = |from: *mut u8, to: *mut u8| {
        if to > from {
            // SAFETY: mapped above, outside of what is given out. That it fails costs addresses.
            unsafe { libc::munmap(from.cast(), to.addr() - from.addr()) };
        }
    };
    unmap(found, start);
    unmap(end, found.wrapping_add(whole));
    // SAFETY: mapped, and never unmapped.
    Ok(unsafe { Place::new(start) })
}
