//! What a member has yet to look at: segments that its connections led to when they were cut, and the revision it must
//! have seen before nobody waits for it any more.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(in crate::agent) struct Owes {
    of_row: BTreeMap<u32, u64>,
    by_revision: BTreeSet<(u64, u32)>,
}

impl Owes {
    /// Notes that a segment waits for it, or waits for more.
    pub(in crate::agent) fn note(&mut self, row: u32, revision: u64) {
        if let Some(before) = self.of_row.insert(row, revision) {
            self.by_revision.remove(&(before, row));
        }
        self.by_revision.insert((revision, row));
    }

    /// Takes a segment out that waited for no more than `seen`.
    pub(in crate::agent) fn paid(&mut self, seen: u64) -> Option<u32> {
        let &(revision, row) = self.by_revision.first().filter(|(revision, _)| *revision <= seen)?;
        self.by_revision.remove(&(revision, row));
        self.of_row.remove(&row);
        Some(row)
    }

    /// What a segment waits for.
    #[cfg(any(debug_assertions, test))]
    pub(in crate::agent) fn of(&self, row: u32) -> Option<u64> {
        self.of_row.get(&row).copied()
    }

    pub(in crate::agent) fn is_empty(&self) -> bool {
        self.of_row.is_empty()
    }

    /// Takes any segment out.
    pub(in crate::agent) fn pop(&mut self) -> Option<u32> {
        self.paid(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_first_is_paid_first_and_once() {
        let mut owes = Owes::default();
        for (row, revision) in [(3, 10), (4, 12), (5, 11), (3, 13)] {
            owes.note(row, revision);
        }
        let paid: Vec<u32> = std::iter::from_fn(|| owes.paid(12)).collect();
        assert_eq!(paid, [5, 4], "the third waits for more by now");
        assert_eq!((owes.paid(12), owes.pop(), owes.pop(), owes.is_empty()), (None, Some(3), None, true));
    }
}
