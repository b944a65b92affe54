//! What each call means: to the process that makes it, and for others.
//!
//! A process that was not built to be looked at is seen only where it calls. What it does between two calls is *hidden*: it may
//! have read all that was put into its memory, and stored there for others to read. So with each call it learns what was
//! released to its node; who reads memory of its node learns what it knows; and who learns something that way may have been
//! told of any store that was there before: of such stores nothing is reported. A mapping lets two nodes do so with one
//! memory. Processes of one node may tell each other anything at any time; so may threads of one process.

use crate::access::Access;
use crate::cell::{BENIGN, Cell, Kind};
use crate::clock::{Row, Who};
use crate::node::{Inbox, Node, bits, hidden_of};
use crate::place::{NO_LINES, Place, Range};
use crate::report::{self, Found, Why};
use crate::site::{self, Module};
use crate::table::{HIDDEN, LINE, Lack, Table, Word};
use crate::words::{History, STORES, Seen, Stored};
use rsm_core::sync::{Ordering, Ordering::Relaxed, fence, mutated};

/// A process that is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    pub(crate) table: Table<'a>,
    pub(crate) row: Row<'a>,
}

/// The agent has seen the end of the process of this membership.
pub fn end(table: Table<'_>, membership: u64) {
    Row::end(table, membership);
    // Release: pairs with the acquire of `Process::enter`.
    let release = if mutated("race_end_unreleased") { Relaxed } else { Ordering::Release };
    table.word(Word::Ended).fetch_add(1, release);
}

impl<'a> Process<'a> {
    /// A process comes. `whole`: it was built to be looked at, so that all is seen that it does with memory. It comes after
    /// everything that was done before. `None`: too many have come.
    pub fn join(table: Table<'a>, who: Who, membership: u64, whole: bool) -> Option<Process<'a>> {
        Node::of(table, who.node).comes(whole);
        table.word(if whole { Word::Whole } else { Word::ByCalls }).fetch_add(1, Relaxed);
        let row = Row::process(table, who, membership, whole)?;
        let process = Process { table, row };
        process.learn_everything(false);
        Some(process)
    }

    /// The one with this clock.
    pub fn with_id(table: Table<'a>, id: usize) -> Process<'a> {
        Process { table, row: Row::of(table, id) }
    }

    /// The name of its clock.
    pub fn id(self) -> usize {
        self.row.id
    }

    pub(crate) fn node(self) -> Node<'a> {
        Node::of(self.table, self.row.node())
    }

    /// The number of a place in its program.
    pub fn site(self, frames: &[u64]) -> u16 {
        site::number(self.table, self.row.leader().id, frames)
    }

    /// Whether the module is known that an address of it lies in.
    pub fn knows_module_of(self, address: u64) -> bool {
        site::knows_module(self.table, self.row.leader().id, address)
    }

    /// Notes a part of a module of it.
    pub fn add_module(self, module: &Module) {
        site::add_module(self.table, self.row.leader().id, module);
    }

    /// What comes with any call.
    pub(crate) fn enter(self) {
        let ended = self.table.word(Word::Ended).load(Relaxed);
        // Pairs with the fences of who releases: what was stored after them has been read, if it was. And with the Release of `end`.
        if !mutated("race_enter_unfenced") {
            fence(Ordering::Acquire);
        }
        if self.row.ends_seen().load(Relaxed) < ended {
            self.row.ends_seen().store(ended, Relaxed);
            for process in Row::processes(self.table, None).filter(|process| process.has_ended()) {
                self.learn_whole(process);
                self.may_have_seen(process);
            }
        }
        let node = self.node();
        if node.has_several() {
            // None of them races with another.
            Row::processes(self.table, Some(self.row.node())).for_each(|sibling| self.row.join(sibling));
        }
        if self.row.polls() {
            self.row.learn_all(node.inbox(Inbox::Signal));
            let imports = self.row.leader().imports(None);
            let exporters = imports.fold(0u64, |nodes, import| nodes | 1 << import.target());
            bits(exporters).for_each(|of| self.row.learn_all(Node::of(self.table, of).inbox(Inbox::SignalToAll)));
        }
        if self.table.word(Word::Leaks).load(Relaxed) != 0 {
            self.learn_of_leaks();
        }
        if !self.row.is_whole() {
            self.row.learn_all(node.inbox(Inbox::Put));
            let others = node.around() & !(1 << self.row.node());
            if others != 0 {
                self.learn_hidden(others);
            }
        }
    }

    /// Learns what may have been done, unseen, with the memory of nodes.
    fn learn_hidden(self, nodes: u64) {
        for node in bits(nodes) {
            Row::processes(self.table, Some(node)).for_each(|process| self.row.join(process));
            self.row.learn_all(Node::of(self.table, node).inbox(Inbox::Put));
        }
        self.row.learn_hidden();
    }

    /// Learns what the program of a process may have found in its memory, or another one that is mapped, where what it does is
    /// hidden: also what was put in a span that is open, if it is a word, is there when it is found. Of all that was put there, as
    /// nobody tells what was looked at.
    pub(crate) fn may_have_seen(self, process: Row<'_>) {
        if process.is_whole() {
            return;
        }
        let around = Node::of(self.table, process.node()).around();
        let put_there = |row: &Row<'_>| row.is_import() && around >> row.target() & 1 == 1;
        Row::all(self.table).filter(put_there).for_each(|import| self.row.learn(import.id, import.word_in()));
    }

    /// Learns what those know now, or may have seen, who may tell it at any time.
    fn learn_of_leaks(self) {
        let leak = Row::processes(self.table, None).filter(|row| row.leaks() && row.id != self.row.id);
        let nodes = leak.fold(0u64, |nodes, row| nodes | 1 << row.node());
        if nodes != 0 {
            self.learn_hidden(nodes);
        }
    }

    /// Learns everything of a process whose stores, on their way or not, nobody has to expect any more.
    fn learn_whole(self, process: Row<'_>) {
        self.row.join(process);
        process.imports(None).for_each(|import| self.row.learn(import.id, import.put_so_far()));
    }

    /// Learns what all processes know and have done: where it is not known what it was told. `arrived`: nothing that was put
    /// will come any more.
    fn learn_everything(self, arrived: bool) {
        for process in Row::processes(self.table, None) {
            if arrived {
                self.learn_whole(process);
                continue;
            }
            self.row.join(process);
            // Of what is put and not known to have come, what comes before what was told.
            process.imports(None).for_each(|import| self.row.learn(import.id, import.ordered().0));
        }
        self.row.learn_hidden();
    }

    /// A call of it has failed, or it has read what was not told: either may tell of anything.
    pub fn failed(self) {
        self.enter();
        self.learn_everything(false);
    }

    /// Memory of it is its own again: whoever reached it does not any more.
    pub fn taken_back(self) {
        self.enter();
        self.learn_everything(true);
    }

    /// It connects to a segment of a node, which may have waited for that: gives a clock for the import.
    pub fn connect(self, target: u32) -> Option<usize> {
        self.enter();
        self.learn_hidden(1 << (target % 64));
        self.row.learn_all(Node::of(self.table, target).inbox(Inbox::Signal));
        self.release(&[Inbox::Put, Inbox::Signal], target, None);
        Row::import(self.table, self.row.leader(), target).map(|import| import.id)
    }

    /// And gives it back: everything that it put is there.
    pub fn disconnect(self, import: usize, target: u32) {
        self.enter();
        self.close_one(Row::of(self.table, import), false);
        Row::of(self.table, import).free();
        self.release(&[Inbox::Put, Inbox::Signal], target, None);
    }

    /// It maps memory of a node, or may otherwise do with it what is not seen.
    pub fn maps(self, target: u32) {
        if !self.row.is_whole() {
            self.node().maps(target);
        }
    }

    /// It does with its memory, and that of a node, what is not seen, however it was built.
    pub fn hides(self, target: u32) {
        self.reaches(target);
        self.row.hides();
        self.node().hides();
        self.node().takes_threads_together();
        self.maps(target);
    }

    /// It may have learned anything by a word of a node's memory, or told it there.
    pub fn exchanges(self, target: u32) {
        self.failed();
        self.release(&[Inbox::Put], target, None);
    }

    /// Tells who reads memory of a node, or waits for a signal of it, what it knows, and of an import what is ordered.
    fn release(self, inboxes: &[Inbox], target: u32, import: Option<Row<'_>>) {
        self.may_have_seen(self.row);
        let node = Node::of(self.table, target);
        for &inbox in inboxes {
            node.tell(inbox, self.row);
            if let Some(import) = import {
                node.tell_of(inbox, import.id, import.ordered().0);
                for sibling in self.row.leader().imports(Some(target)) {
                    node.tell_of(inbox, sibling.id, sibling.ordered().1);
                }
            }
        }
        // Pairs with the fence of `enter`: whoever finds what is stored after this finds what was released.
        if !mutated("race_release_unfenced") {
            fence(Ordering::Release);
        }
    }

    /// The nodes around a memory where what is done with it is hidden.
    fn hidden_around(self, node: u32) -> u64 {
        hidden_of(self.table, Node::of(self.table, node).around())
    }

    fn access(self, range: Range, kind: Kind, (id, clock): (usize, u64)) -> Access<'a> {
        let Range { place, offset, length, site } = range;
        let hidden = self.hidden_around(place.node) != 0;
        Access { table: self.table, process: self.row, id, clock, kind, site, place, start: offset, length, hidden }
    }

    /// Something is about to be put through an import: as one word of this value, or otherwise. `settled`: what the import
    /// has put before has arrived.
    pub fn put(self, import: usize, range: Range, word: Option<u64>, settled: bool) {
        self.enter();
        let import = Row::of(self.table, import);
        if settled {
            self.close_one(import, false);
        }
        self.put_held(import, range, word);
    }

    /// Something is about to be put through an import, in the epoch that this gives.
    fn begin_put(self, import: Row<'a>) -> u64 {
        let epoch = import.clock();
        import.note_hidden(epoch);
        if self.node().is_apart() {
            import.note_by(epoch, self.row, self.row.now());
        }
        epoch
    }

    fn put_held(self, import: Row<'a>, range: Range, word: Option<u64>) {
        let epoch = self.begin_put(import);
        let kind = if word.is_some() { Kind::Store } else { Kind::Write };
        let access = self.access(range, kind, (import.id, epoch));
        access.meet();
        if word.is_some() {
            import.note_word(epoch);
            self.store_word(&access, word, true);
        }
        self.release(&[Inbox::Put], range.place.node, Some(import));
    }

    /// A word is about to be stored. `alone`: not as a part of an atomic update. No value: it is not known.
    fn store_word(self, access: &Access<'_>, value: Option<u64>, alone: bool) {
        if access.place.lines == NO_LINES {
            // Whoever finds this word by another name learns nothing by it.
            self.table.lack(Lack::Lines);
            return;
        }
        let at = access.place.lines * LINE + access.start;
        let Some(history) = History::make(self.table, at, access.length) else { return };
        let alone = alone && value.is_some();
        if let Some(value) = value.filter(|_| alone) {
            access.meet_stores(history, value);
        }
        let hidden = self.table.word(Word::Hidden).load(Relaxed) + 1;
        let (process, snapshot) = (self.row.told(), self.row.snapshot());
        let Access { id, clock, site, .. } = *access;
        let (any, value) = (value.is_none(), value.unwrap_or(0));
        let number = history.push(
            self.row.node(),
            &Stored { id, clock, value, process, site, hidden, snapshot, by: self.row.id, any, alone },
        );
        history.see(self.row.node(), Seen { number, hidden: self.row.knows(HIDDEN) });
    }

    /// What was put in a span of its own has arrived.
    pub fn put_arrived(self, import: usize) {
        self.close_one(Row::of(self.table, import), false);
    }

    /// Something was got from a segment: one word of this value, or otherwise.
    pub fn get(self, range: Range, word: Option<u64>) {
        self.enter();
        self.read(range, word.map(Some), true);
    }

    /// Something was read: one word, whose value may be known, or otherwise. `learns`: more than words may have told something.
    fn read(self, range: Range, word: Option<Option<u64>>, learns: bool) {
        let around = Node::of(self.table, range.place.node).around();
        let access = self.access(range, Kind::Read, (self.row.id, self.row.now()));
        let hidden = hidden_of(self.table, around);
        if hidden != 0 && learns {
            self.learn_hidden(around & !(1 << self.row.node()));
        }
        match word {
            // Words tell, and race with no load.
            Some(value) => self.load_word(&access, value),
            None => {
                if learns {
                    self.learn_of_words(&access);
                }
                access.meet();
            }
        }
    }

    /// What stands at the lines that an access touches, each of which is counted from the start of the segment.
    fn cells<'b>(self, access: &'b Access<'_>) -> impl Iterator<Item = (u64, Cell)> + use<'a, 'b> {
        let table = self.table;
        let lines = access.start / LINE..(access.start + access.length).div_ceil(LINE);
        let first = access.place.lines;
        lines.flat_map(move |line| {
            let words = table.line(first.saturating_add(line)).into_iter().flatten();
            words.filter_map(move |word| Some((line, Cell::from_word(word.load(Relaxed))?)))
        })
    }

    /// Words among what was read may have told something: what was released with any store of them.
    fn learn_of_words(self, access: &Access<'_>) {
        if self.table.lacks(Lack::Cells) {
            // One of those that are not there any more may have.
            self.learn_everything(false);
            return;
        }
        self.learn_of_benign_words(access);
        for (line, cell) in self.cells(access).filter(|(_, cell)| cell.kind.is_word() && !self.made(cell)) {
            let (first, length) = (cell.bytes.trailing_zeros(), cell.bytes.count_ones());
            let start = line * LINE + u64::from(first);
            if Node::of(self.table, Row::of(self.table, cell.id).node()).is_apart() {
                // Whichever thread stored it, and as a part of what.
                self.learn_of_storer(cell.id);
            } else {
                self.load_word(&Access { start, length: length.into(), ..*access }, None);
            }
        }
    }

    /// Likewise of words in lines of which nobody wants to hear, where nothing is left that says who stored them.
    fn learn_of_benign_words(self, access: &Access<'_>) {
        for line in access.start / LINE..(access.start + access.length).div_ceil(LINE) {
            let at = Access { start: line * LINE, length: LINE, ..*access };
            if !at.is_benign() {
                continue;
            }
            if self.node().is_apart() || self.table.lacks(Lack::Words) {
                self.learn_everything(false);
                return;
            }
            for length in [1, 2, 4, 8] {
                for start in (at.start..at.start + LINE).step_by(length as usize) {
                    if History::find(self.table, access.place.lines * LINE + start, length).is_some() {
                        self.load_word(&Access { start, length, ..at }, None);
                    }
                }
            }
        }
    }

    /// Whether the process itself made an access, or one of its node with which it is one.
    fn made(self, cell: &Cell) -> bool {
        let row = Row::of(self.table, cell.id);
        match row.node() == self.row.node() {
            true if !self.node().is_apart() => true,
            true if row.is_import() => row.put_by(cell.clock).is_some_and(|(thread, _)| thread == self.row.id),
            true => row.id == self.row.id,
            false => false,
        }
    }

    /// Learns what the process knows and has done that stored a word, whichever that was; of what it has put, only what is
    /// ordered before that.
    fn learn_of_storer(self, id: usize) {
        let leader = Row::of(self.table, id).leader();
        for owner in leader.threads() {
            let vector = owner.vector();
            for row in Row::all(self.table) {
                let known = match row.is_import() && row.owner().id == leader.id {
                    true => vector[row.id].load(Relaxed).min(row.ordered().0),
                    false => vector[row.id].load(Relaxed),
                };
                self.row.learn(row.id, known);
            }
            self.row.learn(HIDDEN, vector[HIDDEN].load(Relaxed));
            self.row.learn(owner.id, owner.told());
        }
        let storer = Row::of(self.table, id);
        if storer.is_import() {
            self.row.learn(id, storer.ordered().0);
        }
        self.learn_of_siblings(storer);
    }

    /// Learns what an order barrier of type NODE put before what was put through this import: what went through others of its
    /// process to the same node. By now that may be more than when it was put.
    fn learn_of_siblings(self, import: Row<'a>) {
        if import.is_import() {
            let siblings = import.owner().imports(Some(import.target()));
            siblings.for_each(|sibling| self.row.learn(sibling.id, sibling.ordered().1));
        }
    }

    /// A word was loaded: finds who may have stored it, and learns what was released with it. No value: any of those that
    /// were stored so far.
    fn load_word(self, access: &Access<'_>, value: Option<u64>) {
        if access.place.lines == NO_LINES {
            self.learn_everything(false);
            return;
        }
        let at = access.place.lines * LINE + access.start;
        let history = History::find(self.table, at, access.length);
        let (mut newest, mut is_sure) = (None, false);
        let (count, mut found) = (history.map_or(0, History::count), 0);
        for (number, stored) in history.iter().flat_map(|history| history.all()) {
            found += 1;
            if value.is_some_and(|value| stored.value != value && !stored.any) {
                continue;
            }
            newest = newest.or(Some(number));
            is_sure |= value.is_some() && !stored.any;
            let (row, owner) = (Row::of(self.table, stored.id), Row::of(self.table, stored.by));
            if row.node() == self.row.node() && (owner.id == self.row.id || !self.node().is_apart()) {
                continue;
            }
            if !self.row.learn_snapshot(owner, stored.snapshot) {
                self.learn_of_storer(stored.id);
            }
            self.row.learn(owner.id, stored.process);
            // The epoch before its own is the last that was ordered.
            self.row.learn(stored.id, if row.is_import() { stored.clock - 1 } else { stored.clock });
            self.learn_of_siblings(row);
            access.was_seen(&stored);
        }
        if let Some(history) = history {
            if let Some(newest) = newest.filter(|_| value.is_some()) {
                history.load(newest, self.row.id, self.row.now());
            }
            let hidden = self.row.knows(HIDDEN);
            history.see(self.row.node(), Seen { number: newest.unwrap_or(0), hidden });
            if is_sure && !history.is_confused() {
                return;
            }
        }
        // It was there before, or nobody knows any more who stored it, or as a part of what.
        let forgotten = [Lack::Cells, Lack::Words, Lack::Lines].into_iter().any(|lack| self.table.lacks(lack));
        let is_forgotten = |history: History<'_>| match value {
            Some(_) => history.count() > STORES,
            // All that is remembered was learned, unless somebody stores right now.
            None => history.has_forgotten() || history.count() != count || found != count.min(STORES),
        };
        if forgotten || history.is_some_and(is_forgotten) {
            self.learn_everything(false);
            return;
        }
        let bytes = crate::cell::bytes_of(access.start & !(LINE - 1), access.start, access.length);
        let of_others = |cell: &Cell| {
            (cell.kind.writes() || cell.kind.is_word())
                && cell.bytes & bytes != 0
                && !(history.is_some() && cell.kind.is_word() && cell.bytes == bytes)
                && !self.made(cell)
        };
        let ids: Vec<usize> = self.cells(access).map(|(_, cell)| cell).filter(of_others).map(|cell| cell.id).collect();
        ids.into_iter().for_each(|id| self.learn_of_storer(id));
    }

    /// An order barrier.
    pub fn order(self, import: usize, at_node: bool) {
        self.enter();
        let import = Row::of(self.table, import);
        match at_node {
            true => self.siblings(import).for_each(|sibling| sibling.order(true)),
            false => import.order(false),
        }
    }

    /// The imports of the process from the node that this one is from.
    fn siblings(self, import: Row<'a>) -> impl Iterator<Item = Row<'a>> {
        let target = import.target();
        self.row.leader().imports(Some(target))
    }

    /// The end of a span: what was put through the import has arrived, and with `at_node` through all imports from its node.
    pub fn close(self, import: usize, at_node: bool) {
        self.enter();
        let import = Row::of(self.table, import);
        match at_node {
            true => self.siblings(import).for_each(|sibling| self.close_one(sibling, true)),
            false => self.close_one(import, false),
        }
    }

    fn close_one(self, import: Row<'_>, at_node: bool) {
        self.row.learn(import.id, import.put_so_far());
        import.order(at_node);
    }

    /// Whether two imports are from the same node.
    pub fn is_beside(self, import: usize, other: usize) -> bool {
        Row::of(self.table, import).target() == Row::of(self.table, other).target()
    }

    /// It has changed memory of its own from which `put` was put through an import, in a span that is closed only now: at this place.
    pub fn changed_source(self, import: usize, put: Range, site: u16) {
        let cell = |row: Row<'_>, site| Cell { id: row.id, clock: row.clock(), site, kind: Kind::Write, bytes: 0xff };
        let (first, second) = (cell(Row::of(self.table, import), put.site), cell(self.row, site));
        let Range { place: Place { node, id, .. }, offset, length, .. } = put;
        let is_benign = self.access(put, Kind::Write, (import, first.clock)).is_benign();
        if !is_benign && !self.table.lacks(Lack::Clocks) {
            let found =
                Found { segment: (node, id), start: offset, end: offset + length, first, second, why: Why::Source };
            report::add(self.table, &found);
        }
    }

    /// It signals to an export of a node.
    pub fn post(self, target: u32) {
        self.enter();
        self.release(&[Inbox::Signal], target, None);
    }

    /// It signals to all imports of an export of its own.
    pub fn post_to_all(self) {
        self.enter();
        self.release(&[Inbox::SignalToAll], self.row.node(), None);
    }

    /// From now on it may see, by a descriptor that it polls, that there is a signal which it has not taken.
    pub fn polls(self) {
        self.row.poll();
    }

    /// It has taken a signal, of its own export or of an import from another node.
    pub fn waited(self, node: u32) {
        self.enter();
        let of = Node::of(self.table, node);
        if node == self.row.node() {
            self.row.learn_all(of.inbox(Inbox::Signal));
        }
        self.row.learn_all(of.inbox(Inbox::SignalToAll));
    }

    /// It has been told by the agent, or by the registry, that something of its own has come or gone.
    pub fn heard(self) {
        self.enter();
        self.row.learn_all(self.node().inbox(Inbox::Signal));
    }

    /// Nobody wants to hear of races here: at whole lines, those that it touches.
    pub fn benign(self, place: Place, offset: u64, length: u64) {
        for line in offset / LINE..(offset + length).div_ceil(LINE) {
            if let Some([first, ..]) = self.table.line(place.lines.saturating_add(line)) {
                // Exchanged, so that it comes after what it finds: who leaves a cell there at the same time does so before, or not.
                first.swap(BENIGN, Relaxed);
            }
        }
    }

    /// The program itself has touched memory, plainly: of its own, or through the mapping of an import, which carries out what
    /// is stored. Before a store is made.
    pub fn touch(self, range: Range, writes: bool, import: Option<usize>) {
        if self.node().has_several() || self.table.word(Word::Leaks).load(Relaxed) != 0 {
            // What others of the node were told it may have been told by them; and by whoever tells at any time.
            self.enter();
        }
        match (writes, import) {
            (true, Some(import)) => {
                let import = Row::of(self.table, import);
                let epoch = self.begin_put(import);
                self.access(range, Kind::Write, (import.id, epoch)).meet();
            }
            (true, None) => self.access(range, Kind::Write, (self.row.id, self.row.now())).meet(),
            (false, _) => self.read(range, None, false),
        }
    }

    /// The program itself stores a word, atomically or as volatile; likewise, before it does. `updates`: what it stores was
    /// made of what stood there, atomically. No value: it is not known.
    pub fn store(self, range: Range, value: Option<u64>, updates: bool, import: Option<usize>) {
        self.enter();
        let (id, clock) = match import.map(|import| Row::of(self.table, import)) {
            Some(import) => {
                let epoch = self.begin_put(import);
                import.note_word(epoch);
                (import.id, epoch)
            }
            None => (self.row.id, self.row.now()),
        };
        let access = self.access(range, Kind::Store, (id, clock));
        if updates {
            self.learn_of_words(&access);
        }
        access.meet();
        self.store_word(&access, value, !updates);
        self.release(&[Inbox::Put], range.place.node, import.map(|import| Row::of(self.table, import)));
    }

    /// It updates another node's memory atomically by itself, over the mapping of an import, and the hardware that is meant carries no
    /// such update: that is told, unless nobody wants to hear of what is there.
    pub fn updates_afar(self, range: Range, import: usize) {
        let Range { place: Place { node, id, .. }, offset, length, site } = range;
        let import = Row::of(self.table, import);
        let is_benign = self.access(range, Kind::Store, (import.id, import.clock())).is_benign();
        if is_benign || self.table.lacks(Lack::Clocks) {
            return;
        }
        let cell = Cell { id: import.id, clock: import.clock(), site, kind: Kind::Store, bytes: 0xff };
        let (segment, end) = ((node, id), offset + length);
        report::add(self.table, &Found { segment, start: offset, end, first: cell, second: cell, why: Why::Update });
    }

    /// The program itself has loaded a word, atomically or as volatile. No value: it is not known, but is one that was there,
    /// or was stored since, before this is told.
    pub fn load(self, range: Range, value: Option<u64>) {
        self.enter();
        self.read(range, Some(value), true);
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests;
