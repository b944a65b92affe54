//! Marks: at each line to which something was put, of which the owner of the memory does not know yet what became.
//!
//! Whoever puts something somewhere marks the lines before it does. A mark goes when all that it stands for has arrived, which the end of
//! a span tells, and the owner has looked at the line since ([`crate::pages`]). What others reach by themselves is marked for good.

use crate::clock::{ARRIVED, GOING, LATE, Row};
use crate::node::Node;
use crate::place::{self, NO_LINES, Place};
use crate::process::Process;
use crate::table::{LINE, STRETCH, Table};
use rsm_core::sync::{Ordering, Ordering::Relaxed, acquire, fence, mutated};
use std::ops::Range;

/// What was last put to a line, of which the owner does not know yet what became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub(crate) u64);

// What a mark says, in its low bits; above them an epoch, and the import that it is of.
pub(crate) const NOTHING: u64 = 0;
/// It was posted, and nothing of it is there yet.
pub(crate) const WAITS: u64 = 1;
/// It may be there, or not, or in part.
pub(crate) const COMES: u64 = 2;
/// So it is with what several imports put, for good.
const MIXED: u64 = 3;
const STATE: u64 = 3;
const EPOCH: u32 = 8;
/// Bytes of which the lines are marked one by one when they are mapped.
const MOST_MARKED: u64 = 64 << 20;
const IMPORT: u32 = 56;

impl Mark {
    fn new(state: u64, import: usize, epoch: u64) -> Mark {
        Mark((import as u64) << IMPORT | (epoch << EPOCH & ((1 << IMPORT) - 1)) | state)
    }

    pub(crate) fn state(self) -> u64 {
        self.0 & STATE
    }

    pub(crate) fn import(self) -> usize {
        (self.0 >> IMPORT) as usize
    }

    pub(crate) fn epoch(self) -> u64 {
        (self.0 & ((1 << IMPORT) - 1)) >> EPOCH
    }

    /// Whether all that it stands for is there.
    pub(crate) fn has_arrived(self, table: Table<'_>) -> bool {
        // Acquire: pairs with the Release of `Process::has_arrived`; then what was put is found in memory.
        acquire(Row::of(table, self.import()).word(ARRIVED)) >= self.epoch()
    }

    /// What stands there when something is put to the line after this; `None`: the same.
    fn after(self, table: Table<'_>, next: Mark) -> Option<Mark> {
        let comes = Mark::new(COMES, next.import(), next.epoch());
        match self.state() {
            NOTHING => Some(next),
            MIXED => None,
            WAITS if self.import() == next.import() => Some(next),
            _ if self.import() == next.import() || self.has_arrived(table) => Some(comes),
            _ => Some(Mark(MIXED)),
        }
    }
}

/// Lines of a segment whose marks are looked at, of those that some bytes lie in; none where the owner tells what it stores.
fn marked(table: Table<'_>, place: Place, offset: u64, length: u64) -> Range<u64> {
    if Node::of(table, place.node).is_whole() { 0..0 } else { lines(place, offset, length) }
}

/// Lines of a segment that some bytes lie in, counted as the table does; none where there is no room for them.
fn lines(place: Place, offset: u64, length: u64) -> Range<u64> {
    let line = |line: u64| place.lines.saturating_add(line);
    line(offset / LINE)..line((offset + length).div_ceil(LINE))
}

/// One line of each stretch that these lie in.
fn stretches(lines: Range<u64>) -> impl Iterator<Item = u64> {
    let first = lines.start / STRETCH as u64 * STRETCH as u64;
    (first..lines.end).step_by(STRETCH)
}

/// Something that was posted is about to be delivered to these bytes.
pub fn deliver(table: Table<'_>, place: Place, offset: u64, length: u64) {
    for word in marked(table, place, offset, length).filter_map(|line| table.mark(line)) {
        let comes = |now: u64| {
            let now = Mark(now);
            (now.state() == WAITS).then(|| Mark::new(COMES, now.import(), now.epoch()).0)
        };
        let _ = word.fetch_update(Relaxed, Relaxed, comes);
    }
    // Pairs with the fence of `Stores::begin`: who finds what is delivered finds the marks.
    if !mutated("race_deliver_unfenced") {
        fence(Ordering::Release);
    }
}

/// Imports of which everything up to an epoch will have arrived when a span has come to its end.
#[derive(Debug, Default)]
pub struct Closing(Vec<(usize, u64)>);

impl Process<'_> {
    /// It reaches memory of a node by itself from now on.
    pub fn reaches(self, node: u32) {
        Node::of(self.table, node).is_reached_from_now_on();
        // Pairs with the fence of `Stores::begin`: who finds what is stored there finds that it may be.
        if !mutated("race_reached_unfenced") {
            fence(Ordering::Release);
        }
    }

    /// The same for these bytes of a segment of it.
    pub fn reaches_part(self, place: Place, offset: u64, length: u64) {
        self.shares_its_memory();
        if place.lines == NO_LINES || length > MOST_MARKED {
            return self.reaches(place.node);
        }
        let marks = lines(place, offset, length).filter_map(|line| self.table.mark(line));
        marks.for_each(|mark| mark.store(MIXED, Relaxed));
        // As in `reaches`.
        if !mutated("race_reached_unfenced") {
            fence(Ordering::Release);
        }
    }

    /// Something is about to be put through an import, before [`put`](Self::put) is told so. `waits`: it is posted, and what
    /// becomes of it is told to [`deliver`].
    pub fn begin_put_to_pages(self, import: usize, range: place::Range, waits: bool, settled: bool) {
        let row = Row::of(self.table, import);
        row.word(GOING).fetch_add(1, Relaxed);
        // Pairs with the fence of `begin_close`: it finds that this goes on, or this finds the epoch that comes after it.
        if !mutated("race_put_begins_unfenced") {
            fence(Ordering::SeqCst);
        }
        let epoch = row.clock();
        if !settled {
            row.word(LATE).fetch_max(epoch, Relaxed);
        }
        let mark = Mark::new(if waits { WAITS } else { COMES }, import, epoch);
        let place::Range { place, offset, length, .. } = range;
        let lines = marked(self.table, place, offset, length);
        for word in lines.clone().filter_map(|line| self.table.mark(line)) {
            let next = |now: u64| Mark(now).after(self.table, mark).map(|mark| mark.0);
            let _ = word.fetch_update(Relaxed, Relaxed, next);
        }
        // Release: pairs with the fence of `Stores::begin`, by who has taken it. By a read-modify-write, so that it is not hidden by
        // that of another one who puts to the stretch, which may be the one that is taken.
        let put_to = stretches(lines).filter_map(|line| self.table.stretch(line));
        put_to.for_each(|word| {
            if mutated("race_stretch_stored") {
                word.store(1, Ordering::Release);
            } else {
                word.swap(1, if mutated("race_stretch_unreleased") { Relaxed } else { Ordering::Release });
            }
        });
        // Pairs with the fence of `Stores::begin`: who finds what is put finds the marks. A full one, as it may be put past the caches.
        if !mutated("race_mark_unfenced") {
            fence(Ordering::SeqCst);
        }
    }

    /// Stretches of a segment of so many bytes, counted from its start, in which something was put since this was last asked, or
    /// is about to be: by one who looks next, and [begins](crate::pages::Stores::begin) then. What is found too late here is found
    /// the next time.
    pub fn stretches_put_to(self, place: Place, bytes: u64) -> Vec<usize> {
        let first = stretches(lines(place, 0, bytes));
        let was_put_to = |(at, line): (usize, u64)| {
            let word = self.table.stretch(line).filter(|word| word.load(Relaxed) != 0)?;
            // Relaxed: the fence of `Stores::begin` comes next. By a read-modify-write: what is put after what is found here says so
            // once more.
            word.swap(0, Relaxed);
            Some(at)
        };
        first.enumerate().filter_map(was_put_to).collect()
    }

    /// It was put. `settled`: in a span of its own, which has come to a good end.
    pub fn end_put_to_pages(self, import: usize, settled: bool) {
        let row = Row::of(self.table, import);
        // What was put is there, as far as it is not posted, before others find that this is over. Pairs with the fence of
        // `begin_close`.
        if !mutated("race_put_ends_unfenced") {
            fence(Ordering::SeqCst);
        }
        row.word(GOING).fetch_sub(1, Relaxed);
        if !settled {
            return;
        }
        let sealed = self.seal(row);
        // Not where the same import has posted something: that it came before is not known here. What is part of what was sealed
        // has said so before.
        if row.word(LATE).load(Relaxed) <= row.word(ARRIVED).load(Relaxed) {
            self.end_close(&Closing(sealed.into_iter().collect()));
        }
    }

    /// The last epoch of an import of which everything was put, if that is sure; what is put from now on is of later ones.
    fn seal(self, row: Row<'_>) -> Option<(usize, u64)> {
        let epoch = row.clock();
        let used = row.is_used(epoch);
        if used {
            row.step();
        }
        // Pairs with the fences of `begin_put_to_pages` and `end_put_to_pages`.
        if !mutated("race_seal_unfenced") {
            fence(Ordering::SeqCst);
        }
        let upto = if used { epoch } else { epoch - 1 };
        // Acquire: pairs with the last fence of `end_put_to_pages`; the end of the span is known to who knows of its puts.
        (acquire(row.word(GOING)) == 0).then_some((row.id, upto))
    }

    /// The end of a span is about to be waited for.
    pub fn begin_close(self, import: usize, at_node: bool) -> Closing {
        let row = Row::of(self.table, import);
        let siblings = self.row.leader().imports(Some(row.target())).filter(|sibling| at_node || sibling.id == import);
        Closing(siblings.filter_map(|sibling| self.seal(sibling)).collect())
    }

    /// It has come to a good end.
    pub fn end_close(self, closing: &Closing) {
        for &(import, epoch) in &closing.0 {
            // Release: pairs with the acquire of `Mark::has_arrived`.
            let release = if mutated("race_arrived_unreleased") { Relaxed } else { Ordering::Release };
            Row::of(self.table, import).word(ARRIVED).fetch_max(epoch, release);
        }
    }
}
