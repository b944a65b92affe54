//! Linux side of rsm: memory, futexes, the agent, and a process's membership of a cluster.
//!
//! Follow one segment: an exporter's [`membership`] asks the [`agent`] for memory, which makes a sealed
//! [`memory::memfd`] and sends it; the exporter maps it ([`memory::region`]). An importer asks to connect, is sent a
//! description with no more rights than it asked for and was allowed, and maps it. From then on bytes move with
//! [`memory::copy`], fences are [`memory::fence`], and sleeping is [`parking`] over [`futex`].
//!
//! Unsafe code is in the files that say so at their head, and nowhere else.

pub mod address;
pub mod agent;
mod caller;
pub mod cancel;
pub mod capabilities;
#[cfg(rsm_crash_points)]
pub mod crash;
pub mod error;
pub mod futex;
pub mod groups;
pub mod guest;
pub mod identity;
pub mod log;
pub mod membership;
pub mod memory;
pub mod parking;
pub mod private_table;
pub mod procfs;
#[cfg(test)]
mod refused;
pub mod rights;
pub mod rlimit;
pub mod run;
mod seldom;
pub mod socket;
pub mod strict;
pub mod ticks;
mod umask;
pub mod user;
