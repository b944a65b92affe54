//! Races that were found, each once.

use crate::cell::{Cell, Kind};
use crate::clock::{Row, Who};
use crate::site::{self, Module};
use crate::table::{Lack, REPORTS, Table, Word};
use rsm_core::sync::{Ordering::Relaxed, Ordering::Release, acquire, mutated};

// Words of a report.
const KEY: usize = 0;
const TIMES: usize = 1;
const SEGMENT: usize = 2;
const START: usize = 3;
const END: usize = 4;
const FIRST: usize = 5;
const SECOND: usize = 6;
const WHY: usize = 7;
const READY: usize = 8;

/// Why nothing orders the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Why {
    /// The first was put in a span that was still open then, and that nothing had ordered.
    Open = 1,
    /// The second's process was told nothing that the first's did afterwards.
    Untold = 2,
    /// Both stored to one word, and the second had not seen what the first did.
    Unseen = 3,
    /// The second changed memory that the first was putting from, before the end of its span.
    Source = 4,
    /// It is one access and no race: an atomic update of another node's memory over a mapping, which the hardware does not carry.
    Update = 5,
}

/// One of two accesses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Who made it.
    pub who: Who,
    /// What it was.
    pub kind: Kind,
    /// Whether it was made through an import, as puts are.
    pub through_import: bool,
    /// The return addresses where it was made, from the inside out, each with the module that it lies in.
    pub frames: Frames,
    /// Of what nobody told and was found later: those of the calls that it lies between; then there is no other place.
    pub between: Option<(Frames, Frames)>,
}

/// Return addresses, from the inside out, each with the module that it lies in.
pub type Frames = Vec<(u64, Option<Module>)>;

/// Two accesses that nothing orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Race {
    /// Whose segment, and its id.
    pub segment: (u32, u32),
    /// From which byte of it on.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// The one that was there.
    pub first: Access,
    /// The one that met it.
    pub second: Access,
    /// Why.
    pub why: Why,
    /// How often it was found.
    pub times: u64,
}

/// A race that is to be reported.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) segment: (u32, u32),
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) first: Cell,
    pub(crate) second: Cell,
    pub(crate) why: Why,
}

/// Reports a race, unless one of the same places is there already.
pub(crate) fn add(table: Table<'_>, found: &Found) {
    let Found { first, second, .. } = found;
    let kinds = (first.kind as u64) << 2 | second.kind as u64;
    // What is no race is another find than one of the same place.
    let apart = if found.why == Why::Update { 1 << 62 } else { 0 };
    let key = 1 << 63 | apart | kinds << 32 | u64::from(first.site) << 16 | u64::from(second.site);
    // Of the two, either may have come first.
    let turned = (second.kind as u64) << 2 | first.kind as u64;
    let turned = 1 << 63 | apart | turned << 32 | u64::from(second.site) << 16 | u64::from(first.site);
    for at in 0..REPORTS {
        let words = table.report(at);
        match words[KEY].compare_exchange(0, key, Relaxed, Relaxed) {
            Ok(_) => {
                words[SEGMENT].store(u64::from(found.segment.0) << 32 | u64::from(found.segment.1), Relaxed);
                words[START].store(found.start, Relaxed);
                words[END].store(found.end, Relaxed);
                words[FIRST].store(first.word(), Relaxed);
                words[SECOND].store(second.word(), Relaxed);
                words[WHY].store(found.why as u64, Relaxed);
                words[TIMES].fetch_add(1, Relaxed);
                // Release: pairs with the acquire of `races`.
                words[READY].store(1, if mutated("race_report_unreleased") { Relaxed } else { Release });
                table.word(Word::Reports).fetch_add(1, Relaxed);
                return;
            }
            Err(there) if there == key || there == turned => {
                words[TIMES].fetch_add(1, Relaxed);
                return;
            }
            Err(_) => {}
        }
    }
    table.lack(Lack::Reports);
}

impl Access {
    fn of(table: Table<'_>, cell: Cell) -> Access {
        let row = Row::of(table, cell.id);
        let frames = |site: u16| {
            site::frames(table, site).map_or_else(Vec::new, |(process, frames)| {
                frames.into_iter().map(|frame| (frame, site::module(table, process, frame.wrapping_sub(1)))).collect()
            })
        };
        let between = site::ends(table, cell.site).map(|(first, second)| (frames(first), frames(second)));
        let (who, through_import) = (row.who(), row.is_import());
        Access { who, kind: cell.kind, through_import, frames: frames(cell.site), between }
    }
}

/// Those that were found so far, in the order in which they were.
pub fn races(table: Table<'_>) -> Vec<Race> {
    let of = |at: usize| {
        let words = table.report(at);
        if acquire(&words[READY]) == 0 {
            return None;
        }
        let word = |at: usize| words[at].load(Relaxed);
        let (first, second) = (Cell::from_word(word(FIRST))?, Cell::from_word(word(SECOND))?);
        let why = match word(WHY) {
            1 => Why::Open,
            3 => Why::Unseen,
            4 => Why::Source,
            5 => Why::Update,
            _ => Why::Untold,
        };
        Some(Race {
            segment: ((word(SEGMENT) >> 32) as u32, word(SEGMENT) as u32),
            offset: word(START),
            length: word(END).saturating_sub(word(START)),
            first: Access::of(table, first),
            second: Access::of(table, second),
            why,
            times: word(TIMES),
        })
    };
    let count = (table.word(Word::Reports).load(Relaxed) as usize).min(REPORTS);
    if count == 0 { Vec::new() } else { (0..REPORTS).filter_map(of).collect() }
}

/// What was found, and how it was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// What was found.
    pub races: Vec<Race>,
    /// Processes of which calls were seen.
    pub by_calls: u64,
    /// Processes that were built to be looked at.
    pub whole: u64,
    /// Processes of which calls were seen, and what they stored into memory of their own.
    pub by_pages: u64,
    /// What there was no room for.
    pub lacks: Vec<Lack>,
}

impl Looked {
    /// What was found so far.
    pub fn at(table: Table<'_>) -> Looked {
        let all = [
            Lack::Clocks,
            Lack::Lines,
            Lack::Reports,
            Lack::Words,
            Lack::Cells,
            Lack::Copies,
            Lack::Shared,
            Lack::Kernel,
            Lack::Places,
            Lack::Modules,
        ];
        Looked {
            races: races(table),
            by_calls: table.word(Word::ByCalls).load(Relaxed),
            whole: table.word(Word::Whole).load(Relaxed),
            by_pages: table.word(Word::Pages).load(Relaxed),
            lacks: all.into_iter().filter(|&lack| table.lacks(lack)).collect(),
        }
    }
}
