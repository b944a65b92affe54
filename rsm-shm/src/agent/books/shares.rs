//! What each node, and each process, may take of what the agent has for all of them.

use rsm_core::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a table that a node can count on, where there are many.
pub(in crate::agent) const SHARE: u64 = 64;
/// Shares together are this part of the table at most.
const SHARED_PART: u64 = 4;

/// Rows of a table of `total` that each of `nodes` nodes can count on.
pub(in crate::agent) fn of_each(total: u64, nodes: u32) -> u64 {
    SHARE.min(total / (SHARED_PART * u64::from(nodes.max(1))))
}

/// Most memberships of one process: one of each node, and a few that look.
const MEMBERSHIPS: usize = 80;
/// Most sockets of one process by which nobody has joined.
const STRANGERS: usize = 32;

/// The parties of each process, by its id. Processes of other process-id spaces have no id here: 0.
#[derive(Debug, Default)]
pub(in crate::agent) struct PerProcess(BTreeMap<u32, BTreeSet<u64>>);

impl PerProcess {
    pub(in crate::agent) fn add(&mut self, pid: u32, party: u64) {
        self.0.entry(pid).or_default().insert(party);
    }

    pub(in crate::agent) fn remove(&mut self, pid: u32, party: u64) {
        if let Some(parties) = self.0.get_mut(&pid) {
            parties.remove(&party);
            if parties.is_empty() {
                self.0.remove(&pid);
            }
        }
    }

    fn of(&self, pid: u32) -> usize {
        self.0.get(&pid).map_or(0, BTreeSet::len)
    }

    /// Parties of all processes.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::agent) fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether a process may have another membership.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when it has too many.
    pub(in crate::agent) fn check_membership(&self, pid: u32) -> Result<()> {
        if pid == 0 || self.of(pid) < MEMBERSHIPS {
            return Ok(());
        }
        Err(Error::with(
            Code::InsufficientResources,
            format!("process {pid} has {MEMBERSHIPS} memberships of the cluster, more are not given to one"),
        ))
    }

    /// The oldest connection of a process that has more waiting to join than one may have.
    pub(in crate::agent) fn oldest_of_too_many(&self, pid: u32) -> Option<u64> {
        if pid == 0 || self.of(pid) <= STRANGERS {
            return None;
        }
        self.0.get(&pid).and_then(|parties| parties.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_by_id() {
        let mut held = PerProcess::default();
        for party in 0..MEMBERSHIPS as u64 {
            held.check_membership(7).unwrap();
            held.add(7, party);
        }
        assert!(held.check_membership(7).unwrap_err().to_string().contains("process 7 has 80 memberships"));
        held.check_membership(8).unwrap();
        assert_eq!(held.oldest_of_too_many(7), Some(0));
        held.remove(7, 0);
        held.check_membership(7).unwrap();
        assert_eq!((held.oldest_of_too_many(7), held.len()), (Some(1), MEMBERSHIPS - 1));
    }
}
