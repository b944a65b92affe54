//! PEs reach each other's memory by themselves: what changes there is nobody's for sure, and that is said.

use crate::programs::{directory, program, run, text};

#[test]
fn memory_of_pes_is_not_looked_at_by_pages() {
    for part in ["turns", "gather"] {
        let files = directory().join(format!("pages-{part}"));
        for pe in 1..=2 {
            let _ = std::fs::remove_file(format!("{}-{pe}", files.display()));
        }
        let arguments = [part, "good", files.to_str().expect("text")];
        let output = run(3, &["--race=pages"], &program("raced"), &arguments).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{part}: {}", text(&output));
        assert!(said.contains("rsm-ctl: no races found between the calls of 3 processes"), "{part}: {said}");
        assert!(said.contains("who stores there without a call was not looked for"), "{part}: {said}");
    }
}
