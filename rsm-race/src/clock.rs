//! Clocks: of processes, and of imports, which carry out what is put through them.
//!
//! The clock of a process steps when it has told others something, so that they can tell what it does from then on from what
//! it had done. That of an import steps with every barrier: what is put through it has the clock of its *epoch*. What a
//! process knows of all clocks is its *vector*; that of an import's epoch is there once the epoch was closed.

use crate::cell::LAST_CLOCK;
use crate::table::{HIDDEN, IDS, Lack, MODELLED, NODES, ROW, SNAPSHOTS, Table, Word};
use rsm_core::sync::{AtomicU64, Ordering, Ordering::Relaxed, acquire, fence, mutated};

// Words of a row.
const OWNER: usize = 0;
const MEMBERSHIP: usize = 1;
const FLAGS: usize = 2;
const CLOCK: usize = 3;
/// Of an import: its epochs up to this come before what is put through it from now on.
const ORDERED: usize = 4;
/// And before what is put through any import of the process to the same node.
const ORDERED_AT_NODE: usize = 5;
/// Of a process: ends of others that it has learned of.
const ENDS_SEEN: usize = 6;
/// Of a process: clocks as they were that it has written down, and whether it has learned anything since.
const SNAPSHOTS_MADE: usize = 7;
const LEARNED: usize = 8;
/// Of a process: how many of its threads are learning something right now.
const LEARNING: usize = 11;
/// Of a process: what its clock said when others last learned it.
const TOLD: usize = 9;
/// Of a thread that has a clock of its own: the name of its process's; 0 for a process.
const LEADER: usize = 10;
/// Of an import, where pages are looked at ([`crate::marks`]): puts that are being made; the last epoch of which all has
/// arrived; the last one in which something was put that need not have arrived when the call returned.
pub(crate) const GOING: usize = 12;
pub(crate) const ARRIVED: usize = 13;
pub(crate) const LATE: usize = 14;
/// Of an import: the last epoch in which a word was put.
const WORD_IN: usize = 15;
const VECTOR: usize = 16;
/// Of an import: what the clock of what is hidden would say next when something was first put in an epoch.
const HIDDEN_AT: usize = VECTOR + IDS;
const EPOCHS_KEPT: usize = if MODELLED { 2 } else { 256 };
/// Of an import: which thread put something in an epoch, and when first; or that several did.
const BY: usize = HIDDEN_AT + EPOCHS_KEPT;
const SEVERAL: u64 = 0xff;
const _: () = assert!(BY + EPOCHS_KEPT <= ROW);

// What an owner's word is made of: a kind above, a node, and a process id or, of an import, the clock of its process.
const KIND: u32 = 56;
const PROCESS: u64 = 1;
const IMPORT: u64 = 2;
/// An import that has ended: its process may have another one in its place.
const FREE: u64 = 3;
const AT: u32 = 48;
/// Of an import: the node that it is from.
const TARGET: u32 = 40;

/// It was built to be looked at: everything that it does is seen.
const WHOLE: u64 = 1;
/// It has ended.
const ENDED: u64 = 2;
/// A thread that has ended: its process may have another one in its place.
const SPARE: u64 = 4;
/// What it stores into its own memory is looked for.
const PAGED: u64 = 8;
/// It may see that there is a signal without taking it.
const POLLS: u64 = 16;
/// It may tell others whatever it does, and whenever, by what is not seen.
const LEAKS: u64 = 32;

/// One who has a clock, and what is known of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    table: Table<'a>,
    pub(crate) id: usize,
    words: &'a [AtomicU64],
}

/// Who somebody with a clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The node.
    pub node: u32,
    /// The process id.
    pub pid: u32,
}

/// How many names of clocks have been given.
pub(crate) fn count(table: Table<'_>) -> usize {
    (table.word(Word::Ids).load(Relaxed) as usize).min(HIDDEN - 1)
}

/// A name for a clock of this owner, if there is one left.
fn name(table: Table<'_>, owner: u64) -> Option<Row<'_>> {
    name_below(table, owner, HIDDEN).or_else(|| {
        table.lack(Lack::Clocks);
        None
    })
}

/// The same, of the names below this one. Nothing is taken where there is none.
fn name_below(table: Table<'_>, owner: u64, limit: usize) -> Option<Row<'_>> {
    // Stays at the end: it would come to others again.
    let next = table.word(Word::Ids).fetch_update(Relaxed, Relaxed, |ids| (ids + 1 < limit as u64).then_some(ids + 1));
    let before = next.ok()?;
    let row = Row::of(table, before as usize + 1);
    row.words[CLOCK].store(1, Relaxed);
    row.words[OWNER].store(owner, Relaxed);
    Some(row)
}

impl<'a> Row<'a> {
    pub(crate) fn of(table: Table<'a>, id: usize) -> Row<'a> {
        Row { table, id, words: table.row(id) }
    }

    /// A process of a node.
    pub(crate) fn process(table: Table<'a>, who: Who, membership: u64, whole: bool) -> Option<Row<'a>> {
        let owner = PROCESS << KIND | u64::from(who.node) << AT | u64::from(who.pid);
        let row = name(table, owner)?;
        row.words[MEMBERSHIP].store(membership, Relaxed);
        row.words[FLAGS].store(if whole { WHOLE } else { 0 }, Relaxed);
        Some(row)
    }

    /// An import of a process from a node.
    pub(crate) fn import(table: Table<'a>, process: Row<'a>, target: u32) -> Option<Row<'a>> {
        let parts = u64::from(process.node()) << AT | u64::from(target) << TARGET | process.id as u64;
        let (owner, free) = (IMPORT << KIND | parts, FREE << KIND);
        let is_free = |row: &Row<'_>| {
            let word = row.words[OWNER].load(Relaxed);
            word >> KIND == FREE && word & 0xff == process.id as u64 && row.node() == process.node()
        };
        // One that has ended goes on with its clock, of which its process knows everything.
        let taken = Row::all(table).filter(is_free).find(|row| {
            let word = row.words[OWNER].load(Relaxed);
            debug_assert_eq!(word >> KIND, free >> KIND);
            row.words[OWNER].compare_exchange(word, owner, Relaxed, Relaxed).is_ok()
        });
        // Who has learned everything of the one before knows nothing of this one.
        taken.inspect(|row| _ = row.step()).or_else(|| name(table, owner))
    }

    /// Another thread of the process that this one is of.
    pub(crate) fn thread(table: Table<'a>, leader: Row<'a>) -> Option<Row<'a>> {
        let is_spare = |row: &Row<'_>| {
            let flags = &row.words[FLAGS];
            let now = flags.load(Relaxed);
            now & SPARE != 0 && flags.compare_exchange(now, now & !SPARE, Relaxed, Relaxed).is_ok()
        };
        // Whoever has learned of the one before knows nothing of this one.
        let taken = leader.threads().find(is_spare).inspect(|row| _ = row.step());
        taken.or_else(|| {
            // Processes and imports come first.
            let row = name_below(table, leader.words[OWNER].load(Relaxed), IDS / 2)?;
            row.words[MEMBERSHIP].store(leader.words[MEMBERSHIP].load(Relaxed), Relaxed);
            row.words[FLAGS].store(WHOLE, Relaxed);
            row.words[LEADER].store(leader.id as u64, Relaxed);
            Some(row)
        })
    }

    /// The thread has ended, and is waited for by nobody any more.
    pub(crate) fn spare(self) {
        if self.words[LEADER].load(Relaxed) != 0 {
            self.words[FLAGS].fetch_or(SPARE, Relaxed);
        }
    }

    /// The process that it is, or that it is a thread or an import of.
    pub(crate) fn leader(self) -> Row<'a> {
        let owner = self.owner();
        match owner.words[LEADER].load(Relaxed) {
            0 => owner,
            leader => Row::of(self.table, leader as usize),
        }
    }

    /// The process itself, and its threads that have clocks of their own.
    pub(crate) fn threads(self) -> impl Iterator<Item = Row<'a>> {
        let is_of = move |row: &Row<'a>| row.id == self.id || row.words[LEADER].load(Relaxed) == self.id as u64;
        Row::processes(self.table, Some(self.node())).filter(is_of)
    }

    pub(crate) fn all(table: Table<'a>) -> impl Iterator<Item = Row<'a>> {
        (1..=count(table)).map(move |id| Row::of(table, id))
    }

    /// The processes of a node, or of all.
    pub(crate) fn processes(table: Table<'a>, node: Option<u32>) -> impl Iterator<Item = Row<'a>> {
        Row::all(table).filter(move |row| row.kind() == PROCESS && node.is_none_or(|node| row.node() == node))
    }

    /// The imports of this process, also those that have ended; those from this node only, if one is named.
    pub(crate) fn imports(self, target: Option<u32>) -> impl Iterator<Item = Row<'a>> {
        let of = move |row: &Row<'a>| {
            let word = row.words[OWNER].load(Relaxed);
            let from = (word >> TARGET) as u32 % NODES as u32;
            matches!(word >> KIND, IMPORT | FREE)
                && word & 0xff == self.id as u64
                && target.is_none_or(|target| from == target)
        };
        Row::all(self.table).filter(of)
    }

    fn kind(self) -> u64 {
        self.words[OWNER].load(Relaxed) >> KIND
    }

    pub(crate) fn node(self) -> u32 {
        (self.words[OWNER].load(Relaxed) >> AT) as u32 % NODES as u32
    }

    pub(crate) fn is_import(self) -> bool {
        matches!(self.kind(), IMPORT | FREE)
    }

    /// The node that it is an import from.
    pub(crate) fn target(self) -> u32 {
        (self.words[OWNER].load(Relaxed) >> TARGET) as u32 % NODES as u32
    }

    /// The process that it is, or that it is an import of.
    pub(crate) fn owner(self) -> Row<'a> {
        let word = self.words[OWNER].load(Relaxed);
        if self.is_import() { Row::of(self.table, (word & 0xff) as usize) } else { self }
    }

    pub(crate) fn who(self) -> Who {
        let owner = self.owner();
        Who { node: owner.node(), pid: owner.words[OWNER].load(Relaxed) as u32 }
    }

    /// The import has ended, and its process knows all of it.
    pub(crate) fn free(self) {
        let word = self.words[OWNER].load(Relaxed);
        self.words[OWNER].store(word & ((1 << KIND) - 1) | FREE << KIND, Relaxed);
    }

    pub(crate) fn is_whole(self) -> bool {
        self.leader().words[FLAGS].load(Relaxed) & WHOLE != 0
    }

    /// What it stores into its own memory is looked for from now on.
    pub(crate) fn look_at_pages(self) {
        self.words[FLAGS].fetch_or(PAGED, Relaxed);
    }

    /// Whether that is so: then what it is known to have written was found so, and is its own doing.
    pub(crate) fn is_looked_at_by_pages(self) -> bool {
        self.kind() == PROCESS && self.words[FLAGS].load(Relaxed) & PAGED != 0
    }

    /// It may see that there is a signal without taking it.
    pub(crate) fn poll(self) {
        self.leader().words[FLAGS].fetch_or(POLLS, Relaxed);
    }

    pub(crate) fn polls(self) -> bool {
        self.leader().words[FLAGS].load(Relaxed) & POLLS != 0
    }

    /// It may tell others whatever it does, and whenever.
    pub(crate) fn leak(self) {
        self.leader().words[FLAGS].fetch_or(LEAKS, Relaxed);
    }

    pub(crate) fn leaks(self) -> bool {
        self.leader().words[FLAGS].load(Relaxed) & LEAKS != 0
    }

    /// One of its words that this file says nothing of.
    pub(crate) fn word(self, at: usize) -> &'a AtomicU64 {
        &self.words[at]
    }

    /// It is not, after all.
    pub(crate) fn hides(self) {
        self.leader().words[FLAGS].fetch_and(!WHOLE, Relaxed);
    }

    pub(crate) fn has_ended(self) -> bool {
        self.words[FLAGS].load(Relaxed) & ENDED != 0
    }

    /// The process of this membership has ended.
    pub(crate) fn end(table: Table<'a>, membership: u64) {
        for row in Row::processes(table, None).filter(|row| row.words[MEMBERSHIP].load(Relaxed) == membership) {
            row.words[FLAGS].fetch_or(ENDED, Relaxed);
        }
    }

    pub(crate) fn clock(self) -> u64 {
        self.words[CLOCK].load(Relaxed)
    }

    /// Steps the clock; what it said before.
    pub(crate) fn step(self) -> u64 {
        let before = self.words[CLOCK].fetch_add(1, Relaxed);
        if before + 2 > LAST_CLOCK {
            self.table.lack(Lack::Clocks);
        }
        before
    }

    /// What it knows of a clock.
    pub(crate) fn knows(self, id: usize) -> u64 {
        if id == self.id { self.clock() } else { self.words[VECTOR + id % IDS].load(Relaxed) }
    }

    /// Learns that a clock has come so far.
    pub(crate) fn learn(self, id: usize, clock: u64) {
        let word = &self.words[VECTOR + id % IDS];
        if word.load(Relaxed) >= clock {
            return;
        }
        // For another thread that finds it known and writes down what the process knows: it has to see that this is not part
        // of what was written down before, though that is not said yet.
        self.words[LEARNING].fetch_add(1, Relaxed);
        // Release: pairs with the first fence of `snapshot`.
        word.fetch_max(clock, Ordering::Release);
        // Release: pairs with the swap of `snapshot`, which writes down what was learned before. By a read-modify-write, so that it
        // is not hidden by that of another thread, which may be the one that the swap finds.
        if mutated("race_learned_stored") {
            self.words[LEARNED].store(1, Ordering::Release);
        } else {
            self.words[LEARNED].swap(1, if mutated("race_learned_unreleased") { Relaxed } else { Ordering::Release });
        }
        // Release: pairs with the acquire of `snapshot`.
        self.words[LEARNING].fetch_sub(1, Ordering::Release);
    }

    /// Learns everything that another process knows, and what it has done.
    pub(crate) fn join(self, other: Row<'_>) {
        if other.id == self.id {
            return;
        }
        self.learn_all(other.vector());
        self.learn(other.id, other.told());
    }

    /// What its clock says, of which somebody learns.
    pub(crate) fn told(self) -> u64 {
        let clock = self.clock();
        self.words[TOLD].store(clock, Relaxed);
        clock
    }

    /// What its clock says for something that it does now, of which nobody has learned yet.
    pub(crate) fn now(self) -> u64 {
        let clock = self.clock();
        if self.words[TOLD].load(Relaxed) < clock { clock } else { self.step() + 1 }
    }

    /// What it knows, without its own clock; a process and what others of it are told.
    pub(crate) fn vector(self) -> &'a [AtomicU64] {
        &self.words[VECTOR..VECTOR + IDS]
    }

    /// Learns a vector.
    pub(crate) fn learn_all(self, vector: &[AtomicU64]) {
        for id in ids(self.table) {
            self.learn(id, vector[id].load(Relaxed));
        }
    }

    /// Ends of others, as far as it has learned of them.
    pub(crate) fn ends_seen(self) -> &'a AtomicU64 {
        &self.words[ENDS_SEEN]
    }

    /// Of an import: the last of its epochs in which something was put, or one before. What is put later in an epoch that is
    /// still empty is nothing that anybody can know of yet.
    pub(crate) fn put_so_far(self) -> u64 {
        let epoch = self.clock();
        if self.is_used(epoch) { epoch } else { epoch - 1 }
    }

    /// Of an import: notes that a word is put in this epoch, which says by itself that it is there.
    pub(crate) fn note_word(self, epoch: u64) {
        grow(&self.words[WORD_IN], epoch);
    }

    /// Of an import: the last epoch in which one was.
    pub(crate) fn word_in(self) -> u64 {
        self.words[WORD_IN].load(Relaxed)
    }

    /// Of an import: a barrier that orders what was put before what will be, through this import or any to its node.
    pub(crate) fn order(self, at_node: bool) {
        let epoch = self.clock();
        if self.is_used(epoch) {
            self.step();
        }
        let epoch = if self.is_used(epoch) { epoch } else { epoch - 1 };
        grow(&self.words[ORDERED], epoch);
        if at_node {
            grow(&self.words[ORDERED_AT_NODE], epoch);
        }
    }

    /// Of an import: which of its epochs come before what is put through it now, and before what is put through others of
    /// its process to its node.
    pub(crate) fn ordered(self) -> (u64, u64) {
        (self.words[ORDERED].load(Relaxed), self.words[ORDERED_AT_NODE].load(Relaxed))
    }

    /// Of an import: notes that something is put in this epoch, and what the clock of what is hidden will say when somebody
    /// next learns of it.
    pub(crate) fn note_hidden(self, epoch: u64) {
        let word = &self.words[HIDDEN_AT + epoch as usize % EPOCHS_KEPT];
        if word.load(Relaxed) >> 32 != epoch {
            let next = self.table.word(Word::Hidden).load(Relaxed) + 1;
            word.store(epoch << 32 | next & 0xffff_ffff, Relaxed);
        }
    }

    /// Of an import: notes that a thread puts something in this epoch, when its own clock says this.
    pub(crate) fn note_by(self, epoch: u64, thread: Row<'_>, clock: u64) {
        let tag = epoch / EPOCHS_KEPT as u64;
        let note = |now: u64| match (now >> 38 == tag, now >> 30 & 0xff) {
            (true, by) if by == thread.id as u64 || by == SEVERAL => None,
            (true, by) if by != 0 => Some(tag << 38 | SEVERAL << 30),
            _ => Some(tag << 38 | (thread.id as u64) << 30 | clock & LAST_CLOCK),
        };
        let _ = self.words[BY + epoch as usize % EPOCHS_KEPT].fetch_update(Relaxed, Relaxed, note);
    }

    /// Of an import: the one thread that put something in this epoch, and what its clock said when it first did, if that is
    /// known.
    pub(crate) fn put_by(self, epoch: u64) -> Option<(usize, u64)> {
        let word = self.words[BY + epoch as usize % EPOCHS_KEPT].load(Relaxed);
        let by = word >> 30 & 0xff;
        let is_known = word >> 38 == epoch / EPOCHS_KEPT as u64 && by != 0 && by != SEVERAL;
        is_known.then_some((by as usize, word & LAST_CLOCK))
    }

    /// Whether anything was put in this epoch.
    pub(crate) fn is_used(self, epoch: u64) -> bool {
        self.words[HIDDEN_AT + epoch as usize % EPOCHS_KEPT].load(Relaxed) >> 32 == epoch
    }

    /// What who learned something hidden after something was first put in this epoch knows of that clock at least, if that is
    /// still known.
    pub(crate) fn hidden_at(self, epoch: u64) -> Option<u64> {
        let word = self.words[HIDDEN_AT + epoch as usize % EPOCHS_KEPT].load(Relaxed);
        (self.is_import() && word >> 32 == epoch).then_some(word & 0xffff_ffff)
    }

    /// Learns that something hidden may have been learned.
    pub(crate) fn learn_hidden(self) {
        let now = self.table.word(Word::Hidden).fetch_add(1, Relaxed) + 1;
        if now + 2 > u64::from(u32::MAX) {
            self.table.lack(Lack::Clocks);
        }
        self.learn(HIDDEN, now);
    }

    /// Writes down what it knows now, to be found by others with the number that this gives.
    pub(crate) fn snapshot(self) -> u64 {
        // Pairs with the Release of `learn`: of what this thread has found known it finds that it is being learned, or was.
        fence(Ordering::Acquire);
        let is_learning = acquire(&self.words[LEARNING]) != 0 && !mutated("race_learning_ignored");
        // Acquire: pairs with the swap below; who finds that nothing was learned since finds the number that was made of it.
        if acquire(&self.words[LEARNED]) == 0 {
            let made = self.words[SNAPSHOTS_MADE].load(Relaxed);
            // A thread may have been left while it learned: then that is said for ever.
            if made > 0 && (!is_learning || self.has_written_down(made)) {
                return made;
            }
        }
        // Each number has one writer. One that is not yet written is not found, and more is learned instead.
        let number = self.words[SNAPSHOTS_MADE].fetch_add(1, Relaxed) + 1;
        self.words[LEARNED].swap(0, Ordering::AcqRel);
        let into = self.table.snapshot(self.id, number);
        // Acquire: pairs with the Release below; of two who write here one comes after the other has written all.
        let before = into[0].swap(0, Ordering::Acquire);
        if before == 0 && number > SNAPSHOTS as u64 && !mutated("race_snapshot_shared") {
            return number;
        }
        // Pairs with the second fence of `learn_snapshot`: who reads what follows finds that it changes.
        if !mutated("race_snapshot_unfenced") {
            fence(Ordering::Release);
        }
        for (to, from) in into[1..].iter().zip(self.vector()) {
            to.store(from.load(Relaxed), Relaxed);
        }
        // Release: pairs with the acquire of `learn_snapshot`, and with the swap above.
        into[0].store(number, if mutated("race_snapshot_unreleased") { Relaxed } else { Ordering::Release });
        number
    }

    /// Whether all that a thread of it finds known now was written down with this number.
    fn has_written_down(self, number: u64) -> bool {
        let from = self.table.snapshot(self.id, number);
        // Acquire: pairs with the Release at the end of `snapshot`.
        if acquire(&from[0]) != number {
            return false;
        }
        let is_known = |id: usize| from[1 + id].load(Relaxed) >= self.words[VECTOR + id].load(Relaxed);
        let is_all = ids(self.table).all(is_known);
        // Pairs with the fence of `snapshot` behind its swap for 0.
        fence(Ordering::Acquire);
        is_all && from[0].load(Relaxed) == number
    }

    /// Learns what another process knew when it wrote that down; `false`: it is not known any more.
    pub(crate) fn learn_snapshot(self, of: Row<'_>, number: u64) -> bool {
        let from = self.table.snapshot(of.id, number);
        if acquire(&from[0]) != number {
            return false;
        }
        let last = count(self.table);
        let clocks: [u64; IDS] =
            std::array::from_fn(|id| if id <= last || id == HIDDEN { from[1 + id].load(Relaxed) } else { 0 });
        // Pairs with the fence of `snapshot`.
        fence(Ordering::Acquire);
        if from[0].load(Relaxed) != number {
            return false;
        }
        clocks.into_iter().enumerate().filter(|(_, clock)| *clock > 0).for_each(|(id, clock)| self.learn(id, clock));
        true
    }
}

/// Lets a word be no less than a value.
pub(crate) fn grow(word: &AtomicU64, value: u64) {
    if word.load(Relaxed) < value {
        word.fetch_max(value, Relaxed);
    }
}

/// The names of all clocks that anybody may know of.
fn ids(table: Table<'_>) -> impl Iterator<Item = usize> {
    (1..=count(table)).chain([HIDDEN])
}

/// Lets a vector know what another one does.
pub(crate) fn merge(table: Table<'_>, into: &[AtomicU64], from: &[AtomicU64]) {
    for id in ids(table) {
        grow(&into[id], from[id].load(Relaxed));
    }
}

const _: () = assert!(SNAPSHOTS.is_power_of_two());

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::table::tests::memory;
    use proptest::prelude::*;

    fn process(table: Table<'_>, node: u32) -> Row<'_> {
        Row::process(table, Who { node, pid: 100 + node }, u64::from(node), false).expect("a name")
    }

    #[test]
    fn names_are_given_until_there_are_none() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let first = process(table, 1);
        let import = Row::import(table, first, 2).unwrap();
        assert_eq!((first.id, import.id), (1, 2));
        assert_eq!((import.owner().id, import.who()), (1, Who { node: 1, pid: 101 }));
        assert_eq!(first.imports(Some(2)).map(|row| row.id).collect::<Vec<_>>(), [2]);
        assert_eq!(first.imports(Some(3)).count(), 0);
        import.free();
        assert_eq!(Row::import(table, first, 3).unwrap().id, 2, "its own are used again");
        let other = process(table, 2);
        assert_eq!(Row::import(table, other, 3).unwrap().id, 4, "those of others are not");
        let names = std::iter::from_fn(|| Row::import(table, other, 3)).count();
        assert_eq!(names, HIDDEN - 1 - 4);
        assert!(table.lacks(Lack::Clocks));
        assert_eq!(count(table), HIDDEN - 1);
    }

    /// As where a signal handler leaves by `siglongjmp`: what was said to be learned right now is so for ever.
    #[test]
    fn who_was_left_while_it_learned_writes_down_what_is_new() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let (row, other, reader) = (process(table, 1), process(table, 2), process(table, 3));
        row.learn(other.id, 1);
        row.snapshot();
        // Left before it was known, or behind that.
        row.words[LEARNING].fetch_add(1, Relaxed);
        let first = row.snapshot();
        assert_eq!(row.snapshot(), first, "nothing was learned");
        row.words[LEARNING].fetch_add(1, Relaxed);
        row.words[VECTOR + other.id].store(10, Relaxed);
        let second = row.snapshot();
        assert!(second > first && reader.learn_snapshot(row, second));
        assert_eq!((row.snapshot(), reader.knows(other.id)), (second, 10));
        row.learn(other.id, 20);
        let third = row.snapshot();
        assert!(third > second && reader.learn_snapshot(row, third));
        assert_eq!((row.snapshot(), reader.knows(other.id)), (third, 20));
    }

    #[test]
    fn who_joins_knows_what_was_known() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let (a, b, c) = (process(table, 1), process(table, 2), process(table, 3));
        b.join(a);
        assert_eq!((a.clock(), a.now()), (1, 2), "what it does from now on is not known");
        assert_eq!(a.now(), 2, "and nobody has learned of that");
        c.join(b);
        assert_eq!((c.knows(a.id), c.knows(b.id), a.knows(c.id)), (1, 1, 0));
        b.learn_hidden();
        b.learn_hidden();
        assert_eq!((b.knows(HIDDEN), c.knows(HIDDEN)), (2, 0));
    }

    #[test]
    fn a_snapshot_stays_as_it_was() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let (a, b) = (process(table, 1), process(table, 2));
        a.learn(7, 3);
        let number = a.snapshot();
        assert_eq!(a.snapshot(), number, "nothing was learned since");
        a.learn(7, 9);
        assert!(b.learn_snapshot(a, number));
        a.learn(b.id, 5);
        for clock in 10..10 + SNAPSHOTS as u64 {
            a.learn(b.id, clock);
            a.snapshot();
        }
        assert!(!b.learn_snapshot(a, number), "written over");
    }

    /// Whoever learns a snapshot while its process goes on writing them learns all of it, or nothing.
    #[test]
    fn a_snapshot_is_learned_whole_or_not_at_all() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let a = process(table, 1);
        let (x, y) = (process(table, 2), process(table, 3));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for clock in 1..5000 {
                    a.learn(x.id, clock);
                    a.learn(y.id, clock);
                    a.snapshot();
                }
            });
            for node in 4..40 {
                let reader = process(table, node);
                let number = a.words[SNAPSHOTS_MADE].load(Relaxed);
                if reader.learn_snapshot(a, number) {
                    assert_eq!(reader.knows(x.id), reader.knows(y.id));
                } else {
                    assert_eq!((reader.knows(x.id), reader.knows(y.id)), (0, 0));
                }
            }
        });
    }

    #[test]
    fn epochs_are_ordered() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let a = process(table, 1);
        let import = Row::import(table, a, 2).unwrap();
        assert_eq!((import.clock(), import.ordered()), (1, (0, 0)));
        import.note_hidden(1);
        a.learn_hidden();
        import.note_hidden(1);
        import.order(false);
        assert_eq!((import.clock(), import.ordered()), (2, (1, 0)));
        import.order(true);
        assert_eq!((import.clock(), import.ordered()), (2, (1, 1)), "nothing was put in between");
        import.note_hidden(2);
        import.order(true);
        assert_eq!(import.ordered(), (2, 2));
        assert_eq!((import.hidden_at(1), import.hidden_at(2)), (Some(1), Some(2)));
    }

    proptest! {
        #[test]
        fn merging_is_the_greater_of_both(a in prop::collection::vec(0u64..9, 6), b in prop::collection::vec(0u64..9, 6)) {
            let memory = memory(0);
            let table = Table::new(&memory);
            let rows: Vec<_> = (1..=6).map(|node| process(table, node)).collect();
            let (x, y) = (rows[0], rows[1]);
            a.iter().enumerate().for_each(|(i, clock)| x.learn(i + 1, *clock));
            b.iter().enumerate().for_each(|(i, clock)| y.learn(i + 1, *clock));
            x.learn_all(y.vector());
            for i in 2..6 {
                prop_assert_eq!(x.knows(i + 1), a[i].max(b[i]));
            }
        }
    }
}
