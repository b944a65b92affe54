//! Some programs of the suite, built by clang: what that tells is told otherwise than by gcc.

use crate::programs::{PROGRAMS, Program};
use crate::run::{Bench, Seen, marked, source};
use std::path::Path;

/// By the names under which it may be installed.
const CLANG: [&str; 8] = ["clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19", "clang-20"];
/// Of plain accesses and those by functions, of words, and through mappings.
const TRIED: [&str; 6] = ["put_load", "put_store", "local_memcpy", "local_struct", "flag_order", "mapped_store_load"];
/// In whose race the two may happen to be ordered, whoever built them: these are tried repaired.
const REPAIRED: [&str; 4] = ["volatile_flag", "taken_flag", "lock", "bytes_load"];

fn is_found(bench: &Bench, program: &Program, built: &Path) -> Result<(), String> {
    let wanted = marked(&source(program.name));
    let Seen { races, lines, unplaced, said } = bench.run(program, built, &[], "bad")?;
    let is_found = races > 0 && lines == wanted && unplaced == 0;
    if is_found { Ok(()) } else { Err(format!("lines {lines:?} of {races} races, not {wanted:?}:\n{said}")) }
}

fn is_silent(bench: &Bench, program: &Program, built: &Path) -> Result<(), String> {
    match bench.run(program, built, &[], "good")? {
        Seen { races: 0, .. } => Ok(()),
        Seen { said, .. } => Err(format!("repaired, it is reported:\n{said}")),
    }
}

fn judge(bench: &Bench, compiler: &str, name: &str) -> Result<(), String> {
    let program = PROGRAMS.iter().find(|program| program.name == name).ok_or("there is no such program")?;
    let built = bench.build_by(compiler, program)?;
    if TRIED.contains(&name) {
        // As in the suite: in a run in which one node happens to come late, the two may be ordered.
        (1..4)
            .find_map(|_| is_found(bench, program, &built).ok())
            .map_or_else(|| is_found(bench, program, &built), Ok)?;
    }
    is_silent(bench, program, &built)
}

pub(crate) fn what_clang_builds_is_seen() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let Some(clang) = bench.first_of(&CLANG) else {
        eprintln!("what_clang_builds_is_seen: skipped, there is no clang that rsm-ctl cc takes");
        return Ok(());
    };
    let mut all = TRIED.iter().chain(&REPAIRED);
    all.try_for_each(|name| judge(&bench, clang, name).map_err(|why| format!("{name} by {clang}: {why}")))
}
