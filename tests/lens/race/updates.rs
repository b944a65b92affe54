//! Atomic updates of another node's memory over a mapping: a find under a profile of hardware that carries none.

use crate::programs::Program;
use crate::run::{Bench, marked};
use std::collections::BTreeSet;
use std::path::Path;

const PROGRAM: Program = Program { name: "updates", nodes: 2, kind: "updates" };

/// What was said of a run that was to be told of: lines of the program, in the order of the places.
struct Told {
    code: Option<i32>,
    lines: Vec<u32>,
    said: String,
}

fn run(bench: &Bench, built: &Path, options: &[&str], what: &str) -> Result<Told, String> {
    let output = bench.run_with(&PROGRAM, built, &[&["--race"], options].concat(), what)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let finds = said.lines().filter(|line| line.starts_with("rsm-ctl: atomic update: "));
    let number = |line: &str| {
        let (_, rest) = line.split_once("updates.c:")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let lines = finds.map(|line| number(line).unwrap_or(0)).collect();
    Ok(Told { code: output.status.code(), lines, said })
}

/// Each place once, with the profile and nothing else.
fn is_told(bench: &Bench, built: &Path, profile: &str, more: &[&str]) -> Result<(), String> {
    let told = run(bench, built, &[&["--profile", profile], more].concat(), "over")?;
    let expected = marked(&Path::new(env!("CARGO_MANIFEST_DIR")).join("race/updates/updates.c"));
    let lines: BTreeSet<u32> = told.lines.iter().copied().collect();
    let hardware = format!("the hardware of {profile} carries none. ");
    let says = [
        "rsm-ctl: atomic update: 0x400000 of node 2, ",
        "over a mapping of node 1 (pid ",
        "  adds  ",
        " (3 times): ",
        "[4128,+16), over ",
        "  wide  ",
        &hardware,
        "rsm-ctl: no races found, with all that 2 processes did with segments; 4 atomic updates that are not carried\n",
    ];
    let is_so = told.code == Some(5) && told.lines.len() == 4 && lines == expected;
    match says.into_iter().find(|says| !told.said.contains(says)) {
        None if is_so && !told.said.contains("rsm-ctl: race: ") => Ok(()),
        lacks => Err(format!("{profile} {more:?}: {:?}, lines {lines:?}, lacks {lacks:?}:\n{}", told.code, told.said)),
    }
}

fn is_silent(bench: &Bench, built: &Path, options: &[&str], what: &str) -> Result<(), String> {
    let told = run(bench, built, options, what)?;
    match (told.code, told.lines.is_empty(), told.said.contains("rsm-ctl: no races found")) {
        (Some(0), true, true) => Ok(()),
        _ => Err(format!("{what} {options:?}: {:?}, which is to be silent:\n{}", told.code, told.said)),
    }
}

pub(crate) fn atomic_updates_of_others_memory_are_told_where_none_are_carried() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("race/updates/updates.c");
    let built = bench.build_seen(&source, "updates", &[])?;
    is_told(&bench, &built, "dolphin-ntb", &[])?;
    is_told(&bench, &built, "sci", &["--virtual"])?;
    // Nobody has said which hardware is meant; and nothing is known of this one.
    is_silent(&bench, &built, &[], "over")?;
    is_silent(&bench, &built, &["--chaos=3"], "over")?;
    is_silent(&bench, &built, &["--profile", "firelink"], "over")?;
    for what in ["own", "words", "benign"] {
        is_silent(&bench, &built, &["--profile", "intel-ntb"], what)?;
    }
    let file = built.with_extension("suppressions");
    std::fs::write(&file, "function adds\nfunction exchanges\nfunction wide\n").map_err(|error| error.to_string())?;
    let options = ["--profile", "dolphin-ix", "--race-suppressions", &file.to_string_lossy()];
    let told = run(&bench, &built, &options, "over")?;
    let left = "; 1 atomic update that is not carried; 3 left out\n";
    if told.code != Some(5) || told.lines.len() != 1 || !told.said.contains(left) {
        return Err(format!("{:?}, of what was to be left out but for one:\n{}", told.code, told.said));
    }
    let plain = bench.build_plainly(&source, "updates-plain", &[])?;
    is_silent(&bench, &plain, &["--profile", "dolphin-ntb"], "over")
}
