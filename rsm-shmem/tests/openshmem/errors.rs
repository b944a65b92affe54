//! What is wrong with a call is told, with the function's and the argument's name, and ends the job.

use crate::programs::{program, run, text};

/// A mistake of `tests/programs/wrong.c`, and what is said of it.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("before_init", "shmem_barrier_all", &["not set up", "shmem_init"]),
    ("put_null_dest", "shmem_long_put", &["dest is NULL"]),
    ("put_null_source", "shmem_long_put", &["source is NULL"]),
    ("put_stack", "shmem_long_p", &["dest 0x", "not symmetric"]),
    ("put_misaligned", "shmem_long_put", &["dest 0x", "multiple of 8"]),
    ("put_beyond", "shmem_putmem", &["dest 0x", "1099511627776 bytes", "symmetric memory"]),
    ("put_overflow", "shmem_long_put", &["nelems", "more than memory can hold"]),
    ("put_pe", "shmem_long_p", &["pe 2 does not exist", "0 to 1"]),
    ("put_pe_negative", "shmem_double_p", &["pe -1 does not exist"]),
    ("put_ctx_invalid", "shmem_ctx_long_p", &["ctx is SHMEM_CTX_INVALID"]),
    ("put_ctx_destroyed", "shmem_ctx_long_p", &["ctx 0x", "destroyed"]),
    ("get_stack", "shmem_long_get", &["source 0x", "not symmetric"]),
    ("get_null_dest", "shmem_getmem", &["dest is NULL"]),
    ("iput_stride", "shmem_long_iput", &["dst is 0", "at least 1"]),
    ("atomic_misaligned", "shmem_int_atomic_inc", &["dest 0x", "multiple of 4"]),
    ("atomic_null_fetch", "shmem_long_atomic_fetch_nbi", &["fetch is NULL"]),
    ("atomic_function", "shmem_long_atomic_add", &["dest 0x"]),
    ("signal_op", "shmem_long_put_signal", &["sig_op is 77", "SHMEM_SIGNAL_SET"]),
    ("signal_address", "shmem_long_put_signal", &["sig_addr 0x", "not symmetric"]),
    ("wait_cmp", "shmem_long_wait_until", &["cmp is 99", "SHMEM_CMP_EQ"]),
    ("wait_stack", "shmem_int_wait_until", &["ivar 0x", "not symmetric"]),
    ("wait_indices", "shmem_long_wait_until_some", &["indices is NULL"]),
    ("test_values", "shmem_long_test_all_vector", &["cmp_values is NULL"]),
    ("align", "shmem_align", &["alignment 24", "power of two"]),
    ("hints", "shmem_malloc_with_hints", &["hints 0x400"]),
    ("broadcast_root", "shmem_long_broadcast", &["PE_root 5 does not exist", "0 to 1"]),
    ("team_garbage", "shmem_team_n_pes", &["team 0x7700", "no team"]),
    ("team_destroyed", "shmem_team_n_pes", &["no team"]),
    ("team_world", "shmem_team_destroy", &["predefined"]),
    ("team_null", "shmem_team_split_strided", &["new_team is NULL"]),
    ("ctx_default", "shmem_ctx_destroy", &["SHMEM_CTX_DEFAULT"]),
    ("ctx_options", "shmem_ctx_create", &["options 0x400"]),
    ("ctx_null", "shmem_ctx_create", &["ctx is NULL"]),
    ("set_start", "shmem_barrier", &["PE_start is 5", "0 to 1"]),
    ("set_size", "shmem_barrier", &["PE_size is 3", "1 to 2"]),
    ("set_not_in", "shmem_sync", &["not in the active set"]),
    ("set_null", "shmem_sync", &["pSync is NULL"]),
    ("lock_stack", "shmem_set_lock", &["lock 0x", "not symmetric"]),
    ("lock_used", "shmem_set_lock", &["lock 0x", "must be 0 on every PE at first"]),
    ("lock_not_held", "shmem_clear_lock", &["does not have lock"]),
    ("provided_null", "shmem_query_thread", &["provided is NULL"]),
    ("twice", "shmem_info_get_name", &["name is NULL"]),
];

#[test]
fn mistakes_are_told_and_end_the_job() {
    let wrong = program("wrong");
    for (mistake, function, fragments) in MISTAKES {
        let output = run(2, &[], &wrong, &[mistake]).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{mistake}: {said}");
        let line = said.lines().find(|line| line.starts_with("shmem: ") && line.contains(&format!("{function}: ")));
        let line = line.unwrap_or_else(|| panic!("{mistake}: no line of {function}: {said}"));
        assert!(*mistake == "before_init" || line.starts_with("shmem: PE 0: "), "{mistake}: {line}");
        for fragment in *fragments {
            assert!(line.contains(fragment), "{mistake}: {fragment:?} is not in {line:?}");
        }
    }
}

#[test]
fn what_is_no_block_is_not_freed() {
    // Collective: the others wait for PE 0, and learn that it has ended.
    let output = run(2, &["--keep-going"], &program("wrong"), &["free_inside"]).output().expect("it runs");
    let said = text(&output);
    assert!(
        said.contains("shmem: PE 0: shmem_free: ptr 0x") && said.contains("no block of the symmetric heap"),
        "{said}"
    );
}

#[test]
fn heaps_that_would_differ_are_told() {
    let heaps = program("heaps");
    // With 9 PEs words go another way.
    for pes in [2, 9] {
        for (mistake, theirs, own) in [
            ("sizes", "allocates 64 bytes, aligned to 16", "allocates 1024 bytes, aligned to 16"),
            ("alignments", "allocates 64 bytes, aligned to 16", "allocates 64 bytes, aligned to 256"),
            ("blocks", "frees the block 0 bytes into the heap", "frees the block 64 bytes into the heap"),
            (
                "resizes",
                "the block 0 bytes into the heap, for 128 bytes",
                "the block 0 bytes into the heap, for 16 bytes",
            ),
            ("calls", "frees the block 0 bytes into the heap", "allocates 64 bytes, aligned to 16"),
        ] {
            // All of them find it: whichever is the first to say so ends the others.
            let output = run(pes, &[], &heaps, &[mistake]).output().expect("it runs");
            let said = text(&output);
            assert_eq!(output.status.code(), Some(1), "{mistake}, {pes}: {said}");
            let line = said.lines().find(|line| line.contains("all PEs have to make the same calls of the heap"));
            let line = line.unwrap_or_else(|| panic!("{mistake}, {pes}: {said}"));
            assert!(
                line.starts_with("shmem: PE ") && line.contains(theirs) && line.contains(own),
                "{mistake}, {pes}: {line}"
            );
        }
    }
}

#[test]
fn the_environment_is_looked_at() {
    let hello = program("hello");
    for size in ["", "lots", "-4", "4X", "0", "1e3", "100T", "inf"] {
        let output = run(2, &[], &hello, &[]).env("SHMEM_SYMMETRIC_SIZE", size).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{size:?}: {said}");
        assert!(said.contains(&format!("SHMEM_SYMMETRIC_SIZE={size:?} is no size")), "{said}");
    }
    for size in ["2097152", "2m", " 1.5M", "2048k"] {
        let output = run(2, &[], &hello, &[]).env("SHMEM_SYMMETRIC_SIZE", size).output().expect("it runs");
        assert!(output.status.success(), "{size:?}: {}", text(&output));
    }
    let mut much = run(2, &[], &hello, &[]);
    let said = text(&much.env("SHMEM_SYMMETRIC_SIZE", "60T").output().expect("it runs"));
    assert!(said.contains("2 PEs with 65970697666560 bytes each need more memory than this machine has"), "{said}");
    let mut different = run(2, &["--env", "2:SHMEM_SYMMETRIC_SIZE=8M"], &hello, &[]);
    let said = text(&different.output().expect("it runs"));
    assert!(said.contains("SHMEM_SYMMETRIC_SIZE is not the same everywhere"), "{said}");

    let mut told = run(2, &[], &hello, &[]);
    told.envs([("SHMEM_INFO", "1"), ("SHMEM_VERSION", "1"), ("SHMEM_DEBUG", "1")]);
    let said = text(&told.output().expect("it runs"));
    for line in ["OpenSHMEM 1.5, rsm ", "SHMEM_SYMMETRIC_SIZE=4194304 bytes", "shmem: PE 1: one of 2 PEs; heap 0x"] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
}
