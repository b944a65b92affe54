//! `rsm-ctl run --race=pages`: programs that were not built to be looked at. What owners store into their own memory is found where
//! that is a race for sure, and nothing else is.
//!
//! ```text
//! RSM_PAGES_RUNS=20 cargo test -p rsm-litmus --test race pages      every repaired program so often
//! ```

use crate::programs::{NEVER_LATE, Program, plays_all, tried};
use crate::run::{Bench, Seen, marked, source};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is found whenever it is run.
const SURE: Program = Program { name: "cleared_slot", nodes: 2, kind: "put, store" };
/// What is found where stores are late.
const LATE: Program = Program { name: "unasked_put", nodes: 2, kind: "put, store" };
/// What has many, of which some are found where stores are late.
const MANY: Program = Program { name: "token", nodes: 3, kind: "put, store" };
/// Of the litmus programs, whose race is between calls.
const CALLS: Program = Program { name: "handover", nodes: 3, kind: "put, put" };
/// What has no race.
const RIGHT: Program = Program { name: "right", nodes: 3, kind: "none" };
/// Runs of [`LATE`] and [`MANY`], one of which has to find it. On two processors with a load of 18, 45 of 45 runs of the one did, and 37
/// of 45 of the other: that none of so many does is a matter of one in a million.
const MOST: u64 = 8;
const MODELS: [&str; 3] = ["tso", "pcie", "sci"];

fn asked() -> Option<usize> {
    std::env::var("RSM_PAGES_RUNS").ok().and_then(|runs| runs.parse().ok())
}

fn runs() -> usize {
    asked().unwrap_or(1)
}

fn file(name: &str) -> PathBuf {
    source("pages").with_extension("").join(name).with_extension("c")
}

/// What of calls alone is a race is found as without pages, with both places.
fn calls_are_looked_at(bench: &Bench) -> Result<(), String> {
    let litmus = Path::new(env!("CARGO_MANIFEST_DIR")).join("c").join(CALLS.name).with_extension("c");
    let built = bench.build_plainly(&litmus, CALLS.name, &[])?;
    for option in ["--race", "--race=pages"] {
        let seen = bench.run_to(&CALLS, &built, &[option], "bad")?;
        if (seen.races, seen.lines.len()) != (1, 1) || seen.said.contains("stored by") {
            return Err(format!("{option}: lines {:?}, and:\n{}", seen.lines, seen.said));
        }
    }
    Ok(())
}

/// Runs a program that has no race, without a model and with some: nothing may be said.
fn is_silent(bench: &Bench, program: &Program, built: &Path, models: &[&str]) -> Result<(), String> {
    let mut seed = 0;
    let mut run = |model: Option<&str>| {
        seed += 1;
        let chaos = format!("--chaos={seed}");
        let late = model.map_or(Vec::new(), |model| vec![&*chaos, "--model", model]);
        let seen = bench.run_to(program, built, &[&["--race=pages"], &late[..]].concat(), "good")?;
        if seen.races > 0 {
            return Err(format!("{}, repaired, is reported:\n{}", program.name, seen.said));
        }
        Ok(())
    };
    for _ in 0..runs() {
        run(None)?;
        for model in models {
            run(Some(model))?;
        }
    }
    Ok(())
}

/// Runs a program with its race where stores are late, until that is found.
fn find_late(bench: &Bench, program: &Program, built: &Path) -> Result<Seen, String> {
    for seed in 0..MOST {
        let chaos = format!("--chaos={seed}:storm");
        let seen = bench.run_to(program, built, &["--race=pages", &chaos], "bad")?;
        if seen.said.contains("    stored by node ") {
            return Ok(seen);
        }
    }
    Err(format!("{} is not found", program.name))
}

/// The programs of this suite's folder `pages`, with segments of so many bytes: of large ones the kernel tells what is stored to,
/// where it can.
fn known_stores_in(bench: &Bench, bytes: u64) -> Result<(), String> {
    let segment = format!("-DSEGMENT={bytes}");
    let build =
        |program: &Program| bench.build_plainly(&file(program.name), &format!("{}-{bytes}", program.name), &[&segment]);
    let (sure, late, right, many) = (build(&SURE)?, build(&LATE)?, build(&RIGHT)?, build(&MANY)?);
    let seen = bench.run_to(&SURE, &sure, &["--race=pages"], "bad")?;
    if seen.said.contains("this kernel does not tell which pages a program stores to") {
        // Large segments are not compared at every call: what is found is a matter of time.
        return [&sure, &late, &right, &many]
            .iter()
            .zip([SURE, LATE, RIGHT, MANY])
            .try_for_each(|(built, program)| is_silent(bench, &program, built, &MODELS));
    }
    // The one that DATA of race.h is in.
    let page = rustix::param::page_size();
    let page = format!("somewhere in page [{},+{page}), between its rsm_intr_signal_wait at ", 4096 / page * page);
    let summary = "1 race found between the calls of 2 processes and pages of their own memory";
    let is_told = seen.said.contains(&page) && seen.said.contains(summary);
    if seen.races != 1 || seen.lines != marked(&file(SURE.name)) || !is_told {
        return Err(format!("{}: lines {:?}, and:\n{}", SURE.name, seen.lines, seen.said));
    }
    let seen = bench.run_to(&SURE, &sure, &["--race"], "bad")?;
    if seen.races > 0 {
        return Err(format!("without pages nobody can know of this:\n{}", seen.said));
    }
    let seen = find_late(bench, &LATE, &late)?;
    if seen.lines != marked(&file(LATE.name)) {
        return Err(format!("{}: lines {:?}, and:\n{}", LATE.name, seen.lines, seen.said));
    }
    let seen = find_late(bench, &MANY, &many)?;
    // A put, of the marked ones, and the calls that some store lies between.
    if seen.lines.is_disjoint(&marked(&file(MANY.name))) || seen.lines.len() < 2 {
        return Err(format!("{}: lines {:?}, and:\n{}", MANY.name, seen.lines, seen.said));
    }
    let models = if plays_all() { &MODELS[..] } else { &MODELS[1..2] };
    for (program, built) in [(&SURE, &sure), (&LATE, &late), (&RIGHT, &right), (&MANY, &many)] {
        is_silent(bench, program, built, models)?;
    }
    Ok(())
}

pub(crate) fn known_stores() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    known_stores_in(&bench, 64 << 10)?;
    known_stores_in(&bench, 1 << 20)
}

/// The suite, built as any other program: nothing is said of any repaired program.
pub(crate) fn the_suite_by_pages() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    calls_are_looked_at(&bench)?;
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let programs = tried(asked().is_some() || plays_all(), |program| bench.takes(program));
    let judge = |at: usize, program: &Program| {
        let built = bench.build_plainly(&source(program.name), program.name, &[])?;
        // All three models are for those who have the time.
        let models: &[&str] = match runs() {
            _ if NEVER_LATE.contains(&program.name) => &[],
            1 => &MODELS[at % MODELS.len()..][..1],
            _ => &MODELS,
        };
        is_silent(&bench, program, &built, models)
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // Relaxed: nothing but the number is shared.
                while let Some((at, program)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, *programs.get(at)?)))
                {
                    if let Err(why) = judge(at, program) {
                        wrong.lock().expect("nobody panics with it").push(format!("{}: {why}", program.name));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("nobody panics with it");
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
