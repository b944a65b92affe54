//! What programs tell that were built to be looked at: the C functions that their instrumentation calls.
//!
//! | function | told |
//! |---|---|
//! | [`rsm_race_sees`] | that the program tells everything, before it joins anything |
//! | [`rsm_race_access`] | that memory was read, or is about to be written |
//! | [`rsm_race_value`] | the same of a word that is loaded or stored by itself, with its value |
//! | [`rsm_race_benign`] | that nobody wants to hear of races somewhere |
//! | [`rsm_race_happens`](super::token::rsm_race_happens) | that something which is not seen orders processes |
//!
//! Addresses whose byte of [`rsm_race_granules`](super::granules::rsm_race_granules) is 0 need not be told. What threads do is told to
//! [`super::threads`]; of programs that do not tell it they count as one: what one of them knows all do.
#![allow(unsafe_code)]

use super::ranges::{self, Watched};
use super::seen::{self, somebody_reads, untold};
use super::sources;
use super::threads;
use super::{Racing, name_in};
use crate::membership::fork;
use rsm_race::place::{NO_LINES, Range};
use rsm_race::process::Process;
use std::cell::Cell;
use std::ffi::c_uint;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// It was written.
const WRITE: c_uint = 1;
/// As one word: atomically, or as volatile.
const WORD: c_uint = 2;
/// Read, changed and written, atomically.
const UPDATE: c_uint = 4;
/// Such an update was made.
const UPDATED: c_uint = 8;

/// What a thread has told that it is about to read.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// Whatever may tell anything.
    Anything,
    /// A word, of which the value is not known: that was there, or has come since.
    Word(&'static Racing, Range),
}

thread_local! {
    /// Why this thread is one of [`seen::READING`].
    static READS: Cell<Option<Reads>> = const { Cell::new(None) };
}

/// A process learns what it may have read since a thread of it said that it would. What that has learned it may have passed on to any
/// thread of the process, unless they are told apart: then each learns it with what it tells next.
pub(super) fn learn_of_reads(process: Process<'_>) {
    // Relaxed, here and below: whoever was told by a thread finds what that did before.
    if !somebody_reads() {
        return;
    }
    let reads = READS.try_with(Cell::take).ok().flatten();
    if reads.is_some() {
        seen::READING.fetch_sub(1, Relaxed);
    }
    let is_apart = threads::rsm_race_threads.load(Relaxed) != 0;
    match reads {
        Some(Reads::Word(racing, range)) => {
            if let Some(leader) = name_in(&racing.id).filter(|&id| id != 0) {
                Process::with_id(racing.table(), threads::current(racing, leader)).load(range, None);
            }
        }
        Some(Reads::Anything) => process.failed(),
        None => {}
    }
    if !is_apart && somebody_reads() {
        process.failed();
    }
}

fn reads_next(what: Reads) {
    if READS.try_with(|reads| reads.replace(Some(what)).is_none()).unwrap_or(true) {
        seen::READING.fetch_add(1, Relaxed);
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

/// Whether an access may be one to a word.
fn is_word(address: usize, length: usize) -> bool {
    matches!(length, 1 | 2 | 4 | 8) && address.is_multiple_of(length)
}

/// Does something with the process, and the memory that some of these bytes are in; before that, if something is about to be written
/// there, by whom.
fn with(
    (address, length): (usize, usize),
    writes: Option<usize>,
    work: impl FnOnce(&'static Watched, Process<'static>),
) {
    // Most of what is in a granule with any of them is neither, and is to cost little.
    let watched = ranges::touched(address, length);
    let writes = writes.filter(|_| sources::are_at(address, length));
    if watched.is_none() && writes.is_none() {
        return;
    }
    let here = 0u8;
    if seen::is_within(seen::frame_of(&here)) || fork::is_unannounced() {
        return;
    }
    untold(|| {
        if let Some(pc) = writes {
            sources::written(address, length, pc);
        }
        if let Some(watched) = watched
            && let Some(process) = watched.racing.process()
        {
            work(watched, process);
        }
    });
}

impl Watched {
    /// An atomic update was made: told where the memory is another node's and the hardware that is meant carries none there.
    fn updates(&'static self, process: Process<'_>, (address, length): (usize, usize), kind: c_uint, pc: usize) {
        let owner = self.place.node;
        // Memory that no node owns, too, is none of another node's.
        let is_afar = self.racing.no_atomics && owner != self.racing.node && owner != 0;
        if is_afar
            && kind & UPDATED != 0
            && let Some(import) = self.import()
        {
            process.updates_afar(self.range(process, address, length, pc), import);
        }
    }

    fn range(&'static self, process: Process<'_>, address: usize, length: usize, pc: usize) -> Range {
        let (offset, length) = self.part(address, length);
        let site = self.racing.site_at(process, pc as u64);
        Range { place: self.place, offset, length, site }
    }

    /// Where in the segment those of these bytes are that are in this memory, and how many.
    fn part(&self, address: usize, length: usize) -> (u64, u64) {
        let (start, end) = (address.max(self.start), address.saturating_add(length).min(self.end));
        (self.offset + (start - self.start) as u64, (end - start) as u64)
    }

    /// Whether all of them are.
    fn has_all(&self, address: usize, length: usize) -> bool {
        address >= self.start && address.saturating_add(length) <= self.end
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
    seen::SEES.fetch_or(what, Relaxed);
}

/// Memory was read, or is about to be written: `kind` 0 or 1; with 2 as a word, with 4 as a part of an atomic update, the
/// value of which is not told; with 8 nothing but that an update which was told has been made. `pc` is the return address of the access.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_access(address: usize, length: usize, kind: c_uint, pc: usize) {
    with((address, length), (kind & WRITE != 0).then_some(pc), |watched, process| {
        watched.updates(process, (address, length), kind, pc);
        if kind & UPDATED != 0 {
            return;
        }
        if kind & (WORD | UPDATE) != 0 {
            let is_word = is_word(address, length) && watched.has_all(address, length);
            let is_word = is_word && kind & UPDATE == 0 && watched.place.lines != NO_LINES;
            match (is_word, kind & WRITE != 0) {
                (true, true) => {
                    process.store(watched.range(process, address, length, pc), None, false, watched.import());
                }
                (true, false) => {
                    let range = watched.range(process, address, length, pc);
                    process.load(range, None);
                    reads_next(Reads::Word(watched.racing, range));
                }
                (false, _) => {
                    process.exchanges(watched.place.node);
                    if kind & (WRITE | UPDATE) != WRITE {
                        reads_next(Reads::Anything);
                    }
                }
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
    with((address, length), (kind & WRITE != 0).then_some(pc), |watched, process| {
        watched.updates(process, (address, length), kind, pc);
        if !is_word(address, length) || !watched.has_all(address, length) {
            process.exchanges(watched.place.node);
            return;
        }
        let range = watched.range(process, address, length, pc);
        match kind & (WRITE | UPDATE) {
            0 => process.load(range, Some(value)),
            kind => process.store(range, Some(value), kind & UPDATE != 0, watched.import()),
        }
    });
}

/// Nobody wants to hear of races here.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_benign(address: usize, length: usize) {
    with((address, length), None, |watched, process| {
        let (offset, length) = watched.part(address, length);
        process.benign(watched.place, offset, length);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::races::RaceMap;
    use rsm_race::place::Place;

    #[test]
    fn of_an_access_across_an_end_the_part_in_the_segment_is_told() {
        let (map, _object) = RaceMap::create().unwrap();
        let racing = Racing::begin(map, 1, 1, (false, false));
        let place = Place { lines: 5, node: 1, id: 7 };
        let (start, end) = (1000, 1100);
        let watched = Watched { start, end, racing, place, offset: 64, import: 0, incarnation: 5 };
        assert_eq!(watched.part(1016, 8), (80, 8));
        assert_eq!(watched.part(990, 16), (64, 6), "it begins before");
        assert_eq!(watched.part(1096, 16), (160, 4), "it ends behind");
        assert_eq!(watched.part(0, usize::MAX), (64, 100), "both");
        let all: Vec<bool> = [(1000, 8), (1092, 8), (996, 8), (1096, 8)].map(|(at, l)| watched.has_all(at, l)).into();
        assert_eq!(all, [true, true, false, false]);
    }
}
