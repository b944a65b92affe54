//! Barrier verdicts: what closing a span reports.
//!
//! # The argument
//!
//! An importer stores through its mapping, executes a *full fence*, then loads the connection's generation and its
//! *path word*: state and errors of its link, as far as they concern this connection. The agent that withdraws steps
//! the generation, executes a full fence, and only then waits for importers or lets the memory go. If the importer
//! loads the old generation, its load came before the agent's step in the single order of the two fences, so its
//! earlier stores are visible to everything the agent does after. Hence: *success means that the stores of the span
//! came before the withdrawal*. A store that came later is reported, if only by the next verdict.
//!
//! # Memory that is replaced
//!
//! A rebind puts other contents under connections that stay. What importers store while the exporter copies the old
//! contents out and the new ones in is in one of the two, in both or in neither, and nobody can tell. So the agent
//! first makes the path word one of a link that is not active ([`suspend`]), executes a full fence, and lets the
//! exporter begin; when all is in place it makes it active again, with *one error more* ([`resume`]). Take a span of
//! stores that is vouched for, so that its path word was active and the same at both ends:
//! * It closed with the word from before. By the argument above its stores came before `suspend`, are visible to the
//!   exporter when it begins, and leave with the old contents.
//! * It opened with the word from after. Opening is an acquire load, so its stores come after everything the exporter
//!   did before `resume`, and stay with the new contents.
//! * It opened before and closed after: the word has another number of errors. It never has the old one again.
//! * It opened or closed in between: the word was not active.
//!
//! So *each span of stores that is vouched for is in exactly one of old and new memory*; so is, by the acquire fence
//! of [`judge_loads`](Snapshot::judge_loads), all that a span of loads has seen. The others are told to do it again
//! (BARRIER_FAILURE), which works as soon as the rebind is over. The word is the connection's own, so that importers of
//! other segments over the same link notice nothing, and importers that do not run, or use mappings only, are asked
//! for nothing: whatever they do when they go on, their verdicts know.
//!
//! # Connections that are not plain
//!
//! Where stores may be on their way when a span closes, they have to be executed first, and only then do fence and
//! comparison say anything ([`Snapshot::judge_settled`]). So that plain connections pay nothing for the question, the
//! close of every span makes one and the same comparison: a connection that is not plain has, in place of the word of its
//! generation, one that never matches ([`NEVER`](crate::generation::Generation::NEVER)). The comparison fails there into
//! its cold branch, which settles and judges by the true words.
//!
//! # Posted windows
//!
//! Through a bridge to another host, stores are *posted*: they may be on their way, or gone, and nobody says which. What says
//! it is one load of the grant's [seal](crate::seal) through the same window ([`Snapshot::judge_posted`]): it pushes the
//! span's stores ahead of itself. The exporting agent breaks the seal, executes a full fence, and only then takes the memory
//! out of the bridge. A load that yields the granted seal came before that, the stores before the load, hence while the
//! memory was reached: *they are in it*. The words of this host are looked at after that load, so a link that was away
//! and came back in between is told too, once its agent has cut.
//!
//! A rebind there is told by the seal as well: the exporting agent *suspends* it before the exporter begins, as it does the path
//! words of its own host. When the contents are in place it asks the importers' agent to make their path words others, and
//! only when that has answered the seal is what it was. So a span that was open meanwhile finds the seal suspended, or its
//! path word another one; neither agent is waited for by who copies.
//!
//! The fence is the caller's (`rsm_shm` has a cheap one); this file holds the comparison. The loom model
//! `a_complete_verdict_means_the_store_came_first` fails when either fence is left out, and
//! `a_store_that_is_vouched_for_is_in_old_or_new_memory` when a step of the above is.

use crate::error::{Code, Error, Result};
use crate::generation::{EndCause, Generation};
use crate::link::{LinkState, LinkWord};
use crate::seal::{Reading, Seal};
use crate::sync::{
    AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, fence, mutated,
};

/// Which stores a barrier waits for, where they may be on their way. On coherent memory none are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum BarrierType {
    /// Those of one import.
    Segment,
    /// Those of all imports from the same node.
    #[default]
    Node,
}

/// What an importer notes when a span opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The generation the connection was granted with.
    pub granted: Generation,
    /// The connection's path word when the span opened.
    pub link: LinkWord,
}

impl Snapshot {
    /// Compares what was noted with what stands there now. The caller has executed a full fence after its last store.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut, which wins (D-56); BARRIER_FAILURE when the link was not active at
    /// either end of the span, had an error or a change of state in between, or the memory was being replaced.
    #[inline]
    pub fn judge(self, connection: &AtomicU64, link: &AtomicU64) -> Result<()> {
        // Relaxed: ordered after the stores of the span by the caller's full fence; read-only memory allows no more.
        if connection.load(Relaxed) != self.granted.word() {
            return Err(Error::new(Code::ConnAborted));
        }
        let away = !self.link.is_active() && !mutated("link_away_is_fine");
        if link.load(Relaxed) != self.link.word() || away {
            // What says that a span is to be done again may be followed by a cut, which wins, as when a link that goes
            // down takes its connections along, and them first: looked at again. Acquire: pairs with the full fence of
            // `abort`, should the word here have been written after that.
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

impl Snapshot {
    /// [`judge`](Self::judge) for a connection that is not plain, whose stores may be on their way still: `settle` returns
    /// when every store of the span has been executed.
    ///
    /// # Errors
    /// As [`judge`](Self::judge).
    pub fn judge_settled(self, connection: &AtomicU64, link: &AtomicU64, settle: impl FnOnce()) -> Result<()> {
        if mutated("diverted_judges_first") {
            let verdict = self.judge(connection, link);
            settle();
            return verdict;
        }
        settle();
        // The importer's full fence, after the last store: pairs with those of `abort` and `suspend`. For spans of loads
        // it is the acquire fence too.
        if !mutated("diverted_fence") {
            fence(SeqCst);
        }
        self.judge(connection, link)
    }
}

/// What a span through a posted window needs of the system for its verdict.
pub trait Window {
    /// Orders the span's stores before the load that follows, those included that a processor has put off.
    fn fence(&self);
    /// Loads the word where the grant's seal stands, through the window: the span's stores arrive first.
    fn load_seal(&self) -> u64;
    /// Orders that load before what is loaded next, as a full fence: for systems that have a cheaper one.
    fn fence_load(&self) {
        fence(SeqCst);
    }
    /// Lets some time pass; `false` when the agent of this host has had its time to say what became of the link.
    fn wait(&self) -> bool;
}

impl Snapshot {
    /// [`judge`](Self::judge) for a span through a posted window, whose grant has this seal. Blocks where the window does
    /// not answer, for as long as [`Window::wait`] says.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection was cut, by the word of either host; BARRIER_FAILURE as [`judge`](Self::judge), and
    /// when the window does not answer and nobody has said why.
    pub fn judge_posted(
        self,
        connection: &AtomicU64,
        link: &AtomicU64,
        seal: Seal,
        window: &impl Window,
    ) -> Result<()> {
        let early = mutated("posted_reads_first").then(|| window.load_seal());
        if !mutated("posted_drain") {
            window.fence();
        }
        let word = if mutated("posted_no_load") { seal.word() } else { early.unwrap_or_else(|| window.load_seal()) };
        // The load before the words of this host: a window may be one whose loads are not ordered. Pairs with the full fence
        // of `abort`: who lets a link come back after that has cut.
        if !mutated("posted_fence") {
            window.fence_load();
        }
        let verdict = self.judge(connection, link);
        let cut = || connection.load(Relaxed) != self.granted.word();
        match seal.read(word) {
            Reading::Holds => verdict,
            // As a path word that is suspended, but for a cut.
            Reading::Suspended => verdict.and(Err(Error::new(Code::BarrierFailure))),
            // What the other host says wins over an error of the link, as what this one says does.
            // The agent of this host may not have had its turn; whoever asks for the cause next is to find one.
            Reading::Changed => {
                while !cut() && window.wait() {}
                Err(Error::new(Code::ConnAborted))
            }
            // Nobody can vouch any more, whatever is loaded later: stores may have been lost. A connection that was cut is to
            // be told so, and the agent may not have had its turn.
            Reading::Unanswered => {
                while !cut() && window.wait() {}
                Err(Error::new(if cut() { Code::ConnAborted } else { Code::BarrierFailure }))
            }
        }
    }
}

/// The agent's half: cuts the connection, so that whatever this thread does next comes after every store that a
/// successful verdict vouched for. One that was cut before keeps its cause. Who finds it cut, with an acquire, finds what was
/// stored by those of whose end this thread has learned.
pub fn abort(connection: &AtomicU64, cause: EndCause) {
    let cut = Generation::from_word(connection.load(Relaxed)).aborted(cause);
    // Release: pairs with the acquire of who asks whether it was cut, and then looks for what one that died has left.
    connection.store(cut.word(), if mutated("verdict_abort_unreleased") { Relaxed } else { Release });
    // Pairs with the full fence of the importer before `Snapshot::judge`.
    if !mutated("verdict_agent_fence") {
        fence(SeqCst);
    }
}

/// The agent's half before the memory of a connection's segment is replaced: whatever this thread does next comes after
/// every store that a successful verdict vouched for, and no span that is open from here on is vouched for.
pub fn suspend(path: &AtomicU64) {
    let word = LinkWord::from_word(path.load(Relaxed));
    path.store(word.with_state(LinkState::Up).word(), Relaxed);
    // Pairs with the full fence of the importer before `Snapshot::judge`, and for loads with the fence of
    // `Snapshot::judge_loads`.
    if !mutated("verdict_suspend_fence") {
        fence(SeqCst);
    }
}

/// The exporter's half, when it has learned that a connection is cut or its verdicts are suspended: what this thread
/// stores to the memory from here on, no load that is vouched for has seen.
///
/// It was not this thread that stepped the word. That it has learned of it orders its stores behind the step for whoever it
/// tells in turn, and on machines where a store reaches all others at once; a reader that meets nothing but such a store
/// has, by the rules of the language, met nobody who released the step.
pub fn begin_owning() {
    // Pairs with the fence of `Snapshot::judge_loads`.
    if !mutated("verdict_owner_fence") {
        fence(Release);
    }
}

/// The agent's half when the new memory stands: spans that open from here on are vouched for. Those that are open are
/// not, for the word is another one.
pub fn resume(path: &AtomicU64) {
    let word = LinkWord::from_word(path.load(Relaxed)).with_state(LinkState::Active);
    let word = if mutated("verdict_resume_same") { word } else { word.with_error() };
    // Release: pairs with the acquire of an importer that opens a span.
    path.store(word.word(), if mutated("verdict_resume_relaxed") { Relaxed } else { Release });
}
