//! Stores that are on their way.

use std::collections::VecDeque;
use std::time::Instant;

/// Most bytes and most stores that are on their way in one direction: a bridge holds only so much, and what is stored beyond
/// it pushes the oldest.
const MOST_BYTES: usize = 16 << 20;
const MOST_STORES: usize = 1 << 16;

/// A store that has not arrived yet.
#[derive(Debug)]
pub(crate) struct Posted {
    /// When it arrives by itself.
    pub(crate) due: Instant,
    /// Offset in the window.
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The stores of one direction, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    stores: VecDeque<Posted>,
    bytes: usize,
}

impl Queue {
    pub(crate) fn push(&mut self, posted: Posted) {
        self.bytes += posted.bytes.len();
        self.stores.push_back(posted);
    }

    pub(crate) fn pop(&mut self) -> Option<Posted> {
        let posted = self.stores.pop_front()?;
        self.bytes -= posted.bytes.len();
        Some(posted)
    }

    /// When the oldest arrives by itself.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.stores.front().map(|posted| posted.due)
    }

    /// Whether the oldest has to make room.
    pub(crate) fn is_over_full(&self) -> bool {
        self.bytes > MOST_BYTES || self.stores.len() > MOST_STORES
    }

    /// Forgets all of them; how many there were.
    pub(crate) fn clear(&mut self) -> u64 {
        std::mem::take(self).stores.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(at: u64, bytes: usize) -> Posted {
        Posted { due: Instant::now(), at, bytes: vec![0; bytes] }
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut queue = Queue::default();
        for at in 0..=MOST_STORES as u64 {
            assert!(!queue.is_over_full());
            queue.push(posted(at, 8));
        }
        assert!(queue.is_over_full());
        assert_eq!(queue.pop().map(|posted| posted.at), Some(0));
        assert!(!queue.is_over_full());
        assert_eq!(queue.clear(), MOST_STORES as u64);
        queue.push(posted(1, MOST_BYTES));
        assert!(!queue.is_over_full());
        queue.push(posted(2, 1));
        assert!(queue.is_over_full());
        assert_eq!((queue.pop().map(|posted| posted.at), queue.is_over_full()), (Some(1), false));
        assert!(queue.pop().is_some() && queue.pop().is_none() && queue.due().is_none());
        assert_eq!(queue.bytes, 0);
    }
}
