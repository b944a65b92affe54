//! How this program, executed once more, becomes the front of a run and nothing else.
#![allow(unsafe_code)]

use std::fs;
use std::os::unix::ffi::OsStrExt;

use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;
use rustix::stdio::stdin;

use super::{HELPER, helper};

/// Looked at before `main`: whatever program this is, a test binary with its own ideas of arguments included, its `main` is not
/// asked, and no thread of its runs yet, so that the front can fork. The C library calls what is listed in this section first.
#[used]
// SAFETY: the section holds addresses of C functions, which are called once, in the first thread; this is one. What it calls
// of Rust's library works before `main` (allocation, threads, files, the environment, which the C library has set up by then);
// it either returns without having changed anything, or never.
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;

extern "C" fn before_main() {
    // Both, because a variable alone may have been inherited by anything.
    if std::env::var_os(HELPER).is_some() && socket_type(stdin()) == Ok(SocketType::SEQPACKET) {
        helper::serve();
    }
}

/// Whether this program, executed once more, comes here before its `main`: not where this crate is in a shared library.
pub(super) fn is_in_program() -> bool {
    // Named, so that whoever links this function links the section's entry as well.
    let address = BEFORE_MAIN as usize;
    // Bytes: what else is mapped may be called anything.
    let (Ok(program), Ok(mappings)) = (fs::read_link("/proc/self/exe"), fs::read("/proc/self/maps")) else {
        return false;
    };
    let program = program.as_os_str().as_bytes();
    mappings.split(|byte| *byte == b'\n').any(|line| {
        let word = |text: &[u8]| usize::from_str_radix(str::from_utf8(text).ok()?, 16).ok();
        let mut words = line.split(|byte| *byte == b' ');
        let range = words.next().and_then(|range| {
            let (from, to) = range.split_at(range.iter().position(|byte| *byte == b'-')?);
            Some(word(from)?..word(&to[1..])?)
        });
        range.is_some_and(|range| range.contains(&address))
            && line.iter().position(|byte| *byte == b'/').is_some_and(|at| &line[at..] == program)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_program_with_the_entry_in_it() {
        assert!(is_in_program());
    }
}
