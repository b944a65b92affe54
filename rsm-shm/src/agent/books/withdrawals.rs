//! Withdrawals under way, and which of them can go on when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long importers have to let go.
const PATIENCE: Duration = Duration::from_millis(100);
/// First and longest time between two questions to the kernel.
const PROBE_GAPS: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(8));

/// A withdrawal under way.
#[derive(Debug)]
pub(in crate::agent) struct Withdrawing {
    pub(in crate::agent) number: u32,
    /// When importers have had their time. It begins when all are cut off.
    pub(in crate::agent) deadline: Instant,
    gap: Duration,
    /// The segment goes when this ends well.
    pub(in crate::agent) destroy: bool,
    /// What is withdrawn was published by a call that was given up.
    pub(in crate::agent) abandoned: bool,
    /// When to look again; `None` until something happens.
    at: Option<Instant>,
}

/// All of them, by the row of the segment and by when to look again.
#[derive(Debug, Default)]
pub(in crate::agent) struct Withdrawals {
    of_row: BTreeMap<u32, Withdrawing>,
    due: BTreeSet<(Instant, u32)>,
}

impl Withdrawals {
    pub(in crate::agent) fn begin(&mut self, row: u32, number: u32, destroy: bool, now: Instant) {
        let (deadline, gap) = (now + PATIENCE, PROBE_GAPS.0);
        let withdrawing = Withdrawing { number, deadline, gap, destroy, abandoned: false, at: None };
        debug_assert!(!self.of_row.contains_key(&row), "one at a time");
        self.of_row.insert(row, withdrawing);
        self.look_at(row, Some(now));
    }

    pub(in crate::agent) fn get(&self, row: u32) -> Option<&Withdrawing> {
        self.of_row.get(&row)
    }

    pub(in crate::agent) fn get_mut(&mut self, row: u32) -> Option<&mut Withdrawing> {
        self.of_row.get_mut(&row)
    }

    pub(in crate::agent) fn end(&mut self, row: u32) -> Option<Withdrawing> {
        self.look_at(row, None);
        self.of_row.remove(&row)
    }

    /// Its importers' time begins now: the last of them was cut off.
    pub(in crate::agent) fn all_cut(&mut self, row: u32, now: Instant) {
        if let Some(withdrawing) = self.of_row.get_mut(&row) {
            withdrawing.deadline = now + PATIENCE;
            self.look_at(row, Some(now));
        }
    }

    /// Says when to look at a withdrawal again; `None`: when this is called the next time.
    pub(in crate::agent) fn look_at(&mut self, row: u32, at: Option<Instant>) {
        let Some(withdrawing) = self.of_row.get_mut(&row) else { return };
        if let Some(before) = std::mem::replace(&mut withdrawing.at, at) {
            self.due.remove(&(before, row));
        }
        if let Some(at) = at {
            self.due.insert((at, row));
        }
    }

    /// The kernel said that somebody still reaches the memory: it is asked again later, less and less often.
    pub(in crate::agent) fn probe_later(&mut self, row: u32, now: Instant) {
        let Some(withdrawing) = self.of_row.get_mut(&row) else { return };
        let at = (now + withdrawing.gap).min(withdrawing.deadline);
        withdrawing.gap = (withdrawing.gap * 2).min(PROBE_GAPS.1);
        self.look_at(row, Some(at));
    }

    /// The one to look at first, and when.
    pub(in crate::agent) fn first(&self) -> Option<(Instant, u32)> {
        self.due.first().copied()
    }

    #[cfg(any(debug_assertions, test))]
    pub(in crate::agent) fn check(&self, is_segment: impl Fn(u32) -> bool) {
        let due = self.of_row.iter().filter_map(|(&row, w)| w.at.map(|at| (at, row))).collect();
        assert_eq!(self.due, due, "withdrawals by time");
        assert!(self.of_row.keys().all(|&row| is_segment(row)), "a withdrawal is of a segment");
    }
}
