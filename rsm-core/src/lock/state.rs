//! The state of a lock, in a word.

/// Who holds the lock, who died holding it, and a count of changes, so that no word comes twice.
///
/// ```text
/// 63                         16 15      8 7       0
/// ├──────── changes ───────────┼── died ─┼ holder ─┤   ranks plus one, 0 for nobody
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State(u64);

impl State {
    /// What a word says.
    pub fn from_word(word: u64) -> State {
        State(word)
    }

    /// The word.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The rank that holds it.
    pub fn holder(self) -> Option<usize> {
        rank(self.0)
    }

    /// The rank that died last of those that held it, if nobody has let it go since.
    pub fn died(self) -> Option<usize> {
        rank(self.0 >> 8)
    }

    /// Taken by a rank: from nobody, or from a holder that has died. The last that died stays told until somebody lets
    /// go.
    #[must_use]
    pub fn taken_by(self, new: usize) -> State {
        self.next(Some(new), self.holder().or(self.died()))
    }

    /// Let go by its holder, with all in order.
    #[must_use]
    pub fn let_go(self) -> State {
        self.next(None, None)
    }

    fn next(self, holder: Option<usize>, died: Option<usize>) -> State {
        let byte = |rank: Option<usize>| rank.map_or(0, |rank| (rank as u64 + 1) & 0xff);
        State((self.0 >> 16).wrapping_add(1) << 16 | byte(died) << 8 | byte(holder))
    }
}

fn rank(byte: u64) -> Option<usize> {
    ((byte & 0xff) as usize).checked_sub(1)
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_told_until_somebody_lets_go() {
        let free = State::default();
        assert_eq!((free.holder(), free.died()), (None, None));
        let first = free.taken_by(62);
        assert_eq!((first.holder(), first.died()), (Some(62), None));
        let second = first.taken_by(0);
        assert_eq!((second.holder(), second.died()), (Some(0), Some(62)));
        let third = second.taken_by(1);
        assert_eq!((third.holder(), third.died()), (Some(1), Some(0)));
        let after = third.let_go();
        assert_eq!((after.holder(), after.died()), (None, None));
        assert_eq!(after.taken_by(1).died(), None);
    }

    #[test]
    fn no_word_comes_twice() {
        let mut state = State::default();
        let mut seen = std::collections::HashSet::new();
        for round in 0..1000 {
            assert!(seen.insert(state));
            state = if round % 2 == 0 { state.taken_by(3) } else { state.let_go() };
        }
    }
}
