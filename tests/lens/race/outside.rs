//! Programs whose nodes tell each other something beside the RSMAPI. They are right, so by `--race=outside` nothing is said of them;
//! without it they are reported, or the test would prove nothing.

use crate::programs::{PROGRAMS, Program, plays_all};
use crate::run::{self, Bench, Seen, marked};
use std::path::{Path, PathBuf};

const MEANS: [&str; 10] =
    ["fifo", "pointer", "stream", "file", "call", "command", "memory", "later", "socket", "signal"];
/// Where the program says by itself that something orders its nodes.
const TOKEN: &str = "token";

const PROGRAM: Program = Program { name: "means", nodes: 3, kind: "outside" };

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("race/outside/means.c")
}

fn run(bench: &Bench, built: &Path, options: &[&str], means: &str) -> Result<Seen, String> {
    let seen = bench.run_to(&PROGRAM, built, options, means);
    seen.map_err(|why| format!("{means} {options:?}: {why}"))
}

fn is_silent(bench: &Bench, built: &Path, options: &[&str], means: &str) -> Result<(), String> {
    match run(bench, built, options, means)? {
        Seen { races: 0, .. } => Ok(()),
        Seen { said, .. } => Err(format!("{means} {options:?}: a right program is reported:\n{said}")),
    }
}

fn is_found(bench: &Bench, built: &Path, means: &str) -> Result<(), String> {
    let Seen { races, lines, said, .. } = run(bench, built, &["--race"], means)?;
    let is_found = races == 1 && lines == marked(&source());
    if is_found { Ok(()) } else { Err(format!("{means}: lines {lines:?} of {races} races:\n{said}")) }
}

/// What is found may be missed in one run: a node that comes late to something may learn by that what others have done since.
fn in_any_of_some(run: impl Fn() -> Result<(), String>) -> Result<(), String> {
    (1..5).find_map(|_| run().ok()).map_or_else(&run, Ok)
}

/// Who tells nobody anything is reported in any case: what it calls is known, and it does not count as telling all the time.
fn is_found_at_all(bench: &Bench, built: &Path) -> Result<(), String> {
    let Seen { races, lines, said, .. } = run(bench, built, &["--race=outside"], "nothing")?;
    let is_found = races == 1 && lines == marked(&source());
    if is_found { Ok(()) } else { Err(format!("nothing: lines {lines:?} of {races} races:\n{said}")) }
}

/// Where libstdc++ makes calls that order threads and may tell other nodes something, they are told of as both.
fn calls_of_libstdcxx_are_led_for_both(bench: &Bench) -> Result<(), String> {
    let program = PROGRAMS.iter().find(|program| program.name == "cxx_hand_over").ok_or("no such program")?;
    if !bench.takes(program) {
        return Ok(());
    }
    let built = bench.build(program)?;
    let run_it = |variant| bench.run_to(program, &built, &["--race=outside"], variant);
    let Seen { races, said, .. } = run_it("good")?;
    if races > 0 {
        return Err(format!("a right program is reported:\n{said}"));
    }
    in_any_of_some(|| {
        let Seen { races, lines, said, .. } = run_it("bad")?;
        let is_found = races == 1 && lines == marked(&run::source(program.name));
        if is_found { Ok(()) } else { Err(format!("threads: lines {lines:?} of {races} races:\n{said}")) }
    })
}

/// Built plainly and by `rsm-ctl cc`.
pub(crate) fn what_else_orders_is_known() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let built = [
        bench.build_plainly(&source(), "means-plain", &[])?,
        // Whose functions of the C library have addresses of the program's own.
        bench.build_plainly(&source(), "means-fixed", &["-fno-pie", "-no-pie", "-Wl,-z,lazy"])?,
        bench.build_plainly(&source(), "means-bound", &["-fno-pie", "-no-pie", "-Wl,-z,now"])?,
        bench.build_seen(&source(), "means-seen", &[])?,
        bench.build_seen(&source(), "means-threads", &["--threads"])?,
    ];
    for (at, built) in built.iter().enumerate() {
        // Of the program as it is built as a rule all of them, and of the others some, or all where all is to be played.
        let step = if at == 0 || plays_all() { 1 } else { 3 };
        for means in MEANS.iter().skip(at).chain(&MEANS[..at]).step_by(step) {
            is_silent(&bench, built, &["--race=outside"], means)?;
        }
        in_any_of_some(|| is_found_at_all(&bench, built))?;
        in_any_of_some(|| is_found(&bench, built, "fifo"))?;
        is_silent(&bench, built, &["--race"], TOKEN)?;
    }
    for means in MEANS {
        in_any_of_some(|| is_found(&bench, &built[0], means))?;
    }
    calls_of_libstdcxx_are_led_for_both(&bench)?;
    is_silent(&bench, &built[0], &["--race=pages,outside"], "fifo")?;
    is_silent(&bench, &built[3], &["--race=outside", "--chaos=3"], "file")
}
