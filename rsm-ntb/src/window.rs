//! What of a window is free.

use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;

/// From this size on memory is put at multiples of it, so that huge pages stay whole for an IOMMU.
const HUGE: u64 = 2 << 20;

/// The offsets of a window, in bytes: which are taken, and the first that is free.
#[derive(Clone, Debug)]
pub struct Offsets {
    first: u64,
    end: u64,
    granule: u64,
    /// Lengths, by where they begin.
    taken: BTreeMap<u64, u64>,
}

impl Offsets {
    /// Those from `first` to the window's size `end`, in pieces of `granule` bytes: a power of two of which `first` is a multiple.
    ///
    /// # Panics
    /// With a granule that is none.
    pub fn new(first: u64, end: u64, granule: u64) -> Offsets {
        assert!(granule.is_power_of_two() && first.is_multiple_of(granule), "offsets are counted in granules");
        Offsets { first, end, granule, taken: BTreeMap::new() }
    }

    /// Takes the first `length` bytes that are free, rounded up to a granule. Memory of 2 MiB and more is put at a multiple of
    /// 2 MiB.
    ///
    /// # Errors
    /// BAD_LENGTH for none; INSUFFICIENT_RESOURCES when no room is left, with how much there is.
    pub fn take(&mut self, length: u64) -> Result<u64> {
        if length == 0 {
            return Err(Error::with(Code::BadLength, "no bytes cannot be put into a window"));
        }
        let align = self.granule.max(if length >= HUGE { HUGE } else { 0 });
        let rounded = length.checked_next_multiple_of(self.granule);
        let mut at = self.first;
        let mut longest = 0;
        for (start, bytes) in self.taken.iter().map(|(start, bytes)| (*start, *bytes)).chain([(self.end, 0)]) {
            let aligned = at.next_multiple_of(align);
            let room = start.saturating_sub(aligned);
            longest = longest.max(room);
            if let Some(rounded) = rounded.filter(|rounded| *rounded <= room) {
                self.taken.insert(aligned, rounded);
                return Ok(aligned);
            }
            at = start + bytes;
        }
        let text = format!(
            "{length} bytes do not fit into what is free of the bridge's window of {} bytes: {longest} in one piece",
            self.end
        );
        Err(Error::with(Code::InsufficientResources, text))
    }

    /// Gives back what was taken at an offset; how many bytes that was, `None` where nothing was.
    pub fn give_back(&mut self, at: u64) -> Option<u64> {
        self.taken.remove(&at)
    }

    /// Bytes that are taken.
    pub fn taken(&self) -> u64 {
        self.taken.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_first_that_is_free_is_taken() {
        let mut offsets = Offsets::new(256 << 10, 64 * MIB, 4096);
        assert_eq!(offsets.take(1).unwrap(), 256 << 10);
        assert_eq!(offsets.take(8192).unwrap(), (256 << 10) + 4096);
        assert_eq!(offsets.take(3 * MIB).unwrap(), 2 * MIB);
        assert_eq!(offsets.take(2 * MIB).unwrap(), 6 * MIB);
        assert_eq!(offsets.take(MIB).unwrap(), (256 << 10) + 3 * 4096);
        assert_eq!(offsets.give_back((256 << 10) + 4096), Some(8192));
        assert_eq!(offsets.take(8192).unwrap(), (256 << 10) + 4096);
        assert_eq!(offsets.give_back(1), None);
        assert_eq!(offsets.taken(), 4096 + 8192 + 6 * MIB);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let mut offsets = Offsets::new(0, 4 * MIB, 65536);
        assert_eq!(offsets.take(0).unwrap_err().code(), Code::BadLength);
        assert_eq!(offsets.take(3 * MIB).unwrap(), 0);
        for length in [MIB + 1, 4 * MIB, u64::MAX] {
            let error = offsets.take(length).unwrap_err();
            assert_eq!(error.code(), Code::InsufficientResources);
            assert!(error.detail().contains("4194304"), "{error}");
        }
        assert!(offsets.take(MIB + 1).unwrap_err().detail().contains("1048576 in one piece"));
        assert_eq!(offsets.take(MIB).unwrap(), 3 * MIB);
        assert!(offsets.take(1).unwrap_err().detail().contains(": 0 in one piece"));
        // Nothing is left of a window that its own control pages fill.
        assert!(Offsets::new(4 * MIB, 4 * MIB, 4096).take(1).is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice(steps in proptest::collection::vec((any::<bool>(), 1..6 * MIB, any::<prop::sample::Index>()), 1..60)) {
            let mut offsets = Offsets::new(65536, 32 * MIB, 4096);
            let mut there: Vec<(u64, u64)> = Vec::new();
            for (takes, length, which) in steps {
                if takes || there.is_empty() {
                    let Ok(at) = offsets.take(length) else { continue };
                    prop_assert!(at >= 65536 && at + length <= 32 * MIB && at.is_multiple_of(4096));
                    prop_assert!(length < HUGE || at.is_multiple_of(HUGE));
                    prop_assert!(there.iter().all(|(other, bytes)| at + length <= *other || other + bytes <= at));
                    there.push((at, length));
                } else {
                    let (at, length) = there.swap_remove(which.index(there.len()));
                    prop_assert_eq!(offsets.give_back(at), Some(length.next_multiple_of(4096)));
                }
            }
        }
    }
}
