//! A segment's memory beside a copy of it: which words have changed since they were last compared.
//!
//! It is read through a mapping of the library's own, so it does not matter what the program does with its addresses. Where the
//! kernel tells which pages the program has stored to, only those are compared; else all of it.
#![allow(unsafe_code)]

use super::copy::Word;
use super::dirty::Dirty;
use super::inspect::{self, Identity};
use super::region::Region;
use std::collections::BTreeSet;
use std::ops::Range;

/// Words of a stretch.
const STRETCH: usize = rsm_race::table::STRETCH;

/// Longest memory that is compared in little time: as a whole, and where the kernel tells its pages.
const WHOLE: usize = 128 << 10;
const TOLD: usize = 16 << 20;

/// Memory of a segment of this process, and its copy.
#[derive(Debug)]
pub(crate) struct Compared {
    /// Where the program has it.
    start: usize,
    object: Identity,
    view: Region,
    copy: Vec<u64>,
    dirty: Option<Dirty>,
}

impl Compared {
    /// Copies what is mapped at `start`, which is all of this object. `None` where that is not so, or no memory for it.
    pub(crate) fn copy(start: *mut u8, length: usize, object: Identity) -> Option<Compared> {
        Compared::new(start, length, object, |start, length| Dirty::watch_program(start.addr(), length))
    }

    /// The same of what is compared as a whole: the kernel is not asked for anything.
    pub(crate) fn copy_untold(start: *mut u8, length: usize, object: Identity) -> Option<Compared> {
        Compared::new(start, length, object, |_, _| None)
    }

    fn new(
        start: *mut u8,
        length: usize,
        object: Identity,
        watch: impl FnOnce(*mut u8, usize) -> Option<Dirty>,
    ) -> Option<Compared> {
        let view = Region::of_program(start, length).ok()?;
        view.dont_fork().ok()?;
        let pieces = inspect::pieces(view.as_ptr().addr(), length).ok()?;
        if !matches!(&pieces[..], [all] if all.is_of(object) && all.offset == 0) {
            return None;
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(length / size_of::<u64>()).ok()?;
        // Before it is copied: what is stored from here on is told.
        let dirty = watch(start, length);
        let mut compared = Compared { start: start.addr(), object, view, copy, dirty };
        for at in 0..length / size_of::<u64>() {
            let word = compared.load(at);
            compared.copy.push(word);
        }
        Some(compared)
    }

    /// Whether it takes little time to compare it.
    pub(crate) fn is_fast(&self) -> bool {
        self.bytes() <= if self.dirty.is_some() { TOLD } else { WHOLE }
    }

    /// Whether the kernel does not tell what is stored there, where that would help.
    pub(crate) fn is_untold(&self) -> bool {
        self.dirty.is_none() && self.bytes() > WHOLE
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> usize {
        self.view.len()
    }

    /// Whether the program has it at these addresses, or some of it.
    pub(crate) fn overlaps(&self, start: usize, length: usize) -> bool {
        start < self.start + self.bytes() && self.start < start + length
    }

    /// A word of it, as it is now.
    pub(crate) fn load(&self, at: usize) -> u64 {
        debug_assert!(at < self.bytes() / size_of::<u64>());
        // SAFETY: inside of the view, which is readable and whole pages of an object that cannot shrink.
        unsafe { u64::load(self.view.as_ptr().add(at * size_of::<u64>())) }
    }

    /// What a word was compared with.
    pub(crate) fn known(&self, at: usize) -> u64 {
        self.copy[at]
    }

    /// What it is to be compared with from now on.
    pub(crate) fn follow(&mut self, at: usize, word: u64) {
        self.copy[at] = word;
    }

    /// What was put to a word is there: it is compared with what it holds now.
    pub(crate) fn follow_now(&mut self, at: usize) {
        self.copy[at] = self.load(at);
    }

    /// The words that are not what they were compared with, and what they are, in the order of addresses. Where the kernel tells what
    /// the program itself has stored to, what others have put elsewhere is not among them.
    pub(crate) fn changed(&mut self) -> Vec<(usize, u64)> {
        let words = self.copy.len();
        let stretches: BTreeSet<usize> = match &mut self.dirty {
            None => (0..words.div_ceil(STRETCH)).collect(),
            Some(dirty) => {
                let of_words = |words: Range<usize>| words.start / STRETCH..words.end.div_ceil(STRETCH);
                dirty.take(words).into_iter().flat_map(of_words).collect()
            }
        };
        let changed = |at: usize| Some((at, self.load(at))).filter(|(_, word)| *word != self.copy[at]);
        let stretches = stretches.into_iter().map(|stretch| self.words(stretch)).filter(|words| self.differs(words));
        stretches.flatten().filter_map(changed).collect()
    }

    /// [`changed`](Self::changed) of all the memory, whatever the kernel tells.
    pub(crate) fn changed_in_all(&self) -> Vec<(usize, u64)> {
        let stretches = (0..self.copy.len().div_ceil(STRETCH)).map(|stretch| self.words(stretch));
        let changed = |at: usize| Some((at, self.load(at))).filter(|(_, word)| *word != self.copy[at]);
        stretches.filter(|words| self.differs(words)).flatten().filter_map(changed).collect()
    }

    /// Whether some words are not what they were compared with, as far as one can see who compares them all at once.
    fn differs(&self, words: &Range<usize>) -> bool {
        let (from, bytes) = (words.start * size_of::<u64>(), words.len() * size_of::<u64>());
        let copy = &self.copy[words.clone()];
        // SAFETY: so many bytes of the copy, and of the view, which is readable and whole pages of an object that cannot shrink.
        // Others may store there meanwhile: the compiler knows of no such access and derives nothing from its absence, and what
        // is taken for equal in spite of that is compared the next time.
        unsafe { libc::memcmp(self.view.as_ptr().add(from).cast(), copy.as_ptr().cast(), bytes) != 0 }
    }

    /// The words of a stretch.
    pub(crate) fn words(&self, stretch: usize) -> Range<usize> {
        let words = self.copy.len();
        (stretch * STRETCH).min(words)..((stretch + 1) * STRETCH).min(words)
    }
}

impl Drop for Compared {
    fn drop(&mut self) {
        if let Some(dirty) = self.dirty.take() {
            dirty.leave(self.object);
        }
    }
}

/// The bytes in which two words differ: a bit for each, in the order of addresses.
pub(crate) fn bytes_that_differ(before: u64, now: u64) -> u8 {
    let pairs = before.to_ne_bytes().into_iter().zip(now.to_ne_bytes());
    pairs.enumerate().filter(|(_, (before, now))| before != now).fold(0, |bits, (at, _)| bits | 1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::memfd;
    use crate::memory::uffd::AsyncProtection;
    use rsm_core::access::Permission;
    use rustix::io::Errno;
    use std::os::fd::{AsFd, AsRawFd};

    /// A segment's memory.
    fn mapped(length: usize) -> (Region, Identity) {
        let object = memfd::create("rsm-segment", length as u64).unwrap();
        let identity = inspect::identity(&object).unwrap();
        (Region::map(object, 0, length, Permission::ReadWrite).unwrap(), identity)
    }

    fn store(region: &Region, at: usize, word: u64) {
        // SAFETY: a word of the region.
        unsafe { u64::store(region.as_ptr().add(at * 8), word) };
    }

    #[test]
    fn what_is_stored_is_found_once() {
        for length in [64 << 10, 1 << 20] {
            let (region, object) = mapped(length);
            store(&region, 7, 1);
            let mut compared = Compared::copy(region.as_ptr(), length, object).unwrap();
            assert_eq!(compared.changed(), []);
            let last = length / 8 - 1;
            store(&region, 7, 2);
            store(&region, last, 3);
            assert_eq!(compared.changed(), [(7, 2), (last, 3)]);
            compared.follow(7, 2);
            compared.follow(last, 3);
            assert_eq!((compared.changed(), compared.known(7)), (vec![], 2));
            store(&region, 7, 2);
            assert_eq!(compared.changed(), [], "the same");
            // Through another mapping, as others put.
            let other = Region::of_program(region.as_ptr(), length).unwrap();
            // SAFETY: a mapping of ours.
            unsafe { libc::mprotect(other.as_ptr().cast(), length, libc::PROT_READ | libc::PROT_WRITE) };
            store(&other, STRETCH + 1, 5);
            let seen = compared.changed();
            assert!(seen.is_empty() || length < 128 << 10 || compared.dirty.is_none(), "{seen:?}");
            compared.follow_now(STRETCH + 1);
            assert_eq!((compared.changed(), compared.known(STRETCH + 1)), (vec![], 5));
            drop(compared);
            let again = Compared::copy(region.as_ptr(), length, object).unwrap();
            assert_eq!((again.known(last), again.bytes()), (3, length), "it can be watched again");
        }
    }

    #[test]
    fn other_memory_is_not_copied() {
        let length = 64 << 10;
        let (region, object) = mapped(length);
        let (other, _) = mapped(length);
        assert!(Compared::copy(other.as_ptr(), length, object).is_none());
        assert!(Compared::copy(region.as_ptr().wrapping_add(length / 2), length / 2, object).is_none(), "a part");
        let private = Region::reserve(length).unwrap();
        assert!(Compared::copy(private.as_ptr(), length, object).is_none());
        let compared = Compared::copy(region.as_ptr(), length, object).unwrap();
        let start = region.as_ptr().addr();
        assert!(compared.overlaps(start + length - 1, 1) && compared.overlaps(start - 1, 2));
        assert!(!compared.overlaps(start + length, 1) && !compared.overlaps(start - 1, 1));
    }

    /// A userfaultfd of the program's own, by which the library finds nothing and which it leaves alone: also where the
    /// program has mapped other memory since.
    #[test]
    fn what_the_program_watches_stays_watched() {
        let length = 1 << 20;
        let Ok(program) = AsyncProtection::open() else { return };
        let other = AsyncProtection::open().unwrap();
        let (region, object) = mapped(length);
        let start = region.as_ptr().addr();
        program.watch(start, length).unwrap();
        let mut compared = Compared::copy(region.as_ptr(), length, object).unwrap();
        assert!(compared.is_untold());
        store(&region, 7, 2);
        assert_eq!(compared.changed(), [(7, 2)], "it is compared whole");
        drop(compared);
        assert_eq!(other.watch(start, length), Err(Errno::BUSY));
        program.leave(start, length);

        let compared = Compared::copy(region.as_ptr(), length, object).unwrap();
        assert_eq!(other.watch(start, length), Err(Errno::BUSY), "by the library");
        let next = memfd::create("rsm-segment", length as u64).unwrap();
        // SAFETY: memory of this test's, in whose place comes other memory of it.
        let anew = unsafe {
            let (both, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
            libc::mmap(region.as_ptr().cast(), length, both, shared, next.as_fd().as_raw_fd(), 0)
        };
        assert_eq!(anew.addr(), start);
        program.watch(start, length).unwrap();
        drop(compared);
        assert_eq!(other.watch(start, length), Err(Errno::BUSY), "by the program");
        program.leave(start, length);
        other.watch(start, length).unwrap();
        other.leave(start, length);
    }

    #[test]
    fn bytes_are_in_the_order_of_addresses() {
        let word = |bytes: [u8; 8]| u64::from_ne_bytes(bytes);
        assert_eq!(bytes_that_differ(word([0; 8]), word([1, 0, 0, 2, 2, 0, 0, 3])), 0b1001_1001);
        assert_eq!(bytes_that_differ(7, 7), 0);
    }
}
