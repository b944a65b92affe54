//! Peers: the agents of two hosts that a bridge joins.
//!
//! Each host has an agent, a registry and nodes of its own; node ids are of both together. A *bridge* is a device with a
//! *window*, a range in which stores and loads of one host become stores and loads of the other's memory, and with
//! doorbells. It is a poor sort of memory:
//!
//! * Stores are *posted*: they arrive later, in order, or never, and nobody says which.
//! * A load waits for its answer, and pushes the stores before it ahead of itself. Where there is no answer it yields
//!   all-ones, and no error.
//! * Nothing can be exchanged or added across: every word has one writer.
//! * A doorbell may come early, late, twice or not at all.
//! * That the link is up says that two drivers once said so, not that anybody lives.
//!
//! On that the agents build what they need, each part a file that knows no device:
//!
//! | part | file |
//! |---|---|
//! | the words by which each reaches the other | [`control`] |
//! | who is there, and whether the two fit | [`hello`] |
//! | sets of nodes | [`nodes`] |
//! | a queue of messages each way, over two memories that each has one writer | [`ring`] |
//! | how what is not the peer's is told from what is | [`tag`] |
//! | what they say | [`message`] |
//! | what is still to be said, bounded by what there is | [`outbox`] |
//! | what the other said | [`mirror`] |
//! | from the first hello to the end | [`life`] |
//! | what this host's nodes want and have of the other | [`asks`] |
//! | what this host gives to the other, and takes back | [`grants`], at a [`place`] in the window |
//! | whether a grant still holds, by one load through the window | [`seal`] |
//! | signals across | [`lane`] |
//! | which of two changes of a link counts | [`links`] |
//! | what an agent tells of all this, for people | [`report`] |
//!
//! Whatever comes over the bridge is an *allegation*: copied once, then checked. A peer can say what is not true of its own
//! host and close the link; it cannot make an agent loop, allocate without bound, or believe it of anybody else.

pub mod asks;
pub mod control;
#[cfg(all(test, not(rsm_loom)))]
mod direct;
pub mod grants;
pub mod hello;
pub mod lane;
pub mod life;
pub mod links;
pub mod message;
pub mod mirror;
pub mod nodes;
pub mod outbox;
pub mod place;
pub mod ring;
#[cfg(all(test, not(rsm_loom)))]
mod siege;
pub mod tag;

use crate::sync::AtomicU64;

pub use crate::seal::UNANSWERED;
pub use crate::{report, seal};

/// Control pages of the other host, through the window. `at` counts words from their beginning ([`control`]).
pub trait Far {
    /// Stores a word. It arrives later, after those before the last [`fence`](Self::fence), or never.
    fn store(&self, at: usize, word: u64);
    /// A full fence, which also lets go of stores that a processor has put off: they arrive before what is stored next.
    fn fence(&self);
    /// Loads a word. Stores before it arrive first. [`UNANSWERED`] where nothing answers.
    fn load(&self, at: usize) -> u64;
}

/// The own control pages.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    /// What the other host may read: [`control::OURS_WORDS`] words.
    pub ours: &'a [AtomicU64],
    /// What the other host writes: [`control::THEIRS_WORDS`] words.
    pub theirs: &'a [AtomicU64],
}
