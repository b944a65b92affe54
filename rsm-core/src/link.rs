//! Links: the state of the path between two nodes through one controller, and its error count, in one word.

use serde::{Deserialize, Serialize};

/// State of a link, with the numbers of the original's `connection_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// No path.
    Down = 1,
    /// Path configured, the other node has not joined.
    Up = 2,
    /// Usable: `RSM_CONNECTION_ACTIVE`.
    Active = 3,
}

/// Change of a link from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkChange {
    /// No path any more, whoever joins, until [`LinkChange::Up`].
    Down,
    /// A path again.
    Up,
    /// One more error; the state stays.
    Error,
}

/// A link word: the state in the low byte, the error counter above it. Any change of either is visible as a change of
/// the word, which is all that a barrier compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkWord(u64);

impl LinkWord {
    /// A link in this state without errors.
    pub const fn new(state: LinkState) -> LinkWord {
        LinkWord(state as u64)
    }

    /// The word as found in memory.
    pub const fn from_word(word: u64) -> LinkWord {
        LinkWord(word)
    }

    /// The word as stored in memory.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The state; a number that was never given out counts as down.
    pub const fn state(self) -> LinkState {
        match self.0 & 0xff {
            2 => LinkState::Up,
            3 => LinkState::Active,
            _ => LinkState::Down,
        }
    }

    /// Whether transfers work.
    #[inline]
    pub const fn is_active(self) -> bool {
        self.0 & 0xff == LinkState::Active as u64
    }

    /// Errors so far.
    pub const fn errors(self) -> u64 {
        self.0 >> 8
    }

    /// The same link in another state.
    #[must_use]
    pub const fn with_state(self, state: LinkState) -> LinkWord {
        LinkWord(self.0 & !0xff | state as u64)
    }

    /// The same link with one more error.
    #[must_use]
    pub const fn with_error(self) -> LinkWord {
        LinkWord(self.0.wrapping_add(1 << 8))
    }

    /// The link after a change; `joined` is whether the exporting node is there.
    #[must_use]
    pub const fn changed(self, change: LinkChange, joined: bool) -> LinkWord {
        match change {
            LinkChange::Down => self.with_state(LinkState::Down),
            LinkChange::Up if joined => self.with_state(LinkState::Active),
            LinkChange::Up => self.with_state(LinkState::Up),
            LinkChange::Error => self.with_error(),
        }
    }

    /// Whether the controller has a path there at all: a word of 0 is no link.
    pub const fn exists(self) -> bool {
        self.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn state_and_errors_do_not_mix(errors in 0u64..1000, down in any::<bool>()) {
            let mut word = LinkWord::new(LinkState::Active);
            for _ in 0..errors {
                word = word.with_error();
            }
            prop_assert!(word.is_active());
            if down {
                word = word.with_state(LinkState::Down);
                prop_assert!(!word.is_active());
            }
            prop_assert_eq!(word.errors(), errors);
            prop_assert_eq!(LinkWord::from_word(word.word()), word);
        }
    }
}
