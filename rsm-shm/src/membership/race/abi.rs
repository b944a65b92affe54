//! What programs tell that were built to be looked at: the C functions that their instrumentation calls.
//!
//! | function | told |
//! |---|---|
//! | [`rsm_race_sees`] | that the program tells everything, before it joins anything |
//! | [`rsm_race_access`] | that memory was read, or is about to be written |
//! | [`rsm_race_value`] | the same of a word that is loaded or stored by itself, with its value |
//! | [`rsm_race_benign`] | that nobody wants to hear of races somewhere |
//!
//! Addresses outside of [`rsm_race_bounds`](super::bounds::rsm_race_bounds) need not be told. Threads of a process count as one: what one of them knows all do.
#![allow(unsafe_code)]

use super::name_in;
use super::ranges::{self, Watched};
use crate::membership::fork;
use rsm_race::place::Range;
use rsm_race::process::Process;
use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// It was written.
const WRITE: c_uint = 1;
/// As one word: atomically, or as volatile.
const WORD: c_uint = 2;
/// Read, changed and written, atomically.
const UPDATE: c_uint = 4;

/// Everything that is done with memory is told.
const ACCESSES: c_uint = 1;

/// What the program tells by itself.
static SEES: AtomicU32 = AtomicU32::new(0);

/// Threads that have told of a read without its value, and of nothing since. One that ends so stays counted, by which less is
/// found, and nothing that is none.
static READING: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The library itself is at work: it has told already.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
    /// This thread is one of [`READING`].
    static READS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this program tells everything that it does.
pub(super) fn is_whole() -> bool {
    SEES.load(Relaxed) & ACCESSES != 0
}

/// Does something of which nothing is to be told.
pub(in crate::membership) fn untold<T>(work: impl FnOnce() -> T) -> T {
    let before = WITHIN.try_with(|within| within.replace(true)).unwrap_or(true);
    let done = work();
    let _ = WITHIN.try_with(|within| within.set(before));
    done
}

/// Whether a thread has read since what may have told it anything: it told so before it read, and what it has learned it may
/// have passed on to any thread of the process.
pub(super) fn has_read() -> bool {
    // Relaxed, here and below: whoever was told by a thread finds what that did before.
    if READING.load(Relaxed) == 0 {
        return false;
    }
    if READS.try_with(|reads| reads.replace(false)).unwrap_or(false) {
        READING.fetch_sub(1, Relaxed);
    }
    true
}

fn reads_next() {
    if READS.try_with(|reads| !reads.replace(true)).unwrap_or(true) {
        READING.fetch_add(1, Relaxed);
    }
}

/// Memory of a segment is mapped.
pub(in crate::membership) fn watch(watched: Watched) {
    ranges::change(|all| ranges::add(all, watched.clone()));
}

/// It is not any more.
pub(in crate::membership) fn unwatch(start: usize, end: usize) {
    ranges::change(|all| {
        // One of those that are the same: they come and go in any order.
        if let Some(at) = all.iter().position(|w| (w.start, w.end) == (start, end) && w.import != 0) {
            all.remove(at);
        }
    });
}

/// Does something with the process, and the memory that an address is in.
fn with(address: usize, work: impl FnOnce(&'static Watched, Process<'static>)) {
    if WITHIN.try_with(Cell::get).unwrap_or(true) || fork::is_unannounced() {
        return;
    }
    untold(|| {
        if let Some(watched) = ranges::find(address)
            && let Some(process) = watched.racing.process()
        {
            work(watched, process);
        }
    });
}

impl Watched {
    fn range(&'static self, process: Process<'_>, address: usize, length: usize, pc: usize) -> Range {
        let length = length.min(self.end - address) as u64;
        let site = self.racing.site_at(process, pc as u64);
        Range { place: self.place, offset: self.offset + (address - self.start) as u64, length, site }
    }

    /// The clock of the import that carries out what is stored here; none for memory of the process's own, or where a forked
    /// child has inherited the mapping.
    fn import(&self) -> Option<usize> {
        name_in(&AtomicU64::new(self.import)).filter(|_| self.import != 0)
    }
}

/// Tells, before the program joins any cluster, what it will tell by itself: 1: all accesses to memory.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_sees(what: c_uint) {
    SEES.fetch_or(what, Relaxed);
}

/// Memory was read, or is about to be written: `kind` 0 or 1; with 2 as a word, with 4 as a part of an atomic update, the
/// value of which is not told. `pc` is the return address of the access.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_access(address: usize, length: usize, kind: c_uint, pc: usize) {
    with(address, |watched, process| {
        if kind & (WORD | UPDATE) != 0 {
            process.exchanges(watched.place.node);
            if kind & (WRITE | UPDATE) != WRITE {
                reads_next();
            }
            return;
        }
        let range = watched.range(process, address, length, pc);
        process.touch(range, kind & WRITE != 0, watched.import());
    });
}

/// A word was loaded, and held `value`, or is about to be stored: `kind` as of [`rsm_race_access`].
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_value(address: usize, length: usize, value: u64, kind: c_uint, pc: usize) {
    with(address, |watched, process| {
        if !matches!(length, 1 | 2 | 4 | 8) || !address.is_multiple_of(length) {
            process.exchanges(watched.place.node);
            return;
        }
        let range = watched.range(process, address, length, pc);
        match kind & (WRITE | UPDATE) {
            0 => process.load(range, value),
            kind => process.store(range, value, kind & UPDATE != 0, watched.import()),
        }
    });
}

/// Nobody wants to hear of races here.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_benign(address: usize, length: usize) {
    with(address, |watched, process| {
        let offset = watched.offset + (address - watched.start) as u64;
        process.benign(watched.place, offset, length.min(watched.end - address) as u64);
    });
}
