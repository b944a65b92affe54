//! Which functions have others in their place here: for calls of them that no linker leads, those of libstdc++.

use crate::{cxx, object, thread};
use std::ffi::c_char;

/// One, as librsm has it.
#[repr(C)]
pub(crate) struct Led {
    /// Its name, with a zero.
    name: *const c_char,
    /// What is in its place.
    to: *const (),
    /// Where that goes on to: 0, where the linker leads nothing here.
    real: extern "C" fn() -> usize,
}

// SAFETY: addresses of what is never changed.
unsafe impl Sync for Led {}

impl Led {
    pub(crate) const fn new(name: &'static str, to: *const (), real: extern "C" fn() -> usize) -> Led {
        Led { name: name.as_ptr().cast(), to, real }
    }
}

/// All that libstdc++ may call, also of its own.
pub(crate) fn all() -> impl Iterator<Item = &'static [Led]> {
    [
        thread::THREADS,
        object::GIVE,
        object::TAKE,
        object::DO_BOTH,
        object::WAIT,
        object::OF_C11,
        object::OF_THE_SYSTEM,
        object::OF_DESCRIPTORS,
        object::OF_FILES,
        object::OF_STREAMS,
        object::INTERRUPT,
        object::OF_SIGNALS,
        object::OF_QUEUES,
        object::BRING_IN,
        cxx::MADE,
        cxx::DROP,
        cxx::UPDATE,
        cxx::COUNT,
        cxx::SET,
    ]
    .into_iter()
}
