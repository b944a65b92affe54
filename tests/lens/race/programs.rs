//! Races that the detector has to find, and their repairs, of which it has to say nothing.
//!
//! The kinds are those of the public catalogues of races on remote memory: which two accesses (put, get, load, store, of words
//! and of blocks, by the program itself and through a mapping), what fails to order them (order barrier, close, signal, word,
//! barrier of all, mode, atomics), how far they overlap, chains over several nodes, and threads.

use std::collections::BTreeSet;

/// A program of this directory.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    /// How many nodes it is for.
    pub(crate) nodes: u32,
    pub(crate) kind: &'static str,
}

impl Program {
    /// Whether it is in C++, and not in C.
    pub(crate) fn is_cxx(&self) -> bool {
        is_cxx(self.name)
    }

    /// Whether its threads are to be told apart.
    pub(crate) fn has_threads(&self) -> bool {
        self.kind.starts_with("threads")
    }
}

/// See [`Program::is_cxx`].
pub(crate) fn is_cxx(name: &str) -> bool {
    name.starts_with("cxx_")
}

/// All of them.
pub(crate) const PROGRAMS: &[Program] = &[
    Program { name: "put_put", nodes: 3, kind: "put, put" },
    Program { name: "put_get", nodes: 3, kind: "put, get" },
    Program { name: "put_load", nodes: 2, kind: "put, load" },
    Program { name: "put_store", nodes: 2, kind: "put, store" },
    Program { name: "get_store", nodes: 2, kind: "get, store" },
    Program { name: "put_get_own", nodes: 3, kind: "get, put" },
    Program { name: "mapped_stores", nodes: 3, kind: "store, store" },
    Program { name: "mapped_load_put", nodes: 3, kind: "put, load through a mapping" },
    Program { name: "mapped_store_load", nodes: 2, kind: "store through a mapping, load" },
    Program { name: "mapped_store_get", nodes: 3, kind: "store through a mapping, get" },
    Program { name: "flag_order", nodes: 2, kind: "order" },
    Program { name: "order_of_other", nodes: 2, kind: "order" },
    Program { name: "order_of_node", nodes: 2, kind: "order" },
    Program { name: "two_spans", nodes: 2, kind: "close" },
    Program { name: "early_signal", nodes: 2, kind: "signal" },
    Program { name: "late_wait", nodes: 2, kind: "signal" },
    Program { name: "signal_of_other", nodes: 3, kind: "signal" },
    Program { name: "early_ack", nodes: 2, kind: "reuse" },
    Program { name: "one_slot", nodes: 2, kind: "reuse" },
    Program { name: "overlap", nodes: 3, kind: "extent" },
    Program { name: "within_a_word", nodes: 3, kind: "extent" },
    Program { name: "off_by_one", nodes: 2, kind: "extent" },
    Program { name: "stride", nodes: 3, kind: "extent" },
    Program { name: "two_writers", nodes: 3, kind: "words" },
    Program { name: "atomic_and_store", nodes: 2, kind: "words" },
    Program { name: "putv_source", nodes: 2, kind: "local" },
    Program { name: "putv_again", nodes: 2, kind: "local" },
    Program { name: "putv_node", nodes: 2, kind: "local" },
    Program { name: "putv_fork", nodes: 2, kind: "local" },
    Program { name: "putv_handler", nodes: 2, kind: "local, handlers" },
    Program { name: "putv_store", nodes: 2, kind: "put, store" },
    Program { name: "getv_store", nodes: 2, kind: "get, store" },
    Program { name: "local_memcpy", nodes: 2, kind: "local access" },
    Program { name: "local_memset", nodes: 2, kind: "local access" },
    Program { name: "local_memmove", nodes: 2, kind: "local access" },
    Program { name: "local_struct", nodes: 2, kind: "local access" },
    Program { name: "chain", nodes: 3, kind: "transitive" },
    Program { name: "fan_out", nodes: 3, kind: "close" },
    Program { name: "phases", nodes: 2, kind: "barrier" },
    Program { name: "next_phase", nodes: 2, kind: "barrier" },
    Program { name: "implicit", nodes: 2, kind: "mode" },
    Program { name: "volatile_flag", nodes: 2, kind: "volatile" },
    Program { name: "volatile_stores", nodes: 2, kind: "volatile" },
    Program { name: "taken_flag", nodes: 2, kind: "atomics" },
    Program { name: "count_down", nodes: 3, kind: "atomics" },
    Program { name: "lock", nodes: 3, kind: "atomics" },
    Program { name: "threads_put", nodes: 2, kind: "threads" },
    Program { name: "thread_reads", nodes: 2, kind: "threads" },
    Program { name: "locked_threads", nodes: 2, kind: "threads" },
    Program { name: "thread_waits", nodes: 2, kind: "threads" },
    Program { name: "condition", nodes: 2, kind: "threads" },
    Program { name: "hand_over", nodes: 2, kind: "threads" },
    Program { name: "unknown_order", nodes: 2, kind: "threads" },
    Program { name: "detached", nodes: 2, kind: "threads" },
    Program { name: "cxx_threads", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_mutex", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_condition", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_future", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_static", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_hand_over", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_unknown", nodes: 2, kind: "threads of C++" },
    Program { name: "cxx_facet", nodes: 2, kind: "threads of C++" },
    Program { name: "handler_leaves", nodes: 3, kind: "handlers" },
    Program { name: "annotated", nodes: 2, kind: "annotated" },
    Program { name: "annotated_word", nodes: 3, kind: "annotated" },
    Program { name: "not_followed", nodes: 2, kind: "order" },
    Program { name: "given_back", nodes: 2, kind: "reuse" },
    Program { name: "map_store_put", nodes: 3, kind: "put, store through a mapping" },
    Program { name: "map_load_store", nodes: 2, kind: "load through a mapping, store" },
    Program { name: "map_loads_store", nodes: 3, kind: "load, store through a mapping" },
    Program { name: "putv_put", nodes: 3, kind: "put, put" },
    Program { name: "getv_put", nodes: 3, kind: "get, put" },
    Program { name: "bytes_load", nodes: 2, kind: "put, load" },
    Program { name: "compare", nodes: 2, kind: "local access" },
    Program { name: "signal_back", nodes: 2, kind: "signal" },
    Program { name: "second_signal", nodes: 2, kind: "signal" },
    Program { name: "loop_share", nodes: 3, kind: "extent" },
    Program { name: "cxx_sum", nodes: 2, kind: "put, load" },
];

/// Whether all is to be played, and not a sample of it.
pub(crate) fn plays_all() -> bool {
    std::env::var("RSM_TESTS").is_ok_and(|which| which == "all")
}

/// Of the programs that can be built here all, or the first of each kind.
pub(crate) fn tried(all: bool, can_be: impl Fn(&Program) -> bool) -> Vec<&'static Program> {
    let mut kinds = BTreeSet::new();
    PROGRAMS.iter().filter(|program| can_be(program) && (kinds.insert(program.kind) || all)).collect()
}

/// Those whose race is one process's with itself, which no luck hides.
pub(crate) const ALWAYS_FOUND: &[&str] = &["putv_source", "putv_again", "putv_node", "putv_fork", "putv_handler"];

/// Those that update words atomically through mappings, which is none where stores are late: they are not run so.
pub(crate) const NEVER_LATE: &[&str] = &["count_down", "lock"];
