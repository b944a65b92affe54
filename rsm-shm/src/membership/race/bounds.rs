//! Between which addresses programs tell what they do with memory.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Between which addresses all memory of segments lies that is looked at, and all that ever was. Both are 0 before there is any.
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

impl Bounds {
    /// They lie around these addresses as well. They are never narrowed: of threads that map and unmap at the same time, the one
    /// with the older list may come last.
    fn cover(&self, low: usize, high: usize) {
        // Relaxed: who gets an address from a call that made it memory of a segment finds it between the two. The lower one
        // first: until there is a higher one, nothing lies between them.
        let lower = |now: usize| (now == 0 || low < now).then_some(low);
        let _ = self.low.fetch_update(Relaxed, Relaxed, lower);
        self.high.fetch_max(high, Relaxed);
    }
}

/// All memory that is looked at lies between these.
pub(super) fn cover(low: usize, high: usize) {
    rsm_race_bounds.cover(low, high);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_takes_nothing_out_of_the_bounds() {
        let bounds = Bounds { low: AtomicUsize::new(0), high: AtomicUsize::new(0) };
        let now = || (bounds.low.load(Relaxed), bounds.high.load(Relaxed));
        bounds.cover(4096, 8192);
        assert_eq!(now(), (4096, 8192));
        // A list with more, and then the one before it, whose thread was overtaken.
        bounds.cover(1024, 16384);
        bounds.cover(4096, 8192);
        assert_eq!(now(), (1024, 16384));
    }
}
