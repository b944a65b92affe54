//! The last stores to a word, found by their values.
//!
//! Who loads a word has it from the youngest store of that value: one that is still on its way was not seen, and told nothing.
//! Of each word that was ever stored to as one, eight stores are remembered.

use crate::table::{HISTORIES, Lack, MODELLED, NODES, Table};
use rsm_core::sync::{AtomicU64, Ordering, Ordering::Relaxed, acquire, fence, mutated};

/// Stores that are remembered.
pub const STORES: u64 = if MODELLED { 1 } else { 8 };
const STEPS: usize = 16;

// Words of a history.
const KEY: usize = 0;
const NEXT: usize = 1;
const FIRST: usize = 2;
/// Of a store, in this order: whose clock and what it said; the value; the process's clock; where, and what the clock of
/// what is hidden would say next; the process's snapshot.
const STORE: usize = 5;
const SEEN: usize = FIRST + STORES as usize * STORE;
/// The nodes that ever stored: a bit for each.
const STORERS: usize = SEEN + NODES;
/// By which clocks, and by which process or thread, it was ever stored to, if all of it was by one; or [`MANY`].
const BY: usize = STORERS + 1;
const MANY: u64 = u64::MAX;
const _: () = assert!(BY < crate::table::HISTORY);

/// A store of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: usize,
    pub(crate) clock: u64,
    pub(crate) value: u64,
    /// What the clock of the process said.
    pub(crate) process: u64,
    pub(crate) site: u16,
    /// What who learned something hidden afterwards knows of that clock at least.
    pub(crate) hidden: u64,
    pub(crate) snapshot: u64,
    /// Which process or thread stored it.
    pub(crate) by: usize,
    /// The value is not known.
    pub(crate) any: bool,
    /// It was not a part of an atomic update.
    pub(crate) alone: bool,
}

/// Which store the processes of a node have loaded last, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// 0: none that is known.
    pub(crate) number: u64,
    /// What the loader knew of what is hidden after that.
    pub(crate) hidden: u64,
}

/// The last stores to a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History<'a> {
    words: &'a [AtomicU64],
}

/// Names a word: `width` bytes at a byte of all lines.
fn key(at: u64, width: u64) -> u64 {
    at << 4 | width
}

impl<'a> History<'a> {
    fn look(table: Table<'a>, at: u64, width: u64, make: bool) -> Option<History<'a>> {
        let key = key(at, width);
        let start = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        for step in 0..STEPS {
            let words = table.history((start as usize).wrapping_add(step) % HISTORIES);
            let found = words[KEY].load(Relaxed);
            let found = match found {
                0 if !make => return None,
                0 => words[KEY].compare_exchange(0, key, Relaxed, Relaxed).err().unwrap_or(key),
                other => other,
            };
            if found == key {
                return Some(History { words });
            }
        }
        if make {
            table.lack(Lack::Words);
        }
        None
    }

    pub(crate) fn find(table: Table<'a>, at: u64, width: u64) -> Option<History<'a>> {
        History::look(table, at, width, false)
    }

    /// The same, made if there was none and is room for one.
    pub(crate) fn make(table: Table<'a>, at: u64, width: u64) -> Option<History<'a>> {
        History::look(table, at, width, true)
    }

    fn store(self, number: u64) -> &'a [AtomicU64] {
        let start = FIRST + (number % STORES) as usize * STORE;
        &self.words[start..start + STORE]
    }

    /// How many there were.
    pub(crate) fn count(self) -> u64 {
        self.words[NEXT].load(Relaxed)
    }

    /// Whether some of them are forgotten, and processes of several nodes made them.
    pub(crate) fn is_confused(self) -> bool {
        self.count() > STORES && self.words[STORERS].load(Relaxed).count_ones() > 1
    }

    /// Whether some of them are forgotten, and what was released with those may not have been with those that are not.
    pub(crate) fn has_forgotten(self) -> bool {
        self.count() > STORES && self.words[BY].load(Relaxed) == MANY
    }

    /// Remembers a store by a process of a node; its number, from 1. It is not remembered if who stored [`STORES`] times ago has not
    /// yet said all, or never will: then it is not found, and whoever looks for it learns more instead.
    pub(crate) fn push(self, node: u32, stored: &Stored) -> u64 {
        self.words[STORERS].fetch_or(1 << (node % 64), Relaxed);
        let by = (stored.by as u64) << 8 | stored.id as u64;
        if let Err(other) = self.words[BY].compare_exchange(0, by, Relaxed, Relaxed)
            && other != by
        {
            self.words[BY].store(MANY, Relaxed);
        }
        let number = self.words[NEXT].fetch_add(1, Relaxed) + 1;
        let words = self.store(number);
        // Acquire: pairs with the Release below; of two who write here one comes after the other has said all.
        let before = words[0].swap(0, Ordering::Acquire);
        if before == 0 && number > STORES && !mutated("race_history_shared") {
            return number;
        }
        // Pairs with the second fence of `get`: who reads what follows finds that it changes.
        if !mutated("race_history_unfenced") {
            fence(Ordering::Release);
        }
        words[1].store(stored.value, Relaxed);
        words[2].store(stored.process, Relaxed);
        let by = u64::from(stored.alone) << 57 | u64::from(stored.any) << 56 | (stored.by as u64 & 0xff) << 48;
        words[3].store(by | u64::from(stored.site) << 32 | stored.hidden & 0xffff_ffff, Relaxed);
        words[4].store(stored.snapshot, Relaxed);
        // The low bits of the number tell two stores in the same place from each other.
        let tag = (number / STORES % (1 << 18)) << 8;
        // Release: pairs with the acquire of `get`, and with the swap above.
        let release = if mutated("race_history_unreleased") { Relaxed } else { Ordering::Release };
        words[0].store(stored.clock << 26 | tag | stored.id as u64, release);
        number
    }

    /// The store with this number, if it is still remembered.
    pub(crate) fn get(self, number: u64) -> Option<Stored> {
        let words = self.store(number);
        let who = acquire(&words[0]);
        let [value, process, site, snapshot] = std::array::from_fn(|at| words[1 + at].load(Relaxed));
        // Pairs with the fence of `push`.
        fence(Ordering::Acquire);
        if who == 0 || words[0].load(Relaxed) != who || who >> 8 & 0x3_ffff != number / STORES % (1 << 18) {
            return None;
        }
        let (id, clock) = ((who & 0xff) as usize, who >> 26);
        let (by, hidden) = ((site >> 48) as usize & 0xff, site & 0xffff_ffff);
        let (any, alone) = (site >> 56 & 1 != 0, site >> 57 & 1 != 0);
        Some(Stored { id, clock, value, process, site: (site >> 32) as u16, hidden, snapshot, by, any, alone })
    }

    /// Those that are remembered, with their numbers, the youngest first.
    pub(crate) fn all(self) -> impl Iterator<Item = (u64, Stored)> {
        let last = self.count();
        let first = last.saturating_sub(STORES) + 1;
        (first..=last).rev().filter_map(move |number| Some((number, self.get(number)?)))
    }

    pub(crate) fn see(self, node: u32, seen: Seen) {
        let word = seen.number.min(0xffff_ffff) << 32 | seen.hidden & 0xffff_ffff;
        self.words[SEEN + node as usize % NODES].store(word, Relaxed);
    }

    pub(crate) fn seen(self, node: u32) -> Seen {
        let word = self.words[SEEN + node as usize % NODES].load(Relaxed);
        Seen { number: word >> 32, hidden: word & 0xffff_ffff }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::table::tests::memory;

    #[test]
    fn the_last_stores_are_found() {
        let memory = memory(0);
        let table = Table::new(&memory);
        assert!(History::find(table, 800, 8).is_none());
        let history = History::make(table, 800, 8).unwrap();
        assert!(History::find(table, 800, 8).is_some() && History::find(table, 800, 4).is_none());
        let stored = |value| Stored {
            id: 5,
            clock: value,
            value,
            process: 2,
            site: 9,
            hidden: 3,
            snapshot: 1,
            by: 4,
            any: value % 3 == 0,
            alone: value % 2 == 0,
        };
        for value in 1..=20 {
            assert_eq!(history.push(3, &stored(value)), value);
        }
        let all: Vec<_> = history.all().collect();
        assert_eq!(all, (13..=20).rev().map(|value| (value, stored(value))).collect::<Vec<_>>());
        assert_eq!(history.get(12), None);
        assert_eq!(history.seen(63), Seen { number: 0, hidden: 0 });
        history.see(63, Seen { number: 20, hidden: 7 });
        assert_eq!(history.seen(63), Seen { number: 20, hidden: 7 });
    }

    /// Whoever reads while others store finds whole stores only.
    #[test]
    fn stores_are_found_whole_or_not_at_all() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let history = History::make(table, 80, 8).unwrap();
        let stored = |n: u64| {
            let (site, by) = (n as u16, n as usize % 256);
            let (any, alone) = (n.is_multiple_of(2), n.is_multiple_of(3));
            Stored { id: 5, clock: n, value: n, process: n, site, hidden: n, snapshot: n, by, any, alone }
        };
        const MANY: u64 = 20_000;
        std::thread::scope(|scope| {
            for first in [1, MANY + 1] {
                scope.spawn(move || (first..first + MANY).for_each(|n| _ = history.push(3, &stored(n))));
            }
            let mut found = 0;
            while history.count() < 2 * MANY {
                for (_, there) in history.all() {
                    assert_eq!(there, stored(there.value));
                    found += 1;
                }
            }
            assert!(found > 0 || history.count() == 2 * MANY);
        });
        assert_eq!(history.all().count(), STORES as usize);
    }
}
