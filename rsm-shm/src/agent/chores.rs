//! Doing work that takes longer than a pass, a piece at a time; [`books::chores`](super::books::chores) says whose turn it is.

use super::Agent;
use super::books::chores::Chore;
use super::books::request::{Given, Owed};
use rsm_core::Result;
use rsm_core::message::Answer;
use std::time::{Duration, Instant};

/// How long pieces are done before whoever asks is heard again.
const BUDGET: Duration = Duration::from_micros(300);

impl Agent {
    /// Does pieces of what there is to do, for a while.
    pub(super) fn do_chores(&mut self) {
        let until = Instant::now() + BUDGET;
        self.advance_withdrawals(until);
        while let Some((owner, chore)) = self.books.chores.take() {
            self.changed = true;
            let left = self.do_piece(chore);
            self.books.chores.done(owner, left);
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
                if self.books.segment(segment).is_ok() && !self.cut_some(segment.row, cause) {
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
                let waits = !rebinding && self.rebound_across(segment);
                if let Some(owed) = owed {
                    if waits {
                        self.await_rebound(segment, owed);
                    } else {
                        let given = self.rebind_answer(owed.party, segment, rebinding);
                        self.pay(owed, given);
                    }
                }
                None
            }
            Chore::Post { segment, below, accumulate, owed } => {
                // Nobody waits for it any more when the member is gone.
                self.books.members.get(&owed.party)?;
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
        if let Some(member) = self.books.members.get_mut(&party) {
            member.owed = true;
        }
        self.listen_to(party);
        Owed { party, number }
    }

    /// Answers what was owed.
    pub(super) fn pay(&mut self, owed: Owed, outcome: Result<Given>) {
        if let Some(member) = self.books.members.get_mut(&owed.party) {
            member.owed = false;
            self.reply(owed.party, owed.number, outcome);
            self.listen_to(owed.party);
        }
    }
}
