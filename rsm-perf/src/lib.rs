//! Measures what an operation costs between two processes, beside the raw operation that is its limit.
//!
//! Absolute times of two processes mean little: where the host of a virtual machine has put the processors changes a
//! cache line's round trip five-fold within a second. A ratio means something, when both numbers were taken by the same
//! two processes, on the same processors, a few milliseconds apart. So everything here is a *pair* of processes, the
//! *parties*, that can do any of a list of operations, raw ones among them, and a *conductor* that has them done in
//! turns and compares neighbours.
//!
//! | part | does |
//! |---|---|
//! | [`ops`] | which operations there are, and what each is compared with |
//! | [`pair`] | the conductor's side: starts two parties, tells them what to do, ends them |
//! | [`measure`] | interleaves, calibrates, takes minimum, median, p99 and ratios |
//! | [`crossing`], [`counting`], [`window`] | what operations bring over a bridge between two hosts, and how that is counted |
//! | [`modelled`] | what a profile says of operations |
//! | [`report`] | results as a table and as records |
//! | [`machine`] | load, processors, pinning |
//! | [`party`] | a party's side: clocks, and waits that notice a death |
//! | [`mod@serve`] | the loop of a party that obeys |
//! | [`region`], [`raw`] | shared memory without rsm, and the operations on it that are the limits |
//! | [`rsm_party`] | the operations of rsm |
//!
//! A party is any program that speaks [`protocol`]: lines of text over two pipes. `benches/c/pair.h` is the same in C.
//! `rsm-ctl perf` and `benches/compare` are the two conductors.

pub mod counting;
pub mod crossing;
pub mod machine;
pub mod measure;
pub mod modelled;
pub mod ops;
pub mod pair;
pub mod party;
pub mod protocol;
pub mod raw;
pub mod region;
pub mod report;
pub mod rsm_party;
pub mod serve;
pub mod window;
