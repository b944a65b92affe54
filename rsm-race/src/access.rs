//! Meeting the accesses that were there before.

use crate::cell::{BENIGN, Cell, Kind, bytes_of};
use crate::clock::Row;
use crate::node::Node;
use crate::place::Place;
use crate::report::{self, Found, Why};
use crate::table::{HIDDEN, LINE, Lack, Table};
use crate::words::{History, Stored};
use rsm_core::sync::{AtomicU64, Ordering::Relaxed, mutated};

/// So often is a line looked at while others change it. Then a cell that is not left counts as one that there was no room for.
const TRIES: usize = 8;

/// An access that is being made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access<'a> {
    pub(crate) table: Table<'a>,
    /// The process that makes it.
    pub(crate) process: Row<'a>,
    /// Who carries it out, and when: the process, or an import.
    pub(crate) id: usize,
    pub(crate) clock: u64,
    pub(crate) kind: Kind,
    pub(crate) site: u16,
    pub(crate) place: Place,
    /// In bytes of the segment.
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// Whether somebody may do with that memory what nobody sees.
    pub(crate) hidden: bool,
}

impl<'a> Access<'a> {
    fn cell(&self, bytes: u8) -> Cell {
        Cell { id: self.id, clock: self.clock, site: self.site, kind: self.kind, bytes }
    }

    /// Whether the process knows of an access, or makes no difference between who made it and itself.
    fn knows(&self, cell: &Cell) -> bool {
        cell.clock <= self.process.knows(cell.id) || self.is_as_one(Row::of(self.table, cell.id), cell.clock)
    }

    /// Whether who made an access is of the same node, and what was told between the two does not matter.
    fn is_as_one(&self, by: Row<'_>, clock: u64) -> bool {
        let node = self.process.node();
        if by.node() != node {
            return false;
        }
        if !Node::of(self.table, node).is_apart() {
            return true;
        }
        if !by.is_import() {
            return by.id == self.process.id;
        }
        // Another thread has put it, or it is not known who.
        let Some((thread, first)) = by.put_by(clock).filter(|(thread, _)| *thread != self.process.id) else {
            return true;
        };
        let mine = Row::of(self.table, self.id);
        let puts = mine.is_import() && self.kind.writes();
        let is_in_order = puts && mine.target() == by.target() && clock <= by.ordered().1;
        // One that comes after it in the order of threads may still overtake it, as a put that goes another way.
        is_in_order || (!puts && first <= self.process.knows(thread))
    }

    /// Whether it is sure that nobody told the process of a store without a call: who could have seen it, or may have been told
    /// by one who has.
    fn is_certain(&self, hidden_at: Option<u64>) -> bool {
        !self.hidden || hidden_at.is_some_and(|at| self.process.knows(HIDDEN) < at)
    }

    /// Whether nobody wants to hear of races at all that it touches.
    pub(crate) fn is_benign(&self) -> bool {
        let mut lines = self.start / LINE..(self.start + self.length).div_ceil(LINE);
        lines.all(|line| {
            let cells = self.table.line(self.place.lines.saturating_add(line));
            cells.is_some_and(|cells| cells[0].load(Relaxed) == BENIGN)
        })
    }

    /// Looks who was there, reports whom nothing orders with this, and writes it down.
    pub(crate) fn meet(&self) {
        let mut run: Option<Found> = None;
        let end = self.start + self.length;
        let mut at = self.start & !(LINE - 1);
        while at < end {
            if let Some(cells) = self.table.line(self.place.lines.saturating_add(at / LINE)) {
                let bytes = bytes_of(at, self.start, self.length);
                if let Some(first) = self.meet_line(cells, bytes) {
                    let both = bytes & first.bytes;
                    let from = at + u64::from(both.trailing_zeros());
                    let to = from + u64::from((both >> both.trailing_zeros()).trailing_ones());
                    match &mut run {
                        Some(found) if found.first.is_alike(first) => {
                            // Of what does not follow it would be the same report.
                            if found.end == from {
                                found.end = to;
                            }
                        }
                        _ => {
                            let found = self.found(first, (from, to));
                            self.report(run.replace(found));
                        }
                    }
                }
            }
            at += LINE;
        }
        self.report(run);
    }

    fn found(&self, first: Cell, (start, end): (u64, u64)) -> Found {
        let row = Row::of(self.table, first.id);
        let is_open = row.is_import() && first.kind.writes() && row.clock() == first.clock;
        let why = if is_open { Why::Open } else { Why::Untold };
        let segment = (self.place.node, self.place.id);
        Found { segment, start, end, first, second: self.cell(0xff), why }
    }

    fn report(&self, found: Option<Found>) {
        if let Some(found) = found.filter(|_| !self.table.lacks(Lack::Clocks)) {
            report::add(self.table, &found);
        }
    }

    /// One of those that were at a line which nothing orders with this. Leaves this there.
    fn meet_line(&self, cells: &[AtomicU64], bytes: u8) -> Option<Cell> {
        let mut race = None;
        for _ in 0..TRIES {
            if self.try_line(cells, bytes, &mut race) {
                return race;
            }
        }
        self.table.lack(Lack::Cells);
        race
    }

    /// Likewise; whether nobody else was there at the same time, whose cell would be lost.
    fn try_line(&self, cells: &[AtomicU64], bytes: u8, race: &mut Option<Cell>) -> bool {
        let mine = self.cell(bytes).word();
        let (mut place, mut known) = (None, None);
        for (index, word) in cells.iter().enumerate() {
            let now = word.load(Relaxed);
            if now == mine {
                return true;
            }
            if now == BENIGN {
                *race = None;
                return true;
            }
            let Some(there) = Cell::from_word(now) else {
                place = place.or(Some((index, now)));
                continue;
            };
            let is_alike = there.kind == self.kind || (there.kind, self.kind) == (Kind::Told, Kind::Store);
            if there.id == self.id && is_alike && there.bytes & !bytes == 0 {
                // An earlier one of the same: this stands for both.
                place = Some((index, now));
                continue;
            }
            if self.knows(&there) {
                if self.kind.writes() && there.bytes & !bytes == 0 {
                    // Whoever knows of this one knows of that one.
                    if !self.leave(cells, index, (now, 0), bytes) {
                        return false;
                    }
                    place = place.or(Some((index, 0)));
                } else {
                    known = known.or(Some((index, now)));
                }
                continue;
            }
            let is_next = race.as_ref().is_none_or(|race| race.is_alike(there));
            if there.bytes & bytes != 0 && is_next && self.kind.conflicts(there.kind) {
                let row = Row::of(self.table, there.id);
                // Of what was found in pages, who may have been told of it counts as told (`pages`).
                let is_sure = !there.kind.writes() || row.is_looked_at_by_pages();
                if is_sure || self.is_certain(row.hidden_at(there.clock)) {
                    race.get_or_insert(there).bytes |= there.bytes;
                }
            }
        }
        let (index, now) = place.or(known).unwrap_or_else(|| {
            self.table.lack(Lack::Cells);
            let index = (mine >> 10 ^ mine >> 26) as usize % cells.len();
            (index, cells[index].load(Relaxed))
        });
        self.leave(cells, index, (now, mine), bytes)
    }

    /// Leaves a word at a line in place of what was there, if that is still so. A word that somebody else stores there meanwhile
    /// may have told something, which has to be found. Who writes all of a line by itself needs not ask: whoever is there at the
    /// same time races with it. But for the first place, where it may have been said meanwhile that nobody wants to hear of that.
    fn leave(&self, cells: &[AtomicU64], index: usize, (now, new): (u64, u64), bytes: u8) -> bool {
        let word = &cells[index];
        let is_alone = self.kind == Kind::Write && bytes == 0xff && index > 0;
        if is_alone || mutated("race_cell_stored_blindly") {
            word.store(new, Relaxed);
            return true;
        }
        word.compare_exchange(now, new, Relaxed, Relaxed).is_ok()
    }

    /// A word is about to be stored: looks which other stores of it the process cannot know of, which the one that comes last
    /// would undo.
    pub(crate) fn meet_stores(&self, history: History<'_>, value: u64) {
        if self.is_benign() {
            return;
        }
        let seen = history.seen(self.process.node());
        for (number, stored) in history.all() {
            if seen.number >= number {
                return;
            }
            let first = Cell { id: stored.id, clock: stored.clock, site: stored.site, kind: Kind::Store, bytes: 0xff };
            // Nothing is lost where an update is undone: who made it was told what it took. Nor is it known of what is not known.
            // Threads of a node may store to a word as they like.
            let is_of_node = Row::of(self.table, stored.id).node() == self.process.node();
            if stored.value == value || !stored.alone || is_of_node || self.knows(&first) {
                continue;
            }
            // What a load returned that was older says that it had not come, unless something was learned since.
            let is_unseen = seen.number > 0 && seen.hidden == self.process.knows(HIDDEN);
            let is_sure = is_unseen || self.is_certain(Some(stored.hidden));
            if is_sure {
                let found = self.found(first, (self.start, self.start + self.length));
                self.report(Some(Found { why: Why::Unseen, ..found }));
                return;
            }
        }
    }

    /// The process has loaded what this store stored: it is there, and none of those who will be told of that have to ask. By
    /// what was told with it others may learn yet.
    pub(crate) fn was_seen(&self, stored: &Stored) {
        let line = self.place.lines.saturating_add(self.start / LINE);
        for word in self.table.line(line).into_iter().flatten() {
            let of = |there: &Cell| there.kind == Kind::Store && there.id == stored.id && there.clock <= stored.clock;
            let told = |now| Some(Cell { kind: Kind::Told, ..Cell::from_word(now).filter(of)? }.word());
            let _ = word.fetch_update(Relaxed, Relaxed, told);
        }
    }
}
