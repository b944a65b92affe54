//! The C functions that are called with any arguments are those that there are.

use std::collections::BTreeSet;

/// The functions that C programs find in the headers.
fn declared() -> BTreeSet<&'static str> {
    let headers =
        [include_str!("../../../rsm-capi/include/rsmapi.h"), include_str!("../../../rsm-capi/include/rsm_ext.h")];
    let lines = headers.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("extern "));
    lines.filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next()).collect()
}

/// The names in a source that an opening parenthesis follows: those that are declared, and those that are called.
fn named(text: &'static str) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let is_name = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let names = text.match_indices('(').filter_map(|(end, _)| {
        let start = text[..end].rfind(|sign| !is_name(sign))? + 1;
        text[start..end].starts_with("rsm_").then(|| (&text[start..end], text[..start].ends_with("fn ")))
    });
    let (declared, called): (Vec<_>, Vec<_>) = names.partition(|(_, is_declared)| *is_declared);
    (declared.into_iter().map(|(name, _)| name).collect(), called.into_iter().map(|(name, _)| name).collect())
}

#[test]
fn all_functions_of_the_headers_are_called() {
    let sources = [include_str!("../src/capi.rs"), include_str!("../src/capi/extension.rs")].map(named);
    let (mut known, mut called) = (BTreeSet::new(), BTreeSet::new());
    for (there, here) in sources {
        known.extend(there);
        called.extend(here);
    }
    let declared = declared();
    assert!(declared.contains("rsm_memseg_import_put64") && declared.contains("rsm_ext_strerror"), "{declared:?}");
    assert_eq!(known, declared, "declared in Rust, and in C");
    assert_eq!(called, declared, "called, and there");
}
