//! Moving bytes and words between ordinary memory and segment memory.
//!
//! Segment memory is written by other processes at any moment. Words are moved with single relaxed atomic accesses of
//! their width, which is never torn. Long copies promise no more than their bytes: whoever needs more than that
//! orders them with a barrier or a signal, as the RSMAPI says.
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// Copies `from` to segment memory.
///
/// # Safety
/// `to` must be mapped writable for `from.len()` bytes and not overlap `from`.
#[inline]
pub unsafe fn write_bytes(to: *mut u8, from: &[u8]) {
    // SAFETY: mapped by the caller's promise. Another process may access the same bytes: the compiler knows of no
    // such access and derives nothing from its absence, the hardware moves whole bytes, and nothing is read back.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
}

/// Copies segment memory to `to`.
///
/// # Safety
/// `from` must be mapped readable for `to.len()` bytes and not overlap `to`.
#[inline]
pub unsafe fn read_bytes(from: *const u8, to: &mut [u8]) {
    // SAFETY: as in `write_bytes`; every byte read is read once, and any value is valid for it.
    unsafe { std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) }
}

/// Copies bytes between any two places, which may overlap.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes.
#[inline]
pub unsafe fn move_bytes(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: as in `write_bytes`.
    unsafe { std::ptr::copy(from, to, length) }
}

/// An unsigned word of 8 to 64 bits that segment memory holds at naturally aligned places.
pub trait Word: Copy + Default + private::Sealed {
    /// The atomic of the same size.
    type Atomic: Send + Sync;
    /// Stores a word with one access.
    ///
    /// # Safety
    /// `to` must be mapped writable and aligned for the word.
    unsafe fn store(to: *mut u8, value: Self);
    /// Loads a word with one access.
    ///
    /// # Safety
    /// `from` must be mapped readable and aligned for the word.
    unsafe fn load(from: *const u8) -> Self;
}

mod private {
    pub trait Sealed {}
}

macro_rules! words {
    ($($word:ty, $atomic:ty;)*) => {$(
        impl private::Sealed for $word {}
        impl Word for $word {
            type Atomic = $atomic;
            #[inline(always)]
            unsafe fn store(to: *mut u8, value: $word) {
                // SAFETY: mapped and aligned by the caller's promise; an atomic shares its place with anybody.
                unsafe { (*to.cast::<$atomic>()).store(value, Relaxed) }
            }
            #[inline(always)]
            unsafe fn load(from: *const u8) -> $word {
                // SAFETY: as above; relaxed loads are allowed where memory is mapped read-only.
                unsafe { (*from.cast::<$atomic>()).load(Relaxed) }
            }
        }
    )*};
}

words! {
    u8, AtomicU8;
    u16, AtomicU16;
    u32, AtomicU32;
    u64, AtomicU64;
}

/// Stores words in ascending order.
///
/// # Safety
/// As [`Word::store`], for all of them.
#[inline]
pub unsafe fn write_words<W: Word>(to: *mut u8, values: &[W]) {
    for (i, &value) in values.iter().enumerate() {
        // SAFETY: by the caller's promise.
        unsafe { W::store(to.add(i * size_of::<W>()), value) }
    }
}

/// Loads words in ascending order.
///
/// # Safety
/// As [`Word::load`], for all of them.
#[inline]
pub unsafe fn read_words<W: Word>(from: *const u8, values: &mut [W]) {
    for (i, value) in values.iter_mut().enumerate() {
        // SAFETY: by the caller's promise.
        *value = unsafe { W::load(from.add(i * size_of::<W>())) }
    }
}
