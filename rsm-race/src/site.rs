//! Places in programs: the return addresses from a call outwards, and the modules that they lie in.

use crate::table::{Lack, MODELLED, MODULE, MODULES, SITE, SITES, Table, Word};
use rsm_core::sync::{AtomicU64, Ordering::Relaxed, Ordering::Release, acquire, mutated};

// Words of a place.
const KEY: usize = 0;
const OWNER: usize = 1;
const FRAMES: usize = 2;
const READY: usize = SITE - 1;
/// Most return addresses that are kept.
pub const MOST_FRAMES: usize = READY - FRAMES;
/// How far from where it would be a place is looked for.
const STEPS: usize = if MODELLED { 1 } else { 32 };
/// What stands where the number of return addresses would, of a time between two places.
const BETWEEN: u64 = 0xff;

// Words of a module.
const M_OWNER: usize = 0;
const M_BIAS: usize = 1;
const M_START: usize = 2;
const M_END: usize = 3;
const M_LENGTH: usize = 4;
const M_PATH: usize = 5;
/// Longest path of a module, in bytes.
pub const MOST_PATH: usize = (MODULE - M_PATH) * 8;

/// A part of a module that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// What its symbols' addresses are more by.
    pub bias: u64,
    /// Where the part begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// The file.
    pub path: Vec<u8>,
}

/// Who was where: 0 for a place that there was no room for.
pub(crate) fn number(table: Table<'_>, process: usize, frames: &[u64]) -> u16 {
    let frames = &frames[..frames.len().min(MOST_FRAMES)];
    note(table, process, frames, frames.len() as u64)
}

/// Somewhere on the way from one place to another: 0 where there was no room for it.
pub(crate) fn between(table: Table<'_>, process: usize, first: u16, second: u16) -> u16 {
    note(table, process, &[first.into(), second.into()], BETWEEN)
}

/// The two places that a time is between, if it is one of those.
pub(crate) fn ends(table: Table<'_>, number: u16) -> Option<(u16, u16)> {
    let words = table.site(number.into());
    if number == 0 || acquire(&words[READY]) == 0 || words[OWNER].load(Relaxed) & 0xff != BETWEEN {
        return None;
    }
    let end = |at: usize| words[FRAMES + at].load(Relaxed) as u16;
    Some((end(0), end(1)))
}

fn note(table: Table<'_>, process: usize, frames: &[u64], count: u64) -> u16 {
    let seed = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul((count / BETWEEN) << 32 | (process as u64 + 1));
    let mix = |hash: u64, word: &u64| (hash ^ word).wrapping_mul(0x2545_f491_4f6c_dd1d).rotate_left(29);
    let key = frames.iter().fold(seed, mix) | 1;
    for step in 0..STEPS {
        // Place 0 is nobody's.
        let at = 1 + (key >> 16) as usize % (SITES - 1 - STEPS) + step;
        let words = table.site(at);
        match words[KEY].compare_exchange(0, key, Relaxed, Relaxed) {
            Ok(_) => {
                words[OWNER].store((process as u64) << 8 | count, Relaxed);
                frames.iter().zip(&words[FRAMES..]).for_each(|(frame, word)| word.store(*frame, Relaxed));
                // Release: pairs with the acquire of `frames`.
                words[READY].store(1, if mutated("race_site_unreleased") { Relaxed } else { Release });
                return at as u16;
            }
            Err(found) if found == key => return at as u16,
            Err(_) => {}
        }
    }
    table.lack(Lack::Places);
    0
}

/// Whether a place has been seen before.
pub(crate) fn frames(table: Table<'_>, number: u16) -> Option<(usize, Vec<u64>)> {
    let words = table.site(number.into());
    if number == 0 || acquire(&words[READY]) == 0 {
        return None;
    }
    let owner = words[OWNER].load(Relaxed);
    if owner & 0xff == BETWEEN {
        return None;
    }
    let count = (owner as usize & 0xff).min(MOST_FRAMES);
    Some((owner as usize >> 8, words[FRAMES..FRAMES + count].iter().map(|word| word.load(Relaxed)).collect()))
}

/// Notes a part of a module of a process; of one with too long a path only that it is there.
pub(crate) fn add_module(table: Table<'_>, process: usize, module: &Module) {
    let at = table.word(Word::Modules).fetch_add(1, Relaxed) as usize;
    if at >= MODULES {
        table.lack(Lack::Modules);
        return;
    }
    let path = if module.path.len() > MOST_PATH { &[] } else { &module.path[..] };
    let words = table.module(at);
    words[M_BIAS].store(module.bias, Relaxed);
    words[M_START].store(module.start, Relaxed);
    words[M_END].store(module.end, Relaxed);
    words[M_LENGTH].store(path.len() as u64, Relaxed);
    for (chunk, word) in path.chunks(8).zip(&words[M_PATH..]) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_le_bytes(bytes), Relaxed);
    }
    // Release: pairs with the acquire of `module`.
    words[M_OWNER].store(process as u64, if mutated("race_module_unreleased") { Relaxed } else { Release });
}

fn of_process<'a>(table: Table<'a>, process: usize) -> impl Iterator<Item = &'a [AtomicU64]> {
    let count = (table.word(Word::Modules).load(Relaxed) as usize).min(MODULES);
    (0..count).map(move |at| table.module(at)).filter(move |words| acquire(&words[M_OWNER]) == process as u64)
}

fn words_of(table: Table<'_>, process: usize, address: u64) -> Option<&[AtomicU64]> {
    of_process(table, process)
        .find(|words| (words[M_START].load(Relaxed)..words[M_END].load(Relaxed)).contains(&address))
}

/// Whether a part of a module of a process is known that an address lies in.
pub(crate) fn knows_module(table: Table<'_>, process: usize, address: u64) -> bool {
    words_of(table, process, address).is_some()
}

/// The part of a module of a process that an address lies in, if its path is known.
pub(crate) fn module(table: Table<'_>, process: usize, address: u64) -> Option<Module> {
    let words = words_of(table, process, address)?;
    let length = (words[M_LENGTH].load(Relaxed) as usize).min(MOST_PATH);
    if length == 0 {
        return None;
    }
    let mut path: Vec<u8> = words[M_PATH..].iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
    path.truncate(length);
    let word = |at: usize| words[at].load(Relaxed);
    Some(Module { bias: word(M_BIAS), start: word(M_START), end: word(M_END), path })
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::table::tests::memory;

    #[test]
    fn places_come_back() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let one = number(table, 3, &[10, 20, 30]);
        assert_eq!(number(table, 3, &[10, 20, 30]), one);
        assert!(!table.lacks(Lack::Places));
        let others = [number(table, 4, &[10, 20, 30]), number(table, 3, &[10, 20]), number(table, 3, &[10, 20, 31])];
        assert!(others.iter().all(|&other| other != one && other != 0), "{one} {others:?}");
        assert_eq!(frames(table, one), Some((3, vec![10, 20, 30])));
        assert_eq!(frames(table, 0), None);
        let long: Vec<u64> = (0..99).collect();
        assert_eq!(frames(table, number(table, 1, &long)).unwrap().1, long[..MOST_FRAMES]);
    }

    #[test]
    fn a_time_has_a_place_at_both_ends_and_none_itself() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let (one, other) = (number(table, 3, &[10]), number(table, 3, &[20]));
        let time = between(table, 3, one, other);
        assert_eq!((ends(table, time), frames(table, time)), (Some((one, other)), None));
        assert_eq!(between(table, 3, one, other), time);
        let likewise = number(table, 3, &[one.into(), other.into()]);
        assert!(likewise != time && ends(table, likewise).is_none() && ends(table, one).is_none());
        assert!(![0, time].contains(&between(table, 3, other, one)));
    }

    #[test]
    fn places_that_do_not_fit_are_nobodys() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let numbers: Vec<u16> = (0..20_000).map(|frame| number(table, 1, &[frame])).collect();
        assert_eq!(numbers.last(), Some(&0));
        assert!(table.lacks(Lack::Places) && !table.lacks(Lack::Modules));
        for (frame, &at) in numbers.iter().enumerate().filter(|(_, at)| **at != 0).step_by(7) {
            assert_eq!(frames(table, at), Some((1, vec![frame as u64])));
        }
    }

    #[test]
    fn modules_are_found_by_address() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let module_of = |start: u64, path: &str| Module { bias: start, start, end: start + 100, path: path.into() };
        let (one, other) = (module_of(1000, "/usr/bin/app"), module_of(5000, "/lib/a-long-name/librsm.so"));
        add_module(table, 1, &one);
        add_module(table, 1, &other);
        add_module(table, 1, &module_of(9000, &"x".repeat(MOST_PATH + 1)));
        assert_eq!(module(table, 1, 1099), Some(one));
        assert_eq!(module(table, 1, 5000), Some(other));
        assert_eq!((module(table, 1, 1100), module(table, 2, 1000), module(table, 1, 9000)), (None, None, None));
        assert!(knows_module(table, 1, 9000), "it is not noted again and again");
    }

    #[test]
    fn modules_that_do_not_fit_are_said() {
        let memory = memory(0);
        let table = Table::new(&memory);
        for number in 0..=MODULES as u64 {
            assert!(!table.lacks(Lack::Modules), "{number}");
            let start = number * 1000;
            add_module(table, 1, &Module { bias: 0, start, end: start + 100, path: b"/a".to_vec() });
        }
        assert!(table.lacks(Lack::Modules));
        assert!(!knows_module(table, 1, MODULES as u64 * 1000) && knows_module(table, 1, (MODULES as u64 - 1) * 1000));
    }
}
