//! Calls that libstdc++ makes, led to where `rsm-ctl cc --threads` has the linker lead those of the program: in libstdc++ nothing is
//! told that its threads do.
//!
//! So it is known what orders them there as well, if libstdc++ is one of which it is known what it does by itself
//! (`rsm-race-cc/src/cxx.rs`): of a later one, which may wait for words of the program's and load them, threads are one.
#![allow(unsafe_code)]

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod lead;

use crate::membership::looks::lock_for_a_while;
use std::ffi::{c_char, c_void};
use std::sync::Mutex;

/// A function, calls of which the linker has led to another one, as `rsm/race.h` has it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Led {
    name: *const c_char,
    to: *const c_void,
    real: extern "C" fn() -> usize,
}

/// Lists of such, by where they are and how long.
static LISTS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// The module in which this list lies has calls of these functions lead elsewhere: before it joins a cluster.
///
/// # Safety
/// It is a list of so many, which is never changed and stays as long as its module is loaded; their names are strings, and what tells where
/// they go on to may be called at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_race_leads(list: *const Led, count: usize) {
    let list = (list.expose_provenance(), count);
    // Without it threads are one.
    if let Some(mut lists) = lock_for_a_while(&LISTS) {
        lists.push(list);
    }
}

/// Whether a module is libstdc++.
pub(super) fn is_one(path: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b"libstdc++.so"))
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(super) use lead::lead;

/// Elsewhere nothing is led.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn lead() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_by_their_names() {
        assert!(is_one(b"/usr/lib/x86_64-linux-gnu/libstdc++.so.6"));
        assert!(is_one(b"libstdc++.so.6.0.30"));
        assert!(!is_one(b"/opt/libstdc++.so.6/libfoo.so"));
        assert!(!is_one(b"/usr/lib/libstdc++_pic.so") && !is_one(b"/usr/lib/libc++.so.1") && !is_one(b""));
    }
}
