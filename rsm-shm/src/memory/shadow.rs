//! Memory that a program is given in place of a mapping, and that the library looks at through a mapping of its own.
//!
//! Not through the program's: it may unmap pages, or have its own there, and what is there then is nobody else's.
#![allow(unsafe_code)]

use super::inspect;
use super::memfd::{self, Sealing};
use super::region::Region;
use rsm_core::Result;
use rsm_core::access::Permission;
use rsm_core::sync::AtomicU64;
use std::mem::ManuallyDrop;

/// Such memory, zeroed at first.
#[derive(Debug)]
pub(crate) struct Shadow {
    /// Ours.
    alias: Region,
    /// The program's.
    given: Region,
}

impl Shadow {
    /// Makes `length` bytes of it and maps them for the program: at `place`, where whatever is mapped is replaced, or where
    /// the kernel likes, preferably at `hint`.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM, INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// The caller owns the range of addresses at `place`.
    pub(crate) unsafe fn new(place: Option<*mut u8>, hint: *mut u8, length: usize) -> Result<Shadow> {
        let alias = Shadow::memory(length)?;
        let reserved = if place.is_none() && !hint.is_null() { Some(Region::reserve_at(hint, length)?) } else { None };
        let place = place.or(reserved.as_ref().map(Region::as_ptr));
        // SAFETY: the caller's promise, or reserved for this.
        let given = unsafe { alias.duplicate(0, length, Permission::ReadWrite, place) }?;
        // It lies over what was reserved, and owns the addresses from here on.
        std::mem::forget(reserved);
        Ok(Shadow { alias, given })
    }

    fn memory(length: usize) -> Result<Region> {
        let page = super::page_size();
        // By this name it is told what maps it, and that it cannot be exported, as what it stands for.
        let object = memfd::create("rsm-segment", length.next_multiple_of(page) as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        let identity = inspect::identity(&object)?;
        Ok(Region::map_to_duplicate(object, 0, length, Permission::ReadWrite)?.given_to_program(identity))
    }

    /// Where the program's mapping begins.
    pub(crate) fn start(&self) -> *mut u8 {
        self.given.as_ptr()
    }

    /// The program's mapping.
    pub(crate) fn given(&self) -> &Region {
        &self.given
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.alias.len()
    }

    /// A word of it.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at < self.len().div_ceil(size_of::<u64>()), "a word of the shadow");
        // SAFETY: inside of the mapping, whose last page is mapped whole; aligned; mapped as long as `self`. The program
        // accesses it as it likes, as any memory that others share.
        unsafe { AtomicU64::from_ptr(self.alias.as_ptr().add(at * size_of::<u64>()).cast()) }
    }

    /// In a forked child, which has inherited its parent's: makes one of its own, with the same contents, under the same
    /// addresses, but where the program has something else.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM, INSUFFICIENT_RESOURCES; it is still the parent's then, at least in part.
    pub(crate) fn become_own(&mut self) -> Result<()> {
        use rsm_core::sync::Ordering::Relaxed;
        let alias = Shadow::memory(self.len())?;
        let fresh = ManuallyDrop::new(Shadow { alias, given: Region::reserve(super::page_size())? });
        for at in 0..self.len().div_ceil(size_of::<u64>()) {
            fresh.word(at).store(self.word(at).load(Relaxed), Relaxed);
        }
        let Shadow { alias, given } = ManuallyDrop::into_inner(fresh);
        drop(given);
        self.given.become_of(&alias)?;
        self.alias = alias;
        Ok(())
    }
}
