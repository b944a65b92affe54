#![no_main]

// The C layer has no Rust interface to depend on: its modules are compiled into the target.
#[path = "../../rsm-capi/src/barrier.rs"]
mod barrier;
#[path = "../bodies/capi.rs"]
mod capi;
#[path = "../../rsm-capi/src/controller.rs"]
mod controller;
#[path = "../../rsm-capi/src/entry.rs"]
mod entry;
#[path = "../../rsm-capi/src/export.rs"]
mod export;
#[path = "../../rsm-capi/src/import.rs"]
mod import;
#[path = "../../rsm-capi/src/polled.rs"]
mod polled;
#[path = "../../rsm-capi/src/scatter.rs"]
mod scatter;
#[path = "../bodies/script.rs"]
mod script;
#[path = "../../rsm-capi/src/segment_ids.rs"]
mod segment_ids;
#[path = "../../rsm-capi/src/signal.rs"]
mod signal;
#[path = "../../rsm-capi/src/table.rs"]
mod table;
#[path = "../../rsm-capi/src/topology.rs"]
mod topology;
#[path = "../../rsm-capi/src/transfer.rs"]
mod transfer;

libfuzzer_sys::fuzz_target!(|data: &[u8]| capi::run(data));
