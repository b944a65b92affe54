//! Sets of nodes: which of them a host owns.

use crate::error::{Code, Error, Result};
use std::fmt;

/// Highest node id.
pub const MOST: u32 = 63;

/// A set of node ids from 1 to [`MOST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nodes(u64);

impl Nodes {
    /// No node.
    pub const NONE: Nodes = Nodes(0);

    /// Nodes 1 to `count`; ids above [`MOST`] are left out.
    pub fn up_to(count: u32) -> Nodes {
        (1..=count.min(MOST)).collect()
    }

    /// The set with these bits, node 1 in bit 1; `None` when bit 0 is set, for there is no node 0.
    pub const fn from_bits(bits: u64) -> Option<Nodes> {
        if bits & 1 == 0 { Some(Nodes(bits)) } else { None }
    }

    /// The bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether a node is in the set.
    pub const fn has(self, node: u32) -> bool {
        node >= 1 && node <= MOST && self.0 >> node & 1 == 1
    }

    /// The set with a node; ids that no node has change nothing.
    #[must_use]
    pub const fn with(self, node: u32) -> Nodes {
        if node >= 1 && node <= MOST { Nodes(self.0 | 1 << node) } else { self }
    }

    /// The set without a node.
    #[must_use]
    pub const fn without(self, node: u32) -> Nodes {
        if node <= MOST { Nodes(self.0 & !(1 << node)) } else { self }
    }

    /// What is in both sets.
    #[must_use]
    pub const fn and(self, other: Nodes) -> Nodes {
        Nodes(self.0 & other.0)
    }

    /// What is in either set.
    #[must_use]
    pub const fn or(self, other: Nodes) -> Nodes {
        Nodes(self.0 | other.0)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub const fn minus(self, other: Nodes) -> Nodes {
        Nodes(self.0 & !other.0)
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The smallest id.
    pub fn first(self) -> Option<u32> {
        self.iter().next()
    }

    /// The ids, in order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (1..=MOST).filter(move |&node| self.has(node))
    }

    /// Reads what [`Display`](fmt::Display) writes: ids and ranges, such as `1-2` or `1,3-5`.
    ///
    /// # Errors
    /// BAD_CONF, with what may be given.
    pub fn parse(text: &str) -> Result<Nodes> {
        let bad = || {
            let text = format!("nodes {text:?}: give ids from 1 to {MOST}, ranges of them, or both: 1-2 or 1,3-5");
            Error::with(Code::BadConf, text)
        };
        let id = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse().ok().filter(|id| plain && (1..=MOST).contains(id)).ok_or_else(bad)
        };
        let mut nodes = Nodes::NONE;
        for piece in text.split(',') {
            let (from, to) = match piece.trim().split_once('-') {
                Some((from, to)) => (id(from.trim())?, id(to.trim())?),
                None => (id(piece.trim())?, id(piece.trim())?),
            };
            if from > to {
                return Err(bad());
            }
            nodes = (from..=to).fold(nodes, Nodes::with);
        }
        Ok(nodes)
    }
}

impl FromIterator<u32> for Nodes {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Nodes {
        ids.into_iter().fold(Nodes::NONE, Nodes::with)
    }
}

/// Ranges, as [`Nodes::parse`] reads them; `none` for no node.
impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let mut comma = "";
        let mut next = 0;
        for from in self.iter() {
            if from < next {
                continue;
            }
            next = (from..=MOST + 1).find(|&node| !self.has(node)).unwrap_or(MOST + 1);
            match next - 1 {
                to if to == from => write!(f, "{comma}{from}")?,
                to => write!(f, "{comma}{from}-{to}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_as_ranges_and_read_again() {
        for (ids, text) in [(vec![1, 2], "1-2"), (vec![1, 3, 4, 5], "1,3-5"), (vec![63], "63"), (vec![7, 9], "7,9")] {
            let nodes: Nodes = ids.iter().copied().collect();
            assert_eq!(nodes.to_string(), text);
            assert_eq!(Nodes::parse(text).unwrap(), nodes);
            assert_eq!(nodes.iter().collect::<Vec<_>>(), ids);
        }
        assert_eq!(Nodes::parse(" 1 , 3 - 4 ").unwrap().to_string(), "1,3-4");
        assert_eq!(Nodes::NONE.to_string(), "none");
        assert_eq!(Nodes::up_to(99).to_string(), "1-63");
    }

    #[test]
    fn what_is_no_set_is_told_what_one_is() {
        for text in ["", "0", "64", "2-1", "1-", "-1", "1,,2", "one", "+1", "1-2-3", "99999999999"] {
            let error = Nodes::parse(text).unwrap_err();
            assert_eq!(error.code(), Code::BadConf, "{text}");
            assert!(error.to_string().contains("1-2 or 1,3-5"), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_set_is_read_as_it_is_written(bits: u64) {
            let nodes = Nodes::from_bits(bits & !1).unwrap();
            if !nodes.is_empty() {
                proptest::prop_assert_eq!(Nodes::parse(&nodes.to_string()).unwrap(), nodes);
            }
            proptest::prop_assert_eq!(nodes.iter().collect::<Nodes>(), nodes);
            proptest::prop_assert_eq!(nodes.first(), nodes.iter().min());
            proptest::prop_assert!(!nodes.has(0) && !nodes.has(64) && Nodes::from_bits(bits | 1).is_none());
        }
    }
}
