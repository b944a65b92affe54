//! Ranges of symmetric memory, and where an address lies in them.

use crate::local::Sym;

/// The heap, and the program's global variables: indices of regions.
pub(crate) const HEAP: usize = 0;
/// See [`HEAP`].
pub(crate) const DATA: usize = 1;

/// A range of this PE's symmetric memory.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    /// Address of its first byte.
    pub(crate) start: usize,
    pub(crate) length: usize,
    /// The last offset at which a word of any width lies in it, for one comparison where most transfers need no more.
    last_word: usize,
    /// Where it begins in its segment.
    pub(crate) first: usize,
}

/// The widest word.
const WORD: usize = 8;

impl Region {
    /// A range that begins at an offset of its segment.
    pub(crate) fn new(start: usize, length: usize, first: usize) -> Region {
        Region { start, length, last_word: length.saturating_sub(WORD), first }
    }

    /// One that no address is in: where it would begin, there are none.
    pub(crate) fn none() -> Region {
        Region::new(1 << 63, 0, 0)
    }

    /// Where a byte would lie in it.
    #[inline(always)]
    pub(crate) fn offset(&self, sym: Sym) -> usize {
        sym.address().wrapping_sub(self.start)
    }

    #[inline(always)]
    pub(crate) fn has(&self, offset: usize, bytes: usize) -> bool {
        offset < self.length && bytes <= self.length - offset
    }
}

/// The region, and where in it so many bytes lie.
#[inline(always)]
pub(crate) fn find(regions: &[Region; 2], sym: Sym, bytes: usize) -> Option<(usize, usize)> {
    let found = |side: usize| {
        let offset = regions[side].offset(sym);
        regions[side].has(offset, bytes).then_some((side, offset))
    };
    found(HEAP).or_else(|| found(DATA))
}

/// The same at first sight: not for a short transfer at the very end of a region.
#[inline(always)]
pub(crate) fn find_at_sight(regions: &[Region; 2], sym: Sym, bytes: usize) -> Option<(usize, usize)> {
    if bytes > WORD {
        return find(regions, sym, bytes);
    }
    // Which one without a branch: programs use both.
    let side = usize::from(regions[HEAP].offset(sym) > regions[HEAP].last_word);
    let offset = regions[side].offset(sym);
    (offset <= regions[side].last_word).then_some((side, offset))
}
