//! Numbers on the command line. What is no number is refused with what is allowed, not with how it failed to parse.

use rsm_run::node_set::MOST_NODES;

/// Reads the id of a node.
pub(crate) fn node(text: &str) -> Result<u32, String> {
    up_to_most(text).ok_or_else(|| format!("write the id of a node, 1 to {MOST_NODES}"))
}

/// Reads how many nodes.
pub(crate) fn nodes(text: &str) -> Result<u32, String> {
    up_to_most(text).ok_or_else(|| format!("write a number of nodes, 1 to {MOST_NODES}"))
}

/// Reads where a sequence of chance begins.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("write a number, 0 to {}", u64::MAX))
}

/// A number and what it counts: `1 node`, `2 nodes`.
pub(crate) fn counted(count: impl Into<u64>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

fn up_to_most(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=MOST_NODES).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_none_is_told_what_would_be() {
        assert_eq!((node("1"), nodes("63"), seed("0")), (Ok(1), Ok(63), Ok(0)));
        for text in ["", "0", "64", "-1", "x", "1.5", "99999999999"] {
            assert!(node(text).is_err_and(|why| why.contains("1 to 63")), "{text}");
            assert!(nodes(text).is_err_and(|why| why.contains("1 to 63")), "{text}");
        }
        assert!(seed("x").is_err_and(|why| why.contains("0 to 18446744073709551615")));
    }
}
