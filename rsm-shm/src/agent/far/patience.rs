//! How long the other host is waited for.
//!
//! Its agent answers at once, unless it is stopped, or means harm. Whoever asks is not to be held by that for longer than a
//! program can stand.

use rsm_core::peer::asks::Wish;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long it is waited for.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Of memory that is to be attached first, a machine is given a second more for so many bytes.
const BYTES_A_SECOND: u64 = 32 << 20;
/// But no longer than this, whatever the other host says that there is.
const AT_MOST: Duration = Duration::from_secs(120);
/// Most questions that it may leave unanswered before it is asked no more.
const MOST_LATE: usize = 1024;

/// Something that it was asked, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// For a connection.
    Connect(u64),
    /// For all that it has.
    Look(u64),
}

/// What is to be answered, until when, and what was not.
#[derive(Debug, Default)]
pub(super) struct Patience {
    until: BTreeMap<Question, Instant>,
    next: BTreeSet<(Instant, Question)>,
    late: BTreeSet<Question>,
}

/// How long it may take to grant this.
pub(super) fn for_wish(patience: Duration, wish: &Wish) -> Duration {
    (patience + Duration::from_secs(wish.length / BYTES_A_SECOND)).min(AT_MOST.max(patience))
}

impl Patience {
    /// It is waited for until then.
    pub(super) fn asked(&mut self, question: Question, until: Instant) {
        self.until.insert(question, until);
        self.next.insert((until, question));
    }

    /// It has answered. `true`: nobody has waited for so long.
    pub(super) fn answered(&mut self, question: Question) -> bool {
        if let Some(until) = self.until.remove(&question) {
            self.next.remove(&(until, question));
        }
        self.late.remove(&question)
    }

    /// When the next one is waited for no more.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.first().map(|&(until, _)| until)
    }

    /// One that is waited for no more.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<Question> {
        let (_, question) = self.next.first().copied().filter(|(until, _)| *until <= now)?;
        self.answered(question);
        self.late.insert(question);
        Some(question)
    }

    /// Whether it may be asked more.
    pub(super) fn is_there(&self) -> bool {
        self.late.len() < MOST_LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_core::access::Permission;
    use rsm_core::message::SegmentName;

    #[test]
    fn each_is_waited_for_until_its_time() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        patience.asked(Question::Look(1), at(2));
        patience.asked(Question::Connect(1), at(1));
        patience.asked(Question::Connect(2), at(3));
        assert_eq!((patience.next(), patience.overdue(now)), (Some(at(1)), None));
        assert!(!patience.answered(Question::Connect(2)), "in time");
        assert_eq!(patience.overdue(at(9)), Some(Question::Connect(1)));
        assert_eq!((patience.overdue(at(9)), patience.overdue(at(9))), (Some(Question::Look(1)), None));
        assert_eq!(patience.next(), None);
        assert!(patience.answered(Question::Look(1)) && !patience.answered(Question::Look(1)), "late, once");
        for number in 2..=MOST_LATE as u64 {
            assert!(patience.is_there());
            patience.asked(Question::Look(number), now);
            patience.overdue(now);
        }
        assert!(!patience.is_there());
        patience.answered(Question::Connect(1));
        assert!(patience.is_there());
    }

    #[test]
    fn much_memory_may_take_longer_within_bounds() {
        let segment = SegmentName { row: 0, incarnation: 1 };
        let wish = |length| Wish { segment, version: 1, length, node: 1, pid: 1, permission: Permission::Read };
        let of = |length| for_wish(PATIENCE, &wish(length)).as_secs();
        assert_eq!([of(4096), of(1 << 30), of(u64::MAX)], [10, 42, 120]);
    }
}
