//! Copies, and how their data is looked at where it arrives.
#![allow(unsafe_code)]

use crate::party::{Result, Trouble};
use crate::region::payload;

/// Copies as the C library does.
///
/// # Safety
/// `to` is mapped writable for `from.len()` bytes.
#[inline]
pub unsafe fn copy(to: *mut u8, from: &[u8]) {
    // SAFETY: by the caller's promise; a Rust slice lies in no shared memory.
    unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
}

/// Copies past the caches, where the processor can; answers whether it did.
///
/// # Safety
/// As [`copy`]; `to` is aligned to 32 bytes.
pub unsafe fn copy_past_caches(to: *mut u8, from: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if can_pass_caches() {
        // SAFETY: the processor has AVX2, and the rest is the caller's promise.
        unsafe { stream(to, from) };
        return true;
    }
    let _ = (to, from);
    false
}

/// Whether [`copy_past_caches`] does.
pub fn can_pass_caches() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn stream(to: *mut u8, from: &[u8]) {
    use std::arch::x86_64::{__m256i, _mm_sfence, _mm256_loadu_si256, _mm256_stream_si256};
    let whole = from.len() / 128 * 128;
    for at in (0..whole).step_by(128) {
        // SAFETY: 128 bytes from `at` on are inside both; `to` is aligned, by the caller's promise.
        unsafe {
            let (source, target) = (from.as_ptr().add(at).cast::<__m256i>(), to.add(at).cast::<__m256i>());
            let parts = [0, 1, 2, 3].map(|i| _mm256_loadu_si256(source.add(i)));
            for (i, part) in parts.into_iter().enumerate() {
                _mm256_stream_si256(target.add(i), part);
            }
        }
    }
    // SAFETY: what is left, within both.
    unsafe { copy(to.add(whole), &from[whole..]) };
    // Streamed stores are ordered before later ones by this only.
    _mm_sfence();
}

/// Reads all: the wrapping sum of the words.
///
/// # Safety
/// `from` is mapped readable for `length` bytes, and whoever wrote them has said so and waits.
pub unsafe fn sum(from: *const u8, length: usize) -> u64 {
    let mut sum = 0u64;
    for at in (0..length / 8 * 8).step_by(8) {
        // SAFETY: within the range, by the caller's promise.
        sum = sum.wrapping_add(unsafe { from.add(at).cast::<u64>().read_unaligned() });
    }
    sum
}

/// What [`sum`] gives for data that was stamped once with 0.
pub fn expected_sum(length: usize) -> u64 {
    let words = (length / 8) as u64;
    (1..words.saturating_sub(1)).fold(0, |sum, i| sum.wrapping_add(payload(i)))
}

/// Sees whether data begins and ends with `stamp`.
///
/// # Safety
/// As [`sum`].
///
/// # Errors
/// What is there instead.
#[inline]
pub unsafe fn arrived(from: *const u8, length: usize, stamp: u64) -> Result<()> {
    // SAFETY: within the range, by the caller's promise.
    let found = unsafe { [from.cast::<u64>().read_unaligned(), from.add(length - 8).cast::<u64>().read_unaligned()] };
    if found == [stamp; 2] {
        return Ok(());
    }
    Err(wrong(length, stamp, &found))
}

/// That something else arrived than was sent.
#[cold]
pub fn wrong(length: usize, stamp: u64, found: &[u64]) -> Trouble {
    Trouble(format!("{length} bytes stamped {stamp} arrived as {found:?}"))
}

/// Sees whether every word of the data is as it was sent.
///
/// # Safety
/// As [`sum`].
///
/// # Errors
/// The first word that is not.
pub unsafe fn intact(from: *const u8, length: usize, stamp: u64) -> Result<()> {
    // SAFETY: by the caller's promise.
    unsafe { arrived(from, length, stamp)? };
    for i in 1..(length / 8).saturating_sub(1) {
        // SAFETY: within the range.
        let found = unsafe { from.add(i * 8).cast::<u64>().read_unaligned() };
        if found != payload(i as u64) {
            return Err(Trouble(format!("word {i} of {length} bytes arrived as {found:#x}")));
        }
    }
    Ok(())
}

/// Compares the sum of what was read with what was sent: [`expected_sum`] and the stamp at both ends.
///
/// # Errors
/// That they differ.
pub fn read_all(sum: u64, expected: u64, stamp: u64) -> Result<()> {
    if sum == expected.wrapping_add(stamp.wrapping_mul(2)) {
        return Ok(());
    }
    Err(Trouble(format!("data stamped {stamp} has the sum {sum:#x}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::{Buffer, HEAD, Region};

    #[test]
    fn sums_and_stamps_tell_what_arrived() {
        let mut buffer = Buffer::new(4096);
        buffer.stamp(7);
        let memory = crate::region::create(1 << 16).unwrap();
        let region = Region::map(&memory, HEAD + (1 << 16), true).unwrap();
        let to = region.data(0, 4096);
        // SAFETY: mapped, as long, and of this thread alone.
        unsafe {
            copy(to, buffer.bytes());
            intact(to, 4096, 7).unwrap();
            assert!(arrived(to, 4096, 8).is_err());
            read_all(sum(to, 4096), expected_sum(4096), 7).unwrap();
            assert!(read_all(sum(to, 4096), expected_sum(4096), 8).is_err());
            to.add(2000).write(1);
            assert!(intact(to, 4096, 7).is_err());
            assert!(read_all(sum(to, 4096), expected_sum(4096), 7).is_err());
            if copy_past_caches(to, buffer.bytes()) {
                intact(to, 4096, 7).unwrap();
            }
        }
    }

    #[test]
    fn the_smallest_data_is_two_words() {
        let mut buffer = Buffer::new(16);
        buffer.stamp(9);
        // SAFETY: memory of this test.
        unsafe {
            intact(buffer.bytes().as_ptr(), 16, 9).unwrap();
            read_all(sum(buffer.bytes().as_ptr(), 16), expected_sum(16), 9).unwrap();
        }
    }
}
