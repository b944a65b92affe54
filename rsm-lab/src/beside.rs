//! What goes on beside the statements that are carried out one after the other.

use super::statement::{Attempt, Limit, Line, Statement};
use rsm::steer::Steering;
use std::time::{Duration, Instant};

/// An `every` that goes on.
pub(super) struct Beside<'a> {
    pub(super) line: &'a Line,
    pub(super) then: &'a Attempt,
    period: Duration,
    pub(super) due: Instant,
    limit: Running<'a>,
}

/// How far something is to its limit.
pub(super) struct Running<'a> {
    limit: &'a Limit,
    began: Instant,
    done: u64,
}

impl<'a> Running<'a> {
    pub(super) fn new(limit: &'a Limit) -> Running<'a> {
        Running { limit, began: Instant::now(), done: 0 }
    }

    pub(super) fn is_over(&self, steering: &Steering, now: Instant) -> bool {
        match self.limit {
            Limit::None => false,
            Limit::Times(times) => self.done >= *times,
            Limit::For(time) => now.duration_since(self.began) >= *time,
            Limit::Until(condition) => condition.holds(steering),
        }
    }

    /// When it is over without anything else happening.
    pub(super) fn end(&self) -> Option<Instant> {
        if let Limit::For(time) = self.limit { self.began.checked_add(*time) } else { None }
    }

    pub(super) fn count(&mut self) {
        self.done += 1;
    }

    pub(super) fn is_endless(&self) -> bool {
        matches!(self.limit, Limit::None)
    }
}

impl<'a> Beside<'a> {
    /// What an `every` does from now on; `None` for other statements.
    pub(super) fn of(line: &'a Line) -> Option<Beside<'a>> {
        let Statement::Every { period, then, limit } = &line.statement else { return None };
        Some(Beside { line, then, period: *period, due: Instant::now() + *period, limit: Running::new(limit) })
    }

    pub(super) fn is_over(&self, steering: &Steering, now: Instant) -> bool {
        self.limit.is_over(steering, now)
    }

    pub(super) fn is_endless(&self) -> bool {
        self.limit.is_endless()
    }

    /// When to look at it again.
    pub(super) fn next(&self) -> Instant {
        self.limit.end().map_or(self.due, |end| end.min(self.due))
    }

    /// Notes that it has acted. What was missed is not made up for.
    pub(super) fn acted(&mut self, now: Instant) {
        self.limit.count();
        self.due = (self.due + self.period).max(now);
    }
}
