//! What programs on clusters write again and again: everybody joins, meets, tells the others numbers, waits for them,
//! and leaves.
//!
//! A [`Team`] is all nodes of a cluster, each known by its *rank*, 0 to the number of nodes less one: the rank of node
//! 3 is 2. What is shared is memory as ever: [`Team::share`] gives connections to put through and memory to read.
//!
//! ```
//! use rsm::Controller;
//! use std::time::Duration;
//!
//! # fn main() -> rsm::Result<()> {
//! // Started as `rsm-ctl run -n 4 -- program`; alone it is a team of one.
//! let controller = Controller::open("shm0")?;
//! let team = rsm_team::Team::join(&controller, Duration::from_secs(60))?;
//!
//! // Everybody's numbers, added up, on every rank.
//! let sums = team.all_reduce(&[1.5, team.rank() as f64], |a, b| a + b)?;
//! assert_eq!(sums[0], 1.5 * team.size() as f64);
//!
//! // Bytes for the right neighbour, and a word of it raised when they are there.
//! let shared = team.share(4096)?;
//! let right = (team.rank() + 1) % team.size();
//! team.put_signal(&shared, right, 0, b"hello", 0)?;
//! team.wait_until(0, |arrived| arrived == 1, Some(Duration::from_secs(60)))?;
//! let mut text = [0; 5];
//! shared.memory().read(0, &mut text)?;
//! assert_eq!(&text, b"hello");
//!
//! shared.close()?;
//! team.leave()
//! # }
//! ```
//!
//! | to | see |
//! |---|---|
//! | join and leave | [`Team::join`], [`Team::leave`] |
//! | meet, combine, distribute | [`barrier`](Team::barrier), [`broadcast`](Team::broadcast), [`all_reduce`](Team::all_reduce), [`gather`](Team::gather), [`all_gather`](Team::all_gather), [`all_to_all`](Team::all_to_all) |
//! | share memory | [`Team::share`], [`Shared`] |
//! | tell that something is there | [`put_signal`](Team::put_signal), [`raise`](Team::raise), [`wait_until`](Team::wait_until) |
//! | take turns | [`Team::lock`], [`Held`] |
//! | send messages | [`send`](Team::send), [`receive`](Team::receive) |
//!
//! # When somebody dies
//! Every wait looks for the dead, every tenth of a second at the latest, and ends with CONN_ABORTED and a sentence that
//! names the node. A call of all nodes cannot be finished then, and a team in which one has failed is to be dropped;
//! locks and messages go on among those who are left, and so do words, but for
//! waiting for one, which is told of the dead each time. No wait needs a time limit for this. Handlers of signals
//! of the system do not end waits.
//!
//! A link that has errors is no death. What nobody vouches for is stored again, with pauses, for ten seconds; after that the
//! call ends with BARRIER_FAILURE and the name of the node. Nothing is lost or comes twice by it: what the call said is said
//! once more by the next one to that node.
//!
//! # Memory order
//! What one node has put and knows to have arrived is seen by who learns of it: from a barrier, a word, a message, a
//! lock. This holds on processors that order little, and in clusters with a [lens](rsm::lens) of any model. Each of
//! these is in explicit mode with the barriers that it needs.
//!
//! What another process writes is compared with what can be before it is used; a node that says what cannot be is an
//! error that names it (INTERNAL_ERROR).

mod board;
mod collect;
mod join;
mod layout;
mod lock;
mod mailbox;
mod pipe;
mod plain;
mod share;
#[cfg(test)]
mod tests;
mod words;

pub use layout::{LOCKS, WORDS};
pub use lock::{Held, Kept};
pub use plain::Plain;
pub use share::Shared;

/// Keeps the code of `docs/teams.md` compiling, and running.
#[cfg(doctest)]
#[doc = include_str!("../../docs/teams.md")]
struct Teams;

use board::{Board, Watch, node};
use layout::Row;
use pipe::Ends;
use rsm::{Code, Controller, Error, Mapping, Result};
use std::cell::{Cell, OnceCell, RefCell};

/// All nodes of a cluster, as one of them sees them.
///
/// It may move to another thread, and is used by one at a time. A forked child must not use it.
///
/// Dropping it without [`leave`](Self::leave) cuts the others off: their waits say that this node gave the team up.
pub struct Team {
    controller: Controller,
    board: Board,
    ends: Vec<Ends>,
    /// What this node has added to each word of each rank.
    raised: RefCell<Vec<u64>>,
    /// The locks that other ranks keep, once one was asked for.
    mapped: Vec<OnceCell<Mapping>>,
    barriers: Cell<u64>,
    calls: Cell<u32>,
    shares: Cell<u32>,
}

impl Team {
    /// This node's place, 0 to [`size`](Self::size) - 1: its id less one.
    pub fn rank(&self) -> usize {
        self.board.rank
    }

    /// How many nodes there are.
    pub fn size(&self) -> usize {
        self.board.all.len()
    }

    /// The id of the node that has a rank.
    pub fn node(&self, rank: usize) -> u32 {
        node(rank)
    }

    /// The controller that it was joined through.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Says of an error that something done to memory of `rank` gave how the node has ended, if it has.
    pub fn explain(&self, rank: usize, error: Error) -> Error {
        if rank < self.size() && error.code() == Code::ConnAborted && self.board.all[rank].is_aborted() {
            return self.board.end_of(rank);
        }
        error
    }

    /// Waits until every node has called this, and leaves. Another program can begin on the same nodes at once, or this
    /// one join again: who joins is not misled by nodes that are still on their way out.
    ///
    /// # Errors
    /// As [`barrier`](Self::barrier); it has left all the same.
    pub fn leave(self) -> Result<()> {
        let me = self.rank();
        self.meet(Watch::AllButLeft)?;
        // Some still wait for others, and are not to take this node's end for a death.
        for rank in (0..self.size()).filter(|&rank| rank != me) {
            match self.board.tell(rank, Row::Left, 1) {
                // It was faster.
                Err(error) if self.board.all[rank].is_aborted() => drop(error),
                told => told?,
            }
        }
        Ok(())
    }

    fn check(&self, rank: usize) -> Result<()> {
        if rank < self.size() {
            return Ok(());
        }
        let text = format!("there is no rank {rank} in a team of {}, whose last is {}", self.size(), self.size() - 1);
        Err(Error::with(Code::BadAddr, text))
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("rank", &self.rank()).field("size", &self.size()).finish()
    }
}
