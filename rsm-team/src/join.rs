//! Joining: from a controller to a team in which everybody knows everybody.
//!
//! A segment is known by its node and its number, so the board that one finds first may be that of the program which
//! ran on the node before and is about to end. Hence nobody believes a board because it is there: each node writes a
//! number of its own on every board, its *hello*, and has found the others when each has written that number back on
//! its own board. A process that is not joining writes nothing back; when it ends, its connection is cut and the next
//! board is looked for.

use crate::Team;
use crate::board::{Board, LOOKING, Meanwhile, node, unbroken};
use crate::layout::{Layout, Row};
use crate::pipe::Ends;
use rsm::{AccessList, BarrierMode, Code, Controller, Error, Export, Import, Permission, Result, SegmentId};
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// The board of a node, and behind it what is shared. High up, where programs seldom choose.
pub(crate) const FIRST_ID: u32 = 0x7f00_0000;

/// How long to wait until the number of a segment is free, whose owner's end the agent is still dealing with.
const A_MOMENT: Duration = Duration::from_millis(2);

impl Team {
    /// Joins the nodes of the cluster to a team; returns when every node has, in at most `limit`. One process of each
    /// node joins, and is in one team at a time.
    ///
    /// A process of an earlier program that is still about on a node, with or without a team, is not taken for one that
    /// joins.
    ///
    /// # Errors
    /// TIMEOUT, which says who was missing; CONN_ABORTED when a node that was joining has ended; SEGID_IN_USE when
    /// another process of this node is in a team; CTLR_NOT_PRESENT when the cluster has ended; INSUFFICIENT_MEM,
    /// INSUFFICIENT_RESOURCES.
    pub fn join(controller: &Controller, limit: Duration) -> Result<Team> {
        Team::join_attended(controller, limit, || Ok(()))
    }

    /// As [`join`](Self::join), in a program that has something to do while it waits, such as to look whether its user has
    /// given it up. Each call of the team that waits calls `meanwhile` after a handler of signals of the system has run and
    /// every tenth of a second; an error of it ends the call, and is the call's.
    ///
    /// What had to be told to one other node when that happens is told by the next call; a call of all nodes cannot be finished,
    /// as when one has ended.
    ///
    /// # Errors
    /// As [`join`](Self::join); those of `meanwhile`.
    pub fn join_attended(
        controller: &Controller,
        limit: Duration,
        meanwhile: impl Fn() -> Result<()> + Send + 'static,
    ) -> Result<Team> {
        let meanwhile: Meanwhile = Box::new(meanwhile);
        let deadline = Instant::now().checked_add(limit);
        let left = || deadline.map_or(limit, |deadline| deadline.saturating_duration_since(Instant::now()));
        let nodes = controller.node().node_count() as usize;
        let rank = controller.node().id() as usize - 1;
        let layout = Layout::of(nodes);
        let own = unbroken(&meanwhile, || controller.export_at_least(layout.length() as usize))?;
        publish(&own, FIRST_ID, &left, &meanwhile)?;

        let mut joining = Joining { controller, own, layout, rank, hello: number(), found: Vec::new(), meanwhile };
        joining.found.resize_with(nodes, || None);
        loop {
            joining.connect(&left)?;
            if joining.greet(&left)? {
                break;
            }
        }
        let all = joining.found.into_iter().flatten().map(|found| found.import).collect();
        Ok(Team {
            controller: controller.clone(),
            ends: (0..nodes).map(|_| Ends::default()).collect(),
            raised: RefCell::new(vec![0; nodes * crate::layout::WORDS]),
            mapped: (0..nodes).map(|_| std::cell::OnceCell::new()).collect(),
            barriers: Cell::new(0),
            calls: Cell::new(0),
            shares: Cell::new(0),
            board: Board {
                own: joining.own,
                all,
                rank,
                layout,
                meanwhile: joining.meanwhile,
                #[cfg(test)]
                loses: Cell::new(false),
            },
        })
    }
}

/// Publishes under the number `id`, which may be that of a process of this node that the agent has yet to clear away.
pub(crate) fn publish(own: &Export, id: u32, left: &impl Fn() -> Duration, meanwhile: &Meanwhile) -> Result<()> {
    loop {
        match unbroken(meanwhile, || own.publish(SegmentId::new(id), &AccessList::everyone())) {
            Err(error) if error.code() == Code::SegidInUse && !left().is_zero() => {
                // Nobody signals yet: it sleeps.
                let _ = own.wait(Some(A_MOMENT.min(left())));
                meanwhile()?;
            }
            Err(error) if error.code() == Code::SegidInUse => {
                let text = format!("another process of this node is in a team, or keeps the number {id:#x}");
                return Err(Error::with(Code::SegidInUse, text));
            }
            published => return published.map(drop),
        }
    }
}

/// A number that no other process of the cluster has, as far as chance allows; not 0.
fn number() -> u64 {
    // Two of them differ also in one process: the state's keys count up.
    RandomState::new().hash_one(std::process::id()) | 1
}

/// A board that was found, and what was written on it.
struct Found {
    import: Import,
    greeted: bool,
    echoed: u64,
}

struct Joining<'a> {
    controller: &'a Controller,
    own: Export,
    layout: Layout,
    rank: usize,
    hello: u64,
    found: Vec<Option<Found>>,
    meanwhile: Meanwhile,
}

impl Joining<'_> {
    /// Connects to whoever it is not connected to.
    fn connect(&mut self, left: &impl Fn() -> Duration) -> Result<()> {
        while self.found.iter().any(Option::is_none) {
            // What there is when the time is over is looked at all the same, to know who is missing.
            let over = left().is_zero();
            for rank in 0..self.found.len() {
                if self.found[rank].is_none() {
                    self.found[rank] = self.connect_to(rank, left().min(LOOKING))?;
                }
            }
            self.forget_the_dead()?;
            if over && self.found.iter().any(Option::is_none) {
                return Err(self.missing());
            }
        }
        Ok(())
    }

    /// Connects to a board, if there is one in so much time.
    fn connect_to(&self, rank: usize, within: Duration) -> Result<Option<Found>> {
        let id = SegmentId::new(FIRST_ID);
        match self.controller.connect_within(node(rank), id, Permission::ReadWrite, within) {
            Ok(import) if import.len() as u64 >= self.layout.length() => {
                // A put is a bare copy, and one barrier says whether all that belongs together has arrived.
                import.set_mode(BarrierMode::Explicit);
                Ok(Some(Found { import, greeted: false, echoed: 0 }))
            }
            Ok(import) => {
                let (node, length) = (node(rank), import.len());
                let text = format!("what node {node} has as its board are {length} bytes: of another version");
                Err(Error::with(Code::BadLibraryVersion, text))
            }
            Err(error) if matches!(error.code(), Code::Timeout | Code::Interrupted) => {
                (self.meanwhile)()?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Exchanges greetings, until everybody has answered (`true`) or somebody has to be looked for again.
    fn greet(&mut self, left: &impl Fn() -> Duration) -> Result<bool> {
        loop {
            let mut done = true;
            for rank in 0..self.found.len() {
                // The answer first: who has answered had greeted before, so that the greeting is not an earlier one's.
                let answered = self.told(rank, Row::Echo)? == self.hello;
                let hello = self.told(rank, Row::Hello)?;
                let (layout, own_rank, own_hello, meanwhile) = (self.layout, self.rank, self.hello, &self.meanwhile);
                let Some(found) = &mut self.found[rank] else { return Ok(false) };
                let say = |what, value| tell(&found.import, layout.row(own_rank, what), value, meanwhile);
                let mut said = Ok(());
                if !found.greeted {
                    said = say(Row::Hello, own_hello);
                    found.greeted = said.is_ok();
                }
                if hello != found.echoed && said.is_ok() {
                    said = say(Row::Echo, hello);
                    found.echoed = if said.is_ok() { hello } else { 0 };
                }
                match said {
                    // Who has ended is dealt with below.
                    Err(error) if error.code() != Code::ConnAborted => return Err(error),
                    said => done &= said.is_ok() && hello != 0 && answered,
                }
            }
            self.forget_the_dead()?;
            if self.found.iter().any(Option::is_none) {
                return Ok(false);
            }
            if done {
                return Ok(true);
            }
            if left().is_zero() {
                return Err(self.missing());
            }
            match self.own.wait(Some(left().min(LOOKING))) {
                Err(error) if !matches!(error.code(), Code::Timeout | Code::Interrupted) => return Err(error),
                _ => (self.meanwhile)()?,
            }
        }
    }

    /// Lets go of boards whose owners have ended. Who had answered was of this team; a greeting alone may be that of
    /// the next process of the node.
    fn forget_the_dead(&mut self) -> Result<()> {
        for rank in 0..self.found.len() {
            let dead = self.found[rank].as_ref().filter(|found| found.import.is_aborted());
            let Some(cause) = dead.map(|found| found.import.why_aborted()) else { continue };
            if self.told(rank, Row::Echo)? == self.hello {
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                let text = format!("node {} has ended too early, while the team was joining{cause}", node(rank));
                return Err(Error::with(Code::ConnAborted, text));
            }
            self.found[rank] = None;
        }
        Ok(())
    }

    fn told(&self, rank: usize, what: Row) -> Result<u64> {
        // Acquire: pairs with the barrier in `tell`. Nothing else is read by it.
        self.own.memory().load_u64(self.layout.row(rank, what), std::sync::atomic::Ordering::Acquire)
    }

    fn missing(&self) -> Error {
        let answered = |rank: usize| self.told(rank, Row::Echo).is_ok_and(|echo| echo == self.hello);
        let alone = self.found.iter().any(Option::is_none);
        // Before everybody is found nobody is asked for an answer.
        let missing =
            (0..self.found.len()).filter(|&rank| if alone { self.found[rank].is_none() } else { !answered(rank) });
        let missing: Vec<String> = missing.map(|rank| node(rank).to_string()).collect();
        let (nodes, missing) = (self.found.len(), missing.join(", "));
        Error::with(Code::Timeout, format!("of {nodes} nodes these have not joined the team in time: {missing}"))
    }
}

/// Says a word on a board, and rings.
fn tell(import: &Import, place: u64, value: u64, meanwhile: &Meanwhile) -> Result<()> {
    crate::board::vouched(meanwhile, || {
        let span = import.open_barrier()?;
        import.put_u64(place, value)?;
        span.close()
    })?;
    import.signal_no_accumulate()
}
