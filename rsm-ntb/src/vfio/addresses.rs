//! Which addresses an IOMMU has for a function, as `VFIO_IOMMU_GET_INFO` says it.

use std::ops::RangeInclusive;

const HAS_CAPABILITIES: u32 = 1 << 1;
/// The capability with ranges of addresses.
const RANGES: u32 = 1;
/// What every IOMMU has; kernels before 5.4 say nothing.
const ANY: RangeInclusive<u64> = 1 << 32..=(1 << 39) - 1;

/// Takes them from the words of the answer: size, flags, page sizes, place of the first capability; a capability is its number and
/// version, the place of the next, and here a count, nothing, and ranges.
pub(super) fn of(info: &[u32]) -> Vec<RangeInclusive<u64>> {
    let word = |place: usize| info.get(place / 4).copied().filter(|_| place.is_multiple_of(4));
    let mut place = word(4).filter(|flags| flags & HAS_CAPABILITIES != 0).and_then(|_| word(16)).unwrap_or(0) as usize;
    // No more of them than there are words.
    for _ in 0..info.len() {
        let (Some(number), Some(next)) = (word(place), word(place + 4)) else { break };
        if place < 16 {
            break;
        }
        if number & 0xffff == RANGES {
            let count = word(place + 8).unwrap_or(0) as usize;
            let wide = |at: usize| Some(u64::from(word(at)?) | u64::from(word(at + 4)?) << 32);
            let range = |index: usize| Some(wide(place + 16 + 16 * index)?..=wide(place + 24 + 16 * index)?);
            return (0..count).map_while(range).collect();
        }
        place = next as usize;
    }
    vec![ANY]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer: a capability that is none of ours, then that with the ranges of an IOMMU of 39 bits.
    const ANSWER: [u32; 18] =
        [72, 3, 0x1000, 0, 24, 0, 3 | 1 << 16, 36, 7, 1 | 1 << 16, 0, 2, 0, 0, 0, 0xfedf_ffff, 0, 0xfef0_0000];

    fn answer() -> Vec<u32> {
        let mut answer = ANSWER.to_vec();
        answer.extend([0, 0xffff_ffff, 0x7f]);
        answer
    }

    #[test]
    fn the_ranges_of_an_iommu_are_found() {
        assert_eq!(of(&answer()), [0..=0xfedf_ffff, 0xfef0_0000..=0x7f_ffff_ffff]);
    }

    #[test]
    fn an_answer_that_ends_early_or_leads_anywhere_is_read_as_far_as_it_goes() {
        for length in 0..answer().len() {
            of(&answer()[..length]);
        }
        for at in 0..answer().len() {
            for value in [0, 1, 24, 36, 37, u32::MAX - 3, u32::MAX] {
                let mut wrong = answer();
                wrong[at] = value;
                of(&wrong);
            }
        }
        let mut none = answer();
        none[1] = 1;
        assert_eq!(of(&none), [ANY]);
        // Round and round.
        let mut round = answer();
        round[7] = 24;
        assert_eq!(of(&round), [ANY]);
    }
}
