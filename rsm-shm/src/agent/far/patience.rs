//! How long the other host is waited for.
//!
//! Its agent answers at once, unless it is stopped, or means harm. Whoever asks is not to be held by that for longer than a
//! program can stand.
//!
//! A connection is granted once its memory is attached, which may take long of much memory, and its bridge attaches and detaches
//! one after the other. So who wants little waits behind those who wanted much before, and is given their time as well.

use rsm_core::message::SegmentName;
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
    /// How long its bridge may attach what it was asked for and has not granted yet, each.
    coming: BTreeMap<u64, Duration>,
    /// What it detaches, and when it may have done that.
    leaving: BTreeMap<SegmentName, Instant>,
}

/// How long its bridge may take with so much memory.
fn time_of(bytes: u64) -> Duration {
    Duration::from_millis(bytes / (BYTES_A_SECOND / 1000)).min(AT_MOST)
}

impl Patience {
    /// It is waited for until then.
    pub(super) fn asked(&mut self, question: Question, until: Instant) {
        self.until.insert(question, until);
        self.next.insert((until, question));
    }

    /// It is asked for a connection to so much memory, and waited for as long as it may take, and `patience` more.
    pub(super) fn wanted(&mut self, number: u64, bytes: u64, patience: Duration, now: Instant) {
        self.coming.insert(number, time_of(bytes));
        let before = self.detached(now) + self.coming.values().sum::<Duration>();
        self.asked(Question::Connect(number), (before + patience).min(now + AT_MOST.max(patience)));
    }

    /// A connection to so much memory was given back, which it detaches with the last one.
    pub(super) fn gave_back(&mut self, segment: SegmentName, bytes: u64, now: Instant) {
        let detached = self.detached(now);
        // Nobody waits for longer, so it need not be known.
        self.leaving.entry(segment).or_insert((detached + time_of(bytes)).min(now + AT_MOST));
    }

    /// When it may have detached all that was given back. Of that it says nothing.
    fn detached(&mut self, now: Instant) -> Instant {
        self.leaving.retain(|_, until| *until > now);
        self.leaving.values().copied().max().unwrap_or(now)
    }

    /// It has answered. `true`: nobody has waited for so long.
    pub(super) fn answered(&mut self, question: Question) -> bool {
        if let Some(until) = self.until.remove(&question) {
            self.next.remove(&(until, question));
        }
        if let Question::Connect(number) = question {
            self.coming.remove(&number);
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

    /// How long each of these is waited for that are asked for one after the other.
    fn waits(patience: &mut Patience, first: u64, wanted: &[u64], now: Instant) -> Vec<u64> {
        let ask = |(number, bytes): (u64, &u64)| {
            patience.wanted(number, *bytes, PATIENCE, now);
            patience.until[&Question::Connect(number)].duration_since(now).as_secs()
        };
        (first..).zip(wanted).map(ask).collect()
    }

    #[test]
    fn much_memory_may_take_longer_within_bounds() {
        let now = Instant::now();
        for (bytes, seconds) in [(4096, 10), (1 << 30, 42), (u64::MAX, 120)] {
            assert_eq!(waits(&mut Patience::default(), 1, &[bytes], now), [seconds]);
        }
    }

    #[test]
    fn who_wants_little_waits_behind_who_wanted_much() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(
            waits(&mut patience, 1, &[1 << 30, 4096, 1 << 29, 4096, u64::MAX, 4096], now),
            [42, 42, 58, 58, 120, 120]
        );
        assert_eq!(patience.overdue(at(41)), None);
        (1..=5).for_each(|number| assert!(!patience.answered(Question::Connect(number))));
        // All in front of the last was granted.
        assert_eq!(waits(&mut patience, 7, &[4096], at(1)), [10]);
    }

    #[test]
    fn what_was_granted_soon_is_waited_for_no_more() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        // Always one is not granted yet.
        patience.wanted(0, 1 << 30, PATIENCE, now);
        for number in 1..1000 {
            assert_eq!(waits(&mut patience, number, &[1 << 30], now), [74]);
            assert!(!patience.answered(Question::Connect(number - 1)));
        }
        // Nor for longer than it was thought to take.
        assert_eq!(patience.overdue(now + 2 * AT_MOST), Some(Question::Connect(999)));
        assert_eq!(waits(&mut patience, 1000, &[4096], now + 2 * AT_MOST), [10]);
    }

    #[test]
    fn what_is_detached_is_waited_for_once() {
        let (mut patience, now) = (Patience::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let segment = |row| SegmentName { row, incarnation: 1 };
        // The last of two connections takes the memory along.
        (0..2).for_each(|_| patience.gave_back(segment(1), 1 << 30, now));
        patience.gave_back(segment(2), 1 << 29, now);
        assert_eq!(waits(&mut patience, 1, &[4096], now), [58]);
        // That it was granted does not say that the bridge has done all.
        assert!(!patience.answered(Question::Connect(1)));
        assert_eq!(waits(&mut patience, 2, &[4096], at(8)), [50]);
        assert!(!patience.answered(Question::Connect(2)));
        assert_eq!(waits(&mut patience, 3, &[4096], at(60)), [10]);
        // The same segment once more.
        patience.gave_back(segment(1), 1 << 30, at(61));
        assert_eq!(waits(&mut patience, 4, &[4096], at(61)), [42]);
    }
}
