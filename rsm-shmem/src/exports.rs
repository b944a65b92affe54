//! The exported functions, generated from the table. Each is unsafe for its caller as C functions are: pointers lead to what the
//! header says.
#![allow(unsafe_code)]
// Written for all types alike, with the names of the standard.
#![allow(
    missing_docs,
    unused_braces,
    unused_unsafe,
    non_snake_case,
    clippy::missing_safety_doc,
    clippy::too_many_arguments
)]

use crate::folding::Folding;
use crate::local::{Local, Sym};
use crate::point::Values;
use crate::scalar::{ComplexD, ComplexF, LongDouble};
use crate::{
    Call, active, amo, collective, context, contexts, exit, heap, job, lock, order, point, rma, setup, signal, split,
    team,
};
use std::ffi::{
    c_char, c_int, c_long, c_longlong, c_schar, c_short, c_uchar, c_uint, c_ulong, c_ulonglong, c_ushort, c_void,
};

include!(concat!(env!("OUT_DIR"), "/exports.rs"));
