//! Which rows of a table are free.

use std::collections::VecDeque;

/// Free rows of a table. Rows come back into use as late as possible: a reader that holds on to a row that was freed
/// finds it free, rather than in use again.
#[derive(Debug)]
pub(super) struct Rows {
    fresh: u32,
    limit: u32,
    freed: VecDeque<u32>,
}

/// How many rows that were never used are preferred before one that was; keeps tables dense and readers safe enough.
const QUARANTINE: usize = 64;

impl Rows {
    pub(super) fn new(limit: u32) -> Rows {
        Rows { fresh: 0, limit, freed: VecDeque::new() }
    }

    /// A row that is not in use.
    pub(super) fn take(&mut self) -> Option<u32> {
        if self.fresh < self.limit && self.freed.len() < QUARANTINE {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        self.freed.pop_front()
    }

    /// Gives a row back.
    pub(super) fn give(&mut self, row: u32) {
        debug_assert!(row < self.fresh && !self.freed.contains(&row), "a row comes back once");
        self.freed.push_back(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_given_out_once() {
        let mut rows = Rows::new(200);
        let mut held: Vec<u32> = std::iter::from_fn(|| rows.take()).collect();
        assert_eq!(held.len(), 200);
        held.drain(..100).for_each(|r| rows.give(r));
        held.extend(std::iter::from_fn(|| rows.take()));
        held.sort_unstable();
        assert_eq!(held, (0..200).collect::<Vec<u32>>());
    }
}
