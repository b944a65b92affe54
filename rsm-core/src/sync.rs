//! The one place that names the atomics, so that loom can replace them (`--cfg rsm_loom`).
//!
//! Two rules of shared memory live here. Loads from a mapping without write permission may only be `Relaxed` (Rust
//! gives no promise for stronger ones on read-only memory), hence [`acquire`] and [`acquire32`]. And a full fence after
//! an atomic read-modify-write costs nothing on x86-64, where the locked instruction already is one, hence
//! [`fence_after_rmw`].
#![allow(clippy::disallowed_types)] // the file meant for them

#[cfg(not(rsm_loom))]
pub use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(rsm_loom)]
pub use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

// Locks are private to a process, never in shared memory; here so that loom knows of them.
#[cfg(rsm_loom)]
pub use loom::sync::{Mutex, MutexGuard};
#[cfg(not(rsm_loom))]
pub use std::sync::{Mutex, MutexGuard};

use Ordering::{Acquire, Relaxed};

/// Loads a word so that what its writer stored before (Release) is visible; safe on read-only memory.
#[inline(always)]
pub fn acquire(word: &AtomicU64) -> u64 {
    let value = word.load(Relaxed);
    fence(Acquire);
    value
}

/// [`acquire`] for 32-bit words.
#[inline(always)]
pub fn acquire32(word: &AtomicU32) -> u32 {
    let value = word.load(Relaxed);
    fence(Acquire);
    value
}

/// Orders everything before a preceding atomic read-modify-write before everything after, stores before loads included.
#[inline(always)]
pub fn fence_after_rmw() {
    // On x86-64 the locked instruction of the read-modify-write is the full fence; the compiler must not move either.
    #[cfg(all(target_arch = "x86_64", not(rsm_loom)))]
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(target_arch = "x86_64", not(rsm_loom))))]
    fence(Ordering::SeqCst);
}

/// Whether the named mutation is to be made: a way to break a protocol on purpose, so that its model is seen to fail.
/// Never, but in models, where the environment variable `RSM_MUTATION` chooses one, and in a library that is built to be wrong.
#[inline(always)]
pub fn mutated(name: &str) -> bool {
    #[cfg(rsm_loom)]
    {
        static CHOSEN: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var("RSM_MUTATION").ok()).as_deref() == Some(name)
    }
    #[cfg(not(rsm_loom))]
    {
        // For `ci/bridge.sh`, which has to find such verdicts out.
        cfg!(rsm_no_read_back) && name == "posted_no_load"
    }
}

/// Tells the CPU that this is a spin loop (and loom that another thread must run).
#[inline(always)]
pub fn spin_loop() {
    #[cfg(not(rsm_loom))]
    core::hint::spin_loop();
    #[cfg(rsm_loom)]
    loom::thread::yield_now();
}
