//! What docs/finding-bugs.md shows of commands, beside what they print: whatever numbers there are, the lines have the same shape.

use std::collections::BTreeSet;

/// The shape of each line: its words, with numbers and units of time replaced.
pub(crate) fn shapes(text: &str) -> Vec<String> {
    let shape = |line: &str| {
        let mut shape = String::new();
        for letter in line.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
            match letter {
                '0'..='9' if shape.ends_with('#') => {}
                '0'..='9' => shape.push('#'),
                other => shape.push(other),
            }
        }
        // Of durations; times have the same everywhere.
        ["# ns", "# us"].iter().fold(shape, |shape, unit| shape.replace(unit, "# ms"))
    };
    text.lines().map(shape).collect()
}

/// The shapes of what the guide shows behind a command.
pub(crate) fn printed(guide: &str, command: &str) -> Vec<String> {
    let is_it = |line: &&str| line.starts_with("$ rsm-ctl ") && line.contains(command);
    let from = guide.lines().skip_while(|line| !is_it(line)).skip(1);
    let lines: Vec<&str> = from.take_while(|line| !line.starts_with(['$', '`'])).collect();
    shapes(&lines.join("\n"))
}

fn is_end(shape: &str) -> bool {
    shape.contains(") ended with ") || shape.contains(") has left ")
}

/// Those of calls.
pub(crate) fn calls(shapes: &[String]) -> Vec<&str> {
    let is_call = |shape: &&str| !is_end(shape) && !shape.contains(") was killed ");
    shapes.iter().map(String::as_str).filter(is_call).collect()
}

/// Those of ends, which come when they come.
pub(crate) fn ends(shapes: &[String]) -> BTreeSet<&str> {
    shapes.iter().map(String::as_str).filter(|shape| is_end(shape)).collect()
}
