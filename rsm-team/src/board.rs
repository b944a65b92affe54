//! Boards: what the nodes of a team write to each other in, and how they wait.
//!
//! Every node exports one. Who has written something on it rings its bell; its owner looks at what it waits for,
//! spins and sleeps on the bell, and looks again. So counters are truth and bells are hints: one that is merged with
//! another, late, or meant for another wait makes nobody miss anything.
//!
//! # Crash
//! A node may die between any two stores. What it has not told of by its counters is not there. The others find the
//! connection to its board cut, at the latest [`LOOKING`] after they have begun to wait.

use crate::layout::{Layout, Row};
use rsm::{Code, EndCause, Error, Export, Import, Result};
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

#[cfg(test)]
use std::cell::Cell;

/// How long a wait sleeps before it looks for the dead, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(5);
pub(crate) const LOOKING: Duration = Duration::from_millis(100);

/// For how long a store is made again that nobody can vouch for: a link that fails all that time does not come back by itself,
/// and a call that waits for it would hang.
const VOUCHED_WITHIN: Duration = if cfg!(test) { Duration::from_millis(100) } else { Duration::from_secs(10) };
/// How often it is made again at once: most errors of a link are over when they are told.
const AT_ONCE: u32 = 10;
/// Between later attempts, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// What a program has done while its calls wait; an error of it is that of the call.
pub(crate) type Meanwhile = Box<dyn Fn() -> Result<()> + Send>;

/// Whose end ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// That of any node of the team.
    All,
    /// That of any which has not left: for the last barrier.
    AllButLeft,
    /// That of one.
    One(usize),
}

/// The own board, and the connections to all, by rank, the own one included.
pub(crate) struct Board {
    pub(crate) own: Export,
    pub(crate) all: Vec<Import>,
    pub(crate) rank: usize,
    pub(crate) layout: Layout,
    pub(crate) meanwhile: Meanwhile,
    /// Whether the link is to lose what is stored, and to say so.
    #[cfg(test)]
    pub(crate) loses: Cell<bool>,
}

/// A rank as people know it.
pub(crate) fn node(rank: usize) -> u32 {
    rank as u32 + 1
}

impl Board {
    /// What `writer` says in its row of the own board: an allegation. What it stored before is visible afterwards.
    pub(crate) fn told(&self, writer: usize, what: Row) -> Result<u64> {
        // Acquire: pairs with the order barrier that the writer puts before each word of its row.
        self.own.memory().load_u64(self.layout.row(writer, what), Ordering::Acquire)
    }

    /// Says something in the own row of the board of `rank`, and rings.
    pub(crate) fn tell(&self, rank: usize, what: Row, value: u64) -> Result<()> {
        self.store(rank, &[], self.layout.row(self.rank, what), value)
    }

    /// Stores pieces, and behind them a word that says that they are there; and rings. When it returns all of it is in
    /// the other node's memory.
    pub(crate) fn store(&self, rank: usize, pieces: &[(u64, &[u8])], word: u64, value: u64) -> Result<()> {
        self.place(rank, pieces, word, value)?;
        self.ring(rank)
    }

    /// [`store`](Self::store), but for the bell.
    pub(crate) fn place(&self, rank: usize, pieces: &[(u64, &[u8])], word: u64, value: u64) -> Result<()> {
        let import = &self.all[rank];
        // Release: what this node has loaded, such as bytes that it took out of a ring, before what it says of that.
        fence(Ordering::Release);
        vouched(&self.meanwhile, || {
            #[cfg(test)]
            if self.loses.get() {
                return Err(Error::with(Code::BarrierFailure, "as the test wants it"));
            }
            let span = import.open_barrier()?;
            for (place, bytes) in pieces {
                import.put(*place, bytes)?;
            }
            // Pairs with the Acquire of `told` and of `raised`.
            span.order()?;
            import.put_u64(word, value)?;
            span.close()
        })
        .map_err(|error| self.failed(rank, error))
    }

    /// Has the owner of a board look again.
    pub(crate) fn ring(&self, rank: usize) -> Result<()> {
        self.all[rank].signal_no_accumulate().map_err(|error| self.failed(rank, error))
    }

    /// Waits until `look` finds something, for at most `limit`, for ever with `None`. `what` says for what, should it
    /// be in vain.
    pub(crate) fn until<T>(
        &self,
        watch: Watch,
        limit: Option<Duration>,
        what: impl Fn() -> String,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        // So far away that there is no such time: for ever.
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let (mut sleep, mut heard) = (FIRST_LOOK, None);
        loop {
            // Before the look: what one who is gone had said before its end is found by it.
            let gone = self.gone(watch);
            if let Some(found) = look()? {
                return Ok(found);
            }
            if let Some(rank) = gone {
                return Err(self.end_of(rank));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                let limit = limit.unwrap_or_default();
                return Err(Error::with(Code::Timeout, format!("{} within {limit:?}", what())));
            }
            match self.own.wait(Some(left.map_or(sleep, |left| left.min(sleep)))) {
                Err(error) if error.code() == Code::Timeout => sleep = (sleep * 2).min(LOOKING),
                // A handler of the program's ran: no news of anybody.
                Err(error) if error.code() == Code::Interrupted => {}
                rung => {
                    rung?;
                    // Bells may ring all the time, and be meant for others than this wait.
                    if heard.get_or_insert_with(Instant::now).elapsed() < LOOKING {
                        continue;
                    }
                }
            }
            (self.meanwhile)()?;
            heard = Some(Instant::now());
        }
    }

    /// A node that is gone, of those that are watched.
    fn gone(&self, watch: Watch) -> Option<usize> {
        let is_gone = |rank: usize| self.all[rank].is_aborted();
        match watch {
            Watch::One(rank) => Some(rank).filter(|&rank| is_gone(rank)),
            Watch::All => (0..self.all.len()).find(|&rank| is_gone(rank)),
            // Cut is looked at first: who leaves says so before it cuts.
            Watch::AllButLeft => (0..self.all.len()).find(|&rank| is_gone(rank) && !self.has_left(rank)),
        }
    }

    pub(crate) fn has_left(&self, rank: usize) -> bool {
        self.told(rank, Row::Left).is_ok_and(|left| left != 0)
    }

    /// Whether a node is no more: nothing that it does from now on reaches anybody of the team.
    pub(crate) fn is_dead(&self, rank: usize) -> bool {
        use EndCause::{ExporterEnded, NodeKilled, Withdrawn};
        matches!(self.all[rank].why_aborted(), Some(ExporterEnded | NodeKilled | Withdrawn))
    }

    /// The error of something done to memory of `rank`, in the team's words.
    pub(crate) fn failed(&self, rank: usize, error: Error) -> Error {
        match error.code() {
            Code::ConnAborted => self.end_of(rank),
            Code::BarrierFailure => {
                let text = format!("node {} cannot be reached: for {VOUCHED_WITHIN:?} {error}", node(rank));
                Error::with(Code::BarrierFailure, text)
            }
            _ => error,
        }
    }

    /// The error that a node is gone.
    pub(crate) fn end_of(&self, rank: usize) -> Error {
        let (node, cause) = (node(rank), self.all[rank].why_aborted());
        Error::with(
            Code::ConnAborted,
            match cause {
                _ if self.has_left(rank) => format!("node {node} has left the team"),
                Some(EndCause::Withdrawn) => format!("node {node} has ended too early: it gave the team up"),
                Some(EndCause::Revoked | EndCause::LinkDown) => {
                    let cause = cause.map(|cause| cause.to_string()).unwrap_or_default();
                    format!("node {node} cannot be reached any more: {cause}")
                }
                Some(cause) => format!("node {node} has ended too early: {cause}"),
                None => format!("node {node} has ended too early"),
            },
        )
    }

    /// The error of a node that says what cannot be.
    pub(crate) fn nonsense(rank: usize, what: &str) -> Error {
        Error::with(Code::InternalError, format!("node {} says what cannot be: {what}", node(rank)))
    }
}

/// Asks for something again as long as a handler of a signal has come between, with nothing asked for then: in a call of all nodes
/// that is to be no end. `meanwhile` says whether it is one.
pub(crate) fn unbroken<T>(meanwhile: &Meanwhile, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match ask() {
            Err(error) if error.code() == Code::Interrupted => meanwhile()?,
            asked => return asked,
        }
    }
}

/// Does something until somebody vouches for it, for [`VOUCHED_WITHIN`]. All that is done so is told by absolute values, so that
/// doing it again does nothing new. A node that dies meanwhile ends it at once: its connection is cut.
pub(crate) fn vouched(meanwhile: &Meanwhile, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    let (mut attempts, mut began, mut pause) = (0, None, FIRST_PAUSE);
    loop {
        match act() {
            Err(error) if error.code() == Code::BarrierFailure => {
                let began = *began.get_or_insert_with(Instant::now);
                if began.elapsed() >= VOUCHED_WITHIN {
                    return Err(error);
                }
                attempts += 1;
                if attempts > AT_ONCE {
                    meanwhile()?;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            done => return done,
        }
    }
}
