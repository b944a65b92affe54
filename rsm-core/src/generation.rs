//! Generations: how an import learns that its connection was cut.
//!
//! Each connection row carries one 64-bit word, a serial number that no other connection of the cluster ever had,
//! shifted left once, with the lowest bit saying *aborted*. An import remembers the word it was granted; every barrier,
//! implicit transfer and post compares. A row that was cut differs by the bit, a row that was cut and given to another
//! connection differs by the serial, so one compare catches both, and there is nothing to wrap (D-54).

/// The word of a connection row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// The word of a live connection with this serial number.
    pub const fn live(serial: u64) -> Generation {
        Generation(serial << 1)
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
        self.0 >> 1
    }

    /// The same connection, cut.
    #[must_use]
    pub const fn aborted(self) -> Generation {
        Generation(self.0 | 1)
    }

    /// Whether the connection was cut.
    pub const fn is_aborted(self) -> bool {
        self.0 & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    proptest::proptest! {
        /// Two connections never share a word, cut or not.
        #[test]
        fn words_of_different_connections_differ(one in 0..u64::MAX >> 1, other in 0..u64::MAX >> 1) {
            let live = Generation::live(one);
            assert_eq!((live.serial(), live.is_aborted()), (one, false));
            assert_eq!((live.aborted().serial(), live.aborted().is_aborted()), (one, true));
            assert_eq!(Generation::from_word(live.aborted().word()), live.aborted().aborted());
            for theirs in [Generation::live(other), Generation::live(other).aborted()] {
                assert_eq!(theirs == live, one == other && !theirs.is_aborted());
            }
        }
    }
}
