//! Which rows of a table are free, and which node holds the others.
//!
//! Nobody is held to a fair part while there is enough; but what a node takes beyond its share never eats into the
//! shares of the others, so that none of them can be shut out by one that takes all it gets. How many rows a node holds
//! is changed where the row says whose it is, and nowhere else.

use super::shares;
use rsm_core::registry::CLUSTER;
use rsm_core::{Code, Error, Result};
use std::collections::VecDeque;

/// The rows of a table. Rows come back into use as late as possible: a reader that holds on to a row that was freed
/// finds it free, rather than in use again.
#[derive(Debug)]
pub(in crate::agent) struct Rows {
    what: &'static str,
    /// Rows that the table has.
    limit: u32,
    /// Rows that each node can count on.
    share: u64,
    /// Who holds each row that was ever used; [`NOBODY`] for those that are free.
    holders: Vec<u32>,
    freed: VecDeque<u32>,
    /// Rows held by each node.
    held: Vec<u64>,
}

/// How many rows that were never used are preferred before one that was; keeps tables dense and readers safe enough.
const QUARANTINE: usize = 64;
/// No node has this number.
const NOBODY: u32 = u32::MAX;

impl Rows {
    /// A table of `limit` rows for `nodes` nodes, each of which can count on `share` of them, where there are many.
    pub(in crate::agent) fn new(what: &'static str, limit: u32, share: u64, nodes: u32) -> Rows {
        let share = share.min(shares::of_each(limit.into(), nodes));
        let held = vec![0; nodes as usize + 1];
        // Room for all of it, which is memory only where it is used: growing would copy the whole.
        let holders = Vec::with_capacity(limit as usize);
        Rows { what, limit, share, holders, freed: VecDeque::new(), held }
    }

    /// Gives a node a row.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the table is full, or when the rows that are left are those that others can count
    /// on.
    pub(in crate::agent) fn take(&mut self, node: u32) -> Result<u32> {
        let full = |text: String| Err(Error::with(Code::InsufficientResources, text));
        let (mine, all) = (self.of(node), self.in_use());
        // The cluster itself, which is no node, has no share.
        let share = if node == CLUSTER { 0 } else { self.share };
        let kept = self.kept() - share.saturating_sub(mine);
        if mine >= share && kept > 0 && all + kept >= self.limit.into() {
            return full(format!(
                "node {node} has {mine} {} of the cluster's {}; the {kept} that are left are kept for other nodes",
                self.what, self.limit
            ));
        }
        if all >= self.limit.into() {
            return full(format!("the cluster's table of {} {} is full", self.limit, self.what));
        }
        let fresh = self.fresh();
        let row = if fresh < self.limit && self.freed.len() < QUARANTINE {
            self.holders.push(NOBODY);
            fresh
        } else {
            self.freed.pop_front().ok_or(Error::new(Code::InternalError))?
        };
        self.holders[row as usize] = node;
        self.held[node as usize] += 1;
        Ok(row)
    }

    /// Takes a row back from whoever holds it.
    pub(in crate::agent) fn give(&mut self, row: u32) {
        let holder = self.holders.get_mut(row as usize).map_or(NOBODY, |holder| std::mem::replace(holder, NOBODY));
        debug_assert_ne!(holder, NOBODY, "a row comes back once");
        if let Some(held) = self.held.get_mut(holder as usize) {
            *held -= 1;
            if self.freed.capacity() == 0 {
                self.freed.reserve_exact(self.limit as usize);
            }
            self.freed.push_back(row);
        }
    }

    /// Rows from here on were never used.
    pub(in crate::agent) fn fresh(&self) -> u32 {
        self.holders.len() as u32
    }

    /// Rows that a node holds.
    pub(in crate::agent) fn of(&self, node: u32) -> u64 {
        self.held[node as usize]
    }

    /// Rows in use.
    pub(in crate::agent) fn in_use(&self) -> u64 {
        (self.holders.len() - self.freed.len()) as u64
    }

    /// Rows that nodes can count on and have not taken.
    pub(in crate::agent) fn kept(&self) -> u64 {
        (1..self.held.len() as u32).map(|node| self.left_of(node)).sum()
    }

    /// Rows that one node can count on and has not taken.
    pub(in crate::agent) fn left_of(&self, node: u32) -> u64 {
        self.share.saturating_sub(self.of(node))
    }

    /// Checks the numbers of rows held against the rows.
    #[cfg(any(debug_assertions, test))]
    pub(in crate::agent) fn check(&self) {
        let mut held = vec![0; self.held.len()];
        self.holders.iter().filter(|&&node| node != NOBODY).for_each(|&node| held[node as usize] += 1);
        assert_eq!(self.held, held, "{} held by each node", self.what);
        assert_eq!(self.in_use(), held.iter().sum::<u64>(), "{} in use", self.what);
        assert!(self.freed.iter().all(|&row| self.holders[row as usize] == NOBODY), "{} free", self.what);
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares::SHARE;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_row_is_given_out_once() {
        let mut rows = Rows::new("rows", 200, SHARE, 1);
        let mut held: Vec<u32> = std::iter::from_fn(|| rows.take(1).ok()).collect();
        assert_eq!(held.len(), 200);
        assert_eq!(rows.take(1).unwrap_err().detail(), "the cluster's table of 200 rows is full");
        held.drain(..100).for_each(|r| rows.give(r));
        held.extend(std::iter::from_fn(|| rows.take(1).ok()));
        held.sort_unstable();
        assert_eq!(held, (0..200).collect::<Vec<u32>>());
        rows.check();
    }

    #[test]
    fn what_one_takes_leaves_the_others_their_share() {
        let mut rows = Rows::new("segments", 1000, SHARE, 3);
        let taken: Vec<u32> = std::iter::from_fn(|| rows.take(1).ok()).collect();
        assert_eq!(taken.len() as u64, 1000 - 2 * SHARE);
        let text = rows.take(1).unwrap_err().to_string();
        assert!(text.contains("node 1 has 872 segments of the cluster's 1000; the 128 that are left"), "{text}");
        for node in [2, 3] {
            (0..SHARE).for_each(|_| assert!(rows.take(node).is_ok()));
        }
        rows.give(taken[0]);
        rows.take(2).unwrap();
        rows.check();
    }

    #[test]
    fn small_tables_are_first_come_first_served() {
        let mut rows = Rows::new("segments", 2, SHARE, 2);
        for _ in 0..2 {
            rows.take(1).unwrap();
        }
        rows.take(2).unwrap_err();
    }

    proptest! {
        #[test]
        fn whoever_is_below_its_share_gets_a_row(steps in proptest::collection::vec((1u32..5, any::<bool>()), 0..600)) {
            let mut rows = Rows::new("rows", 300, SHARE, 4);
            let share = rows.share;
            let mut held: Vec<Vec<u32>> = vec![Vec::new(); 5];
            for (node, takes) in steps {
                let mine = &mut held[node as usize];
                if takes {
                    let before = rows.of(node);
                    match rows.take(node) {
                        Ok(row) => mine.push(row),
                        Err(_) => prop_assert!(before >= share),
                    }
                } else if let Some(row) = mine.pop() {
                    rows.give(row);
                }
                prop_assert_eq!(rows.of(node), mine.len() as u64);
                prop_assert!(rows.in_use() + rows.kept() <= 300);
            }
            rows.check();
        }
    }
}
