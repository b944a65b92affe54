//! The suite of known races: each program is built by `rsm-ctl cc` and run under `rsm-ctl run --race`, with its race and
//! repaired.
//!
//! ```text
//! cargo test -p rsm-litmus --test race known_races                    one program of each kind
//! RSM_RACE_RUNS=1 cargo test -p rsm-litmus --test race known_races    all of them: the table, by kinds and by programs
//! RSM_RACE_RUNS=20 cargo test -p rsm-litmus --test race       every repaired program once, and with nineteen seeds under all models
//! ```
//!
//! No repaired program may be reported, nor any line of another but those of its race. At least nine in ten races must be
//! found, and all that one process has with itself. What was seen is printed at the end. One program of each kind is tried, and all of
//! them with `RSM_TESTS=all`, or where a number of runs is asked for; so it is by pages (`RSM_PAGES_RUNS`).

mod by_cargo;
mod compilers;
mod guide;
mod linked;
mod outside;
mod pages;
mod programs;
mod run;
mod updates;

use libtest_mimic::{Arguments, Failed, Trial};
use programs::{ALWAYS_FOUND, NEVER_LATE, Program, plays_all, tried};
use run::{Bench, Seen};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Least share of races that are to be found.
const RECALL: f64 = 0.9;
/// A program is run so often with its race until that is found: in a run in which one node happens to come behind what the other
/// one says later, the two are ordered.
const ATTEMPTS: usize = 4;
/// What became of the programs of a kind, or of all.
#[derive(Debug, Default)]
struct Sum {
    programs: usize,
    found: usize,
    /// In the first run.
    at_once: usize,
    sites: usize,
    wrong: usize,
    runs: usize,
}

impl Sum {
    fn add(&mut self, verdict: &Verdict) {
        self.programs += 1;
        self.found += usize::from(verdict.found);
        self.at_once += usize::from(verdict.found && verdict.attempts == 1);
        self.sites += usize::from(verdict.sites);
        self.wrong += verdict.wrong.len();
        self.runs += verdict.runs;
    }

    /// A line of the table in `docs/races.md`.
    fn line(&self, kind: &str) -> String {
        let Sum { programs, found, at_once, sites, wrong, runs } = self;
        format!("| {kind} | {programs} | {found} | {at_once} | {sites} | {wrong} in {runs} |\n")
    }
}

/// By kinds, in the order in which they come.
fn by_kinds(all: &[(&Program, Result<Verdict, String>)]) -> String {
    let mut kinds: Vec<(&str, Sum)> = Vec::new();
    let mut whole = Sum::default();
    for (program, verdict) in all {
        // One that could not be judged is one of which nothing was found.
        let none = Verdict::default();
        let verdict = verdict.as_ref().unwrap_or(&none);
        let at = kinds.iter().position(|(kind, _)| *kind == program.kind).unwrap_or_else(|| {
            kinds.push((program.kind, Sum::default()));
            kinds.len() - 1
        });
        kinds[at].1.add(verdict);
        whole.add(verdict);
    }
    let head = "| kind | programs | found | in the first run | both lines, and no other | wrong reports |\n|---|---|---|---|---|---|\n";
    let lines = kinds.iter().map(|(kind, sum)| sum.line(kind)).collect::<String>();
    format!("{head}{lines}{}", whole.line("all"))
}

/// So many programs are tried at once.
const AT_ONCE: usize = 2;

/// What became of a program.
#[derive(Debug, Default)]
struct Verdict {
    found: bool,
    /// Both places of each report are lines of its race.
    sites: bool,
    /// What was reported of the repaired program, or of other lines.
    wrong: Vec<String>,
    /// How often it was run with its race.
    attempts: usize,
    /// And repaired.
    runs: usize,
}

/// With which seed, and under which model if any, a repaired program is run for this time of so many. The programs are at it in turns,
/// so that each model is used where each is run but once or twice.
fn lens(program: usize, run: usize, runs: usize) -> (usize, Option<&'static str>) {
    let models = [None, Some("tso"), Some("pcie"), Some("sci")];
    let model = match (runs, run) {
        (1, _) => models[program % models.len()],
        (_, 0) => None,
        _ => models[1 + (program + run) % 3],
    };
    (program + run, model)
}

/// However often each is run, the programs together meet all models, and memory that is not late.
fn models_take_turns() -> Result<(), Failed> {
    for (runs, all) in [(1, false), (1, true), (2, true), (20, true)] {
        let late = (0..).zip(tried(all, |_| true)).filter(|(_, program)| !NEVER_LATE.contains(&program.name));
        let met: BTreeSet<_> = late.flat_map(|(at, _)| (0..runs).map(move |run| lens(at, run, runs).1)).collect();
        if met != BTreeSet::from([None, Some("tso"), Some("pcie"), Some("sci")]) {
            return Err(format!("run {runs} times each they meet {met:?}").into());
        }
    }
    Ok(())
}

fn judge(bench: &Bench, (at, program): (usize, &Program), runs: usize) -> Result<Verdict, String> {
    let built = bench.build(program)?;
    let marked = run::marked(&run::source(program.name));
    if marked.is_empty() {
        return Err(format!("{} marks no SITE", program.name));
    }
    let mut verdict = Verdict { runs, ..Verdict::default() };
    while !verdict.found && verdict.attempts < ATTEMPTS {
        let Seen { races, lines, unplaced, said } = bench.run(program, &built, &[], "bad")?;
        verdict.attempts += 1;
        verdict.found = races > 0 && !lines.is_disjoint(&marked);
        // Of a program that marks more than two, some pair of them was met.
        let are_both = lines.len() >= marked.len().min(2) && lines.is_subset(&marked);
        verdict.sites = verdict.found && are_both && unplaced == 0;
        let others: BTreeSet<&u32> = lines.difference(&marked).collect();
        if races > 0 && !others.is_empty() {
            verdict.wrong.push(format!("lines {others:?} are part of no race:\n{said}"));
        }
    }
    for run in 0..runs {
        let (seed, model) = lens(at, run, runs);
        let seed = seed.to_string();
        let late = ["--chaos", &seed, "--model", model.unwrap_or_default()];
        let is_late = model.is_some() && !NEVER_LATE.contains(&program.name);
        let seen = bench.run(program, &built, if is_late { &late } else { &[] }, "good")?;
        if seen.races > 0 {
            verdict.wrong.push(format!("repaired, it is reported:\n{}", seen.said));
        }
    }
    Ok(verdict)
}

/// Judges all of them, some at a time.
fn judge_all(bench: &Bench, runs: usize, all: bool) -> Vec<(&'static Program, Result<Verdict, String>)> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let programs = tried(all, |program| bench.takes(program));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // Relaxed: nothing but the number is shared.
                while let Some((at, &program)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, programs.get(at)?)))
                {
                    let verdict = judge(bench, (at, program), runs);
                    done.lock().expect("nobody panics with it").push((at, program, verdict));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(at, ..)| *at);
    done.into_iter().map(|(_, program, verdict)| (program, verdict)).collect()
}

fn known_races(told: &Mutex<String>) -> Result<(), Failed> {
    let bench = match Bench::new() {
        Ok(Some(bench)) => bench,
        Ok(None) => {
            *told.lock().expect("nobody panics with it") =
                "skipped: there is no gcc that rsm-ctl cc takes\n".to_owned();
            return Ok(());
        }
        Err(why) => return Err(why.into()),
    };
    // Once, and both without a lens and with a seed where all is to be played.
    let usual = if plays_all() { 2 } else { 1 };
    let asked = std::env::var("RSM_RACE_RUNS").ok().and_then(|runs| runs.parse().ok());
    let all = judge_all(&bench, asked.unwrap_or(usual), asked.is_some() || plays_all());
    let (mut table, mut failures) = (String::new(), String::new());
    let (mut found, mut sites, mut wrong, mut repaired) = (0, 0, 0, 0);
    _ = writeln!(table, "{:<20} {:<32} {:<7} {:<7} reported wrongly", "program", "kind", "found", "lines");
    for (program, verdict) in &all {
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(why) => {
                _ = writeln!(failures, "{}: {why}", program.name);
                continue;
            }
        };
        let (name, kind) = (program.name, program.kind);
        let when = if verdict.found { format!("run {}", verdict.attempts) } else { "-".to_owned() };
        let lines = if verdict.sites { "both" } else { "-" };
        let count = verdict.wrong.len();
        _ = writeln!(table, "{name:<20} {kind:<32} {when:<7} {lines:<7} {count}");
        found += usize::from(verdict.found);
        sites += usize::from(verdict.sites);
        wrong += count;
        repaired += verdict.runs;
        if verdict.found && !verdict.sites {
            _ = writeln!(failures, "{name}: its race was found, and not both of its lines");
        }
        if !verdict.found && ALWAYS_FOUND.contains(&name) {
            _ = writeln!(failures, "{name}: its race was not found");
        }
        verdict.wrong.iter().for_each(|what| _ = writeln!(failures, "{name}: {what}"));
    }
    let share = found as f64 / all.len() as f64;
    _ = writeln!(
        table,
        "{found} of {} races found ({share:.2}), {sites} with just their lines; {wrong} wrong reports in {repaired} runs of \
         repaired programs",
        all.len()
    );
    if share < RECALL {
        _ = writeln!(failures, "too few are found:\n{table}");
    }
    *told.lock().expect("nobody panics with it") = format!("{}\n{table}", by_kinds(&all));
    if failures.is_empty() { Ok(()) } else { Err(failures.into()) }
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Now and then they wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(6));
    let told = Arc::new(Mutex::new(String::new()));
    let to_tell = Arc::clone(&told);
    let trials = vec![
        Trial::test("models_take_turns", models_take_turns),
        Trial::test("known_races", move || known_races(&to_tell)),
        Trial::test("stores_of_owners_are_found_by_pages", || pages::known_stores().map_err(Failed::from)),
        Trial::test("by_pages_no_less_is_found_and_nothing_that_is_none", || {
            pages::the_suite_by_pages().map_err(Failed::from)
        }),
        Trial::test("what_else_orders_is_known", || outside::what_else_orders_is_known().map_err(Failed::from)),
        Trial::test("atomic_updates_of_others_memory_are_told_where_none_are_carried", || {
            updates::atomic_updates_of_others_memory_are_told_where_none_are_carried().map_err(Failed::from)
        }),
        Trial::test("a_program_with_the_library_in_it_is_told_by_its_lines", || {
            linked::a_program_with_the_library_in_it_is_told_by_its_lines().map_err(Failed::from)
        }),
        Trial::test("what_cargo_builds_is_seen", || by_cargo::what_cargo_builds_is_seen().map_err(Failed::from))
            .with_ignored_flag(!plays_all()),
        Trial::test("what_clang_builds_is_seen", || compilers::what_clang_builds_is_seen().map_err(Failed::from)),
        Trial::test("what_libstdcxx_calls_is_led_however_it_is_linked", || {
            compilers::what_libstdcxx_calls_is_led_however_it_is_linked().map_err(Failed::from)
        }),
        Trial::test("the_guide_finds_its_bug", || run::the_guide_finds_its_bug().map_err(Failed::from)),
        Trial::test("a_program_in_c_is_traced", || run::a_program_in_c_is_traced().map_err(Failed::from)),
    ];
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", told.lock().expect("nobody panics with it"));
    }
    conclusion.exit();
}
