//! Barrier verdicts: what closing a span reports.
//!
//! # The argument
//!
//! An importer stores through its mapping, executes a *full fence*, then loads the connection's generation and the
//! link word. The agent that revokes steps the generation, executes a full fence, and only then waits for importers or
//! lets the memory go. If the importer loads the old generation, its load came before the agent's step in the single
//! order of the two fences, so its earlier stores are visible to everything the agent does after. Hence: *success means
//! that the stores of the span came before the revocation*. A store that came later is reported, if only by the next
//! verdict.
//!
//! The fence is the caller's (`rsm_shm` has a cheap one); this file holds the comparison. The loom model
//! `a_complete_verdict_means_the_store_came_first` fails when either fence is left out.

use crate::error::{Code, Error, Result};
use crate::generation::Generation;
use crate::registry::LinkWord;
use crate::sync::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::SeqCst, fence, mutated};

/// What an importer notes when a span opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The generation the connection was granted with.
    pub granted: Generation,
    /// The link word when the span opened.
    pub link: LinkWord,
}

impl Snapshot {
    /// Compares what was noted with what stands there now. The caller has executed a full fence after its last store.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut, which wins (D-56); BARRIER_FAILURE when the link was not active at
    /// either end of the span or had an error or a change of state in between.
    #[inline]
    pub fn judge(self, connection: &AtomicU64, link: &AtomicU64) -> Result<()> {
        // Relaxed: ordered after the stores of the span by the caller's full fence; read-only memory allows no more.
        if connection.load(Relaxed) != self.granted.word() {
            return Err(Error::new(Code::ConnAborted));
        }
        let away = !self.link.is_active() && !mutated("link_away_is_fine");
        if link.load(Relaxed) != self.link.word() || away {
            // A link that goes down takes its connections along, and them first: who saw the connection just before
            // that and the link just after it looks again. Acquire: pairs with the full fence of `abort`.
            if !mutated("link_second_look_fence") {
                fence(Acquire);
            }
            let cut = connection.load(Relaxed) != self.granted.word() && !mutated("link_looks_once");
            return Err(Error::new(if cut { Code::ConnAborted } else { Code::BarrierFailure }));
        }
        Ok(())
    }
}

impl Snapshot {
    /// [`judge`](Self::judge) for a span of loads: what it vouches for was loaded before the connection was cut, and is
    /// nothing that the exporter wrote later (D-84).
    ///
    /// # Errors
    /// As [`judge`](Self::judge).
    #[inline]
    pub fn judge_loads(self, connection: &AtomicU64, link: &AtomicU64) -> Result<()> {
        // Pairs with the full fence in `abort`: who loaded what was stored after it finds the connection cut.
        if !mutated("verdict_load_fence") {
            fence(Acquire);
        }
        self.judge(connection, link)
    }
}

/// The agent's half: cuts the connection, so that whatever this thread does next comes after every store that a
/// successful verdict vouched for.
pub fn abort(connection: &AtomicU64) {
    let cut = Generation::from_word(connection.load(Relaxed)).aborted();
    connection.store(cut.word(), Relaxed);
    // Pairs with the full fence of the importer before `Snapshot::judge`.
    if !mutated("verdict_agent_fence") {
        fence(SeqCst);
    }
}
