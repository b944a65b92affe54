//! Mappings through a lens: stores that are late although no call makes them.
//!
//! The program is given memory of its own, the *shadow*, and the library keeps a *twin* of what it knows of it. Where the
//! two differ the program has stored: the bytes that differ become pieces, as those of a put. Where they do not, and
//! nothing is on its way, the shadow follows the segment. Both are compared at every barrier, signal and transfer of the import,
//! and by the courier at times, more often while something changes. It follows after a get, when a wait has taken a signal, and
//! where the courier looks, in the order of addresses: a word that is polled in a mapping may be newer than others.
//!
//! What this cannot see: a store of the value that is there already; the first of two stores to a word between two looks,
//! as where stores are combined; the order of stores between two looks.
#![allow(unsafe_code)]

use crate::memory::copy::Word;
use crate::memory::dirty::Dirty;
use crate::memory::shadow::Shadow;
use rsm_core::lens::log::{Key, Target};
use rsm_core::lens::model::WORD;
use rsm_core::sync::Ordering::Relaxed;
use std::ops::Range;

/// Words that are compared at a time where nobody waits for it.
const SLICE: usize = 1 << 14;

/// A mapping of an import. Used by one thread at a time, which holds the lock of the log.
#[derive(Debug)]
pub(super) struct Twin {
    pub(super) key: Key,
    pub(super) node: u32,
    /// Where the segment's memory of this part is.
    real: *mut u8,
    /// Where the part begins, in bytes of the segment.
    offset: u64,
    shadow: Shadow,
    /// What the shadow held when it was last compared, and how many pieces are on their way to each word.
    known: Vec<u64>,
    pending: Vec<u16>,
    /// Which pages of the shadow were stored to, where that is told.
    dirty: Option<Dirty>,
    /// Where following goes on, if not everything is followed at once.
    next: usize,
}

// SAFETY: the pointers lead to mappings that live as long as this does, by the promise of `new`, and are accessed as shared
// memory.
unsafe impl Send for Twin {}

/// A run of bytes that the program has stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) key: Key,
    /// Where the whole segment begins.
    pub(super) base: *mut u8,
    /// In bytes of the segment.
    pub(super) offset: u64,
    pub(super) length: u64,
    /// The words that it lies in.
    pub(super) words: Vec<u64>,
}

/// How much of a shadow follows the segment in one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// Nothing: only what the program stored is looked for.
    Nothing,
    /// So much that nobody who waits notices; the next look goes on from there.
    Slice,
    /// All of it.
    All,
}

impl Twin {
    /// A twin for the part of a segment that is mapped at `real`, with the memory that the program is given.
    ///
    /// # Safety
    /// As many bytes as the shadow has are mapped at `real`, readable and writable, as long as this is there.
    pub(super) unsafe fn new((key, node): (Key, u32), real: *mut u8, offset: u64, shadow: Shadow) -> Twin {
        let words = shadow.len().div_ceil(WORD as usize);
        let dirty = Dirty::watch(shadow.given());
        let mut twin =
            Twin { key, node, real, offset, shadow, known: vec![0; words], pending: vec![0; words], dirty, next: 0 };
        for at in 0..words {
            twin.follow(at);
        }
        twin
    }

    /// Where the program's memory begins.
    pub(super) fn start(&self) -> *mut u8 {
        self.shadow.start()
    }

    /// Where the whole segment begins.
    pub(super) fn base(&self) -> *mut u8 {
        self.real.wrapping_sub(self.offset as usize)
    }

    /// Lets a word of the shadow be what the segment has, if nothing is on its way and the program stores nothing just now.
    /// Whether that was something else.
    fn follow(&mut self, at: usize) -> bool {
        if self.pending[at] > 0 {
            return false;
        }
        // SAFETY: inside of the part, by the promise of `new`.
        let real = unsafe { u64::load(self.real.add(at * WORD as usize)) };
        let known = self.known[at];
        if real == known || self.shadow.word(at).compare_exchange(known, real, Relaxed, Relaxed).is_err() {
            return false;
        }
        self.known[at] = real;
        true
    }

    /// Lets so much of it follow. Whether anything had changed.
    pub(super) fn follow_some(&mut self, follow: Follow) -> bool {
        let words = self.known.len();
        let some = match follow {
            Follow::Nothing => return false,
            Follow::All => 0..words,
            Follow::Slice => self.next..(self.next + SLICE).min(words),
        };
        if follow == Follow::Slice {
            self.next = if some.end == words { 0 } else { some.end };
        }
        some.filter(|&at| self.follow(at)).count() > 0
    }

    /// Finds what the program has stored. Whether that is anything.
    pub(super) fn find_stores(&mut self, stored: &mut Vec<Stored>) -> bool {
        let (words, before) = (self.known.len(), stored.len());
        let ranges = self.dirty.as_mut().map_or_else(|| std::iter::once(0..words).collect(), |dirty| dirty.take(words));
        let (key, base) = (self.key, self.base());
        for at in ranges.into_iter().flatten() {
            let (value, known) = (self.shadow.word(at).load(Relaxed), self.known[at]);
            if value == known {
                continue;
            }
            self.known[at] = value;
            for bytes in differences(known, value) {
                let start = at * WORD as usize + bytes.start;
                // The last word may reach beyond the mapping.
                let length = bytes.len().min(self.shadow.len().saturating_sub(start)) as u64;
                let offset = self.offset + start as u64;
                match stored[before..].last_mut() {
                    _ if length == 0 => {}
                    Some(last) if last.offset + last.length == offset => {
                        if offset.is_multiple_of(WORD) {
                            last.words.push(value);
                        }
                        last.length += length;
                    }
                    _ => stored.push(Stored { key, base, offset, length, words: vec![value] }),
                }
            }
        }
        stored.len() > before
    }

    /// The bytes of the segment that it maps: from where on, and how many.
    pub(super) fn range(&self) -> (u64, u64) {
        (self.offset, self.shadow.len() as u64)
    }

    /// Something else is mapped over these addresses: what the kernel tells of pages there is of that.
    pub(super) fn map_over(&mut self, start: *mut u8, length: usize) {
        let (own, other) = (self.start().addr(), start.addr());
        if own < other.saturating_add(length) && other < own + self.shadow.len() {
            self.dirty = None;
        }
    }

    /// The words that a range of the segment lies in, as far as this has them.
    fn words(&self, target: Target) -> Range<usize> {
        let Target::Bytes { offset, length } = target else { return 0..0 };
        let (start, end) = (self.offset, self.offset + self.shadow.len() as u64);
        if offset >= end || offset + length <= start {
            return 0..0;
        }
        let first = offset.max(start) - start;
        let last = (offset + length).min(end) - start;
        (first / WORD) as usize..last.div_ceil(WORD) as usize
    }

    /// Lets these bytes follow: the segment has them already.
    pub(super) fn follow_bytes(&mut self, target: Target) {
        for at in self.words(target) {
            self.follow(at);
        }
    }

    /// A piece is on its way to these bytes, whoever posted it.
    pub(super) fn note_posted(&mut self, target: Target) {
        for at in self.words(target) {
            self.pending[at] = self.pending[at].saturating_add(1);
        }
    }

    /// Shows what is put to these bytes: the program finds it in its mapping, as any store of its own.
    pub(super) fn show(&mut self, target: Target, value: impl Fn(u64) -> Option<u64>) {
        let Target::Bytes { offset, length } = target else { return };
        for at in self.words(target) {
            let word = self.offset + at as u64 * WORD;
            // Words that it has whole: of others the program may store the rest just now.
            if word >= offset
                && word + WORD <= offset + length
                && let Some(value) = value(word)
            {
                self.shadow.word(at).store(value, Relaxed);
                self.known[at] = value;
            }
        }
    }

    /// A piece has arrived.
    pub(super) fn note_arrival(&mut self, target: Target) {
        for at in self.words(target) {
            self.pending[at] = self.pending[at].saturating_sub(1);
        }
    }

    /// Nothing is on its way any more, and the shadow is another one: in a forked child, whose parent delivers what it has
    /// inherited. Where there is no memory for that, the child's stores are its parent's.
    pub(super) fn forget(&mut self) {
        if let Err(error) = self.shadow.become_own() {
            tracing::warn!(%error, "no memory for what a forked child stores to a mapping");
        }
        // The kernel was asked about the parent's.
        self.dirty = None;
        self.pending.fill(0);
        for at in 0..self.known.len() {
            self.known[at] = self.shadow.word(at).load(Relaxed);
        }
    }
}

/// The runs of bytes in which two words differ, in the order of addresses.
fn differences(before: u64, now: u64) -> impl Iterator<Item = Range<usize>> {
    let (before, now) = (before.to_ne_bytes(), now.to_ne_bytes());
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = (at..8).find(|&i| before[i] != now[i])?;
        let end = (start..8).find(|&i| before[i] == now[i]).unwrap_or(8);
        at = end;
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_differ_are_found() {
        let all =
            |a: [u8; 8], b: [u8; 8]| differences(u64::from_ne_bytes(a), u64::from_ne_bytes(b)).collect::<Vec<_>>();
        assert_eq!(all([0; 8], [0; 8]), []);
        assert_eq!(all([0; 8], [1, 0, 0, 2, 2, 0, 0, 3]), [0..1, 3..5, 7..8]);
        assert_eq!(all([0; 8], [0, 9, 9, 9, 0, 0, 0, 9]), [1..4, 7..8]);
    }
}
