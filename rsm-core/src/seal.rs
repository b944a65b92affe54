//! Seals: a number in the exporting host's control pages for each grant, which tells whether it still holds.
//!
//! An importer of the other host loads it through the window at the end of a span (`crate::verdict`). The exporting
//! agent stores another number first, executes a full fence, and only then takes the memory out of the bridge. So one load
//! tells of a grant that was taken back, of a peer that began anew and of a window that does not answer; and it has
//! pushed the span's stores ahead of itself.

use crate::chance::Chance;
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, fence, mutated};

/// What a load yields that nothing answers.
pub const UNANSWERED: u64 = u64::MAX;

/// A number that says that a grant holds, or that an agent is the one that it was. Neither 0, which is what memory holds
/// that nobody has written, nor all-ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seal(u64);

/// What was loaded in place of a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The seal: the grant held when it was loaded.
    Holds,
    /// Another one: it holds no more.
    Changed,
    /// The grant stands, but nothing is vouched for: the memory's contents are being replaced.
    Suspended,
    /// Nothing that anybody would have stored.
    Unanswered,
}

/// Set in a seal whose memory's contents are being replaced; in no seal that is granted.
const SUSPENDED: u64 = 1 << 63;

impl Seal {
    /// The seal with this word; `None` for what is none.
    pub const fn from_word(word: u64) -> Option<Seal> {
        if word == 0 || word == UNANSWERED { None } else { Some(Seal(word)) }
    }

    /// The word as stored in memory.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// What stands in its place while nothing is vouched for.
    #[must_use]
    pub const fn suspended(self) -> Seal {
        Seal(self.0 | SUSPENDED)
    }

    /// What a word says that was loaded from where this seal was.
    pub const fn read(self, word: u64) -> Reading {
        match Seal::from_word(word) {
            None => Reading::Unanswered,
            Some(now) if now.0 == self.0 => Reading::Holds,
            Some(now) if now.0 == self.suspended().0 => Reading::Suspended,
            Some(_) => Reading::Changed,
        }
    }
}

/// The agent's half when a grant ends: whatever this thread does next comes after every store that a verdict has vouched
/// for which loaded the seal. `dead` is a seal that is granted to nobody.
///
/// # Crash
/// Before the store nothing has happened. After it nobody is vouched for who has what was granted, and the memory is still
/// reached: it goes with the agent, whose bridge ends with it.
pub fn break_seal(place: &AtomicU64, dead: Seal) {
    place.store(dead.word(), Relaxed);
    // Pairs with the order in which a bridge executes a span's stores and the load of the seal behind them: whose stores
    // meet what this thread does next loads this seal.
    if !mutated("seal_fence") {
        fence(SeqCst);
    }
}

/// Sets the seal of a grant, in control pages that the peer's importers load it from. Of one that is set again, after its contents
/// were replaced, who loads it finds what the agents did before.
pub fn set_seal(place: &AtomicU64, seal: Seal) {
    // Release: pairs with the Acquire of who loads it, where the window is memory of this machine; through a device, with the
    // fence after that load (`verdict::Window::fence_load`).
    place.store(seal.word(), if mutated("seal_set_relaxed") { Relaxed } else { Release });
}

/// Where seals come from. None comes twice, in whatever place.
#[derive(Debug)]
pub struct Seals(Chance);

impl Seals {
    /// A sequence of seals. Different seeds begin at different places of one cycle of 2^64 numbers: drawn at random, two
    /// sequences do not meet.
    pub const fn new(seed: u64) -> Seals {
        Seals(Chance::new(seed))
    }

    /// Another one.
    pub fn fresh(&mut self) -> Seal {
        loop {
            // A one-to-one function of a counter: it does not come again before the counter does. Suspended, it is one too.
            let word = self.0.number();
            if let Some(seal) = Seal::from_word(word)
                && word & SUSPENDED == 0
                && Seal::from_word(seal.suspended().word()).is_some()
            {
                return seal;
            }
        }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_seal_comes_twice() {
        let mut seals = Seals::new(7);
        let all: BTreeSet<Seal> = (0..100_000).map(|_| seals.fresh()).collect();
        assert_eq!(all.len(), 100_000);
    }

    proptest::proptest! {
        #[test]
        fn a_word_is_the_seal_another_or_none(one: u64, other: u64) {
            let Some(seal) = Seal::from_word(one) else { return Ok(()) };
            let expected = match other {
                0 | u64::MAX => Reading::Unanswered,
                _ if other == one => Reading::Holds,
                _ if other == one | SUSPENDED => Reading::Suspended,
                _ => Reading::Changed,
            };
            proptest::prop_assert_eq!(seal.read(other), expected);
            proptest::prop_assert_eq!(seal.read(one), Reading::Holds);
            for none in [0, UNANSWERED] {
                proptest::prop_assert_eq!(seal.read(none), Reading::Unanswered);
                proptest::prop_assert_eq!(Seal::from_word(none), None);
            }
        }
    }
}
