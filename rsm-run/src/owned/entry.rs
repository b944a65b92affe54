//! How this program, executed once more, becomes the front of a run and nothing else.
#![allow(unsafe_code)]

use std::fs;

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
    let (Ok(program), Ok(mappings)) = (fs::read_link("/proc/self/exe"), fs::read_to_string("/proc/self/maps")) else {
        return false;
    };
    mappings.lines().any(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let ends = range.map(|(from, to)| (usize::from_str_radix(from, 16), usize::from_str_radix(to, 16)));
        let Some((Ok(from), Ok(to))) = ends else { return false };
        (from..to).contains(&address)
            && line.split_once('/').is_some_and(|(_, path)| program.as_os_str() == &*format!("/{path}"))
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
