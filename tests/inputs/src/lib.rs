//! Input of any kind, and what it is given to.
//!
//! Each body takes bytes and panics when an answer is wrong. `fuzz/` has them guided by coverage (`ci/fuzz.sh`); the tests
//! of this crate play the seeds of `fuzz/seeds`, and mutations of them that are the same in every run.
//!
//! | body | what it is given to |
//! |---|---|
//! | [`messages`] | the reader of messages |
//! | [`registry`] | whoever reads a registry |
//! | [`agent`] | an agent, by what joins, asks and leaves |
//! | [`capi`] | the C functions |
//! | [`peer`] | an agent, by the agent of another host |
//!
//! `script` makes commands of bytes, [`replay`] bytes of seeds.

pub mod agent;
pub mod capi;
pub mod messages;
pub mod peer;
pub mod registry;
pub mod replay;
mod script;
