//! What processes do, for observers that ask.
//!
//! Nobody tallies until somebody watches. Then each process is told to look, and its first look brings the memory of
//! its tally along; when the last watching observer has gone they are told again, and stop. The numbers are what each
//! process says of itself.

use super::Agent;
use super::books::chores::{Chore, Owner, PIECE};
use super::books::request::Given;
use crate::memory::tables::TallyMap;
use rsm_core::message::{Answer, MAX_TALLIES, ProcessTally};
use rsm_core::{Code, Error, Result};
use std::os::fd::OwnedFd;

/// So many processes that have no tally get one while an observer is answered.
const AT_ONCE: usize = 4;

impl Agent {
    pub(super) fn tallies(&mut self, party: u64, after: u64) -> Result<Given> {
        self.check_looks(party)?;
        let first = self.books.watchers.is_empty();
        if self.books.watchers.insert(party) && first {
            self.set_tallied(true);
        }
        let after = after.saturating_add(1);
        let mut lacking = Vec::new();
        let nodes = self.books.members.range(after..).filter_map(|(&membership, member)| {
            let node = member.node?;
            if member.tally.is_none() && lacking.len() < AT_ONCE {
                lacking.push(membership);
            }
            let tally = member.tally.as_ref().map_or_else(Default::default, |map| map.row().read());
            Some(ProcessTally { membership, node, pid: member.pid, tally })
        });
        let mut processes: Vec<_> = nodes.take(MAX_TALLIES + 1).collect();
        // There was no memory for it, or no room on the way, which may have changed since.
        for party in lacking {
            self.send_look(party);
        }
        let more = processes.len() > MAX_TALLIES;
        processes.truncate(MAX_TALLIES);
        Ok((Answer::Tallies { processes, more }, Vec::new()))
    }

    /// Whether a membership is an observer's.
    pub(super) fn check_looks(&self, party: u64) -> Result<()> {
        match self.books.members.get(&party).ok_or(Error::new(Code::InternalError))?.node {
            None => Ok(()),
            Some(_) => Err(Error::with(Code::PermDenied, "only an observer may watch what processes do")),
        }
    }

    /// An observer that watched is gone.
    pub(super) fn watcher_left(&mut self, party: u64) {
        if self.books.watchers.remove(&party) && self.books.watchers.is_empty() {
            self.set_tallied(false);
        }
    }

    fn set_tallied(&mut self, on: bool) {
        self.writer().set_tallied(on);
        self.books.chores.add(Owner::Watchers, Chore::Watch { after: 0 });
    }

    /// Tells some of the processes after a membership whether to tally; gives where to go on. One that comes to know
    /// otherwise is told when it answers.
    pub(super) fn tell_some_of_watchers(&mut self, after: u64) -> Option<u64> {
        let parties: Vec<u64> =
            self.books.members.range(after.saturating_add(1)..).take(PIECE / 4).map(|(&p, _)| p).collect();
        for &party in &parties {
            if self.books.members.get(&party).is_some_and(|m| m.node.is_some()) {
                self.send_look(party);
            }
        }
        parties.last().copied()
    }

    /// The memory of a process's tally, if it needs one and has none; the agent's side of it is kept once it is sent.
    pub(super) fn tally_to_send(&self, party: u64) -> Option<(TallyMap, OwnedFd)> {
        let member = self.books.members.get(&party)?;
        if self.books.watchers.is_empty() || member.node.is_none() || member.tally.is_some() || member.looking {
            return None;
        }
        let made = TallyMap::create().and_then(|(map, fd)| map.region().dont_fork().map(|()| (map, fd)));
        // Then it does not tally: somebody who watches sees zeros.
        made.inspect_err(|error| tracing::warn!(party, %error, "no memory for a tally")).ok()
    }
}
