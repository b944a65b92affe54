//! Distributed locks that this PE has or waits for: its threads take turns.

use crate::local::Sym;
use crate::mutex::lock;
use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// Locks that this PE has or waits for: its threads take turns.
#[derive(Default)]
pub(crate) struct Held {
    locks: Mutex<HashSet<usize>>,
    given_back: Condvar,
}

impl Held {
    /// Waits until no other thread of this PE has a lock or waits for it.
    pub(crate) fn enter(&self, sym: Sym) {
        let mut locks = lock(&self.locks);
        while !locks.insert(sym.address()) {
            locks = self.given_back.wait(locks).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn try_enter(&self, sym: Sym) -> bool {
        lock(&self.locks).insert(sym.address())
    }

    pub(crate) fn has(&self, sym: Sym) -> bool {
        lock(&self.locks).contains(&sym.address())
    }

    pub(crate) fn leave(&self, sym: Sym) {
        lock(&self.locks).remove(&sym.address());
        self.given_back.notify_all();
    }
}
