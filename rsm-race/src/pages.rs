//! What owners of segments store without a call: found by comparing, and when it is sure, a race with what is put there.
//!
//! Who compares a segment with what it held a while ago finds bytes that have changed. Whoever puts something there *marks* the
//! lines before it does, and a mark goes only when everything that was put to the line has arrived and the owner has compared
//! it since. So what has changed where there is no mark the owner has stored, after it last looked. Nobody else can have: what
//! others may store to through a mapping is marked for good, and a node of several processes is not looked at. Whoever puts also says in
//! which stretches, so that the owner finds marks without looking for them everywhere.
//!
//! When between two looks the store was made is not known, nor what it was told. Each doubt is for the program:
//!
//! * Whoever learned anything of the owner since the look before the store ([`Process::begin_interval`]) is taken to have learned
//!   of it. Left is a put by somebody who cannot have.
//! * What the owner may have found in its memory it is taken to have found, and to have stored after it. Left is a put that
//!   was begun after the look that found the store; or of which nothing had been delivered by then, as a lens tells.
//!
//! A store that is found this way may have been one of a word, and words may be stored while others load them or store other
//! parts. So it is no race with a get, nor with a word that is put.

use crate::cell::{BENIGN, Cell, Kind};
use crate::clock::{ARRIVED, GOING, LATE, Row};
use crate::node::Node;
use crate::place::{self, NO_LINES, Place};
use crate::process::Process;
use crate::report::{self, Found, Why};
use crate::site;
use crate::table::{LINE, Lack, STRETCH, Table, Word};
use rsm_core::sync::{AtomicU64, Ordering, Ordering::Relaxed, acquire, fence};
use std::ops::Range;

/// What was last put to a line, of which the owner does not know yet what became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(u64);

// What a mark says, in its low bits; above them an epoch, and the import that it is of.
const NOTHING: u64 = 0;
/// It was posted, and nothing of it is there yet.
const WAITS: u64 = 1;
/// It may be there, or not, or in part.
const COMES: u64 = 2;
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

    fn state(self) -> u64 {
        self.0 & STATE
    }

    fn import(self) -> usize {
        (self.0 >> IMPORT) as usize
    }

    fn epoch(self) -> u64 {
        (self.0 & ((1 << IMPORT) - 1)) >> EPOCH
    }

    /// Whether all that it stands for is there.
    fn has_arrived(self, table: Table<'_>) -> bool {
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
    for word in lines(place, offset, length).filter_map(|line| table.mark(line)) {
        let comes = |now: u64| {
            let now = Mark(now);
            (now.state() == WAITS).then(|| Mark::new(COMES, now.import(), now.epoch()).0)
        };
        let _ = word.fetch_update(Relaxed, Relaxed, comes);
    }
    // Pairs with the fence of `Stores::begin`: who finds what is delivered finds the marks.
    fence(Ordering::Release);
}

/// Imports of which everything up to an epoch will have arrived when a span has come to its end.
#[derive(Debug, Default)]
pub struct Closing(Vec<(usize, u64)>);

impl<'a> Process<'a> {
    /// What it stores into its own memory is looked for from now on.
    pub fn look_at_pages(self) {
        self.row.look_at_pages();
        self.table.word(Word::Pages).fetch_add(1, Relaxed);
    }

    /// Whether what changes in memory of its node is either put there or its own doing, all of which is hidden.
    pub fn is_alone_with_its_memory(self) -> bool {
        let node = self.node();
        !self.row.is_whole() && !node.has_several() && !node.was_reached()
    }

    /// A time begins of which nobody has learned yet: gives its name. What is stored in it is known at most to who learns of
    /// this process from now on.
    pub fn begin_interval(self) -> u64 {
        let now = self.row.now();
        // Whoever learns of what is stored from here on finds the clock that stands now: it is told by a store, or a call, that
        // comes after this fence. Pairs with that of `Process::enter`.
        fence(Ordering::SeqCst);
        now
    }

    /// The number of a time between two places in its program.
    pub fn between(self, first: u16, second: u16) -> u16 {
        site::between(self.table, self.row.leader().id, first, second)
    }

    /// It reaches memory of a node by itself from now on.
    pub fn reaches(self, node: u32) {
        Node::of(self.table, node).is_reached_from_now_on();
        // Pairs with the fence of `Stores::begin`: who finds what is stored there finds that it may be.
        fence(Ordering::Release);
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
        fence(Ordering::Release);
    }

    /// There is no room for a copy of a segment of its.
    pub fn lacks_room_for_copies(self) {
        self.table.lack(Lack::Copies);
    }

    /// They are compared whole, which takes long: the kernel does not tell what was stored to.
    pub fn compares_seldom(self) {
        self.table.lack(Lack::Kernel);
    }

    /// What changes in its segments may be the doing of others: it is not looked at.
    pub fn shares_its_memory(self) {
        self.table.lack(Lack::Shared);
    }

    /// Learns what it may have been told so far.
    pub fn hears_of_all(self) {
        self.enter();
    }

    /// Whether it was built to be looked at.
    pub fn is_whole(self) -> bool {
        self.row.is_whole()
    }

    /// Something is about to be put through an import, before [`put`](Self::put) is told so. `waits`: it is posted, and what
    /// becomes of it is told to [`deliver`].
    pub fn begin_put_to_pages(self, import: usize, range: place::Range, waits: bool, settled: bool) {
        let row = Row::of(self.table, import);
        row.word(GOING).fetch_add(1, Relaxed);
        // Pairs with the fence of `begin_close`: it finds that this goes on, or this finds the epoch that comes after it.
        fence(Ordering::SeqCst);
        let epoch = row.clock();
        if !settled {
            row.word(LATE).fetch_max(epoch, Relaxed);
        }
        let mark = Mark::new(if waits { WAITS } else { COMES }, import, epoch);
        let place::Range { place, offset, length, .. } = range;
        for word in lines(place, offset, length).filter_map(|line| self.table.mark(line)) {
            let next = |now: u64| Mark(now).after(self.table, mark).map(|mark| mark.0);
            let _ = word.fetch_update(Relaxed, Relaxed, next);
        }
        // Release: pairs with the Acquire of `stretches_put_to`.
        let put_to = stretches(lines(place, offset, length)).filter_map(|line| self.table.stretch(line));
        put_to.for_each(|word| word.store(1, Ordering::Release));
        // Pairs with the fences of `Stores::begin` and `stretches_put_to`: who finds what is put finds the marks. A full one, as it
        // may be put past the caches.
        fence(Ordering::SeqCst);
    }

    /// Stretches of a segment of so many bytes, counted from its start, in which something was put since this was last asked, or
    /// is about to be: by one who looks next.
    pub fn stretches_put_to(self, place: Place, bytes: u64) -> Vec<usize> {
        let first = stretches(lines(place, 0, bytes));
        let was_put_to = |(at, line): (usize, u64)| {
            let word = self.table.stretch(line).filter(|word| word.load(Relaxed) != 0)?;
            // Acquire: pairs with the Release of `begin_put_to_pages`; then its marks are found.
            word.swap(0, Ordering::Acquire);
            Some(at)
        };
        let all = first.enumerate().filter_map(was_put_to).collect();
        // Pairs with the fence of `begin_put_to_pages`: what is put after this says so once more.
        fence(Ordering::SeqCst);
        all
    }

    /// It was put. `settled`: in a span of its own, which has come to a good end.
    pub fn end_put_to_pages(self, import: usize, settled: bool) {
        let row = Row::of(self.table, import);
        // What was put is there, as far as it is not posted, before others find that this is over. Pairs with the fence of
        // `begin_close`.
        fence(Ordering::SeqCst);
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
        fence(Ordering::SeqCst);
        let upto = if used { epoch } else { epoch - 1 };
        (row.word(GOING).load(Relaxed) == 0).then_some((row.id, upto))
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
            Row::of(self.table, import).word(ARRIVED).fetch_max(epoch, Ordering::Release);
        }
    }
}

/// Who has changed a line, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The owner: what it holds now is to be compared with from now on, and [`Stores::add`] to be told.
    Owner(Mark),
    /// Somebody else, which is over: it is to be loaded once more and compared with that, and then [`Stores::forget`] to be told.
    Others(Mark),
    /// Somebody who may still be about it: it is to be compared with what it was compared with before.
    Unknown,
}

/// What the owner of a segment has stored in a time between two looks.
#[derive(Debug)]
pub struct Stores<'a> {
    process: Process<'a>,
    place: Place,
    /// The name of the time, and the number of what it lies between.
    since: u64,
    site: u16,
    /// A put of which nothing had come yet, and which of its bytes so far.
    run: Option<Found>,
}

impl<'a> Stores<'a> {
    /// After a segment was compared: what has changed there since a time began. `None`: it may be anybody's doing.
    pub fn begin(process: Process<'a>, place: Place, since: u64, site: u16) -> Option<Stores<'a>> {
        // Pairs with those of `begin_put_to_pages`, `deliver`, `reaches` and `reaches_part`: what was found in memory was marked before, and
        // reached.
        fence(Ordering::Acquire);
        process.is_alone_with_its_memory().then_some(Stores { process, place, since, site, run: None })
    }

    fn mark(&self, line: u64) -> Option<&'a AtomicU64> {
        self.process.table.mark(self.place.lines.saturating_add(line))
    }

    /// Who has changed a line, counted from the start of the segment.
    pub fn by(&self, line: u64) -> By {
        let Some(word) = self.mark(line) else { return By::Unknown };
        let mark = Mark(word.load(Relaxed));
        match mark.state() {
            NOTHING | WAITS => By::Owner(mark),
            COMES if mark.has_arrived(self.process.table) => By::Others(mark),
            _ => By::Unknown,
        }
    }

    /// Whether something is put to a line, and not known to be all there.
    pub fn is_put_to(&self, line: u64) -> bool {
        self.mark(line).is_some_and(|word| matches!(Mark(word.load(Relaxed)).state(), WAITS | COMES))
    }

    /// A line was compared since all had arrived that a mark stands for.
    pub fn forget(&self, line: u64, mark: Mark) {
        if let Some(word) = self.mark(line) {
            // Not one that was made since. Relaxed: this process alone relies on it.
            let _ = word.compare_exchange(mark.0, NOTHING, Relaxed, Relaxed);
        }
    }

    /// The owner has stored these bytes of a line, whose mark was this.
    pub fn add(&mut self, line: u64, bytes: u8, mark: Mark) {
        let table = self.process.table;
        let Some(cells) = table.line(self.place.lines.saturating_add(line)) else { return };
        let stored = Cell { id: self.process.row.id, clock: self.since, site: self.site, kind: Kind::Store, bytes };
        if cells[0].load(Relaxed) == BENIGN {
            return;
        }
        leave(cells, stored);
        if mark.state() != WAITS {
            return;
        }
        let Some(put) = self.unordered_put(cells, mark.import(), bytes) else { return };
        let both = bytes & put.bytes;
        let start = line * LINE + u64::from(both.trailing_zeros());
        let end = (line + 1) * LINE - u64::from(both.leading_zeros());
        match &mut self.run {
            Some(found) if (found.first.id, found.first.site, found.end) == (put.id, put.site, start) => {
                found.end = end;
            }
            _ => {
                let is_open = Row::of(table, put.id).clock() == put.clock;
                let why = if is_open { Why::Open } else { Why::Untold };
                let segment = (self.place.node, self.place.id);
                self.report(Some(Found { segment, start, end, first: put, second: stored, why }));
            }
        }
    }

    /// A put through an import to these bytes, of which nothing has come: whether the owner was told that it was made, and who
    /// made it anything of the owner.
    fn unordered_put(&self, cells: &[AtomicU64], import: usize, bytes: u8) -> Option<Cell> {
        let (table, owner) = (self.process.table, self.process.row);
        let row = Row::of(table, import);
        let is_of = |cell: &Cell| {
            cell.id == import && cell.kind == Kind::Write && cell.bytes & bytes != 0 && cell.clock > owner.knows(import)
        };
        let put = cells.iter().filter_map(|word| Cell::from_word(word.load(Relaxed))).find(is_of)?;
        let is_other = row.is_import() && row.node() != owner.node();
        let has_learned = || row.leader().threads().any(|thread| thread.knows(owner.id) >= self.since);
        (is_other && !has_learned()).then_some(put)
    }

    fn report(&mut self, next: Option<Found>) {
        let found = std::mem::replace(&mut self.run, next);
        if let Some(found) = found.filter(|_| !self.process.table.lacks(Lack::Clocks)) {
            report::add(self.process.table, &found);
        }
    }

    /// That was all.
    pub fn end(mut self) {
        self.report(None);
    }
}

/// Leaves a store at a line, if there is room: nothing that others left there goes for it.
fn leave(cells: &[AtomicU64], stored: Cell) {
    let found: Vec<u64> = cells.iter().map(|word| word.load(Relaxed)).collect();
    let own = |word: &u64| Cell::from_word(*word).is_some_and(|cell| (cell.id, cell.kind) == (stored.id, Kind::Store));
    // One that is older: who knows of this one knows of that one. What else it had is forgotten.
    let at = found.iter().position(own).or_else(|| found.iter().position(|word| *word == 0));
    if let Some(at) = at {
        // What another one leaves there at the same time stays.
        let _ = cells[at].compare_exchange(found[at], stored.word(), Relaxed, Relaxed);
    }
}

#[cfg(test)]
mod tests;
