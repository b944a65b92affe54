//! Which addresses of this process are memory of segments, for who was built to tell what it does with them.
//!
//! A list that never changes: another one takes its place. Those before it stay, for a thread may be reading them.
#![allow(unsafe_code)]

use super::{Racing, granules};
use rsm_race::place::{NO_LINES, Place};
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

/// Memory of a segment.
#[derive(Clone, Debug)]
pub(in crate::membership) struct Watched {
    pub(in crate::membership) start: usize,
    pub(in crate::membership) end: usize,
    pub(in crate::membership) racing: &'static Racing,
    pub(in crate::membership) place: Place,
    /// What of the segment it begins with.
    pub(in crate::membership) offset: u64,
    /// As [`super::Raced`] has it, of what is mapped by way of an import; 0 for the process's own.
    pub(in crate::membership) import: u64,
    /// Of its own: which segment.
    pub(in crate::membership) incarnation: u64,
}

static LIST: AtomicPtr<Vec<Watched>> = AtomicPtr::new(std::ptr::null_mut());

fn list() -> &'static [Watched] {
    // SAFETY: null, or a list that stays for ever; Acquire: pairs with the release of `change`.
    unsafe { LIST.load(Acquire).as_ref() }.map_or(&[], Vec::as_slice)
}

/// Changes what is watched.
pub(in crate::membership) fn change(change: impl Fn(&mut Vec<Watched>)) {
    loop {
        let now = LIST.load(Acquire);
        let mut next = list().to_vec();
        change(&mut next);
        let next = Box::into_raw(Box::new(next));
        // Release: pairs with the Acquire of `list`.
        if LIST.compare_exchange(now, next, AcqRel, Acquire).is_ok() {
            list().iter().for_each(|watched| granules::cover(watched.start, watched.end));
            return;
        }
        // SAFETY: made above, and seen by nobody.
        drop(unsafe { Box::from_raw(next) });
    }
}

/// Adds a range. Where two overlap, one memory belongs to two segments: then nothing that is done there races with anything.
pub(in crate::membership) fn add(all: &mut Vec<Watched>, mut watched: Watched) {
    let (start, end) = (watched.start, watched.end);
    for other in all.iter_mut().filter(|other| other.start < end && start < other.end) {
        if other.place.lines != watched.place.lines {
            other.place.lines = NO_LINES;
            watched.place.lines = NO_LINES;
        }
    }
    all.push(watched);
}

/// The memory that an address is in.
pub(in crate::membership) fn find(address: usize) -> Option<&'static Watched> {
    list().iter().find(|watched| (watched.start..watched.end).contains(&address))
}

/// The memory that any of these bytes is in.
pub(in crate::membership) fn touched(address: usize, length: usize) -> Option<&'static Watched> {
    let end = address.saturating_add(length);
    list().iter().find(|watched| address < watched.end && watched.start < end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::races::RaceMap;

    #[test]
    fn memory_that_two_segments_have_races_with_nothing() {
        let (map, _object) = RaceMap::create().unwrap();
        let racing = Racing::begin(map, 1, 1, (false, false));
        let watched = |start: usize, lines| Watched {
            start,
            end: start + 100,
            racing,
            place: Place { lines, node: 1, id: 7 },
            offset: 0,
            import: 0,
            incarnation: lines,
        };
        let mut all = Vec::new();
        add(&mut all, watched(1000, 1));
        add(&mut all, watched(2000, 2));
        add(&mut all, watched(1000, 1));
        assert_eq!(all.iter().map(|w| w.place.lines).collect::<Vec<_>>(), [1, 2, 1], "the same twice is the same");
        add(&mut all, watched(2050, 3));
        assert_eq!(all.iter().map(|w| w.place.lines).collect::<Vec<_>>(), [1, NO_LINES, 1, NO_LINES]);
    }
}
