//! A function that has another one in its place here: for calls of it that no linker leads, those of libstdc++.

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
