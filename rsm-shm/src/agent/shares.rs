//! What each node, and each process, may take of what the agent has for all of them.
//!
//! Nobody is held to a fair part while there is enough; but what a node takes beyond its share never eats into the
//! shares of the others, so that none of them can be shut out by one that takes all it gets.

use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;

/// Rows of a table that a node can count on, where there are many.
const SHARE: u64 = 64;
/// Shares together are this part of the table at most.
const SHARED_PART: u64 = 4;

/// The rows of a table, as taken by nodes.
#[derive(Debug)]
pub(super) struct Shares {
    what: &'static str,
    total: u64,
    share: u64,
    used: Vec<u64>,
}

impl Shares {
    /// A table of `total` rows for `nodes` nodes.
    pub(super) fn new(what: &'static str, total: u64, nodes: u32) -> Shares {
        let share = SHARE.min(total / (SHARED_PART * u64::from(nodes.max(1))));
        Shares { what, total, share, used: vec![0; nodes as usize + 1] }
    }

    /// Notes that a node takes a row.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the rows that are left are those that others can count on. That the table is full
    /// altogether is found, and told, by who looks for a row.
    pub(super) fn take(&mut self, node: u32) -> Result<()> {
        let mine = self.used[node as usize];
        if mine >= self.share {
            let all: u64 = self.used.iter().sum();
            let kept: u64 = (1..self.used.len()).filter(|&n| n != node as usize).map(|n| self.left_of(n)).sum();
            if kept > 0 && all + kept >= self.total {
                return Err(Error::with(
                    Code::InsufficientResources,
                    format!(
                        "node {node} has {mine} {} of the cluster's {}; the {kept} that are left are kept for other nodes",
                        self.what, self.total
                    ),
                ));
            }
        }
        self.used[node as usize] += 1;
        Ok(())
    }

    fn left_of(&self, node: usize) -> u64 {
        self.share.saturating_sub(self.used[node])
    }

    /// Notes that a node gave a row back.
    pub(super) fn give(&mut self, node: u32) {
        self.used[node as usize] -= 1;
    }
}

/// Most memberships of one process: one of each node, and a few that look.
const MEMBERSHIPS: u32 = 80;
/// Most connections of one process that have not joined.
const STRANGERS: u32 = 32;

/// What each process holds of something.
#[derive(Debug, Default)]
pub(super) struct PerProcess(BTreeMap<u32, u32>);

impl PerProcess {
    /// Notes that a process, by its id, has one more; gives how many it has.
    pub(super) fn add(&mut self, pid: u32) -> u32 {
        let count = self.0.entry(pid).or_default();
        *count += 1;
        *count
    }

    /// Notes that it has one less.
    pub(super) fn remove(&mut self, pid: u32) {
        if let Some(count) = self.0.get_mut(&pid) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&pid);
            }
        }
    }

    fn of(&self, pid: u32) -> u32 {
        self.0.get(&pid).copied().unwrap_or(0)
    }

    /// Whether a process may have another membership. Processes of other process-id spaces have no id here.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when it has too many.
    pub(super) fn check_membership(&self, pid: u32) -> Result<()> {
        if pid == 0 || self.of(pid) < MEMBERSHIPS {
            return Ok(());
        }
        Err(Error::with(
            Code::InsufficientResources,
            format!("process {pid} has {MEMBERSHIPS} memberships of the cluster, more are not given to one"),
        ))
    }

    /// Whether a process has more connections waiting to join than one may have.
    pub(super) fn has_too_many_strangers(&self, pid: u32) -> bool {
        pid != 0 && self.of(pid) > STRANGERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_one_takes_leaves_the_others_their_share() {
        let mut shares = Shares::new("segments", 1000, 3);
        let taken = (0..).take_while(|_| shares.take(1).is_ok()).count();
        assert_eq!(taken as u64, 1000 - 2 * SHARE);
        let text = shares.take(1).unwrap_err().to_string();
        assert!(text.contains("node 1 has 872 segments of the cluster's 1000; the 128 that are left"), "{text}");
        for node in [2, 3] {
            (0..SHARE).for_each(|_| shares.take(node).unwrap());
        }
        shares.give(1);
        shares.take(2).unwrap();
    }

    #[test]
    fn small_tables_are_first_come_first_served() {
        let mut shares = Shares::new("segments", 2, 2);
        for _ in 0..2 {
            shares.take(1).unwrap();
        }
    }

    #[test]
    fn processes_are_counted_by_id() {
        let mut held = PerProcess::default();
        for _ in 0..MEMBERSHIPS {
            held.check_membership(7).unwrap();
            held.add(7);
        }
        assert!(held.check_membership(7).unwrap_err().to_string().contains("process 7 has 80 memberships"));
        held.check_membership(8).unwrap();
        held.remove(7);
        held.check_membership(7).unwrap();
    }

    proptest! {
        #[test]
        fn whoever_is_below_its_share_gets_a_row(steps in proptest::collection::vec((1u32..5, any::<bool>()), 0..600)) {
            let mut shares = Shares::new("rows", 300, 4);
            let share = shares.share;
            for (node, takes) in steps {
                let mine = shares.used[node as usize];
                if takes {
                    let got = shares.take(node).is_ok();
                    let within = shares.used.iter().sum::<u64>() <= 300;
                    prop_assert!(within && (got || mine >= share));
                } else if mine > 0 {
                    shares.give(node);
                }
            }
        }
    }
}
