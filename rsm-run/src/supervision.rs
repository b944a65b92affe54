//! When a run is to end, and how firmly: the rules, without a process in sight.
//!
//! A run goes on until nobody is left. It is cut short by the first of: a node that fails (unless told to keep going), one
//! that ends the run with a code, the time-out, the user, a reader of the output that went away. That first cause gives the exit code. From then on the
//! firmness only rises: after a failure the others may end by themselves for the grace, then everybody is asked by a
//! signal and has the grace again, then everybody is killed.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::exit_code::ExitCode;
use crate::status::Status;

/// What the warden has to do to the nodes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Ask all processes with this signal.
    Ask(Signal),
    /// Say that the time is up, then ask all processes with SIGTERM.
    TimeIsUp,
    /// Kill all processes, and those they fork meanwhile, until none is left.
    Kill,
}

/// What the end of a process means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Blame {
    /// It ended well.
    Nobody,
    /// It failed, and nothing known before explains that.
    Cause,
    /// It failed after another one had: as likely as not because of that.
    Consequence,
    /// It had been asked to end.
    Asked,
    /// Whoever disturbs the cluster on purpose killed it: `rsm-ctl node kill`, a script.
    Purpose,
}

/// `None` as a deadline: further away than a clock can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// One failed; the others may end by themselves.
    Patient {
        until: Option<Instant>,
    },
    /// All were asked to end.
    Asked {
        until: Option<Instant>,
    },
    Killing,
}

/// The rules applied to one run.
pub(crate) struct Supervision {
    keep_going: bool,
    grace: Duration,
    timeout: Option<Instant>,
    phase: Phase,
    /// What cut the run short.
    cause: Option<ExitCode>,
    /// The first failure, where failures cut nothing short.
    failure: Option<ExitCode>,
}

impl Supervision {
    pub(crate) fn new(now: Instant, timeout: Option<Duration>, grace: Duration, keep_going: bool) -> Supervision {
        let timeout = timeout.and_then(|timeout| now.checked_add(timeout));
        Supervision { keep_going, grace, timeout, phase: Phase::Running, cause: None, failure: None }
    }

    /// A node's process ended, killed on purpose or not.
    pub(crate) fn node_ended(&mut self, now: Instant, status: Status, on_purpose: bool) -> Blame {
        match self.phase {
            Phase::Asked { .. } | Phase::Killing => return Blame::Asked,
            _ if status.is_success() => return Blame::Nobody,
            _ if on_purpose => return Blame::Purpose,
            Phase::Patient { .. } => return Blame::Consequence,
            Phase::Running => {}
        }
        if self.keep_going {
            self.failure.get_or_insert(status.exit_code());
        } else {
            self.cause = Some(status.exit_code());
            self.phase = Phase::Patient { until: now.checked_add(self.grace) };
        }
        Blame::Cause
    }

    /// A process of the run has it end with this code, by the rules of a failure. Whether that is news.
    pub(crate) fn ended_from_within(&mut self, now: Instant, code: u8) -> bool {
        let is_first = self.phase == Phase::Running;
        if is_first {
            self.cause = Some(Status::Exited(code).exit_code());
            self.phase = Phase::Patient { until: now.checked_add(self.grace) };
        }
        is_first
    }

    /// Somebody wants the run to end, politely.
    pub(crate) fn end(&mut self, now: Instant, signal: Signal, code: ExitCode) -> Option<Order> {
        self.cause.get_or_insert(code);
        match self.phase {
            Phase::Running | Phase::Patient { .. } => self.phase = Phase::Asked { until: now.checked_add(self.grace) },
            // The first request's deadline stands; this signal may still be the one that a node listens to.
            Phase::Asked { .. } => {}
            Phase::Killing => return None,
        }
        Some(Order::Ask(signal))
    }

    /// Somebody wants the run to end now.
    pub(crate) fn kill(&mut self, code: ExitCode) -> Order {
        self.cause.get_or_insert(code);
        self.phase = Phase::Killing;
        Order::Kill
    }

    /// The next order that time alone gives, if it is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Order> {
        let reached = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        match self.phase {
            Phase::Running if reached(self.timeout) => {
                self.cause = Some(ExitCode::TimedOut);
                self.phase = Phase::Asked { until: now.checked_add(self.grace) };
                Some(Order::TimeIsUp)
            }
            Phase::Patient { until } if reached(until) => {
                self.phase = Phase::Asked { until: now.checked_add(self.grace) };
                Some(Order::Ask(Signal::TERM))
            }
            Phase::Asked { until } if reached(until) => {
                self.phase = Phase::Killing;
                Some(Order::Kill)
            }
            _ => None,
        }
    }

    /// The script was not carried out to its end: that is the result, where nothing else failed.
    pub(crate) fn script_unfinished(&mut self) {
        if self.code() == ExitCode::Success {
            self.cause = Some(ExitCode::Failure);
        }
    }

    /// Those that were asked get their grace from `when` on instead.
    pub(crate) fn restart_grace(&mut self, when: Instant) {
        if let Phase::Asked { until } = &mut self.phase {
            *until = when.checked_add(self.grace);
        }
    }

    /// When [`due`](Self::due) has to be asked next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => self.timeout,
            Phase::Patient { until } | Phase::Asked { until } => until,
            Phase::Killing => None,
        }
    }

    /// Whether whatever is still there has to be killed on sight.
    pub(crate) fn is_killing(&self) -> bool {
        self.phase == Phase::Killing
    }

    /// Whether everybody was asked to end.
    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Asked { .. } | Phase::Killing)
    }

    /// Whether nothing has cut the run short.
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.phase == Phase::Running
    }

    /// The exit code, once nobody is left.
    pub(crate) fn code(&self) -> ExitCode {
        self.cause.or(self.failure).unwrap_or(ExitCode::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    fn supervision(timeout: Option<u64>, keep_going: bool) -> (Instant, Supervision) {
        let now = Instant::now();
        (now, Supervision::new(now, timeout.map(Duration::from_secs), GRACE, keep_going))
    }

    #[test]
    fn undisturbed() {
        let (now, mut run) = supervision(None, false);
        assert_eq!(run.node_ended(now, Status::Exited(0), false), Blame::Nobody);
        assert_eq!(run.deadline(), None);
        assert_eq!(run.due(now + GRACE * 1000), None);
        assert_eq!(run.code(), ExitCode::Success);
    }

    #[test]
    fn a_failure_gives_the_others_two_graces() {
        let (now, mut run) = supervision(None, false);
        assert_eq!(run.node_ended(now, Status::Exited(7), false), Blame::Cause);
        assert_eq!(run.node_ended(now, Status::Exited(8), false), Blame::Consequence);
        assert_eq!(run.node_ended(now, Status::Exited(0), false), Blame::Nobody);
        assert_eq!(run.due(now), None);
        assert_eq!(run.deadline(), Some(now + GRACE));
        assert_eq!(run.due(now + GRACE), Some(Order::Ask(Signal::TERM)));
        assert_eq!(run.due(now + GRACE), None);
        assert_eq!(run.node_ended(now + GRACE, Status::Killed(15), false), Blame::Asked);
        assert_eq!(run.due(now + GRACE * 2), Some(Order::Kill));
        assert!(run.is_killing());
        assert_eq!(run.deadline(), None);
        assert_eq!(run.code(), ExitCode::Node(7));
    }

    #[test]
    fn keeping_going_remembers_the_first_failure() {
        let (now, mut run) = supervision(Some(60), true);
        assert_eq!(run.node_ended(now, Status::Killed(11), false), Blame::Cause);
        assert_eq!(run.node_ended(now, Status::Exited(3), false), Blame::Cause, "each is news");
        assert!(run.is_undisturbed());
        assert_eq!(run.code().number(), 139);
        assert_eq!(run.due(now + Duration::from_secs(60)), Some(Order::TimeIsUp));
        assert_eq!(run.code(), ExitCode::TimedOut);
    }

    #[test]
    fn who_is_killed_on_purpose_is_no_failure() {
        let (now, mut run) = supervision(None, false);
        assert_eq!(run.node_ended(now, Status::Killed(9), true), Blame::Purpose);
        assert!(run.is_undisturbed());
        assert_eq!(run.code(), ExitCode::Success);
        assert_eq!(run.node_ended(now, Status::Exited(7), false), Blame::Cause);
        assert_eq!(run.node_ended(now, Status::Killed(9), true), Blame::Purpose);
        assert_eq!(run.code(), ExitCode::Node(7));
    }

    #[test]
    fn a_process_ends_the_run() {
        for (code, keep_going) in [(0, false), (3, false), (3, true)] {
            let (now, mut run) = supervision(None, keep_going);
            assert!(run.ended_from_within(now, code));
            assert!(!run.ended_from_within(now, 9), "the first one counts");
            assert_eq!(run.node_ended(now, Status::Exited(8), false), Blame::Consequence);
            assert_eq!(run.due(now + GRACE), Some(Order::Ask(Signal::TERM)));
            assert_eq!(run.node_ended(now + GRACE, Status::Killed(15), false), Blame::Asked);
            assert_eq!(run.due(now + GRACE * 2), Some(Order::Kill));
            assert_eq!(run.code().number(), code);
        }
        let (now, mut run) = supervision(None, false);
        run.node_ended(now, Status::Exited(7), false);
        assert!(!run.ended_from_within(now, 0), "who failed before counts");
        assert_eq!(run.code(), ExitCode::Node(7));
    }

    #[test]
    fn time_out() {
        let (now, mut run) = supervision(Some(60), false);
        let end = now + Duration::from_secs(60);
        assert_eq!(run.deadline(), Some(end));
        assert_eq!(run.due(end), Some(Order::TimeIsUp));
        assert_eq!(run.node_ended(end, Status::Killed(15), false), Blame::Asked, "we did that");
        assert_eq!(run.due(end + GRACE), Some(Order::Kill));
        assert_eq!(run.code(), ExitCode::TimedOut);
    }

    #[test]
    fn a_script_that_is_not_carried_out_is_a_failure_of_a_run_that_has_no_other() {
        let (now, mut run) = supervision(None, true);
        run.script_unfinished();
        assert_eq!(run.code(), ExitCode::Failure);
        let mut run = Supervision::new(now, None, GRACE, true);
        run.node_ended(now, Status::Exited(7), false);
        run.script_unfinished();
        assert_eq!(run.code(), ExitCode::Node(7));
    }

    #[test]
    fn a_grace_that_begins_later() {
        let (now, mut run) = supervision(Some(60), false);
        let end = now + Duration::from_secs(60);
        assert_eq!(run.due(end), Some(Order::TimeIsUp));
        run.restart_grace(end + GRACE * 3);
        assert_eq!(run.due(end + GRACE * 3), None);
        assert_eq!(run.due(end + GRACE * 4), Some(Order::Kill));
        run.restart_grace(end + GRACE * 5);
        assert!(run.is_killing());
    }

    #[test]
    fn the_first_cause_gives_the_code() {
        let (now, mut run) = supervision(Some(1), false);
        assert_eq!(run.end(now, Signal::INT, ExitCode::Signal(2)), Some(Order::Ask(Signal::INT)));
        assert_eq!(run.node_ended(now, Status::Exited(1), false), Blame::Asked);
        assert_eq!(run.end(now + GRACE / 2, Signal::TERM, ExitCode::OutputClosed), Some(Order::Ask(Signal::TERM)));
        assert_eq!(run.deadline(), Some(now + GRACE), "asking again gives no more time");
        assert_eq!(run.kill(ExitCode::Signal(2)), Order::Kill);
        assert_eq!(run.end(now, Signal::INT, ExitCode::Signal(2)), None);
        assert_eq!(run.code(), ExitCode::Signal(2));
    }

    #[test]
    fn a_failure_stays_the_cause_when_the_user_hurries_it() {
        let (now, mut run) = supervision(None, false);
        run.node_ended(now, Status::Exited(7), false);
        assert_eq!(run.end(now, Signal::INT, ExitCode::Signal(2)), Some(Order::Ask(Signal::INT)));
        assert_eq!(run.code(), ExitCode::Node(7));
    }

    #[test]
    fn absurd_times_are_for_ever() {
        let now = Instant::now();
        let mut run = Supervision::new(now, Some(Duration::MAX), Duration::MAX, false);
        assert_eq!(run.deadline(), None);
        run.end(now, Signal::INT, ExitCode::Signal(2));
        assert_eq!(run.deadline(), None);
    }
}
