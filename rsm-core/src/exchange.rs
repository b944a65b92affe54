//! Exchanges of a few words between PEs, each of whom writes to each of the others: a place for every two of them and direction,
//! with the *turn* that what stands there is of.
//!
//! Turns count from 1, and odd and even ones have places of their own. So nobody overwrites what is still read: who is in a turn
//! has been told by all others in the last one, and they had read those of the turn before that when they told it.

use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU64, mutated};

/// Words of one contribution.
pub const WORDS: usize = if cfg!(rsm_loom) { 1 } else { 7 };

/// One PE's contribution to another, in lines of its own: there are processors for ARM with lines of 128 bytes.
#[cfg_attr(target_arch = "aarch64", repr(C, align(128)))]
#[cfg_attr(not(target_arch = "aarch64"), repr(C, align(64)))]
#[derive(Debug)]
pub struct Told {
    turn: AtomicU64,
    words: [AtomicU64; WORDS],
}

/// Which of two places those of a turn have.
#[inline(always)]
pub fn side(turn: u64) -> usize {
    if mutated("exchange_one_side") { 0 } else { (turn % 2) as usize }
}

impl Told {
    /// One of no turn.
    #[cfg(all(test, rsm_loom))]
    pub(crate) fn nothing() -> Told {
        Told { turn: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Tells some words, as those of a turn.
    #[inline(always)]
    pub fn tell(&self, turn: u64, words: &[u64]) {
        for (to, &word) in self.words.iter().zip(words) {
            // Relaxed: ordered by the turn below. Who still reads what stood here two turns ago has not told the last one, in which
            // this PE was told by all.
            to.store(word, Relaxed);
        }
        // Release: pairs with the Acquire of `is_told`.
        self.turn.store(turn, if mutated("exchange_unreleased") { Relaxed } else { Release });
    }

    /// Whether those of a turn are there.
    #[inline(always)]
    pub fn is_told(&self, turn: u64) -> bool {
        // Acquire: pairs with the Release of `tell`.
        self.turn.load(if mutated("exchange_relaxed") { Relaxed } else { Acquire }) >= turn
    }

    /// The words, once they are [told](Self::is_told).
    #[inline(always)]
    pub fn words(&self, into: &mut [u64]) {
        for (to, word) in into.iter_mut().zip(&self.words) {
            *to = word.load(Relaxed);
        }
    }

    /// Begins with the first turn again; before anybody else knows of it.
    pub fn begin(&self) {
        self.turn.store(0, Relaxed);
    }
}
