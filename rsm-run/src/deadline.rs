//! Deadlines as system calls take them.

use std::time::Instant;

use rustix::event::Timespec;

/// The time from now until `deadline` as `poll` takes it.
pub(crate) fn until(deadline: Instant, now: Instant) -> Timespec {
    Timespec::try_from(deadline.saturating_duration_since(now)).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 0 })
}
