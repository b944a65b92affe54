//! The words of a command line that name programs.

use std::ffi::OsString;

use rsm_run::node_set::NodeSet;
use rsm_run::program::{self, Program};

use crate::failure::Failure;

/// The long options there are, asked for where somebody seems to have mistyped one.
pub(crate) type Options = fn() -> Vec<String>;

/// Cuts the words of a command line with several programs apart. Only where the first one was given nodes do the three
/// words `--node NODES --` start another.
pub(crate) fn split(first: Option<NodeSet>, words: Vec<OsString>) -> Result<Vec<(NodeSet, Vec<OsString>)>, Failure> {
    let Some(first) = first else { return Ok(vec![(NodeSet::All, words)]) };
    let mut parts = vec![(first, Vec::new())];
    let mut rest = words.into_iter().peekable();
    while let Some(word) = rest.next() {
        let mut ahead = rest.clone();
        let nodes = if word == "--node" { ahead.next().zip(ahead.next()).filter(|(_, end)| end == "--") } else { None };
        match nodes {
            Some((nodes, _)) => {
                let nodes = NodeSet::parse(&nodes.to_string_lossy())
                    .map_err(|text| Failure::usage(format!("--node: {text}")))?;
                parts.push((nodes, Vec::new()));
                rest = ahead;
            }
            None => parts.last_mut().expect("there is a first part").1.push(word),
        }
    }
    Ok(parts)
}

/// Finds the program that words of a command line name.
pub(crate) fn program_of(words: Vec<OsString>, options: Options) -> Result<Program, Failure> {
    let mut words = words.into_iter();
    let name = words.next().ok_or_else(|| Failure::usage("--node NODES -- needs a program after it"))?;
    if name.is_empty() {
        return Err(Failure::usage("the name of the program to run is empty"));
    }
    if name.as_encoded_bytes().starts_with(b"-") {
        return Err(Failure::usage(no_option(&name.to_string_lossy(), options)));
    }
    Ok(Program { path: program::find(&name, None)?, name, arguments: words.collect() })
}

/// What stands where a program should: a mistyped option.
fn no_option(word: &str, options: Options) -> String {
    let word = word.split('=').next().unwrap_or_default();
    let near = options().into_iter().map(|option| (strsim::damerau_levenshtein(&option, word), option)).min();
    match near {
        Some((1..=2, near)) => format!("there is no option {word} here; did you mean {near}?"),
        _ => format!("there is no option {word} here, and no program is called like that"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn programs_are_cut_apart_only_where_nodes_were_given() {
        let line = "a --node 2 b -- --node 2-3 -- c --node";
        let one = split(None, words(line)).unwrap();
        assert_eq!(one, [(NodeSet::All, words(line))]);
        let two = split(Some(NodeSet::one(1)), words(line)).unwrap();
        assert_eq!(
            two,
            [(NodeSet::one(1), words("a --node 2 b --")), (NodeSet::parse("2-3").unwrap(), words("c --node"))]
        );
        assert!(split(Some(NodeSet::one(1)), words("a --node x -- b")).is_err());
        assert!(program_of(Vec::new(), Vec::new).is_err());
    }
}
