//! Inputs without a fuzzer: the seeds, and mutations of them by a fixed sequence of numbers.

use std::path::Path;

/// Runs a body over every seed of a target and over `more` mutations. One that fails is named by its number.
pub fn seeds(target: &str, more: u32, body: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(|f| f.expect("a file").path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("a seed")).collect();
    assert!(!seeds.is_empty(), "{target} has no seeds");
    for (file, seed) in files.iter().zip(&seeds) {
        println!("seed {}", file.display());
        body(seed);
    }
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for number in 0..more {
        let input = mutation(&seeds, &mut numbers);
        // Shown when the test fails.
        println!("mutation {number}: {input:02x?}");
        body(&input);
    }
}

/// A sequence that is the same in every run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % limit.max(1)
    }
}

/// The beginning of one seed and the end of another, with a few bytes changed.
fn mutation(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let (one, other) = (&seeds[numbers.below(seeds.len())], &seeds[numbers.below(seeds.len())]);
    let mut input = one[..numbers.below(one.len() + 1)].to_vec();
    input.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
    for _ in 0..numbers.below(6) {
        let (at, byte) = (numbers.below(input.len()), numbers.below(256) as u8);
        match (numbers.below(3), input.get_mut(at)) {
            (0, Some(place)) => *place = byte,
            (1, Some(_)) => {
                input.remove(at);
            }
            _ => input.insert(at.min(input.len()), byte),
        }
    }
    input
}
