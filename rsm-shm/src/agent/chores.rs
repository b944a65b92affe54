//! Work that takes longer than a turn: done piece by piece, a piece for each that wants some, between the requests of
//! everybody else.
//!
//! What a process can make the agent do grows with what it holds: a hundred thousand importers to post to, to cut off,
//! to clean up after. None of it is done at one go. A request that is not answered yet is not followed by another of
//! the same membership; each membership has one piece done when its turn comes, whatever it asked for.

use super::Agent;
use super::departure::Departing;
use super::links::Relinking;
use super::requests::Given;
use super::steer::Signalling;
use rsm_core::Result;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, SegmentName};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// Rows that one piece deals with.
pub(super) const PIECE: usize = 64;
/// How long pieces are done before whoever asks is heard again.
const BUDGET: Duration = Duration::from_micros(300);

/// A request that is answered when its work is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) party: u64,
    pub(super) number: u64,
}

/// Something to go on with.
#[derive(Debug)]
pub(super) enum Chore {
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
pub(super) enum Owner {
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
pub(super) struct Chores {
    /// Of every owner that has some, and of the one whose piece is being done.
    of: BTreeMap<Owner, VecDeque<Chore>>,
    ring: VecDeque<Owner>,
}

impl Chores {
    pub(super) fn add(&mut self, owner: Owner, chore: Chore) {
        let ring = &mut self.ring;
        let queue = self.of.entry(owner).or_insert_with(|| {
            ring.push_back(owner);
            VecDeque::new()
        });
        queue.push_back(chore);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    /// The next owner's first chore.
    fn take(&mut self) -> Option<(Owner, Chore)> {
        let owner = self.ring.pop_front()?;
        let chore = self.of.get_mut(&owner).and_then(VecDeque::pop_front)?;
        Some((owner, chore))
    }

    /// A piece of an owner's first chore was done; this is left of it.
    fn done(&mut self, owner: Owner, left: Option<Chore>) {
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

impl Agent {
    /// Does pieces of what there is to do, for a while.
    pub(super) fn do_chores(&mut self) {
        let until = Instant::now() + BUDGET;
        self.advance_withdrawals(until);
        while let Some((owner, chore)) = self.chores.take() {
            self.changed = true;
            let left = self.do_piece(chore);
            self.chores.done(owner, left);
            self.advance_withdrawals(until);
            if Instant::now() >= until {
                break;
            }
        }
    }

    /// One piece; gives what is left.
    fn do_piece(&mut self, chore: Chore) -> Option<Chore> {
        match chore {
            Chore::Cut { segment, cause, owed } => {
                if self.segment(segment).is_ok() && !self.cut_some(segment.row, cause) {
                    return Some(Chore::Cut { segment, cause, owed });
                }
                if let Some((owed, count)) = owed {
                    self.pay(owed, Ok((Answer::Affected { count }, Vec::new())));
                }
                None
            }
            Chore::Suspend { segment, rebinding, below, owed } => {
                if let Some(below) = self.suspend_some(segment, rebinding, below) {
                    return Some(Chore::Suspend { segment, rebinding, below, owed });
                }
                if let Some(owed) = owed {
                    let given = self.rebind_answer(owed.party, segment, rebinding);
                    self.pay(owed, given);
                }
                None
            }
            Chore::Post { segment, below, accumulate, owed } => {
                // Nobody waits for it any more when the member is gone.
                self.members.get(&owed.party)?;
                if let Some(below) = self.post_some(segment, below, accumulate) {
                    return Some(Chore::Post { segment, below, accumulate, owed });
                }
                self.pay(owed, Ok((Answer::Done, Vec::new())));
                None
            }
            Chore::Link(change) => self.change_some(change).map(Chore::Link),
            Chore::Depart(departing) => self.forget_some(departing).map(Chore::Depart),
            Chore::Heard(party) => self.hear_some(party).then_some(Chore::Heard(party)),
            Chore::Again(party) => {
                self.hear_again(party);
                None
            }
            Chore::Nudge { node, bell, import } => {
                self.nudge_some(node, bell, import).map(|(bell, import)| Chore::Nudge { node, bell, import })
            }
            Chore::Wake => self.wake_some().then_some(Chore::Wake),
            Chore::Signal(signalling) => self.signal_some(signalling).map(Chore::Signal),
            Chore::Watch { after } => self.tell_some_of_watchers(after).map(|after| Chore::Watch { after }),
        }
    }

    /// A request of a member will be answered later; it is not read from until it is.
    pub(super) fn owe(&mut self, party: u64, number: u64) -> Owed {
        if let Some(member) = self.members.get_mut(&party) {
            member.owed = true;
        }
        self.listen_to(party);
        Owed { party, number }
    }

    /// Answers what was owed.
    pub(super) fn pay(&mut self, owed: Owed, outcome: Result<Given>) {
        if let Some(member) = self.members.get_mut(&owed.party) {
            member.owed = false;
            self.reply(owed.party, owed.number, outcome);
            self.listen_to(owed.party);
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
