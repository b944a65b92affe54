//! Between which addresses programs tell what they do with memory.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Between which addresses all memory of segments lies that is looked at. Both are 0 where none is.
#[repr(C)]
#[derive(Debug)]
pub struct Bounds {
    low: AtomicUsize,
    high: AtomicUsize,
}

/// `struct rsm_race_bounds { _Atomic uintptr_t low, high; }`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static rsm_race_bounds: Bounds = Bounds { low: AtomicUsize::new(0), high: AtomicUsize::new(0) };

/// Says between which from now on.
pub(super) fn set(low: usize, high: usize) {
    // Relaxed: who gets an address from a call that made it memory of a segment finds it between the two.
    rsm_race_bounds.low.store(low, Relaxed);
    rsm_race_bounds.high.store(high, Relaxed);
}
