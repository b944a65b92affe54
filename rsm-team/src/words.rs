//! Words: counters that others raise, and that one waits for.
//!
//! A word of a node has a cell for each node of the team, which only that one writes; its value is the sum. So nobody
//! needs an atomic operation on memory of another node, and a raise that nobody can vouch for is made again.

use crate::board::Watch;
use crate::layout::{Layout, WORDS};
use crate::{Shared, Team};
use rsm::{Code, Error, Import, Result};
use std::sync::atomic::Ordering;
use std::time::Duration;

impl Team {
    /// Adds `by` to the word `word` of a rank, 0 to [`WORDS`] - 1, and wakes it if it waits. The own rank has words,
    /// too. What this node has put before, and knows to have arrived, is there when the word is seen raised. Sums wrap
    /// around.
    ///
    /// # Errors
    /// BAD_OFFSET for a word, and BAD_ADDR for a rank, that there is not; CONN_ABORTED, with the node that has ended,
    /// or left; BARRIER_FAILURE, with its name, when the link to it has failed for ten seconds: the next raise counts for
    /// both.
    pub fn raise(&self, rank: usize, word: usize, by: u64) -> Result<()> {
        self.check(rank)?;
        Self::check_word(word)?;
        let place = rank * WORDS + word;
        let mut raised = self.raised.borrow_mut();
        let next = raised[place].wrapping_add(by);
        raised[place] = next;
        self.board.store(rank, &[], Layout::cell(word, self.rank()), next)
    }

    /// Puts bytes into what a rank [shares](Team::share), and when they have arrived raises a word of it by one.
    ///
    /// # Errors
    /// As [`raise`](Self::raise); BAD_OFFSET outside of what the rank shares.
    pub fn put_signal(&self, to: &Shared<'_>, rank: usize, offset: u64, bytes: &[u8], word: usize) -> Result<()> {
        let import = to.at(rank)?;
        self.signal_when_put(rank, import, word, || import.put(offset, bytes))
    }

    /// Has `put` store through `import`, a connection to memory of a rank, and when all of it has arrived raises a word of
    /// that rank by one. `put` is called again when nobody can vouch for what it stored.
    ///
    /// # Errors
    /// As [`raise`](Self::raise); those of `put`.
    pub fn signal_when_put(
        &self,
        rank: usize,
        import: &Import,
        word: usize,
        mut put: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        self.check(rank)?;
        Self::check_word(word)?;
        crate::board::vouched(&self.board.meanwhile, || {
            let span = import.open_barrier()?;
            put()?;
            span.close()
        })
        .map_err(|error| self.explain(rank, error))?;
        self.raise(rank, word, 1)
    }

    /// The value of a word of this node.
    ///
    /// # Errors
    /// BAD_OFFSET for a word that there is not.
    pub fn word(&self, word: usize) -> Result<u64> {
        Self::check_word(word)?;
        let memory = self.board.own.memory();
        // Acquire: pairs with the order barrier before each raise.
        let mut cells = (0..self.size()).map(|writer| memory.load_u64(Layout::cell(word, writer), Ordering::Acquire));
        cells.try_fold(0u64, |sum, cell| Ok(sum.wrapping_add(cell?)))
    }

    /// Waits until `condition` holds of a word of this node; for at most `timeout`, for ever with `None`. Returns its
    /// value. It spins for a little where that is of use, then sleeps.
    ///
    /// ```
    /// # fn main() -> rsm::Result<()> {
    /// # let controller = rsm::Controller::open("shm0")?;
    /// let team = rsm_team::Team::join(&controller, std::time::Duration::from_secs(10))?;
    /// team.raise(0, 3, 2)?;
    /// if team.rank() == 0 {
    ///     team.wait_until(3, |value| value >= 2 * team.size() as u64, None)?;
    /// }
    /// team.leave()
    /// # }
    /// ```
    ///
    /// # Errors
    /// CONN_ABORTED when a node of the team has ended, or left, and the condition does not hold: with its name;
    /// TIMEOUT; BAD_OFFSET for a word that there is not; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn wait_until(
        &self,
        word: usize,
        mut condition: impl FnMut(u64) -> bool,
        timeout: Option<Duration>,
    ) -> Result<u64> {
        let what = || format!("word {word} is {:?}, which is not what was waited for,", self.word(word).unwrap_or(0));
        self.board.until(Watch::All, timeout, what, || {
            let value = self.word(word)?;
            Ok(condition(value).then_some(value))
        })
    }

    fn check_word(word: usize) -> Result<()> {
        if word < WORDS {
            return Ok(());
        }
        Err(Error::with(Code::BadOffset, format!("word {word} of a node's, which are 0 to {}", WORDS - 1)))
    }
}
