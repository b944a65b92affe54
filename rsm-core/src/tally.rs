//! Tallies: how much a process transfers and signals, for people who watch.
//!
//! Nothing is tallied until an observer asks. Then the agent makes one [`TallyRow`] for each process, in memory of its
//! own, and the process adds to it; when the last observer has gone it stops. A row is written by one process only and
//! read by nobody but the agent, who hands the numbers on: they are what that process says of itself, to be shown and
//! not to be believed.
//!
//! # Crash
//!
//! A process that dies leaves its row as it was; the agent drops it with the membership. An observer that dies is
//! noticed as every member is, and the tallying stops.

use crate::sync::{AtomicU64, Ordering::Relaxed};
use serde::{Deserialize, Serialize};

/// Counts of what a process did since somebody first watched, as of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Transfers to other memory: calls of put, each part of a vector for itself.
    pub puts: u64,
    /// Transfers from other memory.
    pub gets: u64,
    /// Bytes of the puts.
    pub put_bytes: u64,
    /// Bytes of the gets.
    pub got_bytes: u64,
    /// Signals posted: calls, whatever number of importers they reach.
    pub posts: u64,
    /// Signals taken.
    pub waits: u64,
}

/// The words of one process.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct TallyRow {
    puts: AtomicU64,
    gets: AtomicU64,
    put_bytes: AtomicU64,
    got_bytes: AtomicU64,
    posts: AtomicU64,
    waits: AtomicU64,
    reserved: [AtomicU64; 2],
}

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<TallyRow>() == 64);

impl TallyRow {
    /// A row of a process that did nothing: what fresh memory holds.
    pub fn new() -> TallyRow {
        let zero = || AtomicU64::new(0);
        TallyRow {
            puts: zero(),
            gets: zero(),
            put_bytes: zero(),
            got_bytes: zero(),
            posts: zero(),
            waits: zero(),
            reserved: [zero(), zero()],
        }
    }

    // Relaxed throughout: the numbers order nothing, and each by itself only grows.

    /// Adds a put of this many bytes.
    pub fn put(&self, bytes: u64) {
        self.puts.fetch_add(1, Relaxed);
        self.put_bytes.fetch_add(bytes, Relaxed);
    }

    /// Adds a get of this many bytes.
    pub fn got(&self, bytes: u64) {
        self.gets.fetch_add(1, Relaxed);
        self.got_bytes.fetch_add(bytes, Relaxed);
    }

    /// Adds a signal posted.
    pub fn posted(&self) {
        self.posts.fetch_add(1, Relaxed);
    }

    /// Adds a signal taken.
    pub fn waited(&self) {
        self.waits.fetch_add(1, Relaxed);
    }

    /// Reads the counts.
    pub fn read(&self) -> Tally {
        Tally {
            puts: self.puts.load(Relaxed),
            gets: self.gets.load(Relaxed),
            put_bytes: self.put_bytes.load(Relaxed),
            got_bytes: self.got_bytes.load(Relaxed),
            posts: self.posts.load(Relaxed),
            waits: self.waits.load(Relaxed),
        }
    }
}

impl Default for TallyRow {
    fn default() -> TallyRow {
        TallyRow::new()
    }
}
