//! Leading what libstdc++ calls.
#![allow(unsafe_code)]

use super::super::slots::{self, Lead, Leads, Module};
use super::{LISTS, Led, is_one};
use crate::membership::looks::lock_for_a_while;
use std::ffi::CStr;
use std::ptr::with_exposed_provenance;

/// What the program has in place of functions that libstdc++ may call. Other modules may be unloaded.
fn leads(program: &Module<'_>) -> Leads {
    // A forked child may have it from its parent as somebody held it.
    let lists = lock_for_a_while(&LISTS).map(|lists| lists.clone()).unwrap_or_default();
    let of_program = lists.into_iter().filter(|(start, _)| program.all.contains(start));
    // SAFETY: the promise of `rsm_race_leads`; the program stays.
    let led = of_program
        .flat_map(|(start, count)| unsafe { std::slice::from_raw_parts(with_exposed_provenance::<Led>(start), count) });
    Leads::new(led.map(|led| {
        // SAFETY: likewise, a string of the program's.
        let name = unsafe { CStr::from_ptr(led.name) }.to_bytes();
        Lead { name, real: (led.real)(), wrap: led.to.addr(), is_first: true }
    }))
}

/// Leads what libstdc++ calls, where it is loaded; `false`: some of it cannot be.
pub(in crate::membership::race) fn lead() -> bool {
    let Some(mut there) = slots::lock() else { return false };
    let (mut all, mut is_well, mut program) = (Leads::default(), true, None);
    slots::each(|module| {
        if module.is_program {
            (all, program) = (leads(module), module.names());
        } else if is_one(module.path) {
            let is_known = module.names().is_some_and(|names| is_known(names.versions()));
            is_well &= is_known && !all.is_empty() && module.change(&all, program.as_ref(), &mut there) == 0;
        }
    });
    is_well
}

/// The last version of what it has, of gcc 11 and of gcc 15.
const KNOWN: std::ops::RangeInclusive<u32> = 29..=34;

/// Whether its versions are those of one of which it is known what it does by itself.
fn is_known<'a>(versions: impl Iterator<Item = &'a [u8]>) -> bool {
    let number = |name: &'a [u8]| std::str::from_utf8(name.strip_prefix(b"GLIBCXX_3.4.")?).ok()?.parse().ok();
    versions.filter_map(number).max().is_some_and(|newest| KNOWN.contains(&newest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_which_it_is_known_what_they_do_are_known_by_their_versions() {
        let known = |names: &[&str]| is_known(names.iter().map(|name| name.as_bytes()));
        assert!(known(&["libstdc++.so.6", "GLIBCXX_3.4", "GLIBCXX_3.4.9", "GLIBCXX_3.4.30", "CXXABI_1.3.13"]));
        assert!(known(&["GLIBCXX_3.4.34", "GLIBCXX_3.4.29", "GLIBCXX_TUNABLES"]));
        assert!(!known(&["GLIBCXX_3.4.30", "GLIBCXX_3.4.35"]), "a later one");
        assert!(!known(&["GLIBCXX_3.4", "GLIBCXX_3.4.28"]), "an earlier one");
        assert!(!known(&[]));
    }
}
