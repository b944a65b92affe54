//! Addresses of our own that memory is moved through.
#![allow(unsafe_code)]

use super::geometry::CHUNK;
use super::{huge, page_size, twice};
use crate::error::from_errno;
use rsm_core::Result;
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use std::os::fd::BorrowedFd;

/// Addresses that the new memory is mapped to first, so that it can be filled before anybody sees it; or a second
/// mapping of the old one.
#[derive(Debug)]
pub(super) struct Span<'a> {
    start: *mut u8,
    length: usize,
    /// Bytes at its start that were moved elsewhere and whose addresses are no longer ours.
    gone: usize,
    /// Shared memory: mapping it elsewhere leaves it here as well.
    shared: bool,
    /// What it maps from its first byte on, if that is an object that the caller has open.
    object: Option<BorrowedFd<'a>>,
    /// Private memory of which no more than a part can be accessed at a time, see [`open`](Self::open).
    in_parts: bool,
}

impl<'a> Span<'a> {
    /// An object from its first byte on.
    pub(super) fn of_object(object: BorrowedFd<'a>, length: usize) -> Result<Span<'a>> {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a null hint makes the kernel choose free addresses, so no existing object is touched.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, rw, MapFlags::SHARED, object, 0) };
        let mut span = Span::new(start, length, true)?;
        span.object = Some(object);
        Ok(span)
    }

    /// Private memory of zeros. Where huge pages are larger than a chunk the kernel must not find room for one in it, or
    /// the first touch would take 32 or 512 MiB at once.
    pub(super) fn private(length: usize) -> Result<Span<'a>> {
        Span::private_in_parts(length, huge::huge_page_size() > CHUNK)
    }

    fn private_in_parts(length: usize, in_parts: bool) -> Result<Span<'a>> {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        let spare = if in_parts { 2 * page_size() } else { 0 };
        // SAFETY: as above.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), length + spare, rw, MapFlags::PRIVATE) };
        let mut span = Span::new(start, length + spare, false)?;
        if in_parts {
            span.trim(length).map_err(|e| from_errno(e, "no mappings to move a segment's contents"))?;
        }
        // The first touch gives all of it what its parts need to become one mapping again where they are moved to.
        // SAFETY: the first byte of memory just mapped, which nobody else knows.
        unsafe { span.start.write_volatile(0) };
        if in_parts {
            span.in_parts = true;
            span.protect(0, length, ProtFlags::empty())
                .map_err(|e| from_errno(e, "no mappings to move a segment's contents"))?;
        }
        Ok(span)
    }

    /// Leaves a span that begins inside what would be a huge page, with nothing mapped just below: around its first page no
    /// huge one fits. Two pages are to go.
    fn trim(&mut self, length: usize) -> Result<(), Errno> {
        let page = page_size();
        let first = (self.start.addr() + page).is_multiple_of(huge::huge_page_size());
        let below = if first { 2 * page } else { page };
        // SAFETY: the ends of a mapping that nobody knows yet.
        unsafe {
            rustix::mm::munmap(self.start.cast(), below)?;
            self.start = self.start.add(below);
            self.length -= below;
            if self.length > length {
                rustix::mm::munmap(self.start.add(length).cast(), self.length - length)?;
                self.length = length;
            }
        }
        Ok(())
    }

    /// Lets a part be accessed, after all before it have left.
    pub(super) fn open(&self, offset: usize, length: usize, protection: ProtFlags) -> Result<(), Errno> {
        if self.in_parts { self.protect(offset, length, protection) } else { Ok(()) }
    }

    /// Maps shared memory a second time, to load and store, however it is protected where it is. `None` where that is not
    /// possible: what a range held can then neither be freed as it goes, nor be put back after an error.
    ///
    /// # Safety
    /// The range must be part of one mapping of shared memory.
    pub(super) unsafe fn again(start: *mut u8, length: usize) -> Result<Option<Span<'a>>> {
        if !twice::is_possible() {
            return Ok(None);
        }
        // SAFETY: an old size of 0 leaves the mapping where it is and makes another one where the kernel chooses.
        let again = unsafe { rustix::mm::mremap(start.cast(), 0, length, MremapFlags::MAYMOVE) };
        let span = Span::new(again, length, true)?;
        span.protect(0, length, ProtFlags::READ | ProtFlags::WRITE)
            .map_err(|e| from_errno(e, "a segment's contents cannot be read"))?;
        Ok(Some(span))
    }

    fn new(start: rustix::io::Result<*mut std::ffi::c_void>, length: usize, shared: bool) -> Result<Span<'a>> {
        // Locked memory beyond the limit is EAGAIN here: MCL_FUTURE locks whatever is mapped.
        let start = start.map_err(|e| match e {
            Errno::AGAIN => from_errno(Errno::NOMEM, "no more memory may be locked to move a segment's contents"),
            e => from_errno(e, "no address space to move a segment's contents"),
        })?;
        let span = Span { start: start.cast(), length, gone: 0, shared, object: None, in_parts: false };
        // After mlockall(MCL_FUTURE) it is locked: its pages could not be freed, and a limit on locked memory could
        // make the kernel give up a move after it took the target away.
        // SAFETY: unlocking changes no contents; the range is ours.
        let _ = unsafe { rustix::mm::munlock(span.start.cast(), length) };
        Ok(span)
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    pub(super) fn at(&self, offset: usize, length: usize) -> *mut u8 {
        assert!(offset >= self.gone && offset <= self.length && length <= self.length - offset, "inside the span");
        // SAFETY: inside one mapping, by the line above.
        unsafe { self.start.add(offset) }
    }

    /// Gives a part the protection that it is to have where it goes.
    pub(super) fn protect(&self, offset: usize, length: usize, protection: ProtFlags) -> Result<(), Errno> {
        let flags = MprotectFlags::from_bits_retain(protection.bits());
        // SAFETY: part of our own mapping, which only the caller uses.
        unsafe { rustix::mm::mprotect(self.at(offset, length).cast(), length, flags) }
    }

    /// Puts a part of the span, which has this protection, over `place`, in one step for whoever uses `place`.
    ///
    /// # Safety
    /// `place` must be `length` bytes that may be replaced.
    pub(super) unsafe fn put(
        &mut self,
        offset: usize,
        length: usize,
        place: *mut u8,
        protection: ProtFlags,
    ) -> Result<(), Errno> {
        let from = self.at(offset, length);
        if let Some(object) = self.object.filter(|_| !twice::is_possible()) {
            let flags = MapFlags::SHARED | MapFlags::FIXED;
            // SAFETY: as below; the object's pages there are those that the span maps, filled by now.
            return unsafe { rustix::mm::mmap(place.cast(), length, protection, flags, object, offset as u64) }
                .map(drop);
        }
        let old = if self.shared { 0 } else { length };
        let flags = MremapFlags::MAYMOVE;
        // SAFETY: `place` may be replaced by the caller's promise. The kernel holds its lock on mappings throughout, and
        // finds out whether mappings are left before it takes the target away; what could fail later is checked for
        // locked, growing and special memory only, which a span is not.
        let put = unsafe { rustix::mm::mremap_fixed(from.cast(), old, length, flags, place.cast()) };
        put?;
        if !self.shared {
            // Parts leave in ascending order. Their addresses may be somebody else's from now on.
            self.gone = offset + length;
        }
        Ok(())
    }

    /// Frees the pages of shared memory, for everybody who maps it.
    pub(super) fn free(&self, offset: usize, length: usize) {
        // Refused for objects that are sealed against it: those free their memory when the last mapping goes.
        // SAFETY: the caller moved the contents; whoever maps the memory goes on finding memory there.
        let _ = unsafe { rustix::mm::madvise(self.at(offset, length).cast(), length, Advice::LinuxRemove) };
    }
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        let left = self.length - self.gone;
        if left > 0 {
            // SAFETY: the rest of our own mapping, which nothing uses any more.
            let _ = unsafe { rustix::mm::munmap(self.start.add(self.gone).cast(), left) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_parts_is_opened_part_by_part() {
        let page = page_size();
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the addresses.
        let place = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), 8 * page, rw, MapFlags::PRIVATE) };
        let place: *mut u8 = place.unwrap().cast();
        let mut span = Span::private_in_parts(8 * page, true).unwrap();
        for at in [0, 4 * page] {
            let closed = span.at(at, page);
            let refused = super::super::populate::populate(closed, page, super::super::populate::Use::Fresh);
            assert!(refused.is_err(), "nobody opened it");
            span.open(at, 4 * page, rw).unwrap();
            for i in 0..4 {
                // SAFETY: opened a moment ago, and ours.
                unsafe { span.at(at + i * page, page).write_volatile(7) };
            }
            // SAFETY: a mapping of our own is replaced, to which nothing refers.
            unsafe { span.put(at, 4 * page, place.add(at), rw) }.unwrap();
        }
        // SAFETY: mapped, and all of it put there.
        assert!((0..8).all(|i| unsafe { place.add(i * page).read_volatile() } == 7));
        drop(span);
        // SAFETY: our own mapping, of which nobody knows.
        unsafe { rustix::mm::munmap(place.cast(), 8 * page) }.unwrap();
    }
}
