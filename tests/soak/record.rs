//! What stands in a segment: words that say who wrote them, which publication they were meant for, and that they are
//! whole.
//!
//! Record 0 is the exporter's and holds the publication's number. Record K is written by node K only, eight words in
//! ascending order, all with the same sequence number; a writer that dies leaves some of them with the one before.

use super::random::mix;

pub(crate) const WORDS: usize = 8;
pub(crate) const NODES: u32 = 4;
/// Two pages, or more.
pub(crate) const LENGTH: usize = 2 << 16;

/// The offset of a node's record. Records lie on both halves.
pub(crate) fn offset(node: u32) -> u64 {
    u64::from(node % 2) * (LENGTH as u64 / 2) + u64::from(node) * 64
}

/// Sequence number, writer and place in clear, and a check that binds them to a publication.
pub(crate) fn word(publication: u64, writer: u32, place: usize, sequence: u32) -> u64 {
    let clear = u64::from(sequence) << 16 | u64::from(writer) << 8 | place as u64;
    clear | mix(clear ^ mix(publication)) >> 48 << 48
}

pub(crate) fn record(publication: u64, writer: u32, sequence: u32) -> [u64; WORDS] {
    std::array::from_fn(|place| word(publication, writer, place, sequence))
}

/// The sequence number of a word: 0 for one that nobody wrote.
pub(crate) fn sequence(publication: u64, writer: u32, place: usize, found: u64) -> Result<u32, String> {
    let claimed = (found >> 16) as u32;
    if found == 0 || found == word(publication, writer, place, claimed) {
        return Ok(if found == 0 { 0 } else { claimed });
    }
    Err(format!("word {place} of node {writer} in publication {publication:#x} is {found:#018x}, which nobody writes"))
}

/// The lowest sequence number in a record, all of whose words must be right.
pub(crate) fn check(publication: u64, writer: u32, words: &[u64; WORDS]) -> Result<u32, String> {
    let mut lowest = u32::MAX;
    for (place, found) in words.iter().enumerate() {
        lowest = lowest.min(sequence(publication, writer, place, *found)?);
    }
    Ok(lowest)
}
