//! librsm_race: what programs built by `rsm-ctl cc` call at each access to memory.
//!
//! A compiler that is told `-fsanitize=thread` puts a call before each access that may be to shared memory, and calls in
//! place of atomic accesses. The library of its own that it then links looks for races between the threads of one process.
//! This one takes its place, and looks at one thing only: whether the access is to memory that the race detector of librsm
//! watches. What is found there is that detector's; here it is only told, and every atomic access is made.
//!
//! | file | what a program calls |
//! |---|---|
//! | `plain` | before plain and volatile accesses |
//! | `atomic`, `wide` | for atomic accesses, of up to 8 bytes and of 16 |
//! | `block` | memcpy and its like |
//! | `thread` | to create threads and to wait for them |
//! | `object` | for locks and the like, and whatever else may order threads |
//! | `cxx` | of libstdc++, where that orders threads by itself |
//! | `sanitizer` | to tell ThreadSanitizer of its locks |
//!
//! The linker leads calls about threads here only in programs of C and C++ (`--wrap`); in others nothing is told of threads,
//! and to the detector they are one. `call` is how most are told, `real` has what the C library has, `module` says what was linked in as this is. Calls that libstdc++ makes librsm leads here, when the
//! program joins a cluster in which races are looked for: `begin` tells it where to.
//!
//! `engine` is the way to it. It is in librsm, which a program need not have: without it, and in a run without
//! `--race`, nothing is watched.
//!
//! Return addresses say which access it was. Rust does not give them to a function, so what the compiler calls is written
//! in the assembler of the processor (`entry`), and passes its own on.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#![allow(unsafe_code)]
#![allow(unreachable_pub)] // called by name, not by path

mod atomic;
mod begin;
mod block;
mod call;
mod cxx;
mod engine;
mod entry;
mod led;
mod module;
mod object;
mod plain;
mod real;
mod sanitizer;
mod thread;
mod wide;
