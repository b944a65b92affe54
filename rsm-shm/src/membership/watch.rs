//! Seeing that something changed, and who is there: for those who look at a cluster.

use super::Membership;
use super::control::unexpected;
use rsm_core::message::{Answer, Ask, MAX_PROCESSES, Process, Wait};
use rsm_core::peer::report::Report;
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use std::time::Instant;

/// Most processes that an agent can tell of: it holds three descriptors for each.
const MOST_PROCESSES: usize = 1 << 20;

/// Most pieces of a list of waits, with tables as large as can be and somebody who waits on each row.
const MOST_PIECES: u32 = 1 << 14;

/// Checks a page of a list that is asked for piece by piece: what an agent sends is to end.
///
/// # Errors
/// INTERNAL_ERROR when memberships are not those after `after` in order, or when there are more than can be.
pub(super) fn check_page(before: usize, after: u64, memberships: impl IntoIterator<Item = u64>) -> Result<()> {
    let mut last = after;
    for membership in memberships {
        if membership <= last || before >= MOST_PROCESSES {
            let text = "the agent does not follow the protocol: its list of processes does not end";
            return Err(Error::with(Code::InternalError, text));
        }
        last = membership;
    }
    Ok(())
}

impl Membership {
    /// The number to give to [`wait_for_change`](Self::wait_for_change); taken before looking, so that what changes
    /// while one looks is looked at again.
    pub fn changes(&self) -> u32 {
        // Acquire: pairs with the Release of `Writer::step_changes`.
        acquire32(self.registry().header.changes())
    }

    /// Sleeps until the registry is no longer as it was when [`changes`](Self::changes) said `seen`. Wakes without need
    /// at times.
    ///
    /// # Errors
    /// TIMEOUT at the deadline, INTERRUPTED by a signal handler, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn wait_for_change(&self, seen: u32, deadline: Option<Instant>) -> Result<()> {
        self.sleep(self.registry().header.changes(), seen, deadline)
    }

    /// The processes of all nodes, in the order in which they joined, from the agent.
    ///
    /// # Errors
    /// TIMEOUT when the agent does not answer for 2 s, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let mut all: Vec<Process> = Vec::new();
        loop {
            let after = all.last().map_or(0, |process| process.membership);
            match self.ask(Ask::Processes { after })? {
                (Answer::Processes(some), _) => {
                    check_page(all.len(), after, some.iter().map(|p| p.membership))?;
                    let last = some.len() < MAX_PROCESSES;
                    all.extend(some);
                    if last {
                        return Ok(all);
                    }
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    /// The bridge to another host; `None` in a cluster of one host.
    ///
    /// # Errors
    /// TIMEOUT when the agent does not answer for 2 s, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn bridge(&self) -> Result<Option<Report>> {
        match self.ask(Ask::Bridge)? {
            (Answer::Bridge(report), _) => Ok(report.map(|report| *report)),
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Whether the process ids that the agent and the registry tell are those of this process's PID namespace.
    pub fn shares_process_ids(&self) -> bool {
        // The agent says what its own is, and the kernel what it is here.
        self.shared.agent == self.registry().header.agent().0
    }

    /// Waits of all processes. One round trip for every two thousand segments and connections.
    ///
    /// # Errors
    /// PERM_DENIED for a node; TIMEOUT when the agent does not answer for 2 s, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn waits(&self) -> Result<Vec<Wait>> {
        let (mut all, mut from, mut asked) = (Vec::new(), 0, 0);
        loop {
            match self.ask(Ask::Waits { from })? {
                (Answer::Waits { waits, next }, _) => {
                    all.extend(waits);
                    asked += 1;
                    match next {
                        None => return Ok(all),
                        Some(next) if next > from && asked < MOST_PIECES => from = next,
                        Some(_) => {
                            let text = "the agent does not follow the protocol: its list of waits does not end";
                            return Err(Error::with(Code::InternalError, text));
                        }
                    }
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }
}
