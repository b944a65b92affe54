//! Moving bytes and words between ordinary memory and segment memory.
//!
//! Segment memory is written by other processes at any moment. Words are moved with single relaxed atomic accesses of
//! their width, which is never torn. Copies of bytes promise no more than their bytes: whoever needs more than that
//! orders them with a barrier or a signal, as the RSMAPI says. Short ones are moved here, long ones in `vector` (x86-64) and `neon` (aarch64).
#![allow(unsafe_code)]

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// Copies `from` to segment memory.
///
/// # Safety
/// `to` must be mapped writable for `from.len()` bytes and not overlap `from`.
#[inline]
pub unsafe fn write_bytes(to: *mut u8, from: &[u8]) {
    // SAFETY: mapped by the caller's promise. Another process may access the same bytes: the compiler knows of no
    // such access and derives nothing from its absence, the hardware moves whole bytes, and nothing is read back.
    unsafe { apart(from.as_ptr(), to, from.len(), put_long) }
}

/// Copies segment memory to `to`.
///
/// # Safety
/// `from` must be mapped readable for `to.len()` bytes and not overlap `to`.
#[inline]
pub unsafe fn read_bytes(from: *const u8, to: &mut [u8]) {
    // SAFETY: as in `write_bytes`; every byte read is read once, and any value is valid for it.
    unsafe { apart(from, to.as_mut_ptr(), to.len(), get_long) }
}

/// Copies bytes to segment memory from any place, in the segment too.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes.
#[inline]
pub unsafe fn put_bytes(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: as in `write_bytes`.
    unsafe { anywhere(from, to, length, put_long) }
}

/// Copies bytes from segment memory to any place, in the segment too.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes.
#[inline]
pub unsafe fn get_bytes(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: as in `read_bytes`.
    unsafe { anywhere(from, to, length, get_long) }
}

type Long = unsafe fn(*const u8, *mut u8, usize);

/// Lengths up to this are loaded whole before anything is stored.
const SHORT: usize = 128;

#[inline(always)]
unsafe fn anywhere(from: *const u8, to: *mut u8, length: usize, long: Long) {
    let distance = to.addr().wrapping_sub(from.addr());
    // SAFETY: the caller's promise. Short copies may overlap; `copy` may too.
    unsafe {
        if length > SHORT && (distance < length || distance.wrapping_neg() < length) {
            std::ptr::copy(from, to, length);
        } else {
            apart(from, to, length, long);
        }
    }
}

#[inline(always)]
unsafe fn apart(from: *const u8, to: *mut u8, length: usize, long: Long) {
    // SAFETY: the caller's promise.
    unsafe { if length <= SHORT { short(from, to, length) } else { long(from, to, length) } }
}

/// Copies up to [`SHORT`] bytes: pieces from both ends that meet or overlap in the middle.
unsafe fn short(from: *const u8, to: *mut u8, length: usize) {
    /// Loads everything, then stores it.
    #[inline(always)]
    unsafe fn pieces<P: Copy, const N: usize>(from: *const u8, to: *mut u8, length: usize) {
        let size = size_of::<P>();
        // SAFETY: N pieces from the start and N up to the end lie inside when `length` is at least N pieces. No
        // alignment is promised.
        unsafe {
            let head: [P; N] = std::array::from_fn(|i| from.add(i * size).cast::<P>().read_unaligned());
            let back = length - N * size;
            let tail: [P; N] = std::array::from_fn(|i| from.add(back + i * size).cast::<P>().read_unaligned());
            for (i, piece) in head.into_iter().enumerate() {
                to.add(i * size).cast::<P>().write_unaligned(piece);
            }
            for (i, piece) in tail.into_iter().enumerate() {
                to.add(back + i * size).cast::<P>().write_unaligned(piece);
            }
        }
    }
    // SAFETY: the caller's promise, and the lengths compared here.
    unsafe {
        match length {
            65.. => pieces::<u128, 4>(from, to, length),
            33.. => pieces::<u128, 2>(from, to, length),
            16.. => pieces::<u128, 1>(from, to, length),
            8.. => pieces::<u64, 1>(from, to, length),
            4.. => pieces::<u32, 1>(from, to, length),
            2.. => pieces::<u16, 1>(from, to, length),
            1 => to.write(from.read()),
            0 => {}
        }
    }
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
use super::neon::{SHORTEST, copy as get_long, copy as put_long};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::vector::{SHORTEST, cached as get_long, put as put_long};
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
use elsewhere::{SHORTEST, copy as get_long, copy as put_long};

const _: () = assert!(SHORT >= SHORTEST);

/// Memory of a device is mapped: copies may go there, too.
pub(super) fn avoid_strings() {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    super::strings::avoid();
}

/// Where nobody has looked closely libc knows its machine.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod elsewhere {
    pub(super) const SHORTEST: usize = 0;

    /// # Safety
    /// As [`super::write_bytes`].
    pub(super) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(from, to, length) }
    }
}

/// A word of 8 to 64 bits, any of which are a value of it, that segment memory holds at naturally aligned places.
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
    i32, AtomicI32;
    i64, AtomicI64;
}

macro_rules! floats {
    ($($word:ty, $bits:ty, $atomic:ty;)*) => {$(
        impl private::Sealed for $word {}
        impl Word for $word {
            type Atomic = $atomic;
            #[inline(always)]
            unsafe fn store(to: *mut u8, value: $word) {
                // SAFETY: the caller's promise, for bits of the same size and alignment.
                unsafe { <$bits as Word>::store(to, value.to_bits()) }
            }
            #[inline(always)]
            unsafe fn load(from: *const u8) -> $word {
                // SAFETY: as above; any bits are a number.
                <$word>::from_bits(unsafe { <$bits as Word>::load(from) })
            }
        }
    )*};
}

floats! {
    f32, u32, AtomicU32;
    f64, u64, AtomicU64;
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every length that a routine has another path for, between all alignments; nothing before or after is touched.
    pub(in super::super) fn copies_between_all_alignments(
        name: &str,
        shortest: usize,
        copy: unsafe fn(*const u8, *mut u8, usize),
    ) {
        let source: Vec<u8> = (0..2048u32).map(|i| (i * 7 + i / 251) as u8).collect();
        let mut target = vec![0u8; 2048];
        for length in (shortest..shortest + 130).chain([511, 512, 513, 1024, 1500]) {
            for shift in [0, 1, 7, 8, 31, 32, 33, 63] {
                for to in [64, 65, 71, 80, 96, 97, 127] {
                    target.fill(0xa5);
                    // SAFETY: both ranges lie inside their vectors.
                    unsafe { copy(source.as_ptr().add(shift), target.as_mut_ptr().add(to), length) };
                    let (before, rest) = target.split_at(to);
                    let (there, after) = rest.split_at(length);
                    assert!(there == &source[shift..shift + length], "{name}: {length} from {shift} to {to}");
                    assert!(before.iter().chain(after).all(|&b| b == 0xa5), "{name}: {length} from {shift} to {to}");
                }
            }
        }
    }

    #[test]
    fn long_copies_between_all_alignments() {
        copies_between_all_alignments("put", SHORT + 1, put_long);
        copies_between_all_alignments("get", SHORT + 1, get_long);
    }

    /// A ramp, for both sides.
    fn ramp(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 3 + 1) as u8).collect()
    }

    #[test]
    fn every_length_at_every_alignment() {
        let source = ramp(1024);
        for length in (0..300).chain([511, 700]) {
            for (shift, at) in (0..16).flat_map(|shift| [0, 1, 2, 5, 8, 15, 31, 63].map(|at| (shift, at))) {
                let from = &source[shift..shift + length];
                let mut there = vec![0u8; 1024];
                // SAFETY: inside the vectors.
                unsafe { write_bytes(there.as_mut_ptr().add(at), from) };
                assert_eq!(there[at..at + length], *from);
                assert!(there[..at].iter().chain(&there[at + length..]).all(|&b| b == 0), "{length} {shift} {at}");
                let mut back = vec![0u8; length];
                // SAFETY: as above.
                unsafe { read_bytes(there.as_ptr().add(at), &mut back) };
                assert_eq!(back, from);
            }
        }
    }

    #[test]
    fn places_that_overlap_are_copied_as_they_stood() {
        for length in [1, 2, 3, 8, 16, 17, 64, 65, 128, 129, 200, 1000, 5000] {
            for (from, to) in [(0, 1), (1, 0), (0, 8), (8, 0), (0, 100), (100, 0), (0, length), (64, 64)] {
                for copy in [put_bytes, get_bytes] {
                    let mut memory = ramp(length * 2 + 256);
                    let mut expected = memory.clone();
                    expected.copy_within(from..from + length, to);
                    let start = memory.as_mut_ptr();
                    // SAFETY: inside the vector.
                    unsafe { copy(start.add(from), start.add(to), length) };
                    assert!(memory == expected, "{length} bytes from {from} to {to}");
                }
            }
        }
    }
}
