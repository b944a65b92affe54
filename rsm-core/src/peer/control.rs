//! Where what stands in the control pages: the beginning of each window.
//!
//! Two pieces. *Ours* is what the other host may read, *theirs* what it may write; a bridge with memory management enforces
//! it, and so each word has one writer. All places are counted in words of 8 bytes, little-endian.
//!
//! | piece | word | what | writer |
//! |---|---|---|---|
//! | ours | [`HELLO`] | [`hello`](super::hello) | owner |
//! | ours | [`SEALS`] | a [`seal`](crate::seal) for each slot | owner |
//! | theirs | [`RING`], [`HEAD`] | the peer's [`ring`](super::ring), and how far it is filled | peer |
//! | theirs | [`TAIL`] | how far the peer has read *our* ring | peer |
//! | theirs | [`HEARTBEAT`] | a count that goes on while the peer's agent does | peer |
//! | theirs | [`LANES`] | a [`lane`](super::lane) for each connection | peer |

/// Words of a page of 4 KiB. So few in models that they can follow all.
const PAGE: usize = if cfg!(rsm_loom) { 8 } else { 512 };
/// Pages of one piece.
const PIECE: usize = if cfg!(rsm_loom) { 4 } else { 32 };

/// Slots, and lanes: how many grants, and how many connections, there can be at a time from one host to the other.
pub const SLOTS: u32 = if cfg!(rsm_loom) { 8 } else { 8192 };

/// Words of the piece that its owner writes.
pub const OURS_WORDS: usize = PIECE * PAGE;
/// Words of the piece that the peer writes.
pub const THEIRS_WORDS: usize = PIECE * PAGE;
/// Bytes of both pieces: what lies before the memory of segments in a window.
pub const CONTROL_BYTES: u64 = (OURS_WORDS + THEIRS_WORDS) as u64 * 8;

/// In *ours*: the hello.
pub const HELLO: usize = 0;
/// In *ours*: the seals.
pub const SEALS: usize = PAGE;

/// In *theirs*: the entries of the ring.
pub const RING: usize = 0;
/// In *theirs*: units of the ring that were ever filled.
pub const HEAD: usize = RING + if cfg!(rsm_loom) { PAGE } else { 8 * PAGE };
/// In *theirs*: units of the other ring that were ever read.
pub const TAIL: usize = if cfg!(rsm_loom) { HEAD + 1 } else { HEAD + PAGE };
/// In *theirs*: the heartbeat.
pub const HEARTBEAT: usize = TAIL + if cfg!(rsm_loom) { 1 } else { 8 };
/// In *theirs*: the lanes.
pub const LANES: usize = HEAD + if cfg!(rsm_loom) { PAGE } else { 2 * PAGE };

/// Place of a word of *ours* in the control pages.
pub const fn ours(at: usize) -> usize {
    at
}

/// Place of a word of *theirs* in the control pages.
pub const fn theirs(at: usize) -> usize {
    OURS_WORDS + at
}

/// Place in the control pages of the seal of a slot.
pub const fn seal_at(slot: u32) -> usize {
    ours(SEALS + slot as usize)
}

/// Place in the control pages of a lane.
pub const fn lane_at(lane: u32) -> usize {
    theirs(LANES + lane as usize)
}

const _: () = assert!(SEALS + SLOTS as usize <= OURS_WORDS, "the seals lie in the piece");
const _: () = assert!(LANES + SLOTS as usize <= THEIRS_WORDS, "the lanes lie in the piece");
const _: () = assert!(HEARTBEAT < LANES, "the heartbeat comes before the lanes");

#[cfg(not(rsm_loom))]
const _: () = {
    // What two hosts have to agree on, in bytes.
    assert!(CONTROL_BYTES == 256 << 10 && SEALS * 8 == 4 << 10);
    assert!(HEAD * 8 == 32 << 10 && TAIL * 8 == 36 << 10 && LANES * 8 == 40 << 10);
};
