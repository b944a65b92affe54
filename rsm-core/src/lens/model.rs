//! Models: in which order stores of importers may arrive.
//!
//! | rule | `tso` | `pcie` | `sci` |
//! |---|---|---|---|
//! | a piece is | 8 bytes | a line of 64 bytes where whole, else 8 | 8 bytes |
//! | the same word, the same import | in order | in order | in order |
//! | other words, no order barrier between | in order, one queue for a node | any order | any order |
//! | across an order barrier | in order | in order | in order |
//! | two imports | in order | any order | any order |
//! | a signal after stores | in order | may overtake what is not closed | may overtake |
//! | a load | sees own stores, pushes nothing | pushes own stores to that node first | sees own stores |
//! | the source of a vector put | copied at once | read at delivery | read at delivery |
//!
//! Implicit transfers, and the loopback controller, are never weak. A program that is right under `sci` is right under all.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// Bytes of a word: what keeps its order with itself.
pub const WORD: u64 = 8;
/// Bytes of a line, which moves whole where a model says so.
pub const LINE: u64 = 64;
/// Pieces of the body of a put at most; those of a long one are longer.
const PIECES: u64 = 64;

/// Which orders are permitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Model {
    /// As among processors of one machine: stores are late, never out of order.
    Tso,
    /// As through a write-combining window of a PCIe bridge.
    #[default]
    Pcie,
    /// The least that the RSMAPI promises.
    Sci,
}

/// A load and the stores that are on their way when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// It sees those of its own import.
    Sees,
    /// It waits for those to its node.
    Pushes,
}

impl Model {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Model); 3] = [("tso", Model::Tso), ("pcie", Model::Pcie), ("sci", Model::Sci)];

    /// Reads a name.
    ///
    /// # Errors
    /// BAD_CONF, which says what may be given.
    pub fn parse(name: &str) -> Result<Model> {
        Model::ALL
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, model)| model)
            .ok_or_else(|| Error::with(Code::BadConf, format!("there is no model {name:?}: tso, pcie or sci")))
    }

    /// Whether all stores of a node arrive in the order in which they were made.
    pub fn is_in_order(self) -> bool {
        self == Model::Tso
    }

    /// What a load does about stores on their way.
    pub fn load(self) -> Load {
        if self == Model::Pcie { Load::Pushes } else { Load::Sees }
    }

    /// Bytes that a load moves at a time.
    pub fn load_unit(self) -> u64 {
        if self == Model::Pcie { LINE } else { WORD }
    }

    /// Whether the source of a vector put is read when it is delivered.
    pub fn reads_source_late(self) -> bool {
        self != Model::Tso
    }

    /// Whether stores through a mapping are late too.
    pub fn delays_mapped_stores(self) -> bool {
        self != Model::Tso
    }

    /// How a put of `bytes` at `offset` is cut: offset and length of each piece, in ascending order.
    pub fn cuts(self, offset: u64, bytes: u64) -> impl Iterator<Item = (u64, u64)> {
        let unit = if self == Model::Pcie { LINE } else { WORD };
        let step = unit * bytes.div_ceil(unit * PIECES).max(1);
        let end = offset + bytes;
        let mut at = offset;
        std::iter::from_fn(move || {
            if at == end {
                return None;
            }
            let whole = at.is_multiple_of(unit) && end - at >= unit;
            // A line that is not whole goes word by word, and what is beside words by itself.
            let next = if whole { (at + step).min(end / unit * unit) } else { ((at / WORD + 1) * WORD).min(end) };
            let piece = (at, next - at);
            at = next;
            Some(piece)
        })
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Model::ALL.iter().find(|(_, model)| model == self).map_or("", |(name, _)| name))
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn puts_are_cut_as_the_model_says() {
        let all = |model: Model, offset, bytes| model.cuts(offset, bytes).collect::<Vec<_>>();
        assert_eq!(all(Model::Pcie, 8, 8), [(8, 8)]);
        assert_eq!(all(Model::Pcie, 60, 82), [(60, 4), (64, 64), (128, 8), (136, 6)]);
        assert_eq!(all(Model::Pcie, 0, 200), [(0, 64), (64, 64), (128, 64), (192, 8)]);
        assert_eq!(all(Model::Sci, 4, 20), [(4, 4), (8, 8), (16, 8)]);
        assert_eq!(all(Model::Tso, 3, 1), [(3, 1)]);
        for (_, model) in Model::ALL {
            assert_eq!(all(model, 5, 0), []);
            // The body, and words on either side of it.
            assert!(all(model, 3, 1 << 30).len() as u64 <= PIECES + 17);
        }
    }

    #[test]
    fn names_come_back() {
        for (name, model) in Model::ALL {
            assert_eq!(Model::parse(name), Ok(model));
            assert_eq!(model.to_string(), name);
        }
        let error = Model::parse("TSO").unwrap_err();
        assert!(error.code() == Code::BadConf && error.detail().contains("tso, pcie or sci"), "{error}");
    }

    proptest! {
        #[test]
        fn cuts_are_the_whole(which in 0usize..3, offset in 0u64..10_000, bytes in 0u64..100_000) {
            let mut at = offset;
            for (start, length) in Model::ALL[which].1.cuts(offset, bytes) {
                prop_assert!(start == at && length > 0);
                // No word is cut that the put has whole.
                prop_assert!(start.is_multiple_of(WORD) || start == offset || bytes < WORD);
                at += length;
            }
            prop_assert_eq!(at, offset + bytes);
        }
    }
}
