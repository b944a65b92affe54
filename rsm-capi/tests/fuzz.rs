//! The fuzz target of the C functions as an ordinary test: over its seeds, and over mutations of them that are the same
//! in every run. The C layer has no Rust interface to link with; its modules are compiled into the test.
#![allow(unsafe_code)]
#![allow(unreachable_pub)] // as in the library

#[path = "../src/barrier.rs"]
mod barrier;
#[path = "../../fuzz/bodies/capi.rs"]
mod capi;
#[path = "../src/controller.rs"]
mod controller;
#[path = "../src/entry.rs"]
mod entry;
#[path = "../src/export.rs"]
mod export;
#[path = "../src/import.rs"]
mod import;
#[path = "../src/polled.rs"]
mod polled;
#[path = "../../fuzz/bodies/replay.rs"]
mod replay;
#[path = "../src/scatter.rs"]
mod scatter;
#[path = "../../fuzz/bodies/script.rs"]
mod script;
#[path = "../src/segment_ids.rs"]
mod segment_ids;
#[path = "../src/signal.rs"]
mod signal;
#[path = "../src/table.rs"]
mod table;
#[path = "../src/topology.rs"]
mod topology;
#[path = "../src/transfer.rs"]
mod transfer;

#[test]
fn any_arguments_have_an_answer() {
    replay::seeds("capi", 1000, capi::run);
}
