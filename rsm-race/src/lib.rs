//! The race detector: which accesses to the memory of segments nothing orders.
//!
//! Processes of a cluster that is looked at write down, in memory that they share, what they know of each other, and of each
//! word of a segment who used it last. An access that meets another one of which its process cannot know is a *race*, and is
//! reported with both places in the program.
//!
//! # What orders
//!
//! Everything in this crate is about [clocks](clock). A process has one, and so has each of its imports, which carries out
//! what is put through it: a put is not known to be anywhere before the import's span was closed or ordered, also not to the
//! process that made it. A process learns clocks of others by what the RSMAPI lets it conclude: a signal that it waited for,
//! a word that it loaded, a connection, an end. What it cannot conclude it does not know.
//!
//! Where a program was not built to be looked at, only calls are seen: what its processes do with their own memory, or through
//! mappings, is *hidden*. Whatever could have been learned or told that way is taken to have been ([`process`]). So races
//! between calls are missed, and none is reported that is none.
//!
//! # Shared memory
//!
//! One [`table`], which the agent makes. All of it is words that any process may write at any time with relaxed
//! accesses; nothing locks, and no process waits for another. That is sound for what is reported because clocks only grow:
//!
//! * What a process releases it writes before the store that tells of it, with a release fence between; who acquires reads it
//!   after the load that told it, with an acquire fence between. So who was told finds all that it was told.
//! * Who reads while somebody writes finds more or less of what it was not told yet. More is a missed race. Less is nothing.
//! * A cell is not lost to one that is left at the same time, since it may be of a word that tells something; but to a write
//!   of the whole line, with which it races.
//! * What is written in several words has one writer, who says when it is whole. Another one who comes meanwhile, as the place is used
//!   again, leaves nothing there, and who looks for that learns more instead.
//!
//! # Crash
//!
//! A process that dies leaves everything as it was, and what it reported stays reported. Once the agent has seen its end, all
//! others know everything that it did.
//!
//! | file | what |
//! |---|---|
//! | [`table`] | where everything is |
//! | [`clock`] | who has clocks, and what is known of them |
//! | [`cell`] | one access, in a word |
//! | [`place`] | the memory of a segment, and some bytes of it that are touched |
//! | [`node`] | what was released to the processes of a node |
//! | [`words`] | the last stores to a word, found by their values |
//! | [`site`] | places in programs |
//! | [`report`] | races that were found |
//! | [`process`] | what each call means |
//! | [`thread`] | and each step of a thread |
//! | [`outside`] | what processes tell each other beside the RSMAPI |
//! | [`marks`] | what was put to a line and may be on its way |
//! | [`spots`] | where memory is that belongs to the library, and who writes there |
//! | [`pages`] | what owners store without a call, found by comparing |

pub mod cell;
pub mod clock;
pub mod marks;
pub mod node;
pub mod outside;
pub mod pages;
pub mod place;
pub mod process;
pub mod report;
pub mod site;
pub mod spots;
pub mod table;
pub mod thread;
pub mod words;

mod access;

#[cfg(all(test, rsm_loom))]
mod models;
