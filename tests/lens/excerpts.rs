//! `docs/weak-order.md` shows parts of the programs. They are what stands in the sources.

use crate::programs::{SITE, root};
use std::collections::BTreeSet;

/// Each excerpt follows a comment that names its file: `<!-- tests/lens/c/message.c -->`, then a block of code. Its lines
/// stand in the file, one after the other; how far they are indented is the document's matter.
pub(crate) fn are_sources() -> Result<(), String> {
    let document = std::fs::read_to_string(root().join("docs/weak-order.md")).map_err(|e| e.to_string())?;
    let (mut in_c, mut in_rust) = (BTreeSet::new(), BTreeSet::new());
    for after in document.split("<!-- tests/lens/").skip(1) {
        let (file, rest) = after.split_once(" -->").ok_or("a comment that does not end")?;
        let (_, rest) = rest.split_once("```").ok_or_else(|| format!("no code after {file}"))?;
        let (block, _) = rest.split_once("\n```").ok_or_else(|| format!("code that does not end after {file}"))?;
        let lines: Vec<&str> = block.lines().skip(1).collect();
        let source =
            std::fs::read_to_string(root().join("tests/lens").join(file)).map_err(|e| format!("{file}: {e}"))?;
        // The marks are for the tests.
        let source: Vec<&str> = source.lines().map(|line| line.strip_suffix(SITE).unwrap_or(line)).collect();
        let stands = source.windows(lines.len().max(1)).any(|window| is_same(window, &lines));
        if !stands {
            return Err(format!("this does not stand in {file}:\n{}", lines.join("\n")));
        }
        let program = |folder, suffix| file.strip_prefix(folder).and_then(|name: &str| name.strip_suffix(suffix));
        in_c.extend(program("c/", ".c").map(str::to_owned));
        in_rust.extend(program("rust/", ".rs").map(str::to_owned));
    }
    if in_c.len() < 6 || in_c != in_rust {
        return Err(format!("excerpts of {in_c:?} in C and of {in_rust:?} in Rust, not of six programs in both"));
    }
    Ok(())
}

/// Whether these are the same lines, but for how far all of them are indented.
fn is_same(source: &[&str], excerpt: &[&str]) -> bool {
    let indent = |lines: &[&str]| {
        let depths = lines.iter().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len());
        depths.min().unwrap_or(0)
    };
    let (from, to) = (indent(source), indent(excerpt));
    let same = |(a, b): (&&str, &&str)| a.get(from..).unwrap_or("") == b.get(to..).unwrap_or("");
    source.len() == excerpt.len() && source.iter().zip(excerpt).all(same)
}
