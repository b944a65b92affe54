//! One program after another on the same nodes, several at a time, and threads that make teams.

use crate::programs::{compiler, directory, here, link, program, program_of, run, succeed, text};
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn a_program_may_follow_another_at_once() {
    let again = program("again");
    let again = again.display();
    // PE 0 begins anew while PE 1 has yet to end, and then both as fast as they can.
    let words = format!("'{again}' 300 && '{again}' && '{again}' && '{again}' 50 && '{again}'");
    let output = run(2, &[], Path::new("sh"), &["-c", &words]).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
}

/// What `docs/from-mpi.md` shows; its twin in Rust is run by `tests/examples`.
#[test]
fn neighbours_hand_on_what_they_say() {
    for (size, options) in [(1, &[][..]), (4, &[]), (3, &["--chaos", "7", "--model", "sci"])] {
        let program = program_of("../examples/neighbours/neighbours.c");
        let said = succeed(&mut run(size, options, &program, &[]));
        let expected = (0..size).map(|rank| {
            let left = (rank + size - 1) % size;
            let (put, all) = (10 * left, 11 * size * (size - 1) / 2);
            format!("rank {rank} of {size}: {left} and {put} from rank {left}, {all} in all")
        });
        assert_eq!(said.lines().map(str::to_owned).collect::<BTreeSet<_>>(), expected.collect());
    }
}

#[test]
fn variables_of_another_program_are_not_symmetric() {
    let first = program("other");
    let second = directory().join("second");
    succeed(link(compiler().arg("-DSECOND").arg("-o").arg(&second).arg(here("tests/programs/other.c"))));
    let second = second.display().to_string();
    let mut both = run(2, &["--node", "1"], &first, &["--node", "2", "--", &second]);
    let said = text(&both.output().expect("it runs"));
    let told = said.lines().find(|line| line.starts_with("shmem: PE 0: shmem_long_p: dest 0x"));
    assert!(told.is_some_and(|line| line.ends_with("is a global variable, and PE 1 runs another program")), "{said}");
}

#[test]
fn threads_split_teams_at_the_same_time() {
    let output = run(3, &[], &program("splits"), &[]).output().expect("it runs");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn complex_numbers_are_aligned_as_their_halves() {
    for pes in [1, 3] {
        let output = run(pes, &[], &program("halves"), &[]).output().expect("it runs");
        assert!(output.status.success(), "{pes}: {}", text(&output));
    }
}
