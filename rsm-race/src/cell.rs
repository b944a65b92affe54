//! Cells: an access to a line of eight bytes, in a word.

/// Bits of a clock that a cell has room for.
pub const CLOCK_BITS: u32 = 30;
/// No clock goes so far.
pub const LAST_CLOCK: u64 = (1 << CLOCK_BITS) - 1;

const ID: u32 = 56;
const CLOCK: u32 = 26;
const SITE: u32 = 10;
const KIND: u32 = 8;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// One word was stored, and somebody was told so who found it: it races with nothing. Others may be told by it yet.
    Told = 0,
    /// Read, other than as one word.
    Read = 1,
    /// Written, other than as one word.
    Write = 2,
    /// One word was stored: with `put64` and its like, or by an atomic or volatile store.
    Store = 3,
}

impl Kind {
    /// Whether it changes memory.
    pub fn writes(self) -> bool {
        matches!(self, Kind::Write | Kind::Store)
    }

    /// Whether it is a word that was stored, by which something may have been told.
    pub fn is_word(self) -> bool {
        matches!(self, Kind::Store | Kind::Told)
    }

    /// Whether these two, of which nothing says which came first, are a race as far as their kinds tell. A word may be
    /// stored while others read it, which find it as it was or as it is; whether two stores of it are a race depends on
    /// what was stored.
    pub fn conflicts(self, other: Kind) -> bool {
        matches!(
            (self, other),
            (Kind::Write, Kind::Read | Kind::Write | Kind::Store) | (Kind::Read | Kind::Store, Kind::Write)
        )
    }
}

/// An access, by whom and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whose clock it is.
    pub id: usize,
    /// What it said.
    pub clock: u64,
    /// Where in the program.
    pub site: u16,
    /// What was done.
    pub kind: Kind,
    /// To which bytes of the line.
    pub bytes: u8,
}

/// The first word of a line of which nobody wants to hear.
pub const BENIGN: u64 = u64::MAX;

impl Cell {
    /// Whether another one was made by the same, at the same place, and did the same.
    pub fn is_alike(self, other: Cell) -> bool {
        (self.id, self.site, self.kind) == (other.id, other.site, other.kind)
    }

    /// As a word: never 0, and never [`BENIGN`].
    pub fn word(self) -> u64 {
        (self.id as u64 & 0xff) << ID
            | (self.clock & LAST_CLOCK) << CLOCK
            | u64::from(self.site) << SITE
            | (self.kind as u64) << KIND
            | u64::from(self.bytes)
    }

    /// Reads a word: `None` for one that is no access.
    pub fn from_word(word: u64) -> Option<Cell> {
        let kind = match word >> KIND & 3 {
            1 => Kind::Read,
            2 => Kind::Write,
            3 => Kind::Store,
            _ => Kind::Told,
        };
        let id = (word >> ID) as usize;
        if word == BENIGN || id == 0 {
            return None;
        }
        Some(Cell { id, clock: word >> CLOCK & LAST_CLOCK, site: (word >> SITE) as u16, kind, bytes: word as u8 })
    }
}

/// Which bytes of the line at `line`, in bytes, an access to `length` bytes from `start` on touches.
pub fn bytes_of(line: u64, start: u64, length: u64) -> u8 {
    let (first, end) = (start.max(line) - line, (start + length).min(line + 8) - line);
    if first >= end { 0 } else { ((1u16 << end) - (1 << first)) as u8 }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cells_come_back(id in 1usize..255, clock in 0..LAST_CLOCK, site: u16, kind in 0usize..4, bytes: u8) {
            let kind = [Kind::Told, Kind::Read, Kind::Write, Kind::Store][kind];
            let cell = Cell { id, clock, site, kind, bytes };
            prop_assert_eq!(Cell::from_word(cell.word()), Some(cell));
            prop_assert_ne!(cell.word(), BENIGN);
        }
    }

    #[test]
    fn bytes_are_those_of_the_line() {
        assert_eq!(bytes_of(8, 8, 8), 0xff);
        assert_eq!(bytes_of(8, 0, 100), 0xff);
        assert_eq!(bytes_of(8, 9, 2), 0b110);
        assert_eq!(bytes_of(8, 14, 9), 0b1100_0000);
        assert_eq!(bytes_of(8, 3, 6), 1);
        assert_eq!(bytes_of(8, 16, 1), 0);
        assert_eq!(Cell::from_word(0), None);
        assert_eq!(Cell::from_word(BENIGN), None);
    }

    #[test]
    fn words_race_with_what_is_no_word() {
        use Kind::{Read, Store, Write};
        let races = |a: Kind, b: Kind| a.conflicts(b);
        assert!(races(Write, Write) && races(Write, Read) && races(Read, Write));
        assert!(races(Store, Write) && races(Write, Store));
        assert!(
            [Write, Read, Store, Kind::Told].iter().all(|&kind| !races(kind, Kind::Told) && !races(Kind::Told, kind))
        );
        assert!(!races(Read, Store) && !races(Store, Read) && !races(Read, Read) && !races(Store, Store));
    }
}
