//! Where memory is that belongs to the library ([`super::sources`]), and who writes there: what a store of the program looks at.
//!
//! A fixed array. Who stores looks without a lock, allocates nothing, and may be left anywhere, as by `siglongjmp`; those who
//! change what is there ([`Spots::put`], [`Spots::clear`]) take turns. Each source has a number, which is with all that is
//! noted of it: what is noted late is nothing of the one that has come since.
#![allow(unsafe_code)]

use super::Racing;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence};

/// Most sources that are kept, and most places that write to one.
pub(super) const SPOTS: usize = 64;
const NOTES: usize = 8;
/// Most bytes of one: a place in it has so many bits.
pub(super) const BYTES: usize = 1 << PLACE;
const PLACE: u32 = 20;
const NUMBERS: u32 = 1 << (64 - 2 * PLACE);

/// Writes into a source: by whom, where in the program, and what they touched of it, from the first byte to behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) process: usize,
    pub(super) site: u16,
    pub(super) from: usize,
    pub(super) to: usize,
}

#[derive(Debug)]
struct Note {
    /// The source's number, and below it process and site.
    who: AtomicU64,
    /// The end of that number, and below it the first byte and the last one.
    what: AtomicU64,
}

#[derive(Debug)]
struct Spot {
    /// An end of 0: nothing is there.
    start: AtomicUsize,
    end: AtomicUsize,
    racing: AtomicPtr<Racing>,
    /// The number of what is there; 0: nothing, or it is changed right now.
    number: AtomicU32,
    notes: [Note; NOTES],
}

/// A source that a store hits.
#[derive(Debug)]
pub(super) struct Hit<'a> {
    spot: &'a Spot,
    number: u32,
    pub(super) racing: &'static Racing,
    from: usize,
    to: usize,
}

#[derive(Debug)]
pub(super) struct Spots([Spot; SPOTS]);

impl Note {
    const fn new() -> Note {
        Note { who: AtomicU64::new(0), what: AtomicU64::new(0) }
    }

    /// Whether this note is of this writer, or is now.
    fn takes(&self, who: u64) -> bool {
        // Relaxed, here and below: whether a write comes before the end of a span is said by whatever orders the two.
        let now = self.who.load(Relaxed);
        now == who
            || now >> 32 != who >> 32
                && (self.who.compare_exchange(now, who, Relaxed, Relaxed).is_ok() || self.who.load(Relaxed) == who)
    }

    fn covers(&self, number: u32, from: usize, last: usize) {
        let word = |from: u64, last: u64| u64::from(number % NUMBERS) << (2 * PLACE) | from << PLACE | last;
        let (from, last) = (from as u64, last as u64);
        let wider = |now: u64| {
            let is_of_it = now >> (2 * PLACE) == u64::from(number % NUMBERS);
            let (first, end) = (now >> PLACE & (BYTES as u64 - 1), now & (BYTES as u64 - 1));
            Some(if is_of_it { word(first.min(from), end.max(last)) } else { word(from, last) })
        };
        let _ = self.what.fetch_update(Relaxed, Relaxed, wider);
    }

    fn written(&self, number: u32) -> Option<Written> {
        let (who, what) = (self.who.load(Relaxed), self.what.load(Relaxed));
        let is_whole = who >> 32 == u64::from(number) && what >> (2 * PLACE) == u64::from(number % NUMBERS);
        let place = |word: u64| word as usize & (BYTES - 1);
        let (process, site) = ((who >> 16) as u16 as usize, who as u16);
        is_whole.then(|| Written { process, site, from: place(what >> PLACE), to: place(what) + 1 })
    }
}

impl Spot {
    const fn new() -> Spot {
        Spot {
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            racing: AtomicPtr::new(std::ptr::null_mut()),
            number: AtomicU32::new(0),
            notes: [const { Note::new() }; NOTES],
        }
    }

    fn is_hit(&self, address: usize, end: usize) -> bool {
        // Relaxed: a hint. What `Spots::put` put there before it was said how many there are is found.
        address < self.end.load(Relaxed) && self.start.load(Relaxed) < end
    }

    fn hit(&self, address: usize, end: usize) -> Option<Hit<'_>> {
        // Acquire: pairs with the Release of `put`.
        let number = self.number.load(Acquire);
        let (start, behind) = (self.start.load(Relaxed), self.end.load(Relaxed));
        let racing = self.racing.load(Relaxed);
        // Pairs with the fence of `change`: who has found anything newer finds another number.
        fence(Acquire);
        if number == 0 || self.number.load(Relaxed) != number || address >= behind || start >= end {
            return None;
        }
        // SAFETY: null, or what stays for ever, as `put` was given it; Acquire, above.
        let racing = unsafe { racing.as_ref() }?;
        Some(Hit { spot: self, number, racing, from: address.max(start) - start, to: end.min(behind) - start })
    }

    /// What is there is nothing any more, until its number says that it is something else.
    fn change(&self, start: usize, end: usize, racing: *mut Racing) {
        self.number.store(0, Relaxed);
        // Pairs with the fence of `hit`.
        fence(Release);
        self.racing.store(racing, Relaxed);
        self.end.store(0, Relaxed);
        self.start.store(start, Relaxed);
        self.end.store(end, Relaxed);
    }
}

impl Spots {
    pub(super) const fn new() -> Spots {
        Spots([const { Spot::new() }; SPOTS])
    }

    /// Whether a store may hit any of the first of them.
    #[inline]
    pub(super) fn are_hit(&self, used: usize, address: usize, end: usize) -> bool {
        self.0[..used.min(SPOTS)].iter().any(|spot| spot.is_hit(address, end))
    }

    /// Those that it does hit.
    pub(super) fn hits(&self, used: usize, address: usize, end: usize) -> impl Iterator<Item = Hit<'_>> {
        self.0[..used.min(SPOTS)].iter().filter_map(move |spot| spot.hit(address, end))
    }

    /// A source of this number is there now.
    pub(super) fn put(&self, at: usize, number: u32, start: usize, end: usize, racing: &'static Racing) {
        let spot = &self.0[at];
        spot.change(start, end, std::ptr::from_ref(racing).cast_mut());
        for note in &spot.notes {
            note.who.store(0, Relaxed);
            note.what.store(0, Relaxed);
        }
        // Release: pairs with the Acquire of `hit`.
        spot.number.store(number, Release);
    }

    /// Nothing is there any more.
    pub(super) fn clear(&self, at: usize) {
        self.0[at].change(0, 0, std::ptr::null_mut());
    }

    /// What was noted of the source of this number.
    pub(super) fn written(&self, at: usize, number: u32) -> impl Iterator<Item = Written> {
        self.0[at].notes.iter().filter_map(move |note| note.written(number))
    }

    /// The number that comes behind this one. None is 0, nor ends so.
    pub(super) fn next_number(number: u32) -> u32 {
        let next = number.wrapping_add(1);
        if next.is_multiple_of(NUMBERS) { next.wrapping_add(1) } else { next }
    }
}

impl Hit<'_> {
    /// Notes who writes there. What there is no room for is not noted.
    pub(super) fn note(&self, process: usize, site: u16) {
        let who = u64::from(self.number) << 32 | (process as u64 & 0xffff) << 16 | u64::from(site);
        if let Some(note) = self.spot.notes.iter().find(|note| note.takes(who)) {
            note.covers(self.number, self.from, self.to - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::races::RaceMap;

    fn racing() -> &'static Racing {
        let (map, _object) = RaceMap::create().unwrap();
        Racing::begin(map, 1, 1, (false, false))
    }

    fn all(spots: &Spots, at: usize, number: u32) -> Vec<Written> {
        spots.written(at, number).collect()
    }

    #[test]
    fn what_is_hit_is_noted() {
        let (spots, racing) = (Spots::new(), racing());
        spots.put(1, 7, 1000, 1100, racing);
        spots.put(2, 8, 1050, 1050 + BYTES, racing);
        let hits = |address, end| spots.hits(SPOTS, address, end).count();
        assert_eq!([hits(900, 1000), hits(1100, 1101), hits(999, 1001), hits(1060, 1061)], [0, 1, 1, 2]);
        assert!(!spots.are_hit(SPOTS, 900, 1000) && spots.are_hit(SPOTS, 999, 1001) && !spots.are_hit(1, 999, 1001));

        let write = |address, end, site| spots.hits(SPOTS, address, end).for_each(|hit| hit.note(3, site));
        write(990, 1004, 1);
        write(1010, 1012, 1);
        write(1020, 1021, 2);
        write(1040 + BYTES, 1060 + BYTES, 1);
        let written = |site, from, to| Written { process: 3, site, from, to };
        assert_eq!(all(&spots, 1, 7), [written(1, 0, 12), written(2, 20, 21)]);
        assert_eq!(all(&spots, 2, 8), [written(1, BYTES - 10, BYTES)]);
        for site in 0..100 {
            write(1000, 1001, site);
        }
        assert_eq!(all(&spots, 1, 7).len(), NOTES, "and no more");
    }

    /// Who has found a source that is over by now adds nothing to the one that has come since.
    #[test]
    fn what_comes_late_is_noted_of_nothing() {
        let (spots, racing) = (Spots::new(), racing());
        spots.put(0, 1, 1000, 1100, racing);
        let late = spots.hits(SPOTS, 1000, 1100).next().unwrap();
        late.note(3, 1);
        spots.clear(0);
        assert_eq!(spots.hits(SPOTS, 1000, 1100).count(), 0);
        spots.put(0, 2, 1000, 1100, racing);
        assert_eq!(all(&spots, 0, 2), []);
        let own = spots.hits(SPOTS, 1050, 1051).next().unwrap();
        own.note(3, 1);
        late.note(3, 1);
        let known = all(&spots, 0, 2);
        assert!(known.iter().all(|written| (written.from, written.to) == (50, 51)), "{known:?}");
        own.note(3, 1);
        assert_eq!(all(&spots, 0, 2).len(), 1);
    }

    /// What was left while it was noted is no note, and keeps nobody from another one.
    #[test]
    fn what_was_left_half_done_is_nothing() {
        let (spots, racing) = (Spots::new(), racing());
        spots.put(0, 1, 1000, 1100, racing);
        assert!(spots.0[0].notes[0].takes(1 << 32 | 3 << 16 | 1));
        assert_eq!(all(&spots, 0, 1), []);
        spots.hits(SPOTS, 1000, 1001).for_each(|hit| hit.note(3, 2));
        assert_eq!(all(&spots, 0, 1), [Written { process: 3, site: 2, from: 0, to: 1 }]);
    }

    #[test]
    fn no_number_looks_like_none() {
        assert_eq!(Spots::next_number(0), 1);
        assert_eq!(Spots::next_number(NUMBERS - 1), NUMBERS + 1);
        assert_eq!(Spots::next_number(u32::MAX), 1);
    }
}
