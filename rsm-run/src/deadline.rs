//! Deadlines as system calls take them, and how long to wait where nobody says until when.

use std::time::{Duration, Instant};

use rustix::event::Timespec;

/// Between two attempts at something for which the kernel has no memory just now: what is not done then is lost.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// The time from now until `deadline` as `poll` takes it.
pub(crate) fn until(deadline: Instant, now: Instant) -> Timespec {
    Timespec::try_from(deadline.saturating_duration_since(now)).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}
