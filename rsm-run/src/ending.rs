//! What the front knows about how its run ends: the exit code, and how long to wait for readers of the output.

use std::time::{Duration, Instant};

use rustix::event::Timespec;

use crate::deadline::until;
use crate::exit_code::ExitCode;

/// When the user or the time-out wants an end, an output that takes nothing for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the run ends, as far as it is known.
#[derive(Default)]
pub(crate) struct Ending {
    /// The warden's word, the last one on the nodes.
    finished: Option<ExitCode>,
    /// Of the front itself: the output takes nothing any more, or the run cannot be watched.
    own: Option<ExitCode>,
    /// The first signal that asked us to end, and how many did.
    asked: Option<ExitCode>,
    requests: u32,
    /// Whether somebody waits for the end.
    hurried: bool,
    /// The signal that ended the wait for a reader.
    given_up: Option<ExitCode>,
    /// How much was written when the output last moved, and when that was.
    moved: Option<(u64, Instant)>,
}

impl Ending {
    /// The warden gave the code.
    pub(crate) fn finished(&mut self, code: ExitCode) {
        self.finished = Some(code);
    }

    /// The warden gave none and has gone.
    pub(crate) fn lost(&mut self) {
        self.finished = Some(self.asked.unwrap_or(ExitCode::Failure));
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// An output failed, or the run cannot be watched; answers whether that is the first of these.
    pub(crate) fn failed(&mut self, code: ExitCode) -> bool {
        self.own.replace(code).is_none()
    }

    /// A signal asked us to end; answers how many did by now.
    pub(crate) fn asked(&mut self, code: ExitCode) -> u32 {
        self.asked.get_or_insert(code);
        self.requests += 1;
        self.hurried = true;
        self.requests
    }

    /// The time is up.
    pub(crate) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// A signal came when only the output was waited for.
    pub(crate) fn give_up(&mut self, code: ExitCode) {
        self.given_up = Some(code);
    }

    /// With nothing left but output that was `written` so far: whether to leave the rest.
    pub(crate) fn gives_up(&mut self, written: u64) -> bool {
        let now = Instant::now();
        let since = match self.moved {
            Some((then, since)) if then == written => since,
            _ => now,
        };
        self.moved = Some((written, since));
        self.given_up.is_some() || (self.hurried && now.duration_since(since) >= PATIENCE)
    }

    /// How long to wait before asking [`gives_up`](Self::gives_up) again.
    pub(crate) fn patience(&self) -> Option<Timespec> {
        let (_, since) = self.moved?;
        self.hurried.then(|| until(since + PATIENCE, Instant::now()))
    }

    /// The exit code, once everything has ended.
    pub(crate) fn code(&self) -> ExitCode {
        match (self.given_up, self.finished, self.own) {
            (Some(code), ..) => code,
            // The nodes ended well, but what they wrote may not have arrived.
            (None, None | Some(ExitCode::Success), Some(code)) => code,
            (None, Some(code), _) => code,
            (None, None, None) => ExitCode::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let mut ending = Ending::default();
        assert_eq!(ending.code(), ExitCode::Failure);
        ending.finished(ExitCode::Success);
        assert_eq!(ending.code(), ExitCode::Success);
        assert!(ending.failed(ExitCode::OutputClosed));
        assert!(!ending.failed(ExitCode::OutputClosed));
        assert_eq!(ending.code(), ExitCode::OutputClosed);
        ending.finished(ExitCode::Node(7));
        assert_eq!(ending.code(), ExitCode::Node(7));
    }

    #[test]
    fn a_lost_warden_is_a_failure_unless_it_was_the_user() {
        let mut ending = Ending::default();
        ending.lost();
        assert_eq!(ending.code(), ExitCode::Failure);
        assert_eq!(ending.asked(ExitCode::Signal(2)), 1);
        assert_eq!(ending.asked(ExitCode::Signal(15)), 2);
        ending.lost();
        assert_eq!(ending.code(), ExitCode::Signal(2));
    }

    #[test]
    fn a_reader_that_takes_nothing_is_waited_for_until_somebody_wants_an_end() {
        let mut ending = Ending::default();
        ending.finished(ExitCode::Success);
        assert!(!ending.gives_up(10));
        assert_eq!(ending.patience(), None);
        ending.hurry();
        assert!(!ending.gives_up(10));
        assert!(ending.patience().is_some());
        ending.moved = ending.moved.map(|(written, since)| (written, since - PATIENCE));
        assert!(!ending.gives_up(20), "it took something");
        ending.moved = ending.moved.map(|(written, since)| (written, since - PATIENCE));
        assert!(ending.gives_up(20));
    }
}
