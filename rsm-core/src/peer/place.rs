//! Places in a window: where memory is offered to the other host.

use super::control::CONTROL_BYTES;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;

/// Memory of this size and more lies at multiples of it, where it can be mapped in huge pages.
const HUGE: u64 = 2 << 20;

/// What of a window is taken.
#[derive(Debug)]
pub struct Places {
    granule: u64,
    end: u64,
    /// Where each begins, and its bytes.
    taken: BTreeMap<u64, u64>,
}

impl Places {
    /// A window of so many bytes, of which nothing is taken but the control pages.
    pub fn new(window: u64, granule: u64) -> Places {
        Places { granule: granule.max(1), end: window, taken: BTreeMap::new() }
    }

    /// Takes the first place where so many bytes fit.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, with what there is.
    pub fn take(&mut self, length: u64) -> Result<u64> {
        let granule = if length >= HUGE { self.granule.max(HUGE) } else { self.granule };
        let no_room = || {
            let taken: u64 = self.taken.values().sum();
            let room = self.end.saturating_sub(CONTROL_BYTES);
            Error::with(
                Code::InsufficientResources,
                format!(
                    "{length} bytes do not fit into the window to the other host, which has {room} with {taken} taken"
                ),
            )
        };
        let bytes = length.max(1).checked_next_multiple_of(self.granule).ok_or_else(no_room)?;
        let mut at = CONTROL_BYTES.next_multiple_of(granule);
        for (&start, &there) in &self.taken {
            if at.checked_add(bytes).is_none_or(|end| end <= start) {
                break;
            }
            at = at.max((start + there).checked_next_multiple_of(granule).ok_or_else(no_room)?);
        }
        if at.checked_add(bytes).is_none_or(|end| end > self.end) {
            return Err(no_room());
        }
        self.taken.insert(at, bytes);
        Ok(at)
    }

    /// Gives a place back.
    pub fn give(&mut self, at: u64) {
        self.taken.remove(&at);
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_window_says_what_there_is() {
        let mut places = Places::new(CONTROL_BYTES + 3 * 4096, 4096);
        let first = places.take(4096).unwrap();
        assert_eq!((first, places.take(5000).unwrap()), (CONTROL_BYTES, CONTROL_BYTES + 4096));
        let error = places.take(1).unwrap_err();
        assert!(error.to_string().contains("which has 12288 with 12288 taken"), "{error}");
        places.give(first);
        assert_eq!(places.take(1), Ok(CONTROL_BYTES), "the first that fits");
        assert!(places.take(u64::MAX).is_err());
        assert!(Places::new(0, 4096).take(1).is_err());
    }

    proptest! {
        #[test]
        fn places_lie_in_the_window_and_apart(lengths in prop::collection::vec(1..(5u64 << 20), 1..60), frees in any::<u64>()) {
            let mut places = Places::new(64 << 20, 16384);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (number, length) in lengths.into_iter().enumerate() {
                if let Ok(at) = places.take(length) {
                    prop_assert!(at >= CONTROL_BYTES && at + length <= 64 << 20 && at.is_multiple_of(16384));
                    prop_assert!(length < HUGE || at.is_multiple_of(HUGE));
                    prop_assert!(taken.iter().all(|&(start, there)| at >= start + there || at + length <= start));
                    taken.push((at, length));
                }
                if frees >> (number % 64) & 1 == 1 && !taken.is_empty() {
                    places.give(taken.swap_remove(number % taken.len()).0);
                }
            }
        }
    }
}
