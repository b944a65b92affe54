//! Generations: how an import learns that its connection was cut, and why.
//!
//! Each connection row carries one 64-bit word, a serial number that no other connection of the cluster ever had,
//! shifted left by four, with the lowest bits saying *why it ended*, 0 while it lives. An import remembers the word it
//! was granted; every barrier, implicit transfer and post compares. A row that was cut differs by the low bits, a row
//! that was cut and given to another connection differs by the serial, so one compare catches both, and there is nothing
//! to wrap (D-54). The reason needs no order of its own: who sees that the connection was cut sees why in the same word.

use std::fmt;

/// Reason why a connection ended. The numbers stand in the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndCause {
    /// The exporter took the segment back: it unpublished or destroyed it.
    Withdrawn = 1,
    /// Somebody from outside took the segment from its exporter (`rsm-ctl segment revoke`).
    Revoked = 2,
    /// The exporting process has ended, in whatever way, has executed another program, or has left the cluster.
    ExporterEnded = 3,
    /// Somebody from outside killed the node at the other end (`rsm-ctl node kill`).
    NodeKilled = 4,
    /// The link between the two nodes was taken down.
    LinkDown = 5,
    /// The importer gave the connection back.
    Disconnected = 6,
    /// The importing process has ended without giving the connection back, or has executed another program.
    ImporterEnded = 7,
}

impl EndCause {
    /// Every cause.
    pub const ALL: [EndCause; 7] = [
        EndCause::Withdrawn,
        EndCause::Revoked,
        EndCause::ExporterEnded,
        EndCause::NodeKilled,
        EndCause::LinkDown,
        EndCause::Disconnected,
        EndCause::ImporterEnded,
    ];
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndCause::Withdrawn => "the exporter took the segment back",
            EndCause::Revoked => "the segment was revoked from outside",
            EndCause::ExporterEnded => "the exporting process has ended",
            EndCause::NodeKilled => "the node was killed from outside",
            EndCause::LinkDown => "the link was taken down",
            EndCause::Disconnected => "the importer gave the connection back",
            EndCause::ImporterEnded => "the importing process has ended",
        })
    }
}

/// Bits below the serial number.
const CAUSE_BITS: u32 = 4;
const CAUSE: u64 = (1 << CAUSE_BITS) - 1;

/// The word of a connection row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// What no connection was ever granted with: a word with every bit of the cause set.
    pub const NEVER: Generation = Generation(u64::MAX);

    /// The word of a live connection with this serial number.
    pub const fn live(serial: u64) -> Generation {
        Generation(serial << CAUSE_BITS)
    }

    /// The word as found in memory.
    pub const fn from_word(word: u64) -> Generation {
        Generation(word)
    }

    /// The word as stored in memory.
    pub const fn word(self) -> u64 {
        self.0
    }

    /// The serial number.
    pub const fn serial(self) -> u64 {
        self.0 >> CAUSE_BITS
    }

    /// The same connection, cut. The first cause stays.
    #[must_use]
    pub const fn aborted(self, cause: EndCause) -> Generation {
        if self.is_aborted() { self } else { Generation(self.0 | cause as u64) }
    }

    /// Whether the connection was cut.
    pub const fn is_aborted(self) -> bool {
        self.0 & CAUSE != 0
    }

    /// Reason why it was cut; `None` for a live one, and for a number that was never given out.
    pub fn cause(self) -> Option<EndCause> {
        EndCause::ALL.into_iter().find(|&cause| cause as u64 == self.0 & CAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays() {
        for first in EndCause::ALL {
            let cut = Generation::live(9).aborted(first);
            assert_eq!((cut.serial(), cut.cause()), (9, Some(first)));
            for second in EndCause::ALL {
                assert_eq!(cut.aborted(second), cut);
            }
        }
        assert_eq!(Generation::live(9).cause(), None);
        assert!(Generation::NEVER.is_aborted() && !Generation::live(u64::MAX >> CAUSE_BITS).is_aborted());
        assert_eq!(Generation::from_word(9 << CAUSE_BITS | CAUSE).cause(), None, "a number never given out");
        assert!(Generation::from_word(9 << CAUSE_BITS | CAUSE).is_aborted());
    }

    proptest::proptest! {
        /// Two connections never share a word, cut or not.
        #[test]
        fn words_of_different_connections_differ(one in 0..u64::MAX >> 4, other in 0..u64::MAX >> 4, cause in 0..7usize) {
            let (live, cause) = (Generation::live(one), EndCause::ALL[cause]);
            assert_eq!((live.serial(), live.is_aborted()), (one, false));
            assert_eq!((live.aborted(cause).serial(), live.aborted(cause).is_aborted()), (one, true));
            assert_eq!(Generation::from_word(live.aborted(cause).word()), live.aborted(cause));
            for theirs in [Generation::live(other), Generation::live(other).aborted(cause)] {
                assert_eq!(theirs == live, one == other && !theirs.is_aborted());
            }
        }
    }
}
