//! Where programs tell what they do with memory: a byte for each granule of addresses.
//!
//! Code that a compiler puts before each access looks at the byte of the address, and tells only where it is not 0. Granules that
//! are 4 GiB apart have one byte: memory of no segment is told as well then, and looked for among the segments, which finds none.
//!
//! A byte says whether any memory of a segment is, or ever was, in its granule, and how much other memory is there
//! for now (`ForNow`). Both change by one atomic operation on the byte, which leaves the other as it was; so no order of threads takes a
//! segment out, and what is there for now is counted until its last one goes.
#![allow(unsafe_code)]

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// The bytes of a granule, as a power of two: bits of an address from this one on number it.
const BITS: u32 = 16;
/// How many have a byte of their own: as many as the next sixteen bits tell apart.
const COUNT: usize = 1 << 16;
/// Most bytes of an access of which only the first one is looked at.
const LONGEST: usize = 16;

/// Memory of a segment is, or was, in the granule.
const SEGMENT: u8 = 1 << 7;
/// How much other memory is. One that is full stays so.
const OTHERS: u8 = SEGMENT - 1;

/// A byte for each granule.
#[repr(transparent)]
#[derive(Debug)]
pub struct Granules([AtomicU8; COUNT]);

/// `_Atomic unsigned char rsm_race_granules[65536]`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static rsm_race_granules: Granules = Granules::new();

impl Granules {
    const fn new() -> Granules {
        Granules([const { AtomicU8::new(0) }; COUNT])
    }

    /// The bytes of the granules in which an access may begin that touches any of these addresses.
    fn of(&self, start: usize, end: usize) -> impl Iterator<Item = &AtomicU8> {
        // An access to the first address may begin in the granule before.
        let (first, behind) = (start.saturating_sub(LONGEST - 1) >> BITS, end.div_ceil(1 << BITS));
        (first..behind).take(COUNT).map(|granule| &self.0[granule % COUNT])
    }

    /// There is memory of a segment. Relaxed, here and below: who gets an address by whatever the thread did that called this finds
    /// its byte set; others reach nothing there.
    fn cover(&self, start: usize, end: usize) {
        for byte in self.of(start, end) {
            // Most often it has been, and nothing is written then.
            if byte.load(Relaxed) & SEGMENT == 0 {
                byte.fetch_or(SEGMENT, Relaxed);
            }
        }
    }

    /// There is other memory, until as much has been uncovered.
    fn cover_for_now(&self, start: usize, end: usize) {
        for byte in self.of(start, end) {
            let _ = byte.fetch_update(Relaxed, Relaxed, one_more);
        }
    }

    /// There is not any more.
    fn uncover(&self, start: usize, end: usize) {
        for byte in self.of(start, end) {
            let _ = byte.fetch_update(Relaxed, Relaxed, one_less);
        }
    }
}

fn one_more(byte: u8) -> Option<u8> {
    (byte & OTHERS < OTHERS).then(|| byte + 1)
}

/// A forked child may have a byte of the parent's from before it was counted up, and what was counted: that takes no segment out.
fn one_less(byte: u8) -> Option<u8> {
    (!matches!(byte & OTHERS, 0 | OTHERS)).then(|| byte - 1)
}

/// There is memory of a segment, from the first address to before the second.
pub(super) fn cover(start: usize, end: usize) {
    rsm_race_granules.cover(start, end);
}

/// Memory that is told for as long as this is there.
#[derive(Debug)]
pub(super) struct ForNow {
    start: usize,
    end: usize,
}

impl ForNow {
    /// There is some, from the first address to before the second.
    pub(super) fn cover(start: usize, end: usize) -> ForNow {
        rsm_race_granules.cover_for_now(start, end);
        ForNow { start, end }
    }
}

impl Drop for ForNow {
    fn drop(&mut self) {
        rsm_race_granules.uncover(self.start, self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    /// What code in place looks at.
    fn is_told(granules: &Granules, address: usize) -> bool {
        granules.0[address >> 16 & 0xffff].load(Relaxed) != 0
    }

    #[test]
    fn any_access_to_a_byte_of_it_is_told() {
        for (start, end) in [(4096, 8192), (64 * KIB, 128 * KIB), (64 * KIB + 1, 64 * KIB + 2), (5, 400 * KIB + 1)] {
            let granules = Granules::new();
            granules.cover(start, end);
            for at in (start..end).step_by(4096).chain([end - 1]) {
                for from in at.saturating_sub(15)..=at {
                    assert!(is_told(&granules, from), "[{start}, {end}): {} bytes at {from}", at - from + 1);
                }
            }
        }
    }

    #[test]
    fn what_lies_between_and_around_is_not() {
        let granules = Granules::new();
        granules.cover(128 * KIB + 15, 192 * KIB);
        granules.cover(320 * KIB, 384 * KIB);
        let told: Vec<usize> = (0..8).filter(|granule| is_told(&granules, granule * 64 * KIB)).collect();
        assert_eq!(told, [2, 4, 5], "an access that begins in the fourth may reach the one behind it");
    }

    #[test]
    fn memory_of_4_gib_and_more_is_all_there_is() {
        for (start, end) in [(12345, 12345 + (1 << 32)), (usize::MAX - (1 << 40), usize::MAX)] {
            let granules = Granules::new();
            granules.cover(start, end);
            assert!(granules.0.iter().all(|byte| byte.load(Relaxed) == SEGMENT));
        }
    }

    #[test]
    fn at_the_ends_of_all_addresses_there_is_memory_as_elsewhere() {
        let granules = Granules::new();
        granules.cover(0, 1);
        granules.cover(usize::MAX - 1, usize::MAX);
        assert_eq!((0..COUNT).filter(|&at| is_told(&granules, at << 16)).collect::<Vec<_>>(), [0, COUNT - 1]);
    }

    /// All orders of these steps that keep the order of each thread's own.
    fn orders(threads: &[&[u8]]) -> Vec<Vec<u8>> {
        if threads.iter().all(|steps| steps.is_empty()) {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for at in 0..threads.len() {
            if let Some((&first, rest)) = threads[at].split_first() {
                let mut others = threads.to_vec();
                others[at] = rest;
                all.extend(orders(&others).into_iter().map(|order| [&[first][..], &order].concat()));
            }
        }
        all
    }

    /// A segment comes while two threads have other memory in its granule for now, one of them twice: in each order, after each step.
    #[test]
    fn a_granule_is_told_as_long_as_anything_is_there() {
        let (start, end) = (64 * KIB + 100, 64 * KIB + 200);
        let all = orders(&[b"+-+-", b"+-", b"s"]);
        assert_eq!(all.len(), 105);
        for order in all {
            let granules = Granules::new();
            let (mut others, mut has_segment) = (0, false);
            for step in &order {
                match step {
                    b'+' => {
                        granules.cover_for_now(start, end);
                        others += 1;
                    }
                    b'-' => {
                        granules.uncover(start, end);
                        others -= 1;
                    }
                    _ => {
                        granules.cover(start, end);
                        has_segment = true;
                    }
                }
                let is_right = is_told(&granules, start) == (others > 0 || has_segment);
                assert!(is_right, "{}", String::from_utf8_lossy(&order));
            }
        }
    }

    #[test]
    fn no_count_takes_a_segment_out_or_brings_one_in() {
        for byte in 0..=u8::MAX {
            for changed in [one_more(byte), one_less(byte)].into_iter().flatten() {
                assert_eq!(changed & SEGMENT, byte & SEGMENT, "{byte}");
            }
        }
        assert_eq!((one_less(0), one_less(SEGMENT)), (None, None), "there is nothing");
        assert_eq!((one_more(OTHERS), one_less(OTHERS)), (None, None), "how much there is, is not known any more");
    }

    /// Threads that come and go in one granule at once.
    #[test]
    fn what_threads_count_at_once_is_all_counted() {
        let granules = Granules::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        granules.cover_for_now(0, 100);
                        assert!(is_told(&granules, 50));
                        granules.uncover(0, 100);
                    }
                });
            }
        });
        assert!(!is_told(&granules, 50));
    }
}
