//! Some programs of the suite, built by clang: what that tells is told otherwise than by gcc; and linked otherwise.

use crate::programs::{PROGRAMS, Program};
use crate::run::{Bench, Seen, marked, source, succeed};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// By the names under which it may be installed.
const CLANG: [&str; 8] = ["clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19", "clang-20"];
const CLANGXX: [&str; 8] =
    ["clang++", "clang++-14", "clang++-15", "clang++-16", "clang++-17", "clang++-18", "clang++-19", "clang++-20"];
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

/// As in the suite: in a run in which one node happens to come late, the two may be ordered.
fn is_found_soon(bench: &Bench, program: &Program, built: &Path) -> Result<(), String> {
    (1..4).find_map(|_| is_found(bench, program, built).ok()).map_or_else(|| is_found(bench, program, built), Ok)
}

fn is_silent(bench: &Bench, program: &Program, built: &Path) -> Result<(), String> {
    match bench.run(program, built, &[], "good")? {
        Seen { races: 0, .. } => Ok(()),
        Seen { said, .. } => Err(format!("repaired, it is reported:\n{said}")),
    }
}

fn program(name: &str) -> Result<&'static Program, String> {
    PROGRAMS.iter().find(|program| program.name == name).ok_or_else(|| format!("there is no program {name}"))
}

fn judge(bench: &Bench, compiler: &str, name: &str) -> Result<(), String> {
    let program = program(name)?;
    let built = bench.build_by(compiler, program)?;
    if TRIED.contains(&name) {
        is_found_soon(bench, program, &built)?;
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

/// The addresses by which a program and libstdc++ call are filled in when they are first used, or before it begins, as the program or its
/// environment says; it is loaded anywhere, or where it says.
pub(crate) fn what_libstdcxx_calls_is_led_however_it_is_linked() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let program = program("cxx_hand_over")?;
    if !bench.takes(program) {
        eprintln!("what_libstdcxx_calls_is_led_however_it_is_linked: skipped, there is no g++ that rsm-ctl cc takes");
        return Ok(());
    }
    let is_led = |built: &Path, how: &str| {
        let is_silent = || match bench.run(program, built, &[], "good") {
            // Its deadline was over: that says nothing of what is led, and it has another one.
            Err(_) => is_silent(&bench, program, built),
            Ok(Seen { races: 0, .. }) => Ok(()),
            Ok(Seen { said, .. }) => Err(format!("repaired, it is reported:\n{said}")),
        };
        is_found_soon(&bench, program, built).and_then(|()| is_silent()).map_err(|why| format!("{how}: {why}"))
    };
    let lazy = bench.build_apart("g++", program, "lazy", &["-fno-pie", "-no-pie", "-Wl,-z,lazy"])?;
    is_led(&lazy, "lazy")?;
    is_led(&started_bound(&lazy)?, "bound by its environment")?;
    is_led(&bench.build_apart("g++", program, "now", &["-pie", "-fPIE", "-Wl,-z,now"])?, "now")?;
    if let Some(clang) = bench.first_of(&CLANGXX) {
        match bench.build_apart(clang, program, clang, &[]) {
            Ok(built) => is_led(&built, clang)?,
            // It may have no headers, or ones that it does not understand.
            Err(why) if bench.is_taken(clang, program) => return Err(format!("by {clang}: {why}")),
            Err(_) => eprintln!("what_libstdcxx_calls_is_led_however_it_is_linked: {clang} does not take it"),
        }
    }
    threads_are_one_with_libstdcxx_in_it(&bench)
}

/// A script that starts it so that all addresses are filled in at once.
fn started_bound(built: &Path) -> Result<PathBuf, String> {
    let script = built.with_extension("sh");
    let text = format!("#!/bin/sh\nLD_BIND_NOW=1 exec '{}' \"$@\"\n", built.display());
    let written = std::fs::write(&script, text);
    let written = written.and_then(|()| std::fs::set_permissions(&script, Permissions::from_mode(0o755)));
    written.map(|()| script).map_err(|error| error.to_string())
}

/// Words that nobody reads but the compiler have libstdc++ linked in.
fn threads_are_one_with_libstdcxx_in_it(bench: &Bench) -> Result<(), String> {
    let archive = succeed(Command::new("g++").arg("-print-file-name=libstdc++.a"))?;
    if !archive.starts_with('/') {
        eprintln!("threads_are_one_with_libstdcxx_in_it: skipped, there is no libstdc++.a");
        return Ok(());
    }
    let (program, words) = (program("cxx_mutex")?, bench.folder().join("words"));
    std::fs::write(&words, "-Wl,-Bstatic -lstdc++ -Wl,-Bdynamic\n").map_err(|error| error.to_string())?;
    let built = bench.build_apart("g++", program, "in_it", &[&format!("@{}", words.display())])?;
    for variant in ["bad", "good"] {
        let seen = bench.run(program, &built, &[], variant)?;
        if seen.races > 0 {
            return Err(format!("with libstdc++ in it, {variant} is reported:\n{}", seen.said));
        }
    }
    Ok(())
}
