//! Between which addresses programs tell what they do with memory.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

/// Between which addresses all memory of segments lies that is looked at, and all that ever was. Before there is any all addresses are
/// below: who compares with the lower one first need do no more.
#[repr(C)]
#[derive(Debug)]
pub struct Bounds {
    low: AtomicUsize,
    high: AtomicUsize,
}

/// `struct rsm_race_bounds { _Atomic uintptr_t low, high; }`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static rsm_race_bounds: Bounds = Bounds::new();

/// Those of segments alone.
static OF_SEGMENTS: Bounds = Bounds::new();

impl Bounds {
    const fn new() -> Bounds {
        Bounds { low: AtomicUsize::new(usize::MAX), high: AtomicUsize::new(0) }
    }

    /// They lie around these addresses as well. Those of segments are never narrowed: of threads that map and unmap at the same time,
    /// the one with the older list may come last.
    fn cover(&self, low: usize, high: usize) {
        // Who gets an address from a call that made it memory of a segment finds it between the two. The lower one first: until
        // there is a higher one, nothing lies between them. SeqCst: see `narrow`.
        self.low.fetch_min(low, SeqCst);
        self.high.fetch_max(high, SeqCst);
    }

    fn now(&self) -> (usize, usize) {
        (self.low.load(SeqCst), self.high.load(SeqCst))
    }

    /// They are no wider than these.
    fn narrow(&self, to: &Bounds) {
        loop {
            let (low, high) = to.now();
            // SeqCst: who widens `to` does that first, and then widens these. Either that is seen here, or it comes behind this.
            self.low.swap(low, SeqCst);
            self.high.swap(high, SeqCst);
            if to.now() == (low, high) {
                return;
            }
        }
    }
}

/// All memory that is looked at lies between these.
pub(super) fn cover(low: usize, high: usize) {
    OF_SEGMENTS.cover(low, high);
    rsm_race_bounds.cover(low, high);
}

/// And other memory, until [`narrow`].
pub(super) fn cover_for_now(low: usize, high: usize) {
    rsm_race_bounds.cover(low, high);
}

/// That of segments is all, again. Who covers something for now at the same time may find that it is not told.
pub(super) fn narrow() {
    rsm_race_bounds.narrow(&OF_SEGMENTS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_takes_nothing_out_of_the_bounds() {
        let bounds = Bounds::new();
        let now = || bounds.now();
        bounds.cover(4096, 8192);
        assert_eq!(now(), (4096, 8192));
        // A list with more, and then the one before it, whose thread was overtaken.
        bounds.cover(1024, 16384);
        bounds.cover(4096, 8192);
        assert_eq!(now(), (1024, 16384));
    }

    /// Memory of segments that comes while what lay around them is given up stays between the bounds.
    #[test]
    fn what_is_narrowed_leaves_segments_in() {
        for turn in 1..500usize {
            let (own, all) = (Bounds::new(), Bounds::new());
            own.cover(1 << 20, 1 << 21);
            all.cover(1 << 20, 1 << 21);
            all.cover(1, 1 << 40);
            std::thread::scope(|scope| {
                scope.spawn(|| all.narrow(&own));
                own.cover(turn << 8, turn << 22);
                all.cover(turn << 8, turn << 22);
            });
            let (low, high) = all.now();
            assert!(low <= turn << 8 && high >= turn << 22, "{low} {high}");
            all.narrow(&own);
            assert_eq!(all.now(), own.now());
        }
    }
}
