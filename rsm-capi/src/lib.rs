//! librsm: the 42 functions of `rsmapi.h`, and those of `rsm_ext.h`. `install.sh` builds it; a Rust program that links this crate has the functions
//! under the names that they have in C.
//!
//! The C layer converts: handles to objects, pointers to references, errors to numbers. What a call means is in
//! `rsm-core` and `rsm-shm`; what only C has is here: handles that may be stale or of the wrong kind, one mapping to an
//! import, made without being asked for at the first transfer, barriers in the caller's storage, poll descriptors.
//!
//! | file | functions |
//! |---|---|
//! | `controller` | rsm_get_controller, _attr, rsm_release_controller |
//! | `topology` | rsm_get_interconnect_topology, rsm_free_ |
//! | `export` | rsm_memseg_export_* |
//! | `import` | connect, disconnect, map, unmap, modes |
//! | `transfer` | put and get |
//! | `scatter` | putv, getv, local memory handles |
//! | `barrier` | barriers |
//! | `signal` | post, wait, poll descriptors |
//! | `segment_ids` | rsm_get_segmentid_range |
//! | `extension` | rsm_ext_*, of `rsm_ext.h` |
//!
//! Underneath, `table` turns handles into objects, `polled` keeps their poll descriptors, and `entry` keeps panics from crossing into C.
//!
//! Every function is unsafe for its caller as C functions are: pointers must point to what the header says. NULL,
//! misaligned and stale arguments are answered with their codes.
#![allow(unsafe_code)]
#![allow(unreachable_pub)] // exported by name, not by path

mod barrier;
mod controller;
mod entry;
mod export;
mod extension;
mod import;
mod polled;
mod scatter;
mod segment_ids;
mod signal;
mod table;
mod topology;
mod transfer;
