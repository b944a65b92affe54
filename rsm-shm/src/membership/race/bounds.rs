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

    /// `step`: called before each access, for whatever others may do there.
    #[inline]
    fn now(&self, mut step: impl FnMut()) -> (usize, usize) {
        step();
        let low = self.low.load(SeqCst);
        step();
        (low, self.high.load(SeqCst))
    }

    /// They are no wider than these.
    fn narrow(&self, to: &Bounds) {
        self.narrow_in_steps(to, || {});
    }

    /// `step`: as in `now`.
    #[inline]
    fn narrow_in_steps(&self, to: &Bounds, mut step: impl FnMut()) {
        let mut now = to.now(&mut step);
        loop {
            // SeqCst: who widens `to` does that first, and then widens these. Either that is seen here, or it comes behind this.
            step();
            self.low.swap(now.0, SeqCst);
            step();
            self.high.swap(now.1, SeqCst);
            let before = now;
            now = to.now(&mut step);
            if now == before {
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
        let now = || bounds.now(|| {});
        bounds.cover(4096, 8192);
        assert_eq!(now(), (4096, 8192));
        // A list with more, and then the one before it, whose thread was overtaken.
        bounds.cover(1024, 16384);
        bounds.cover(4096, 8192);
        assert_eq!(now(), (1024, 16384));
    }

    /// Each way in which memory of segments may come while what lay around it is given up, as all accesses are in one order: whether
    /// it is between the bounds then, always.
    fn stays_inside(order: [usize; 4]) -> bool {
        // Before the narrowing's access of this number, or behind all of them, each of those that widen is done.
        let is_inside = |at: [usize; 4]| {
            let (own, all) = (Bounds::new(), Bounds::new());
            own.cover(4096, 8192);
            all.cover(0, 1 << 40);
            let widen = |which: usize| {
                match which {
                    0 => own.low.fetch_min(1024, SeqCst),
                    1 => own.high.fetch_max(16384, SeqCst),
                    2 => all.low.fetch_min(1024, SeqCst),
                    _ => all.high.fetch_max(16384, SeqCst),
                };
            };
            let (mut accesses, mut done) = (0, 0);
            all.narrow_in_steps(&own, || {
                while done < 4 && at[done] == accesses {
                    widen(order[done]);
                    done += 1;
                }
                accesses += 1;
            });
            order[done..].iter().for_each(|&which| widen(which));
            let (low, high) = all.now(|| {});
            low <= 1024 && high >= 16384
        };
        const LAST: usize = 15;
        (0..=LAST).all(|a| (a..=LAST).all(|b| (b..=LAST).all(|c| (c..=LAST).all(|d| is_inside([a, b, c, d])))))
    }

    #[test]
    fn what_is_narrowed_leaves_segments_in() {
        assert!(stays_inside([0, 1, 2, 3]), "in the order of `cover`");
        assert!(!stays_inside([2, 3, 0, 1]), "those that are narrowed first: this is seen to fail");
    }

    #[test]
    fn what_is_narrowed_is_as_wide_as_segments_are() {
        let (own, all) = (Bounds::new(), Bounds::new());
        own.cover(4096, 8192);
        all.cover(1, 1 << 40);
        all.narrow(&own);
        assert_eq!(all.now(|| {}), (4096, 8192));
    }
}
