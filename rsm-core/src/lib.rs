//! Vocabulary, policy, shared records and lock-free protocols of rsm.
//!
//! Everything that *means* something is written once, here, and called from both sides: by the library for early and
//! friendly errors, by the agent for enforcement. The crate contains no unsafe code and makes no system call; what it
//! needs of the system (sleeping, waking) it takes through small traits, which is what lets loom and miri run it.
//!
//! A tour, in the order one `connect` and one `put` pass through it:
//!
//! | step | file |
//! |---|---|
//! | which segment ids a program may publish | [`segment_id`] |
//! | who may connect, with which rights | [`access`] |
//! | what the library asks the agent, and what it answers | [`message`] |
//! | where published segments, connections and links stand | [`registry`] |
//! | how a connection tells that it was cut | [`generation`] |
//! | how a link stands | [`link`] |
//! | what is wrong with a transfer | [`transfer`] |
//! | what closing a barrier reports | [`verdict`] |
//! | what a cluster shows that real memory hides | [`lens`] |
//! | how a signal is posted and awaited | [`bell`] |
//! | how a descriptor follows a bell | [`pump`] |
//! | how a PE of OpenSHMEM sleeps until somebody stores | [`asleep`] |
//! | how PEs exchange a few words | [`exchange`] |
//! | how a lock outlives its holders | [`lock`] |
//! | how sleepers learn that the cluster is gone | [`sleepers`] |
//! | what a watched process says it did | [`tally`] |
//! | what the agent needs of an interconnect | [`driver`] |
//! | what the agents of two hosts are to each other | [`peer`] |
//! | whether a grant across hosts still holds | [`seal`] |
//! | what an agent tells of its bridge | [`report`] |
//! | the error numbers | [`error`] |
//! | the steps at which tests let processes die | [`crash`] |
#![forbid(unsafe_code)]

pub mod access;
pub mod asleep;
pub mod attr;
pub mod bell;
pub mod chance;
pub mod crash;
pub mod driver;
pub mod error;
pub mod exchange;
pub mod generation;
pub mod lens;
pub mod link;
pub mod lock;
pub mod message;
pub mod peer;
pub mod pump;
pub mod registry;
pub mod report;
pub mod seal;
pub mod segment_id;
mod seq;
pub mod sleepers;
pub mod sync;
pub mod tally;
pub mod topology;
pub mod transfer;
pub mod verdict;

// For models of other crates as well.
#[cfg(rsm_loom)]
#[doc(hidden)]
#[allow(missing_docs)]
pub mod explore;

#[cfg(all(test, rsm_loom))]
mod models;

pub use error::{Code, Error, Result};
