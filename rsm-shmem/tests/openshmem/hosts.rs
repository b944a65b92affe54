//! PEs of two hosts: refused, as they need what no bridge carries.

use crate::programs::{program, run, text};

#[test]
fn pes_of_another_host_are_refused_with_what_is_to_be_done() {
    let bridge = format!("shm0=local:openshmem-{}", std::process::id());
    // Each is told at once, whether the other host is there or not.
    for (here, mine, theirs) in [("1-2", [0, 1], "PE 2 (node 3)"), ("3-4", [2, 3], "PE 0 (node 1)")] {
        let output = run(4, &["--here", here, "--bridge", &bridge], &program("hello"), &[]).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let line = said.lines().find(|line| line.starts_with("shmem: shmem_init: "));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains(&format!("{theirs} is on another host than PE ")), "{line}");
        assert!(mine.iter().any(|pe| line.contains(&format!("than PE {pe} (node {})", pe + 1))), "{line}");
        assert!(line.ends_with("Start all 4 PEs on one host, without --here and --bridge"), "{line}");
    }
}
