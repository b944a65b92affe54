//! Control pages and a window to them that delivers at once: what tests of one part have in place of a bridge.

use super::{Far, control};
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Control pages of zeroes: ours, theirs.
pub(super) fn pages() -> (Vec<AtomicU64>, Vec<AtomicU64>) {
    let words = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
    (words(control::OURS_WORDS), words(control::THEIRS_WORDS))
}

/// A window that delivers at once. Relaxed throughout: one thread is both hosts.
pub(super) struct Direct<'a> {
    pub(super) ours: &'a [AtomicU64],
    pub(super) theirs: &'a [AtomicU64],
}

impl Far for Direct<'_> {
    fn store(&self, at: usize, word: u64) {
        self.theirs[at - control::OURS_WORDS].store(word, Relaxed);
    }
    fn fence(&self) {}
    fn load(&self, at: usize) -> u64 {
        let word = if at < control::OURS_WORDS { &self.ours[at] } else { &self.theirs[at - control::OURS_WORDS] };
        word.load(Relaxed)
    }
}
