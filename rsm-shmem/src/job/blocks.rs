//! What of the heap is given out: first fit.

use std::collections::BTreeMap;

/// Blocks that are given out: where each begins, and how long it is.
#[derive(Default)]
pub(crate) struct Blocks(BTreeMap<usize, usize>);

impl Blocks {
    /// A block, if there is room below `end`.
    pub(crate) fn take(&mut self, bytes: usize, align: usize, end: usize) -> Option<usize> {
        let mut start = 0usize;
        for (&other, &length) in &self.0 {
            if start.checked_add(bytes)? <= other {
                break;
            }
            start = (other + length).checked_next_multiple_of(align)?;
        }
        if start.checked_add(bytes)? > end {
            return None;
        }
        self.0.insert(start, bytes);
        Some(start)
    }

    /// Makes a block longer or shorter where it is, if what follows allows it.
    pub(crate) fn resize(&mut self, start: usize, bytes: usize, end: usize) -> bool {
        let room = self.0.range(start + 1..).next().map_or(end, |(&next, _)| next) - start;
        if bytes <= room {
            self.0.insert(start, bytes);
        }
        bytes <= room
    }

    /// The length of the block that begins there.
    pub(crate) fn length(&self, start: usize) -> Option<usize> {
        self.0.get(&start).copied()
    }

    /// Gives a block back.
    pub(crate) fn remove(&mut self, start: usize) {
        self.0.remove(&start);
    }
}
