//! A program in Rust that `rsm-ctl cc cargo` builds: what it does with memory by itself is looked at.

use crate::run::{Bench, succeed};
use std::collections::BTreeSet;
use std::path::Path;

/// A litmus pair in whose race an owner reads what is put. The other one is silent because it says that this is meant.
const PAIR: &str = "half_struct";

fn marked() -> Result<BTreeSet<String>, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("rust").join(PAIR).with_extension("rs");
    let text = std::fs::read_to_string(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| line.ends_with("// SITE"));
    Ok(lines.map(|(number, _): (u32, _)| format!("{PAIR}.rs:{number}")).collect())
}

/// All that rsm is made of is compiled for it once more. A small crate is built so by a test of rsm-ctl (`tests/cc`).
pub(crate) fn what_cargo_builds_is_seen() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let folder = bench.profile()?.with_file_name("rsm-race");
    let mut cargo = bench.ctl();
    cargo.args([
        "cc",
        env!("CARGO"),
        "build",
        "--quiet",
        "--offline",
        "--locked",
        "-p",
        "rsm-litmus",
        "--bin",
        "litmus",
    ]);
    cargo.arg("--target-dir").arg(&folder).current_dir(crate::run::root());
    // Where librsm_race.a is.
    cargo.env("LIBRARY_PATH", bench.folder());
    // As quickly as can be: it is built with all that rsm is made of.
    cargo.env("CARGO_INCREMENTAL", "0").env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    // What cargo says to tests is not for what they build.
    for variable in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_TARGET_DIR"] {
        cargo.env_remove(variable);
    }
    succeed(&mut cargo)?;
    let program = folder.join("debug/litmus");
    let run = |variant: &str| {
        let mut command = bench.ctl();
        command.args(["run", "-n", "2", "--timeout", "60s", "--grace", "0", "--race", "--"]);
        command.arg(&program).args([PAIR, variant, "20"]);
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        Ok::<_, String>((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let wanted = marked()?;
    let summary = ", with all that 2 processes did with segments";
    // In a run in which one node happens to come behind what the other one says later, the two are ordered.
    let mut last = String::new();
    for _ in 0..4 {
        let (code, said) = run("bad")?;
        let accesses: Vec<&str> =
            said.lines().filter(|line| line.starts_with("    ") && line.contains(" by node ")).collect();
        let places = accesses.iter().filter_map(|line| line.split_whitespace().find(|word| word.contains(".rs:")));
        let places: BTreeSet<String> = places.filter_map(|place| Some(place.rsplit('/').next()?.to_owned())).collect();
        if code == Some(5) && places == wanted && said.contains(&format!("rsm-ctl: 1 race found{summary}")) {
            last.clear();
            break;
        }
        last = format!("{code:?}, {places:?}:\n{said}");
    }
    if !last.is_empty() {
        return Err(format!("not with the lines {wanted:?}, but {last}"));
    }
    match run("good")? {
        (Some(0), said) if said.contains(&format!("rsm-ctl: no races found{summary}")) => Ok(()),
        (code, said) => Err(format!("repaired, {code:?}:\n{said}")),
    }
}
