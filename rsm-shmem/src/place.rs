//! Symmetric memory of a PE, found and checked: what may be loaded and stored.
#![allow(unsafe_code)]

use crate::local::Local;
use rsm_core::Result;
use rsm_shm::membership::Membership;
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::segment::Segment;
use rsm_shm::memory::copy::{self, Word};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// A range of some PE's symmetric memory, mapped in this process for as long as that runs. What is there changes at any moment;
/// all accesses are atomic, or copies that promise no more than their bytes.
#[derive(Clone, Copy)]
pub(crate) struct Place(*mut u8);

// SAFETY: memory that is made for concurrent use, and stays mapped.
unsafe impl Send for Place {}
// SAFETY: as above.
unsafe impl Sync for Place {}

impl Place {
    /// Memory that was checked.
    ///
    /// # Safety
    /// As many bytes as the holder uses are mapped readable and writable from here on, to the end of the process.
    #[inline(always)]
    pub(crate) unsafe fn new(start: *mut u8) -> Place {
        Place(start)
    }

    /// The memory of an import that lasts as long as the process.
    pub(crate) fn of_import(connection: &'static Connection) -> Place {
        Place(connection.base())
    }

    /// Exports so many bytes from here on, where they lie.
    ///
    /// # Errors
    /// As [`Membership::adopt`].
    pub(crate) fn adopt(self, membership: &Arc<Membership>, controller: u32, bytes: usize) -> Result<Segment> {
        // SAFETY: memory of the heap, which is this library's, or global variables, which the program lets it share by calling
        // shmem_init; neither is ever unmapped.
        unsafe { membership.adopt(controller, self.0, bytes, false) }
    }

    #[inline(always)]
    pub(crate) fn pointer(self) -> *mut u8 {
        self.0
    }

    /// So many bytes further, inside of what was checked.
    #[inline(always)]
    pub(crate) fn at(self, bytes: usize) -> Place {
        Place(self.0.wrapping_add(bytes))
    }

    /// Stores a word with one access; the place is aligned for it.
    #[inline(always)]
    pub(crate) fn store<W: Word>(self, value: W) {
        // SAFETY: checked when the place was made, its alignment too.
        unsafe { W::store(self.0, value) }
    }

    /// Loads a word with one access; the place is aligned for it.
    #[inline(always)]
    pub(crate) fn load<W: Word>(self) -> W {
        // SAFETY: as above.
        unsafe { W::load(self.0) }
    }

    /// Copies bytes of the caller here.
    #[inline(always)]
    pub(crate) fn copy_from(self, source: Local, bytes: usize) {
        // SAFETY: checked here, promised there.
        unsafe { copy::put_bytes(source.pointer(), self.0, bytes) }
    }

    /// Copies bytes to the caller.
    #[inline(always)]
    pub(crate) fn copy_to(self, dest: Local, bytes: usize) {
        // SAFETY: as above.
        unsafe { copy::get_bytes(self.0, dest.pointer(), bytes) }
    }

    /// Copies bytes of another place here.
    pub(crate) fn copy_from_place(self, source: Place, bytes: usize) {
        // SAFETY: both checked.
        unsafe { copy::put_bytes(source.0, self.0, bytes) }
    }

    /// Zeroes bytes.
    pub(crate) fn zero(self, bytes: usize) {
        // SAFETY: checked. Nobody else knows of memory that is just being given out.
        unsafe { self.0.write_bytes(0, bytes) }
    }

    /// The word here as an atomic; the place is aligned for it.
    #[inline(always)]
    pub(crate) fn word32(self) -> &'static AtomicU32 {
        // SAFETY: checked, aligned, and mapped to the end of the process.
        unsafe { &*self.0.cast::<AtomicU32>() }
    }

    /// The same, of 64 bits.
    #[inline(always)]
    pub(crate) fn word64(self) -> &'static AtomicU64 {
        // SAFETY: as above.
        unsafe { &*self.0.cast::<AtomicU64>() }
    }
}
