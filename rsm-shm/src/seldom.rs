//! What strangers can make happen is logged now and then, so that they cannot fill a disk with it.

use std::time::{Duration, Instant};

/// How often something is said within [`WITHIN`].
const MOST: u32 = 8;
/// After this long, as often again.
const WITHIN: Duration = Duration::from_secs(60);

/// When something was said that others can make happen as often as they like.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    since: Option<Instant>,
    said: u32,
    unsaid: u64,
}

impl Seldom {
    /// Whether it is to be said now; how often it was not, since it was the last time.
    pub(crate) fn now(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= WITHIN) {
            (self.since, self.said) = (Some(now), 0);
        }
        if self.said == MOST {
            self.unsaid += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_a_few_times_and_then_that_it_was_more() {
        let (mut seldom, now) = (Seldom::default(), Instant::now());
        let said = (0..1000).filter_map(|_| seldom.now(now)).collect::<Vec<_>>();
        assert_eq!(said, [0; MOST as usize]);
        assert_eq!(seldom.now(now + WITHIN - Duration::from_nanos(1)), None);
        assert_eq!(seldom.now(now + WITHIN), Some(1001 - u64::from(MOST)));
        assert_eq!(seldom.now(now + WITHIN), Some(0));
    }
}
