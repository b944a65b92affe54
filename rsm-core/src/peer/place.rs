//! Places in a window: where memory is offered to the other host.

use super::control::CONTROL_BYTES;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;

/// Memory of this size and more lies at multiples of it as long as there is such a place: it can be mapped in huge pages there.
const HUGE: u64 = 2 << 20;

/// Most bytes of a segment for which there is a place in a window of so many, when nothing is taken but the control pages.
/// `granule` is what offsets are multiples of.
pub const fn room(window: u64, granule: u64) -> u64 {
    let granule = if granule == 0 { 1 } else { granule };
    let Some(begin) = CONTROL_BYTES.checked_next_multiple_of(granule) else { return 0 };
    window.saturating_sub(begin) / granule * granule
}

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
        let bytes = length.max(1).checked_next_multiple_of(self.granule);
        let huge = bytes.filter(|_| length >= HUGE).and_then(|bytes| self.find(bytes, self.granule.max(HUGE)));
        let place = huge.or_else(|| self.find(bytes?, self.granule));
        let (Some(at), Some(bytes)) = (place, bytes) else {
            let taken: u64 = self.taken.values().sum();
            let room = room(self.end, self.granule);
            let text = format!(
                "{length} bytes do not fit into the window to the other host, which has {room} with {taken} taken"
            );
            return Err(Error::with(Code::InsufficientResources, text));
        };
        self.taken.insert(at, bytes);
        Ok(at)
    }

    /// The first multiple of this at which there is room.
    fn find(&self, bytes: u64, granule: u64) -> Option<u64> {
        let mut at = CONTROL_BYTES.checked_next_multiple_of(granule)?;
        for (&start, &there) in &self.taken {
            if at.checked_add(bytes)? <= start {
                break;
            }
            at = at.max((start + there).checked_next_multiple_of(granule)?);
        }
        (at.checked_add(bytes)? <= self.end).then_some(at)
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

    /// What is said to have room has, to the byte.
    #[test]
    fn an_empty_window_has_the_room_that_is_told() {
        for granule in [4096, 65536, 4 << 20] {
            for window in [CONTROL_BYTES + 4096, 1 << 20, (2 << 20) + CONTROL_BYTES, 3 << 20, (64 << 20) + 512] {
                let room = room(window, granule);
                let fits = |length| Places::new(window, granule).take(length).is_ok();
                assert!(room == 0 || fits(room), "{room} of {window} in pieces of {granule}");
                assert!(!fits(room + 1), "{room} of {window} in pieces of {granule}");
            }
        }
        assert_eq!(room(64 << 20, 4096), (64 << 20) - CONTROL_BYTES);
    }

    proptest! {
        #[test]
        fn places_lie_in_the_window_and_apart(lengths in prop::collection::vec(1..(5u64 << 20), 1..60), frees in any::<u64>()) {
            let mut places = Places::new(64 << 20, 16384);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (number, length) in lengths.into_iter().enumerate() {
                let apart = |at: u64| taken.iter().all(|&(start, there)| at >= start + there || at + length <= start);
                let huge = (1..32).map(|at| at * HUGE).find(|&at| at + length <= 64 << 20 && apart(at));
                if let Ok(at) = places.take(length) {
                    prop_assert!(at >= CONTROL_BYTES && at + length <= 64 << 20 && at.is_multiple_of(16384));
                    prop_assert!(length < HUGE || huge.is_none() || at.is_multiple_of(HUGE));
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
