//! The calls of [`CALLS`], led here in each module.
#![allow(unsafe_code)]

use super::super::slots::{self, Lead, Leads, Names};
use super::calls::{CALLS, Call};
use std::sync::atomic::Ordering::Relaxed;

/// What was seen of all modules.
#[derive(Default)]
struct Seen {
    /// The program itself was loaded by a loader, which has its calls of the C library lead there by addresses.
    is_dynamic: bool,
    /// Names of the program. Neither it nor the C library is ever unloaded.
    program: Option<Names>,
    c_library: Vec<Names>,
}

impl Seen {
    fn now() -> Seen {
        let mut seen = Seen::default();
        slots::each(|module| {
            if module.is_program {
                seen.is_dynamic = module.has_loader();
                seen.program = module.names();
            } else if is_of_the_c_library(module.path) {
                seen.c_library.extend(module.names());
            }
        });
        seen
    }
}

fn name_of(call: &Call) -> &'static [u8] {
    call.name.strip_suffix(&[0]).unwrap_or(call.name)
}

/// Lets all calls of modules that are loaded now be told. `false`: some cannot be. Not while the program has code loaded, if that can be
/// helped: what is half loaded counts as something that cannot be.
pub(super) fn lead_here() -> bool {
    let Some(mut there) = slots::lock() else { return false };
    let seen = Seen::now();
    let Some(program) = &seen.program else { return false };
    for call in CALLS.iter() {
        if program.has(name_of(call)) {
            // Its own takes the place of the C library's everywhere, as sanitizers have it.
            return false;
        }
        // By these tables and not by `dlsym`, which gives what takes the function's place, such as the program's stub, and forgets the
        // error that the program may be about to ask for.
        let real = seen.c_library.iter().find_map(|names| names.address(name_of(call))).unwrap_or(0);
        // Relaxed: the Release of `Module::lead` comes before anybody loads it.
        call.real.store(real, Relaxed);
    }
    // Relaxed: stored by this thread, under the lock.
    let lead =
        |call: &Call| Lead { name: name_of(call), real: call.real.load(Relaxed), wrap: call.wrap, is_first: false };
    let leads = Leads::new(CALLS.iter().map(lead));
    let mut failed = 0;
    slots::each(|module| {
        let is_c_library = !module.is_program && is_of_the_c_library(module.path);
        if !module.is_own() && !is_c_library {
            failed += module.change(&leads, Some(program), &mut there);
        }
    });
    seen.is_dynamic && failed == 0
}

/// Its own calls of itself are part of what it was called for; the kernel's part has none.
fn is_of_the_c_library(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let begins = [&b"libc.so"[..], b"libc-2.", b"libc.musl", b"ld-", b"ld64", b"linux-"];
    // Parts of older ones.
    let parts = [&b"libpthread.so"[..], b"libpthread-2.", b"librt.so", b"librt-2."];
    begins.iter().chain(&parts).any(|begin| name.starts_with(begin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    /// Not under a sanitizer, which has functions of its own, nor with what else takes the place of some.
    fn seen_plainly() -> Option<Seen> {
        let seen = Seen::now();
        let has_own = CALLS.iter().any(|call| seen.program.is_some_and(|program| program.has(name_of(call))));
        (seen.is_dynamic && !has_own && std::env::var_os("LD_PRELOAD").is_none()).then_some(seen)
    }

    #[test]
    fn all_that_a_plain_program_calls_is_led_here_and_stays_so() {
        if seen_plainly().is_none() {
            return;
        }
        assert!(lead_here());
        assert!(lead_here(), "what leads here already is known");
        let (mut ends, byte) = ([0; 2], [7u8]);
        // SAFETY: numbers, and a byte that outlives the calls.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            assert_eq!(libc::write(ends[1], byte.as_ptr().cast(), 1), 1, "the C library does what it did");
            ends.iter().for_each(|end| assert_eq!(libc::close(*end), 0));
        }
    }

    #[test]
    fn functions_are_found_where_the_loader_finds_them() {
        let Some(seen) = seen_plainly() else { return };
        let mut found = 0;
        for call in CALLS.iter() {
            let real = seen.c_library.iter().find_map(|names| names.address(name_of(call)));
            // SAFETY: a string with a zero.
            let there = unsafe { libc::dlsym(libc::RTLD_DEFAULT, call.name.as_ptr().cast()) };
            assert_eq!(real.unwrap_or(0), there.addr(), "{:?}", CStr::from_bytes_with_nul(call.name));
            found += usize::from(real.is_some());
        }
        assert!(found > 100, "{found}");
        assert!(seen.c_library.iter().all(|names| !names.has(b"rsm_is_in_no_library")));
    }
}
