//! Which calls a node is killed before.

use std::collections::BTreeSet;
use std::hash::Hash;

/// The first calls, of which each is tried.
const ALL_OF_FIRST: u64 = 32;

/// A call that the counting run found new, and what it differs by.
pub(super) struct New<K> {
    pub(super) number: u64,
    pub(super) key: K,
}

/// The calls to try, of so many: the first, the powers of two, and those that differ from all before them.
pub(super) fn chosen<K: Eq + Hash>(calls: u64, news: impl IntoIterator<Item = New<K>>) -> Vec<u64> {
    let mut seen = std::collections::HashSet::new();
    let different = news.into_iter().filter_map(|new| seen.insert(new.key).then_some(new.number));
    let powers = (0..u64::BITS).map(|bit| 1 << bit);
    let all: BTreeSet<u64> = (1..=ALL_OF_FIRST).chain(powers).chain(different).collect();
    all.into_iter().filter(|&number| number <= calls).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(calls: u64, news: &[(u64, &'static str)]) -> Vec<u64> {
        chosen(calls, news.iter().map(|&(number, key)| New { number, key }))
    }

    #[test]
    fn the_first_are_all_tried_and_then_what_is_new() {
        assert!(of(0, &[]).is_empty());
        assert_eq!(of(3, &[(1, "a")]), [1, 2, 3]);
        let many = of(300, &[(1, "a"), (40, "b"), (41, "a"), (50, "b"), (299, "c"), (400, "d")]);
        assert_eq!(many[..32], (1..=32).collect::<Vec<_>>());
        assert_eq!(many[32..], [40, 64, 128, 256, 299]);
    }
}
