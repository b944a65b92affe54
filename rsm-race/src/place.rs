//! Memory of segments, as accesses name it.

/// The lines of a segment that there is no room for: what is done with it races with nothing, and is told all the same.
pub const NO_LINES: u64 = u64::MAX;

/// The memory of a segment, for who looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its first line, or [`NO_LINES`].
    pub lines: u64,
    /// Whose it is.
    pub node: u32,
    /// What others know it by.
    pub id: u32,
}

/// Some bytes of it, and who touches them: a place in a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The memory.
    pub place: Place,
    /// From this byte on.
    pub offset: u64,
    /// So many.
    pub length: u64,
    /// By whom: of [`Process::site`](crate::process::Process::site).
    pub site: u16,
}
