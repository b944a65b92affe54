//! Where everything is in the shared memory: one array of words.

use rsm_core::sync::{AtomicU64, Ordering::Relaxed, mutated};

/// Names of clocks, 0 being nobody's; the last one is that of what is hidden.
pub const IDS: usize = if MODELLED { 6 } else { 256 };
/// The clock of what is hidden: steps whenever somebody may have learned something that no call told.
pub const HIDDEN: usize = IDS - 1;
/// Node ids are below this.
pub const NODES: usize = if MODELLED { 4 } else { 64 };
/// Segments that can be looked at in the life of a cluster.
pub const SEGMENTS: usize = size(2, 1 << 6, 1 << 12);
/// Cells of a line.
pub const CELLS: usize = 4;
/// Bytes of a segment that a line is about.
pub const LINE: u64 = 8;

const HEADER: usize = if MODELLED { 16 } else { 64 };
/// loom follows each word of it.
pub(crate) const MODELLED: bool = cfg!(rsm_loom);

/// How much of something there is: in models, in tests, which need less and reach its end, and otherwise.
const fn size(modelled: usize, tested: usize, real: usize) -> usize {
    if MODELLED {
        modelled
    } else if cfg!(test) {
        tested
    } else {
        real
    }
}
/// Words of a row of [`crate::clock`], of a node, of a segment.
pub(crate) const ROW: usize = size(32, 1024, 1024);
pub(crate) const NODE: usize = size(26, 1024, 1024);
const SEGMENT: usize = 2;
/// Clocks as they were, of each process: how many, and words of each.
pub(crate) const SNAPSHOTS: usize = size(1, 4, 32);
pub(crate) const SNAPSHOT: usize = IDS + 8;
/// Places in programs: how many, and words of each.
pub(crate) const SITES: usize = size(4, 1 << 10, 1 << 16);
pub(crate) const SITE: usize = size(5, 16, 16);
pub(crate) const MODULES: usize = size(1, 1 << 4, 1 << 12);
pub(crate) const MODULE: usize = size(7, 64, 64);
pub(crate) const REPORTS: usize = size(1, 1 << 4, 1 << 9);
pub(crate) const REPORT: usize = size(9, 16, 16);
pub(crate) const HISTORIES: usize = size(1, 1 << 6, 1 << 14);
pub(crate) const HISTORY: usize = size(16, 120, 120);
/// Vectors of tokens.
pub(crate) const TOKENS: usize = size(1, 1 << 4, 1 << 8);

const AT_ROWS: usize = HEADER;
const AT_NODES: usize = AT_ROWS + IDS * ROW;
const AT_SEGMENTS: usize = AT_NODES + NODES * NODE;
const AT_SNAPSHOTS: usize = AT_SEGMENTS + SEGMENTS * SEGMENT;
const AT_SITES: usize = AT_SNAPSHOTS + IDS * SNAPSHOTS * SNAPSHOT;
const AT_MODULES: usize = AT_SITES + SITES * SITE;
const AT_REPORTS: usize = AT_MODULES + MODULES * MODULE;
const AT_HISTORIES: usize = AT_REPORTS + REPORTS * REPORT;
const AT_TOKENS: usize = AT_HISTORIES + HISTORIES * HISTORY;
/// Words before the marks and the lines: what is mapped by who only reads reports. A multiple of any page.
pub const HEAD: usize = (AT_TOKENS + TOKENS * IDS).next_multiple_of(size(1, 1 << 13, 1 << 13));
/// Lines that there are: enough for 4 GiB of segments.
const LINES: usize = size(8, 1 << 13, 1 << 29);
/// Lines of a stretch: of 4 KiB, of which every segment has a whole number; fewer in models.
pub const STRETCH: usize = size(4, 512, 512);
/// A mark for each line, a word for each stretch, and the lines themselves.
const AT_MARKS: usize = HEAD;
const AT_STRETCHES: usize = AT_MARKS + LINES;
pub(crate) const AT_LINES: usize = AT_STRETCHES + LINES / STRETCH;
/// Words with those of the lines. Pages that nobody touches take no memory.
pub const WORDS: usize = AT_LINES + CELLS * LINES;

/// Words of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Word {
    /// Names given to clocks so far.
    Ids = 1,
    /// Ends of processes that the agent has seen.
    Ended,
    /// The clock of what is hidden.
    Hidden,
    /// What there was no room for: bits of [`Lack`].
    Lacks,
    /// Lines given to segments so far.
    Lines,
    Modules,
    Reports,
    /// Whether any process has mapped an import.
    Maps,
    /// Processes that were looked at so far, by calls only.
    ByCalls,
    /// And those that were built to be.
    Whole,
    /// Those of which calls only are seen, and what they store into memory of their own.
    Pages,
    /// Whether any process tells whatever it does at any time.
    Leaks,
}

/// What there was no room for. Races are missed then; after the first, all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Lack {
    /// Clocks: too many processes and imports, one that has lived for too long, or one of which nobody knows. Nothing is
    /// reported any more.
    Clocks = 1,
    /// Lines: too much memory in segments, or too many of them.
    Lines = 2,
    /// Reports.
    Reports = 4,
    /// Words whose last stores are remembered.
    Words = 8,
    /// Cells of a line.
    Cells = 16,
    /// Copies of segments, by which it is found what their owners store there; or what it takes to make them.
    Copies = 32,
    /// Memory that nobody but its owner reaches by itself, and other processes by their calls: what others reach otherwise is not
    /// looked at by pages.
    Shared = 64,
    /// A kernel that tells which pages were stored to: large segments were compared whole, and seldom.
    Kernel = 128,
    /// Places in programs: those that there is no room for are one, and so are the races of each two of them.
    Places = 256,
    /// Parts of modules: of places in others no more than their addresses would be known.
    Modules = 512,
}

/// The shared memory, or the part of it before the lines.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Table<'a> {
    /// Memory that is this table: zeroes at first.
    ///
    /// # Panics
    /// When it is too short.
    pub fn new(words: &'a [AtomicU64]) -> Table<'a> {
        assert!(words.len() >= HEAD, "a table of {} words", words.len());
        Table { words }
    }

    fn part(self, start: usize, count: usize) -> &'a [AtomicU64] {
        &self.words[start..start + count]
    }

    pub(crate) fn word(self, word: Word) -> &'a AtomicU64 {
        &self.words[word as usize]
    }

    pub(crate) fn row(self, id: usize) -> &'a [AtomicU64] {
        self.part(AT_ROWS + id % IDS * ROW, ROW)
    }

    pub(crate) fn node(self, node: u32) -> &'a [AtomicU64] {
        self.part(AT_NODES + node as usize % NODES * NODE, NODE)
    }

    pub(crate) fn snapshot(self, id: usize, number: u64) -> &'a [AtomicU64] {
        let at = id % IDS * SNAPSHOTS + number as usize % SNAPSHOTS;
        self.part(AT_SNAPSHOTS + at * SNAPSHOT, SNAPSHOT)
    }

    pub(crate) fn site(self, at: usize) -> &'a [AtomicU64] {
        self.part(AT_SITES + at % SITES * SITE, SITE)
    }

    pub(crate) fn module(self, at: usize) -> &'a [AtomicU64] {
        self.part(AT_MODULES + at % MODULES * MODULE, MODULE)
    }

    pub(crate) fn report(self, at: usize) -> &'a [AtomicU64] {
        self.part(AT_REPORTS + at % REPORTS * REPORT, REPORT)
    }

    pub(crate) fn history(self, at: usize) -> &'a [AtomicU64] {
        self.part(AT_HISTORIES + at % HISTORIES * HISTORY, HISTORY)
    }

    pub(crate) fn token(self, at: usize) -> &'a [AtomicU64] {
        self.part(AT_TOKENS + at % TOKENS * IDS, IDS)
    }

    /// The cells of a line; none where there is no room for it.
    pub(crate) fn line(self, line: u64) -> Option<&'a [AtomicU64]> {
        // Those of no segment lie beyond all others.
        let start = AT_LINES.checked_add(usize::try_from(line).ok()?.checked_mul(CELLS)?)?;
        self.words.get(start..start.checked_add(CELLS)?)
    }

    /// The mark of a line, of [`crate::marks`]; none where there is no room for it.
    pub(crate) fn mark(self, line: u64) -> Option<&'a AtomicU64> {
        let at = usize::try_from(line).ok().filter(|&line| line < LINES)?;
        self.words.get(AT_MARKS + at)
    }

    /// The word of the stretch that a line is in, likewise.
    pub(crate) fn stretch(self, line: u64) -> Option<&'a AtomicU64> {
        let at = usize::try_from(line).ok().filter(|&line| line < LINES)?;
        self.words.get(AT_STRETCHES + at / STRETCH)
    }

    fn lines(self) -> u64 {
        (self.words.len().saturating_sub(AT_LINES) / CELLS) as u64
    }

    /// Notes that there was no room for something.
    pub(crate) fn lack(self, lack: Lack) {
        self.word(Word::Lacks).fetch_or(lack as u64, Relaxed);
    }

    /// Somebody does something of which nobody can know: nothing is reported from now on.
    pub fn give_up(self) {
        self.lack(Lack::Clocks);
    }

    /// Whether there was no room for it.
    pub fn lacks(self, lack: Lack) -> bool {
        self.word(Word::Lacks).load(Relaxed) & lack as u64 != 0
    }

    /// Where the lines of a segment begin, which its incarnation tells from all others. `None`: there is no room for them.
    pub fn lines_of(self, incarnation: u64, bytes: u64) -> Option<u64> {
        const NONE: u64 = u64::MAX;
        let start = incarnation.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize;
        let key = incarnation.wrapping_add(1);
        for step in 0..SEGMENTS {
            let at = AT_SEGMENTS + start.wrapping_add(step) % SEGMENTS * SEGMENT;
            let entry = self.part(at, SEGMENT);
            let found = entry[0].compare_exchange(0, key, Relaxed, Relaxed).err().unwrap_or(key);
            if found != key {
                continue;
            }
            // Not known yet: whoever came first is on the way, or died there. Who makes it known first says where they are; what
            // others took for it stays unused.
            let known = match entry[1].load(Relaxed) {
                0 => {
                    let count = bytes.div_ceil(LINE);
                    let first = self.word(Word::Lines).fetch_add(count, Relaxed);
                    let fits = first.checked_add(count).is_some_and(|end| end <= self.lines());
                    // One more: 0 says that it is not known yet. Nothing else is read by way of it.
                    let mine = if fits { first + 1 } else { NONE };
                    if mutated("race_lines_taken_twice") {
                        entry[1].store(mine, Relaxed);
                        return Some(first);
                    }
                    entry[1].compare_exchange(0, mine, Relaxed, Relaxed).err().unwrap_or(mine)
                }
                known => known,
            };
            if known == NONE {
                self.lack(Lack::Lines);
                return None;
            }
            return Some(known - 1);
        }
        self.lack(Lack::Lines);
        None
    }
}

#[cfg(all(test, not(rsm_loom)))]
pub(crate) mod tests {
    use super::*;

    /// A table with so many lines.
    pub(crate) fn memory(lines: usize) -> Vec<AtomicU64> {
        let mut words = Vec::new();
        words.resize_with(AT_LINES + lines * CELLS, AtomicU64::default);
        words
    }

    #[test]
    fn segments_have_lines_of_their_own() {
        let memory = memory(100);
        let table = Table::new(&memory);
        let one = table.lines_of(7, 80);
        assert_eq!(one, Some(0));
        assert_eq!(table.lines_of(8, 9), Some(10));
        assert_eq!(table.lines_of(7, 80), one);
        assert!(table.line(99).is_some() && table.line(100).is_none() && table.line(u64::MAX).is_none());
        assert_eq!(table.lines_of(9, 8 * 89), None, "no room");
        assert!(table.lacks(Lack::Lines) && !table.lacks(Lack::Clocks));
        assert_eq!(table.lines_of(9, 8 * 89), None, "and none later");
    }

    /// Whoever comes while another one is on the way, or has died there, has the same lines.
    #[test]
    fn lines_are_the_same_for_all() {
        for _ in 0..200 {
            let memory = memory(100);
            let table = Table::new(&memory);
            let lines = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..3).map(|_| scope.spawn(move || table.lines_of(7, 80))).collect();
                threads.into_iter().map(|thread| thread.join().expect("it ends")).collect::<Vec<_>>()
            });
            assert!(lines[0].is_some() && lines.iter().all(|line| *line == lines[0]), "{lines:?}");
        }
        let memory = memory(100);
        let table = Table::new(&memory);
        let entry = table.part(AT_SEGMENTS + 7u64.wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize % SEGMENTS * SEGMENT, 2);
        entry[0].store(8, Relaxed);
        assert_eq!(table.lines_of(7, 80), Some(0));
    }
}
