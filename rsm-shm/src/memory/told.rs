//! What is done through [`Memory`](super::view::Memory), told to the race detector.
//!
//! Only in programs that `rsm-ctl cc cargo` builds, which sets `rsm_told` for this crate: whatever else such a program does with
//! memory its own code tells, but not what it has this crate do. Anywhere else nothing of this is there.
#![cfg_attr(not(rsm_told), allow(unused_variables))]
#![allow(unsafe_code)]

/// Bytes were read, or are about to be written.
#[inline(always)]
pub(super) fn block(place: *const u8, length: usize, writes: bool) {
    #[cfg(rsm_told)]
    told::block(place.addr(), length, writes);
}

/// A word was loaded and had this value, or is about to be stored.
#[inline(always)]
pub(super) fn word(place: *const u8, length: usize, value: u64, writes: bool) {
    #[cfg(rsm_told)]
    told::word(place.addr(), length, value, writes);
}

#[cfg(rsm_told)]
mod told {
    use crate::caller::Stack;
    use std::ffi::c_uint;
    use std::sync::atomic::AtomicU8;
    use std::sync::atomic::Ordering::Relaxed;

    const WRITE: c_uint = 1;
    const WORD: c_uint = 2;

    unsafe extern "C" {
        // Of this crate, where they are known by these names only (`membership/race/{abi,granules}.rs`).
        #[link_name = "rsm_race_granules"]
        static GRANULES: [AtomicU8; 1 << 16];
        safe fn rsm_race_access(address: usize, length: usize, kind: c_uint, pc: usize);
        safe fn rsm_race_value(address: usize, length: usize, value: u64, kind: c_uint, pc: usize);
    }

    fn is_watched(address: usize, length: usize) -> bool {
        // SAFETY: a byte for each granule, which are there as long as the program.
        let granules = unsafe { &GRANULES };
        let mut touched = (address >> 16..(address + length).div_ceil(1 << 16)).take(granules.len());
        // Relaxed: memory that a thread was not told of is none that it reaches.
        touched.any(|granule| granules[granule % granules.len()].load(Relaxed) != 0)
    }

    /// Where the function was called that calls this one's caller.
    #[inline(always)]
    fn caller() -> usize {
        // In the caller of this function, and then in its own: that of `Memory`.
        Stack::some(4).addresses().get(1).copied().unwrap_or(0)
    }

    #[inline(never)]
    pub(super) fn block(address: usize, length: usize, writes: bool) {
        if is_watched(address, length) {
            rsm_race_access(address, length, if writes { WRITE } else { 0 }, caller());
        }
    }

    #[inline(never)]
    pub(super) fn word(address: usize, length: usize, value: u64, writes: bool) {
        if is_watched(address, length) {
            rsm_race_value(address, length, value, if writes { WORD | WRITE } else { WORD }, caller());
        }
    }
}
