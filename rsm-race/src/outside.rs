//! What processes tell each other beside the RSMAPI: by files, pipes, sockets, or whatever else their system has for that.
//!
//! Who was told something that way, and when, cannot be seen; who tells can. So what a process has done and knows is taken to be
//! known to all as soon as it does anything by which it may tell. By that races are missed, and none is reported that is none.
//! A process that has memory in common with others, which are not seen to read it, may tell whatever it does at any time: it *leaks*.
//!
//! Where a program knows better, it says so: by a *token*, a number that both sides name, one before and the other afterwards.

use crate::clock::{Row, grow, merge};
use crate::process::Process;
use crate::table::{TOKENS, Word};
use rsm_core::sync::{Ordering, Ordering::Relaxed, fence, mutated};

impl Process<'_> {
    /// It is about to do something by which any process may learn what it has done so far, and what it knows.
    pub fn tells_outside(self) {
        self.enter();
        self.may_have_seen(self.row);
        let others = Row::processes(self.table, None).filter(|row| row.id != self.row.id);
        others.for_each(|other| other.join(self.row));
        // Pairs with the fence of `enter`: whoever was told that way finds what was written here.
        if !mutated("race_outside_unfenced") {
            fence(Ordering::Release);
        }
    }

    /// From now on it may tell anybody whatever it does, and whenever.
    pub fn leaks(self) {
        self.tells_outside();
        self.row.leak();
        self.table.word(Word::Leaks).store(1, Relaxed);
    }

    /// Whether that was said.
    pub fn does_leak(self) -> bool {
        self.row.leaks()
    }

    /// What it has done so far comes before what others do that learn by the same token.
    pub fn tells_by(self, token: u64) {
        self.enter();
        self.may_have_seen(self.row);
        let into = self.table.token(place_of(token));
        merge(self.table, into, self.row.vector());
        grow(&into[self.row.id], self.row.told());
        // Pairs with the fence of `enter`, in `learns_by`: the program has been told since, by what it knows of.
        if !mutated("race_token_unfenced") {
            fence(Ordering::Release);
        }
    }

    /// What it does from now on comes after what others did that told by the same token.
    pub fn learns_by(self, token: u64) {
        self.enter();
        self.row.learn_all(self.table.token(place_of(token)));
    }
}

/// Tokens that share a place tell more than they have to.
fn place_of(token: u64) -> usize {
    (token.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % TOKENS
}

#[cfg(all(test, not(rsm_loom)))]
mod tests;
