//! Nodes as people list them: `2`, `1,4-6`, `all`, `others`.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Most nodes of a cluster in the default geometry: 64 ids of which 0 means "not a member".
pub const MOST_NODES: u32 = 63;

/// Some nodes of a cluster whose size is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeSet {
    /// Every node.
    All,
    /// Those that nothing else was said about.
    Others,
    /// These ids.
    Listed(Vec<RangeInclusive<u32>>),
}

impl NodeSet {
    /// Reads a list.
    pub fn parse(text: &str) -> Result<NodeSet, String> {
        match text {
            "all" => return Ok(NodeSet::All),
            "others" => return Ok(NodeSet::Others),
            _ => {}
        }
        let id = |text: &str| {
            let id: u32 =
                text.parse().map_err(|_| format!("{text:?} is no node; write 2, 1,4-6, \"all\" or \"others\""))?;
            if (1..=MOST_NODES).contains(&id) {
                Ok(id)
            } else {
                Err(format!("there is no node {id}: 1 to {MOST_NODES}"))
            }
        };
        let range = |text: &str| match text.split_once('-') {
            None => id(text).map(|id| id..=id),
            Some((from, to)) => {
                let (from, to) = (id(from)?, id(to)?);
                if from <= to { Ok(from..=to) } else { Err(format!("{from}-{to} goes backwards")) }
            }
        };
        Ok(NodeSet::Listed(text.split(',').map(range).collect::<Result<_, String>>()?))
    }

    /// Just this node.
    pub fn one(node: u32) -> NodeSet {
        NodeSet::Listed(vec![node..=node])
    }

    /// The nodes it means in a cluster of `nodes`, where something was said about those in `taken` already.
    pub fn resolve(&self, nodes: u32, taken: &BTreeSet<u32>) -> Result<Vec<u32>, String> {
        match self {
            NodeSet::All => Ok((1..=nodes).collect()),
            NodeSet::Others => Ok((1..=nodes).filter(|node| !taken.contains(node)).collect()),
            NodeSet::Listed(ranges) => {
                let listed: BTreeSet<u32> = ranges.iter().cloned().flatten().collect();
                match listed.last() {
                    Some(&last) if last > nodes => {
                        Err(format!("there is no node {last}: the cluster has 1 to {nodes}"))
                    }
                    _ => Ok(listed.into_iter().collect()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let resolve = |text: &str| NodeSet::parse(text).unwrap().resolve(6, &BTreeSet::from([1, 3]));
        assert_eq!(resolve("2"), Ok(vec![2]));
        assert_eq!(resolve("4-6,1,5"), Ok(vec![1, 4, 5, 6]));
        assert_eq!(resolve("all"), Ok(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(resolve("others"), Ok(vec![2, 4, 5, 6]));
        assert_eq!(resolve("7"), Err("there is no node 7: the cluster has 1 to 6".into()));
    }

    #[test]
    fn refusals() {
        for text in ["", "0", "64", "-1", "1-", "3-1", "1,,2", "two", "1;2", "99999999999"] {
            assert!(NodeSet::parse(text).is_err(), "{text}");
        }
    }
}
