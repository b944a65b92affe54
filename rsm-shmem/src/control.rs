//! Words of each PE that the library itself uses. They stand before the symmetric heap, in the same segment, where the program
//! can put nothing.
#![allow(unsafe_code)] // one cast: memory becomes atomics

use crate::place::Place;
use rsm_core::asleep::Watched;
use rsm_core::exchange::Told;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Most PEs, and teams at a time.
pub(crate) const MOST: usize = 64;
/// Words of a contribution to a short exchange.
pub(crate) const SHORT_WORDS: usize = 128;
/// Most PEs that make such an exchange: everyone writes to everyone.
pub(crate) const TINY_MOST: usize = 8;
/// Bytes between words that are to share no cache line: there are processors for ARM with lines of 128.
pub(crate) const LINE: usize = if cfg!(target_arch = "aarch64") { 128 } else { 64 };
/// Bytes of the segment before the program's part; a multiple of any page size. The tool that shows races knows them, too
/// (rsm-ctl, `race/shmem.rs`).
pub(crate) const BYTES: usize = if cfg!(target_arch = "aarch64") { 1 << 20 } else { 512 << 10 };
const _: () = assert!(size_of::<Control>() <= BYTES && align_of::<Line>() == LINE);

/// A word in a cache line of its own.
#[cfg_attr(target_arch = "aarch64", repr(C, align(128)))]
#[cfg_attr(not(target_arch = "aarch64"), repr(C, align(64)))]
#[derive(Debug)]
pub(crate) struct Line(pub(crate) AtomicU64);

/// What a team needs of a PE.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Slot {
    /// How often each PE of the team has nudged this one.
    pub(crate) nudges: [Line; MOST],
    /// What this PE offers to a collect, in bytes.
    pub(crate) offer: Line,
    /// What it contributes to a short exchange; in turn, so that the next may begin while others still read this one.
    pub(crate) short: [[AtomicU64; SHORT_WORDS]; 2],
    /// What each of a few PEs contributes to one of the shortest; in turn likewise.
    pub(crate) tiny: [[Told; TINY_MOST]; 2],
}

/// Everything of a PE.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Control {
    /// What all PEs must have in common.
    pub(crate) heap_bytes: AtomicU64,
    /// Bytes of the program's global variables.
    pub(crate) data_bytes: AtomicU64,
    /// Processors that there are for the PEs, as this one sees it. What PE 0 says holds for all, for it decides how they meet.
    pub(crate) processors: AtomicU64,
    /// Which program it is: see `image::Variables`.
    pub(crate) program: AtomicU64,
    /// Not 0 once the PE is in `shmem_finalize`: who comes to the node's memory then is a PE of the next program, and this is not
    /// what it looks for.
    pub(crate) over: AtomicU64,
    /// Steps when somebody who sleeps here should look; a futex.
    pub(crate) event: AtomicU32,
    /// Threads that sleep for a nudge.
    pub(crate) awaits_nudges: AtomicU32,
    /// What others sleep for, in the heap and among the global variables, as bytes of the program's part of a segment.
    pub(crate) watched: [Watched; 2],
    /// PEs that have come to the end of `shmem_finalize`, a bit each: that they go is no death.
    pub(crate) departed: AtomicU64,
    /// With [`EXITS`], the status with which the job was ended; a futex.
    pub(crate) exit: ExitWord,
    pub(crate) slots: [Slot; MOST],
}

/// In a line of its own, which nobody else writes while a thread sleeps on it.
#[cfg_attr(target_arch = "aarch64", repr(C, align(128)))]
#[cfg_attr(not(target_arch = "aarch64"), repr(C, align(64)))]
#[derive(Debug)]
pub(crate) struct ExitWord(pub(crate) AtomicU32);

/// The job was ended by `shmem_global_exit`.
pub(crate) const EXITS: u32 = 1 << 31;

impl Control {
    /// The words of the PE whose segment begins here.
    pub(crate) fn at(segment: Place) -> &'static Control {
        // SAFETY: the segment is page-aligned and longer than this, and mapped to the end of the process; all of it are
        // atomics, for which any bits are good.
        unsafe { &*segment.pointer().cast::<Control>() }
    }

    /// Nobody sleeps yet.
    pub(crate) fn begin(&self) {
        // Before anybody else knows of the segment, which publishing tells.
        for watched in &self.watched {
            watched.say((u64::MAX, 0));
        }
    }
}
