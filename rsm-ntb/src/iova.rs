//! Where a function sees the memory that is mapped for it.

use rsm_core::{Code, Error, Result};
use std::ops::RangeInclusive;

/// Chooses an address for a window of `window` bytes, a multiple of them, among those of `ranges`, by a random number.
///
/// Each agent chooses anew, so that what a dead one let the other host reach is not where its successor's memory is.
///
/// # Errors
/// CTLR_NOT_PRESENT when no range has room.
pub(crate) fn base(window: u64, ranges: &[RangeInclusive<u64>], random: u64) -> Result<u64> {
    // Places of each range, the first of them, and how many.
    let places = ranges.iter().filter_map(|range| {
        let first = range.start().checked_next_multiple_of(window)?;
        let bytes = range.end().checked_sub(first)?.saturating_add(1);
        Some((first, bytes / window))
    });
    let places: Vec<(u64, u64)> = places.filter(|(_, count)| *count > 0).collect();
    let all = places.iter().fold(0u64, |sum, (_, count)| sum.saturating_add(*count));
    if all == 0 {
        let text = format!("the function has no addresses for a window of {window} bytes: {ranges:x?}");
        return Err(Error::with(Code::CtlrNotPresent, text));
    }
    let mut chosen = random % all;
    for (first, count) in places {
        if chosen < count {
            return Ok(first + chosen * window);
        }
        chosen -= count;
    }
    unreachable!("the chosen one is one of all");
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 1 << 26;

    #[test]
    fn every_place_of_every_range_can_be_chosen_and_no_other() {
        let ranges =
            [1..=WINDOW - 1, WINDOW + 1..=4 * WINDOW - 1, 8 * WINDOW..=9 * WINDOW - 2, 16 * WINDOW..=18 * WINDOW];
        let chosen: Vec<u64> = (0..8).map(|random| base(WINDOW, &ranges, random).unwrap() / WINDOW).collect();
        assert_eq!(chosen, [2, 3, 16, 17, 2, 3, 16, 17]);
    }

    #[test]
    fn addresses_end_where_they_end() {
        assert_eq!(base(WINDOW, &[0..=u64::MAX], u64::MAX).unwrap() % WINDOW, 0);
        assert_eq!(base(1 << 63, &[1..=u64::MAX], 77).unwrap(), 1 << 63);
        for ranges in [&[][..], &[0..=WINDOW - 2], &[u64::MAX - 5..=u64::MAX], &[RangeInclusive::new(5, 4)]] {
            assert_eq!(base(WINDOW, ranges, 0).unwrap_err().code(), Code::CtlrNotPresent);
        }
    }
}
