//! A program that librsm is linked into: its race is told by its own lines, and by no function of the library or of what that
//! is made with.

use crate::programs::Program;
use crate::run::Bench;
use std::path::Path;

/// Of the litmus programs, one whose race is between calls.
const PROGRAM: Program = Program { name: "handover", nodes: 3, kind: "put, put" };
/// What both do.
const PUT: &str = "rsm_memseg_import_put64(home, LATEST";

pub(crate) fn a_program_with_the_library_in_it_is_told_by_its_lines() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("c").join(PROGRAM.name).with_extension("c");
    let text = std::fs::read_to_string(&source).map_err(|error| error.to_string())?;
    let puts: Vec<usize> = (1..).zip(text.lines()).filter(|(_, line)| line.contains(PUT)).map(|(at, _)| at).collect();
    let [line] = puts[..] else { return Err(format!("it puts in lines {puts:?}")) };
    let built = bench.build_with_the_library_in_it(&source, PROGRAM.name)?;
    let seen = bench.run(&PROGRAM, &built, &[], "bad")?;
    let place = format!("{}.c:{line}", PROGRAM.name);
    let told =
        |text: &&str| text.starts_with("    put   by node ") && text.contains("  writer  ") && text.ends_with(&place);
    let both = seen.said.lines().filter(told).count() == 2;
    if seen.races == 1 && both { Ok(()) } else { Err(format!("not twice {place}:\n{}", seen.said)) }
}
