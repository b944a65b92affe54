//! What the headers say, for tests that must not have a list of their own.

use std::collections::BTreeSet;
use std::path::Path;

/// The functions that `rsmapi.h` declares.
pub(crate) fn declared() -> BTreeSet<String> {
    declared_in("include/rsmapi.h")
}

/// The functions that a header declares.
pub(crate) fn declared_in(header: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(header);
    let header = std::fs::read_to_string(path).expect("the header");
    let words = header.split(|c: char| c.is_whitespace() || c == '*').filter(|word| word.starts_with("rsm_"));
    words.filter_map(|word| Some(word.split_once('(')?.0.to_owned())).collect()
}
