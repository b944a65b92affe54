//! What a seed draws: numbers that follow from who asks and how often it has asked, and not from when.
//!
//! Threads that ask at the same time do not disturb each other's numbers, so a run with the same seed meets the same
//! delays as far as each import is used in the same way.

/// The finalizer of SplitMix64: a permutation of the numbers in which each bit depends on all.
fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// A sequence of numbers of its own.
#[derive(Clone, Debug)]
pub struct Draws {
    key: u64,
    index: u64,
}

impl Draws {
    /// The sequence that belongs to these words, the first of which is the seed.
    pub fn of(words: &[u64]) -> Draws {
        Draws { key: words.iter().fold(0, |key, word| mix(key ^ word)), index: 0 }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.index += 1;
        mix(self.key ^ self.index)
    }

    /// Those of an import: the seed, the node that has it, the node and the segment that it is of, and which import of that segment it is, from 1.
    /// `which` is 0 for what its spans draw, 1 for its calls, 2 for what is found stored in its mappings.
    pub fn of_import(import: [u64; 5], which: u64) -> Draws {
        let [seed, own, node, id, nth] = import;
        Draws::of(&[seed, own, node, id, nth, which])
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// Once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// Nanoseconds that stores of a span are on their way at most. Some faults need one long delay and some many short ones.
pub fn scale(number: u64) -> u64 {
    const USUAL: [u64; 18] =
        [0, 0, 0, 0, 0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 500_000];
    match number % 1000 {
        0..10 => 40_000_000,
        10..40 => 15_000_000,
        40..80 => 2_000_000,
        _ => USUAL[(number / 1000 % 18) as usize],
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_draw_the_same() {
        let some = |words: &[u64]| {
            let mut draws = Draws::of(words);
            std::array::from_fn::<u64, 8, _>(|_| draws.number())
        };
        assert_eq!(some(&[7, 1, 2]), some(&[7, 1, 2]));
        for other in [&[8, 1, 2][..], &[7, 2, 1], &[7, 1], &[7, 1, 2, 0]] {
            assert_ne!(some(&[7, 1, 2]), some(other), "{other:?}");
        }
    }

    #[test]
    fn scales_are_as_rare_as_said() {
        let mut draws = Draws::of(&[3]);
        let scales: Vec<u64> = (0..100_000).map(|_| scale(draws.number())).collect();
        let share = |wanted: &dyn Fn(u64) -> bool| scales.iter().filter(|&&ns| wanted(ns)).count() as f64 / 1e5;
        assert!((0.007..0.013).contains(&share(&|ns| ns == 40_000_000)));
        assert!((0.07..0.09).contains(&share(&|ns| ns >= 2_000_000)));
        assert!((0.38..0.44).contains(&share(&|ns| ns == 0)));
    }
}
