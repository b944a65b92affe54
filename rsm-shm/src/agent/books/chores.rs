//! Work that takes longer than a pass: done piece by piece, a piece for each that wants some, between the requests of
//! everybody else.
//!
//! What a process can make the agent do grows with what it holds: a hundred thousand importers to post to, to cut off,
//! to clean up after. None of it is done at one go. A request that is not answered yet is not followed by another of
//! the same membership; each membership has one piece done when its turn comes, whatever it asked for.

use super::departing::Departing;
use super::relinking::Relinking;
use super::request::Owed;
use super::signalling::Signalling;
use rsm_core::generation::EndCause;
use rsm_core::message::SegmentName;
use std::collections::{BTreeMap, VecDeque};

/// Rows that one piece deals with.
pub(in crate::agent) const PIECE: usize = 64;

/// Something to go on with.
#[derive(Debug)]
pub(in crate::agent) enum Chore {
    /// The connections of a segment that was withdrawn are cut. Who asked is told how many.
    Cut { segment: SegmentName, cause: EndCause, owed: Option<(Owed, u32)> },
    /// Importers of a segment with lower serial numbers than `below` are posted to.
    Post { segment: SegmentName, below: u64, accumulate: bool, owed: Owed },
    /// Importers of a segment with lower serial numbers than `below` are vouched for no more, or again.
    Suspend { segment: SegmentName, rebinding: bool, below: u64, owed: Option<Owed> },
    /// A link goes down, or has an error.
    Link(Box<Relinking>),
    /// What a member had that is gone.
    Depart(Box<Departing>),
    /// What a member was waited for, up to the revision it has seen.
    Heard(u64),
    /// A request of a member that was put off is heard again.
    Again(u64),
    /// The bells that a dead process of a node may have slept on or owed a wake.
    Nudge { node: u32, bell: u32, import: u32 },
    /// Processes are told that they are watched, or not any more; those after this membership are still to be told.
    Watch { after: u64 },
    /// Threads that sleep on words where many do.
    Wake,
    /// The processes of a node are signalled.
    Signal(Box<Signalling>),
}

/// Whose a chore is, for taking turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) enum Owner {
    /// Of a membership, also one that has ended.
    Party(u64),
    /// Of a node.
    Node(u32),
    /// Of those who watch.
    Watchers,
    /// Of threads that sleep.
    Sleepers,
}

/// Chores by owner, and in which order owners come.
#[derive(Debug, Default)]
pub(in crate::agent) struct Chores {
    /// Of every owner that has some, and of the one whose piece is being done.
    of: BTreeMap<Owner, VecDeque<Chore>>,
    ring: VecDeque<Owner>,
}

impl Chores {
    pub(in crate::agent) fn add(&mut self, owner: Owner, chore: Chore) {
        let ring = &mut self.ring;
        let queue = self.of.entry(owner).or_insert_with(|| {
            ring.push_back(owner);
            VecDeque::new()
        });
        queue.push_back(chore);
    }

    pub(in crate::agent) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The next owner's first chore.
    pub(in crate::agent) fn take(&mut self) -> Option<(Owner, Chore)> {
        let owner = self.ring.pop_front()?;
        let chore = self.of.get_mut(&owner).and_then(VecDeque::pop_front)?;
        Some((owner, chore))
    }

    /// A piece of an owner's first chore was done; this is left of it.
    pub(in crate::agent) fn done(&mut self, owner: Owner, left: Option<Chore>) {
        let Some(queue) = self.of.get_mut(&owner) else { return };
        if let Some(left) = left {
            queue.push_front(left);
        }
        if queue.is_empty() {
            self.of.remove(&owner);
        } else {
            self.ring.push_back(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_take_turns() {
        let mut chores = Chores::default();
        let [one, two] = [1, 2].map(Owner::Party);
        for party in [7, 8] {
            chores.add(one, Chore::Heard(party));
        }
        chores.add(two, Chore::Heard(9));
        let mut order = Vec::new();
        for piece in 0.. {
            let Some((owner, chore)) = chores.take() else { break };
            let Chore::Heard(which) = chore else { unreachable!() };
            order.push(which);
            // The first takes three pieces; while it is done another comes.
            let left = (which == 7 && order.iter().filter(|&&w| w == 7).count() < 3).then_some(chore);
            if piece == 0 {
                chores.add(one, Chore::Heard(10));
            }
            chores.done(owner, left);
        }
        assert_eq!(order, [7, 9, 7, 7, 8, 10]);
        assert!(chores.is_empty() && chores.of.is_empty());
    }
}
