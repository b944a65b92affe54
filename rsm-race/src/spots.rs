//! Where memory of a process is that nobody is to write to, and who writes there: what each store of a program looks at.
//!
//! A fixed array. Who stores looks without a lock, allocates nothing, and may be left anywhere, as by `siglongjmp`; those who
//! change what is there ([`Spots::put`], [`Spots::clear`]) take turns. Each source has a number, which is with all that is
//! noted of it: what is noted late is nothing of the one that has come since, and takes nothing of its place.

use crate::table::MODELLED;
use rsm_core::sync::Ordering::{Acquire, Relaxed, Release};
use rsm_core::sync::{AtomicPtr, AtomicU32, AtomicU64, fence, mutated};

/// Most sources that are kept, and most places that write to one.
pub const SPOTS: usize = if MODELLED { 1 } else { 64 };
const NOTES: usize = if MODELLED { 1 } else { 8 };
/// Most bytes of one: a place in it has so many bits.
pub const BYTES: usize = 1 << PLACE;
const PLACE: u32 = 20;
const NUMBERS: u32 = 1 << (64 - 2 * PLACE);

/// Writes into a source: by whom, where in the program, and what they touched of it, from the first byte to behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The name of the process's clock.
    pub process: usize,
    /// The number of the place.
    pub site: u16,
    /// The first byte, counted from the source's start.
    pub from: usize,
    /// Behind the last one.
    pub to: usize,
}

#[derive(Debug)]
struct Note {
    /// The source's number, and below it process and site. Goes over to a later source only.
    who: AtomicU64,
    /// The end of that number, and below it the first byte and the last one. Likewise.
    what: AtomicU64,
}

#[derive(Debug)]
struct Spot<T> {
    /// An end of 0: nothing is there.
    start: AtomicU64,
    end: AtomicU64,
    whose: AtomicPtr<T>,
    /// The number of what is there; 0: nothing, or it is changed right now.
    number: AtomicU32,
    notes: [Note; NOTES],
}

/// A source that a store hits.
#[derive(Debug)]
pub struct Hit<'a, T> {
    spot: &'a Spot<T>,
    number: u32,
    /// Whose it is, as [`Spots::put`] was told.
    pub whose: *const T,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// The places of a process; each source is somebody's, a `T`.
#[derive(Debug)]
pub struct Spots<T>([Spot<T>; SPOTS]);

/// Whether a number comes before another, in so many bits, which it is not far from.
fn is_before(one: u64, other: u64, bits: u32) -> bool {
    one != other && other.wrapping_sub(one) & ((1 << bits) - 1) < 1 << (bits - 1)
}

impl Note {
    fn new() -> Note {
        Note { who: AtomicU64::new(0), what: AtomicU64::new(0) }
    }

    /// Whether this note is of this writer, or is now.
    fn takes(&self, who: u64) -> bool {
        let mine = |now: u64| {
            let (theirs, own) = (now >> 32, who >> 32);
            // Not from a source that has come since: the next one that took it back would have what the first one touched for its own.
            let is_free = theirs == 0 || is_before(theirs, own, 32) || mutated("spots_late_takes") && theirs != own;
            (now == who || is_free).then_some(who)
        };
        // Relaxed, here and below: whether a write comes before the end of a span is said by whatever orders the two.
        self.who.fetch_update(Relaxed, Relaxed, mine).is_ok()
    }

    fn covers(&self, number: u32, from: usize, last: usize) {
        let number = u64::from(number % NUMBERS);
        let word = |from: u64, last: u64| number << (2 * PLACE) | from << PLACE | last;
        let (from, last) = (from as u64, last as u64);
        let wider = |now: u64| {
            let theirs = now >> (2 * PLACE);
            let (first, end) = (now >> PLACE & (BYTES as u64 - 1), now & (BYTES as u64 - 1));
            if theirs == number {
                return Some(word(first.min(from), end.max(last)));
            }
            // As in `takes`.
            let is_free = theirs == 0 || is_before(theirs, number, 64 - 2 * PLACE) || mutated("spots_late_covers");
            is_free.then(|| word(from, last))
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

impl<T> Spot<T> {
    fn new() -> Spot<T> {
        Spot {
            start: AtomicU64::new(0),
            end: AtomicU64::new(0),
            whose: AtomicPtr::new(std::ptr::null_mut()),
            number: AtomicU32::new(0),
            notes: std::array::from_fn(|_| Note::new()),
        }
    }

    fn is_hit(&self, address: u64, end: u64) -> bool {
        // Relaxed: a hint. What `Spots::put` put there before it was said how many there are is found.
        address < self.end.load(Relaxed) && self.start.load(Relaxed) < end
    }

    fn hit(&self, address: u64, end: u64) -> Option<Hit<'_, T>> {
        // Acquire: pairs with the Release of `put`.
        let number = self.number.load(if mutated("spots_number_relaxed") { Relaxed } else { Acquire });
        let (start, behind) = (self.start.load(Relaxed), self.end.load(Relaxed));
        let whose = self.whose.load(Relaxed).cast_const();
        // Pairs with the fence of `change`: who has found anything newer finds another number.
        if !mutated("spots_look_unfenced") {
            fence(Acquire);
        }
        if number == 0 || self.number.load(Relaxed) != number || address >= behind || start >= end {
            return None;
        }
        let (from, to) = (address.max(start) - start, end.min(behind) - start);
        Some(Hit { spot: self, number, whose, from: from as usize, to: to as usize })
    }

    /// What is there is nothing any more, until its number says that it is something else.
    fn change(&self, start: u64, end: u64, whose: *mut T) {
        self.number.store(0, Relaxed);
        // Pairs with the fence of `hit`.
        if !mutated("spots_change_unfenced") {
            fence(Release);
        }
        self.whose.store(whose, Relaxed);
        self.end.store(0, Relaxed);
        self.start.store(start, Relaxed);
        self.end.store(end, Relaxed);
    }
}

impl<T> Spots<T> {
    /// With nothing there.
    pub fn new() -> Spots<T> {
        Spots(std::array::from_fn(|_| Spot::new()))
    }

    /// Whether a store may hit any of the first of them.
    #[inline]
    pub fn are_hit(&self, used: usize, address: usize, end: usize) -> bool {
        self.0[..used.min(SPOTS)].iter().any(|spot| spot.is_hit(address as u64, end as u64))
    }

    /// Those that it does hit.
    pub fn hits(&self, used: usize, address: usize, end: usize) -> impl Iterator<Item = Hit<'_, T>> {
        self.0[..used.min(SPOTS)].iter().filter_map(move |spot| spot.hit(address as u64, end as u64))
    }

    /// A source of this number is there now. Those who put and clear take turns.
    pub fn put(&self, at: usize, number: u32, start: usize, end: usize, whose: &'static T) {
        let spot = &self.0[at];
        spot.change(start as u64, end as u64, std::ptr::from_ref(whose).cast_mut());
        // Release: pairs with the Acquire of `hit`.
        spot.number.store(number, if mutated("spots_number_unreleased") { Relaxed } else { Release });
    }

    /// Nothing is there any more.
    pub fn clear(&self, at: usize) {
        self.0[at].change(0, 0, std::ptr::null_mut());
    }

    /// What was noted of the source of this number.
    pub fn written(&self, at: usize, number: u32) -> impl Iterator<Item = Written> {
        self.0[at].notes.iter().filter_map(move |note| note.written(number))
    }

    /// The number that comes behind this one. None is 0, nor ends so.
    pub fn next_number(number: u32) -> u32 {
        let next = number.wrapping_add(1);
        if next.is_multiple_of(NUMBERS) { next.wrapping_add(1) } else { next }
    }
}

impl<T> Default for Spots<T> {
    fn default() -> Spots<T> {
        Spots::new()
    }
}

impl<T> Hit<'_, T> {
    /// Notes who writes there. What there is no room for is not noted.
    pub fn note(&self, process: usize, site: u16) {
        let who = u64::from(self.number) << 32 | (process as u64 & 0xffff) << 16 | u64::from(site);
        if let Some(note) = self.spot.notes.iter().find(|note| note.takes(who)) {
            note.covers(self.number, self.from, self.to - 1);
        }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    static OWNER: u8 = 0;

    fn all(spots: &Spots<u8>, at: usize, number: u32) -> Vec<Written> {
        spots.written(at, number).collect()
    }

    #[test]
    fn what_is_hit_is_noted() {
        let (spots, owner) = (Spots::new(), &OWNER);
        spots.put(1, 7, 1000, 1100, owner);
        spots.put(2, 8, 1050, 1050 + BYTES, owner);
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
        let (spots, owner) = (Spots::new(), &OWNER);
        spots.put(0, 1, 1000, 1100, owner);
        let late = spots.hits(SPOTS, 1000, 1100).next().unwrap();
        late.note(3, 1);
        spots.clear(0);
        assert_eq!(spots.hits(SPOTS, 1000, 1100).count(), 0);
        spots.put(0, 2, 1000, 1100, owner);
        assert_eq!(all(&spots, 0, 2), []);
        let own = spots.hits(SPOTS, 1050, 1051).next().unwrap();
        own.note(3, 1);
        late.note(3, 1);
        assert_eq!(all(&spots, 0, 2), [Written { process: 3, site: 1, from: 50, to: 51 }]);
    }

    /// What was left while it was noted is no note, and keeps nobody from another one.
    #[test]
    fn what_was_left_half_done_is_nothing() {
        let (spots, owner) = (Spots::new(), &OWNER);
        spots.put(0, 1, 1000, 1100, owner);
        assert!(spots.0[0].notes[0].takes(1 << 32 | 3 << 16 | 1));
        assert_eq!(all(&spots, 0, 1), []);
        spots.hits(SPOTS, 1000, 1001).for_each(|hit| hit.note(3, 2));
        assert_eq!(all(&spots, 0, 1), [Written { process: 3, site: 2, from: 0, to: 1 }]);
    }

    #[test]
    fn no_number_looks_like_none() {
        assert_eq!(Spots::<u8>::next_number(0), 1);
        assert_eq!(Spots::<u8>::next_number(NUMBERS - 1), NUMBERS + 1);
        assert_eq!(Spots::<u8>::next_number(u32::MAX), 1);
    }
}
