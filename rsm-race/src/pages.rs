//! What owners of segments store without a call: found by comparing, and when it is sure, a race with what is put there.
//!
//! Who compares a segment with what it held a while ago finds bytes that have changed. Where there is no [mark](crate::marks) the owner has
//! stored them, after it last looked. Nobody else can have: what is put, or may be stored through a mapping, is marked before, and a
//! node of several processes is not looked at.
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
use crate::clock::Row;
use crate::marks::{COMES, Mark, NOTHING, WAITS};
use crate::place::Place;
use crate::process::Process;
use crate::report::{self, Found, Why};
use crate::site;
use crate::table::{LINE, Lack, Word};
use rsm_core::sync::{AtomicU64, Ordering, Ordering::Relaxed, fence, mutated};

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

    /// What it has stored so far is not where others put from now on: they are taken to know of it.
    pub fn exchanges_its_memory(self) {
        let told = self.row.told();
        Row::processes(self.table, None).for_each(|process| process.learn(self.row.id, told));
    }

    /// A segment of its was not copied: there is no room, or it cannot be.
    pub fn lacks_copies(self) {
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
        // Pairs with those of `begin_put_to_pages`, `deliver`, `reaches` and `reaches_part`: what was found in memory was marked
        // before, and reached. And with the Release of `begin_put_to_pages`: of a stretch that was put to the marks are found.
        if !mutated("race_look_unfenced") {
            fence(Ordering::Acquire);
        }
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
    fn is_put_to(&self, line: u64) -> bool {
        self.mark(line).is_some_and(|word| matches!(Mark(word.load(Relaxed)).state(), WAITS | COMES))
    }

    /// A line was compared since all had arrived that a mark stands for.
    pub fn forget(&self, line: u64, mark: Mark) {
        if let Some(word) = self.mark(line) {
            // Not one that was made since. Relaxed: this process alone relies on it.
            let _ = word.compare_exchange(mark.0, NOTHING, Relaxed, Relaxed);
        }
    }

    /// Goes through lines to which something was put: `follow` loads one once more, and compares with that from then on, when all
    /// is there. Whether there are some of which it is not known.
    pub fn settle(&self, lines: impl Iterator<Item = u64>, mut follow: impl FnMut(u64)) -> bool {
        let mut comes = false;
        for line in lines {
            let Some(word) = self.mark(line) else { continue };
            let mark = Mark(word.load(Relaxed));
            if mark.state() == COMES && mark.has_arrived(self.process.table) {
                follow(line);
                self.forget(line, mark);
                comes |= self.is_put_to(line);
            } else {
                comes |= matches!(mark.state(), WAITS | COMES);
            }
        }
        comes
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
        let Some(put) = self.unordered_put(cells, mark, bytes) else { return };
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
    fn unordered_put(&self, cells: &[AtomicU64], mark: Mark, bytes: u8) -> Option<Cell> {
        let (table, owner, import) = (self.process.table, self.process.row, mark.import());
        let row = Row::of(table, import);
        // Not one that was over before what waits was put, whose cell is not there yet.
        let is_new = |cell: &Cell| cell.clock >= mark.epoch() && cell.clock > owner.knows(import);
        let is_of =
            |cell: &Cell| cell.id == import && cell.kind == Kind::Write && cell.bytes & bytes != 0 && is_new(cell);
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

#[cfg(all(test, not(rsm_loom)))]
mod tests;
