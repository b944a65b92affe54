//! Where on a board everything stands.
//!
//! ```text
//! 0           locks: a state and a word of who wants it, for each
//! HEAD        words: for each word a cell of every writer
//! ROWS        rows: for each writer its control words and the rings of its two pipes to the board's owner
//! ```
//!
//! But for the locks every word has one writer, ever: so stores need no atomicity beyond their own, and a store that
//! nobody can vouch for is made again.

/// Locks that a node keeps.
pub const LOCKS: usize = 16;

/// Words that each node has for others to raise.
pub const WORDS: usize = 64;

/// Bytes for the locks: as many as pages of any size Linux knows, for they are mapped.
pub(crate) const HEAD: u64 = 64 << 10;

/// Bytes that processors pass on at once: two lines of 64 bytes, or one of 128.
const LINE: u64 = 128;

/// Bytes from lock to lock: two words, and no line shared with another.
const LOCK: u64 = LINE;

/// Bytes for the cells of a word: of 63 nodes.
const CELLS: u64 = 512;

/// Where rows begin.
const ROWS: u64 = HEAD + WORDS as u64 * CELLS;

/// Bytes of a row before its rings.
const CONTROL: u64 = 4 * LINE;

/// What the writer of a row says in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    /// The number by which it knows itself in this team; never 0.
    Hello,
    /// The [`Hello`](Row::Hello) of the board's owner, read back.
    Echo,
    /// 1: it has left, and what it says by its end means nothing.
    Left,
    /// How many barriers it has told the owner of.
    Barrier,
    /// How many bytes it has put into its pipe to the owner.
    Sent(Pipe),
    /// How many bytes it has taken out of the owner's pipe to it.
    Taken(Pipe),
}

/// One of the two pipes that there are from every node to every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pipe {
    /// What collective calls send.
    Collective,
    /// The mailbox.
    Mail,
}

/// The layout of the boards of a team.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    nodes: u64,
    ring: u64,
}

impl Layout {
    pub(crate) fn of(nodes: usize) -> Layout {
        let nodes = nodes as u64;
        // A board has all of its memory from the beginning, so those of large teams have shorter rings.
        let share = (256 << 10) / nodes;
        Layout { nodes, ring: (1 << share.ilog2()).clamp(4 << 10, 16 << 10) }
    }

    /// Bytes of a board.
    pub(crate) fn length(self) -> u64 {
        ROWS + self.nodes * self.stride()
    }

    /// Bytes of the ring of a pipe.
    pub(crate) fn ring(self) -> u64 {
        self.ring
    }

    /// Where the state of a lock is; who wants it stands behind.
    pub(crate) fn lock(number: usize) -> u64 {
        number as u64 * LOCK
    }

    /// Where `writer` raises a word.
    pub(crate) fn cell(word: usize, writer: usize) -> u64 {
        HEAD + word as u64 * CELLS + writer as u64 * 8
    }

    /// Where `writer` says something.
    pub(crate) fn row(self, writer: usize, what: Row) -> u64 {
        let place = match what {
            Row::Hello => 0,
            Row::Echo => 8,
            Row::Left => 16,
            Row::Barrier => LINE,
            Row::Sent(Pipe::Collective) => 2 * LINE,
            Row::Taken(Pipe::Collective) => 2 * LINE + 8,
            Row::Sent(Pipe::Mail) => 3 * LINE,
            Row::Taken(Pipe::Mail) => 3 * LINE + 8,
        };
        ROWS + writer as u64 * self.stride() + place
    }

    /// Where the ring of `writer`'s pipe begins.
    pub(crate) fn ring_of(self, writer: usize, pipe: Pipe) -> u64 {
        ROWS + writer as u64 * self.stride() + CONTROL + if pipe == Pipe::Mail { self.ring } else { 0 }
    }

    fn stride(self) -> u64 {
        CONTROL + 2 * self.ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_lies_on_anything_else() {
        for nodes in [1, 2, 16, 17, 63] {
            let layout = Layout::of(nodes);
            let mut taken = Vec::new();
            for lock in 0..LOCKS {
                taken.push((Layout::lock(lock), 16));
            }
            for writer in 0..nodes {
                taken.extend((0..WORDS).map(|word| (Layout::cell(word, writer), 8)));
                let rows = [Row::Hello, Row::Echo, Row::Left, Row::Barrier];
                taken.extend(rows.map(|row| (layout.row(writer, row), 8)));
                for pipe in [Pipe::Collective, Pipe::Mail] {
                    taken.extend([Row::Sent(pipe), Row::Taken(pipe)].map(|row| (layout.row(writer, row), 8)));
                    taken.push((layout.ring_of(writer, pipe), layout.ring()));
                }
            }
            taken.sort_unstable();
            assert!(taken.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{nodes}");
            let last = taken[taken.len() - 1];
            assert_eq!(last.0 + last.1, layout.length());
            assert!(taken.iter().all(|(start, _)| start % 8 == 0));
            assert!(Layout::lock(LOCKS - 1) + 16 <= HEAD);
        }
    }
}
