//! Memory that every node of a team offers to the others.

use crate::Team;
use crate::board::{Watch, node, unbroken};
use crate::join::{FIRST_ID, publish};
use rsm::{Export, Import, Memory, Permission, Result, SegmentId};
use std::time::{Duration, Instant};

/// For the agent to clear away what a process of this node left that was killed.
const CLEARED: Duration = Duration::from_secs(5);

/// A segment of every node, and connections to all of them; from [`Team::share`].
///
/// Dropping it takes the own segment away from the others, whether or not they are done with it; [`close`](Self::close)
/// waits for that.
#[derive(Debug)]
#[must_use = "who drops it takes it away from the others"]
pub struct Shared<'team> {
    team: &'team Team,
    own: Export,
    all: Vec<Import>,
}

impl Team {
    /// Exports at least `bytes` bytes, zeroed, and connects to what every other node exports in the same call; lengths
    /// may differ. All nodes call it together.
    ///
    /// # Errors
    /// Those of [`export_at_least`](rsm::Controller::export_at_least) and [`connect`](rsm::Controller::connect);
    /// CONN_ABORTED, with the node that has ended, or left.
    pub fn share(&self, bytes: usize) -> Result<Shared<'_>> {
        let number = self.shares.get().wrapping_add(1);
        self.shares.set(number);
        let own = unbroken(&self.board.meanwhile, || self.controller.export_at_least(bytes))?;
        // All nodes count alike, so all come to the same number.
        let id = FIRST_ID + 1 + number % (1 << 23);
        let began = Instant::now();
        publish(&own, id, &|| CLEARED.saturating_sub(began.elapsed()), &self.board.meanwhile)?;
        self.barrier()?;
        let connect = |rank| {
            let connect = || self.controller.connect(node(rank), SegmentId::new(id), Permission::ReadWrite);
            unbroken(&self.board.meanwhile, connect).map_err(|error| self.explain(rank, error))
        };
        let all = (0..self.size()).map(connect).collect::<Result<_>>()?;
        // Nobody takes its own away before everybody is connected.
        self.barrier()?;
        Ok(Shared { team: self, own, all })
    }
}

impl Shared<'_> {
    /// The own segment's memory, which others read and write at any time.
    pub fn memory(&self) -> Memory<'_> {
        self.own.memory()
    }

    /// The own segment.
    pub fn export(&self) -> &Export {
        &self.own
    }

    /// The connection to the segment of a rank, readable and writable; the own rank has one, too.
    ///
    /// # Errors
    /// BAD_ADDR for a rank that there is not.
    pub fn at(&self, rank: usize) -> Result<&Import> {
        self.team.check(rank)?;
        Ok(&self.all[rank])
    }

    /// The own segment, and the connections to those of all ranks: for programs that keep them in places of their own.
    /// Whoever lets them go sees to it that nobody needs them any more, as [`close`](Self::close) does by a barrier.
    pub fn into_parts(self) -> (Export, Vec<Import>) {
        (self.own, self.all)
    }

    /// Waits until every node has called this, and gives the memory back.
    ///
    /// # Errors
    /// As [`barrier`](Team::barrier); the memory is given back all the same.
    pub fn close(self) -> Result<()> {
        self.team.meet(Watch::All)
    }
}
