//! Long copies on x86-64.
//!
//! What the measurements said (`benches/README.md`): but for the processors that [`strings`] knows, a loop over vector
//! registers is at least as fast as anything else at every size and alignment. `rep movsb`, which libc's `memcpy` uses for
//! middle sizes, takes up to 27 times as long when the target lies a few bytes past the source modulo 4096, which two
//! page-aligned buffers easily do. And a put of
//! tens of KiB or more that *its reader has read since* is fastest with stores that bypass the cache, for they need not
//! fetch the lines back first; while the same put again and again, read by nobody, is fastest with ordinary ones.
//!
//! So a long put looks which it is: it stores its first part in the ordinary way and takes the time. Lines that another
//! processor has, or memory, take several times as long as those of the own cache, and then the rest bypasses the cache.
//! Looking costs a fifth of a hot put of 64 KiB: where answers repeat that the lines are the own ones, it is done more rarely;
//! and where they repeat that they are not, one of them is doubted now and then (`trust`).
#![allow(unsafe_code)]

use super::strings;
use super::trust::Trust;
use std::arch::asm;
use std::arch::x86_64::{_mm_sfence, _rdtsc};
use std::cell::UnsafeCell;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicU64};

/// Bytes that tell where the target's lines are. Twice what a store queue holds, or nothing would have to be waited for.
const SAMPLE: usize = 8 << 10;
/// From here on the processor's own instruction is worth its beginning, where it is the best: a put of 4 KiB that nobody reads
/// takes 11 ns longer by it, one that is read each time is there 60 ns earlier.
const STRINGS: usize = 4 << 10;
/// From here on and up to [`BEYOND`] it is for gets, too: 32 KiB take 0.6 times as long, 64 KiB 0.75 and 1 MiB 0.8 times, those that
/// another processor has just written 0.9 to 1.05 times; half of that takes 1.6 times as long, and 16 MiB just written 1.3 times.
const STRINGS_BACK: usize = 32 << 10;
/// From here on it is worth to look.
const LOOK: usize = 32 << 10;
/// After so many bytes it is looked again.
const CHUNK: usize = 256 << 10;
/// From here on the target is no cache's, wherever its start is.
const BEYOND: usize = 16 << 20;

/// How many times as long as in the nearest cache the sample takes before the rest bypasses it. The outermost cache of
/// the own processor takes twice to three times as long, another processor's or memory eight times and more.
const SLOWER: u64 = 5;

/// Copies so many bytes or more; shorter ones are not for this file.
pub(super) const SHORTEST: usize = 128;

/// The registers to copy with.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Width {
    Sse2 = 1,
    Avx2 = 2,
    Avx512 = 3,
}

fn width() -> Width {
    static WIDTH: AtomicU8 = AtomicU8::new(0);
    match WIDTH.load(Relaxed) {
        1 => Width::Sse2,
        2 => Width::Avx2,
        3 => Width::Avx512,
        _ => {
            // VBMI2 came with the first processors that do not slow down for 512 bits.
            let width = if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vbmi2") {
                Width::Avx512
            } else if is_x86_feature_detected!("avx2") {
                Width::Avx2
            } else {
                Width::Sse2
            };
            WIDTH.store(width as u8, Relaxed);
            width
        }
    }
}

/// One loop: unaligned up to the first whole line of the target, then a line-aligned store for each register, then the
/// last stretch once more, unaligned, up to the end. `$step` bytes at a time; `$store` is the aligned store.
macro_rules! copy_loop {
    ($name:ident, $step:literal, $load:literal, $unaligned:literal, $store:literal, $end:literal,
     [$($register:literal $at:literal),*], [$($head:literal $head_at:literal),*]) => {
        /// # Safety
        /// As [`cached`], `length` at least the step, on a processor that has the instructions.
        #[inline(never)]
        unsafe fn $name(from: *const u8, to: *mut u8, length: usize) {
            let skip = 64 - (to.addr() & 63);
            // SAFETY: the offsets stay inside the two ranges: the loop ends before `last`, a step before the end. Other
            // processes may access the same bytes; whole pieces move, and nothing is read back.
            unsafe {
                let last = to.add(length - $step);
                asm!(
                    $(concat!($load, " ", $head, ", [rsi + ", $head_at, "]"),)*
                    $(concat!($unaligned, " [rdi + ", $head_at, "], ", $head),)*
                    "add rsi, rcx",
                    "add rdi, rcx",
                    "cmp rdi, rdx",
                    "jae 3f",
                    "2:",
                    $(concat!($load, " ", $register, ", [rsi + ", $at, "]"),)*
                    concat!("add rsi, ", $step),
                    $(concat!($store, " [rdi + ", $at, "], ", $register),)*
                    concat!("add rdi, ", $step),
                    "cmp rdi, rdx",
                    "jb 2b",
                    "3:",
                    $(concat!($load, " ", $register, ", [r8 + ", $at, "]"),)*
                    $(concat!($unaligned, " [rdx + ", $at, "], ", $register),)*
                    $end,
                    inout("rsi") from => _,
                    inout("rdi") to => _,
                    inout("rcx") skip => _,
                    inout("rdx") last => _,
                    inout("r8") from.add(length - $step) => _,
                    clobber_abi("sysv64"),
                    options(nostack)
                );
            }
        }
    };
}

macro_rules! both {
    ($cached:ident $streamed:ident $step:literal $load:literal $unaligned:literal $aligned:literal $stream:literal
     $end:literal $registers:tt $head:tt) => {
        copy_loop!($cached, $step, $load, $unaligned, $aligned, $end, $registers, $head);
        copy_loop!($streamed, $step, $load, $unaligned, $stream, $end, $registers, $head);
    };
}

both!(cached_sse2 streamed_sse2 128 "movdqu" "movdqu" "movdqa" "movntdq" ""
    ["xmm0" 0, "xmm1" 16, "xmm2" 32, "xmm3" 48, "xmm4" 64, "xmm5" 80, "xmm6" 96, "xmm7" 112]
    ["xmm0" 0, "xmm1" 16, "xmm2" 32, "xmm3" 48]);
both!(cached_avx2 streamed_avx2 128 "vmovdqu" "vmovdqu" "vmovdqa" "vmovntdq" "vzeroupper"
    ["ymm0" 0, "ymm1" 32, "ymm2" 64, "ymm3" 96]
    ["ymm0" 0, "ymm1" 32]);
both!(cached_avx512 streamed_avx512 256 "vmovdqu64" "vmovdqu64" "vmovdqa64" "vmovntdq" "vzeroupper"
    ["zmm0" 0, "zmm1" 64, "zmm2" 128, "zmm3" 192]
    ["zmm0" 0]);

/// Copies through the cache.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes, at least [`SHORTEST`], and the two must not overlap.
pub(super) unsafe fn cached(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the caller's promise; the processor was asked.
    unsafe {
        match width() {
            Width::Avx512 if length >= STRINGS_BACK => cached_long(from, to, length),
            Width::Avx512 if length >= 256 => cached_avx512(from, to, length),
            Width::Avx512 | Width::Avx2 => cached_avx2(from, to, length),
            Width::Sse2 => cached_sse2(from, to, length),
        }
    }
}

/// As [`cached`], for at least [`STRINGS_BACK`] bytes, by 512 bits or the processor's own instruction: all that are known here
/// have both.
///
/// # Safety
/// As [`cached`].
#[inline(never)] // inside it costs all shorter copies 11 instructions
unsafe fn cached_long(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: the caller's promise; the processor was asked.
    unsafe {
        if length < BEYOND && strings::are_best() {
            strings::copy(from, to, length);
        } else {
            cached_avx512(from, to, length);
        }
    }
}

/// Copies past the cache. Until a fence it may overtake ordinary stores that came before, and what follows may overtake it.
unsafe fn streamed(from: *const u8, to: *mut u8, length: usize) {
    // SAFETY: as above.
    unsafe {
        match width() {
            Width::Avx512 if length >= 256 => streamed_avx512(from, to, length),
            Width::Avx512 | Width::Avx2 => streamed_avx2(from, to, length),
            Width::Sse2 => streamed_sse2(from, to, length),
        }
    }
}

/// Copies to memory that another process may read soon, or may not.
///
/// Stores that bypass the cache are not ordered with others, on either side. Store fences before and after them make them so: a
/// program that puts a flag after a put, or closes a span, finds the order that every other store has; and so does one that
/// orders two puts by what is no instruction on this architecture (a release fence, such as `shmem_fence`), which ends nothing but the
/// compiler's freedom and would let the second put be seen first. No test shows it: the first put would have to wait in the store
/// queue for longer than the buffers of the second, which are emptied line by line. Loads need nothing: no store, of any
/// kind, is visible before a load that precedes it.
///
/// # Safety
/// As [`cached`].
pub(super) unsafe fn put(from: *const u8, to: *mut u8, length: usize) {
    if length < STRINGS {
        // SAFETY: the caller's promise.
        return unsafe { cached(from, to, length) };
    }
    if length >= BEYOND {
        // SAFETY: as above; the fence needs nothing.
        unsafe {
            _mm_sfence();
            streamed(from, to, length);
            _mm_sfence();
        }
    } else if strings::are_best() {
        // SAFETY: as above.
        unsafe { strings::copy(from, to, length) }
    } else if length < LOOK {
        // SAFETY: as above.
        unsafe { cached(from, to, length) }
    } else {
        // SAFETY: as above.
        unsafe { looked(from, to, length) }
    }
}

/// Copies to where the lines may be the own ones or another processor's, and looks which it is.
///
/// # Safety
/// As [`cached`], for at least [`LOOK`] bytes.
unsafe fn looked(from: *const u8, to: *mut u8, length: usize) {
    let limit = limit();
    let mut is_after_fence = false;
    let mut at = 0;
    while at < length {
        // The last chunk takes what would be less than half of one.
        let left = length - at;
        let bytes = if left < CHUNK + CHUNK / 2 { left } else { CHUNK };
        // SAFETY: inside the ranges; a chunk is longer than the sample by more than the shortest copy.
        unsafe {
            let (from, to) = (from.add(at), to.add(at));
            let trust = Trust::of(to);
            if trust.spend() {
                cached(from, to, bytes);
            } else {
                let own = timed(from, to) <= limit;
                trust.answer(own);
                let (from, to, rest) = (from.add(SAMPLE), to.add(SAMPLE), bytes - SAMPLE);
                if own {
                    cached(from, to, rest);
                } else {
                    // Once: pieces of one put have no order among themselves.
                    if !is_after_fence {
                        _mm_sfence();
                        is_after_fence = true;
                    }
                    streamed(from, to, rest);
                    _mm_sfence();
                }
            }
        }
        at += bytes;
    }
}

/// Copies a sample; says how long it took, by the processor's clock.
unsafe fn timed(from: *const u8, to: *mut u8) -> u64 {
    // SAFETY: the caller's promise, for a sample. Reading the clock has no preconditions.
    unsafe {
        let before = _rdtsc();
        cached(from, to, SAMPLE);
        // Every store has its place in the queue before the clock is read, so half of them have reached the cache.
        asm!("lfence", options(nostack));
        _rdtsc().wrapping_sub(before)
    }
}

/// How long a sample may take that goes to the own cache.
fn limit() -> u64 {
    static LIMIT: AtomicU64 = AtomicU64::new(0);
    let known = LIMIT.load(Relaxed);
    if known != 0 {
        return known;
    }
    let limit = measure();
    LIMIT.store(limit, Relaxed);
    limit
}

/// What is copied to find out how long it takes: too large for the stack of a thread that was given a small one.
struct Scratch(UnsafeCell<[u8; 2 * SAMPLE]>);

// SAFETY: only the loops above touch it, which are assembly, and nobody looks at what it holds.
unsafe impl Sync for Scratch {}

#[cold]
#[inline(never)]
fn measure() -> u64 {
    static SCRATCH: Scratch = Scratch(UnsafeCell::new([0; 2 * SAMPLE]));
    let from: *mut u8 = SCRATCH.0.get().cast();
    // The shortest of several: the first ones fetch the lines, and one may be interrupted.
    // SAFETY: the two halves.
    let times = (0..8).map(|_| unsafe { timed(from, from.add(SAMPLE)) });
    times.min().map_or(u64::MAX, |shortest| shortest.saturating_mul(SLOWER).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Copy = unsafe fn(*const u8, *mut u8, usize);

    /// Every kernel this processor has, with its shortest length.
    fn kernels() -> Vec<(&'static str, usize, Copy)> {
        let mut all: Vec<(&str, usize, Copy)> =
            vec![("sse2", 128, cached_sse2), ("sse2, past the cache", 128, streamed_sse2)];
        if is_x86_feature_detected!("avx2") {
            all.extend([("avx2", 128, cached_avx2 as Copy), ("avx2, past the cache", 128, streamed_avx2)]);
        }
        if is_x86_feature_detected!("avx512f") {
            all.extend([("avx512", 256, cached_avx512 as Copy), ("avx512, past the cache", 256, streamed_avx512)]);
        }
        all
    }

    #[test]
    fn every_kernel_copies_every_length_at_every_alignment() {
        for (name, shortest, copy) in kernels() {
            super::super::copy::tests::copies_between_all_alignments(name, shortest, copy);
        }
    }

    #[test]
    fn long_puts_arrive_whole_whichever_way_they_go() {
        for length in [
            STRINGS - 1,
            STRINGS,
            LOOK - 1,
            LOOK,
            LOOK + 1,
            CHUNK,
            CHUNK + CHUNK / 2 - 1,
            CHUNK + CHUNK / 2,
            3 * CHUNK + 77,
            BEYOND + 3,
        ] {
            let source: Vec<u8> = (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect();
            for shift in [0, 13] {
                // On processors that have no use for it, too.
                let copies: &[Copy] = if length < LOOK { &[put] } else { &[put, looked] };
                for copy in copies {
                    let mut target = vec![0u8; length + 64];
                    // SAFETY: both ranges lie inside their vectors.
                    unsafe { copy(source.as_ptr(), target.as_mut_ptr().add(shift), length) };
                    assert!(target[shift..shift + length] == source[..], "{length} {shift}");
                    let rest = target[..shift].iter().chain(&target[shift + length..]);
                    assert!(rest.copied().all(|byte| byte == 0), "{length} {shift}");
                }
            }
        }
    }
}
