//! Races that are found where only calls are seen: two nodes put to a third one, and nothing orders them.

use crate::pairs::{Language, Pair};
use crate::programs::{Programs, source};
use std::process::{Command, Stdio};

/// The pair whose race that is, without any delay.
pub(crate) const PAIR: &str = "handover";
/// What `rsm-ctl` ends with.
const FOUND: i32 = 5;

/// The line in which both put.
fn line(pair: &Pair, language: Language) -> Result<String, String> {
    let path = source(pair.name, language);
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let puts = if language == Language::C { "import_put64(home, LATEST" } else { "home.put_u64(LATEST" };
    let number = text.lines().position(|line| line.contains(puts)).ok_or("the pair puts nothing")? + 1;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(format!("{name}:{number}"))
}

fn run(programs: &Programs, pair: &Pair, language: Language, more: &[&str]) -> Result<(Option<i32>, String), String> {
    let mut command = Command::new(programs.ctl()?);
    command.args(["run", "--timeout", "60s", "-n", &pair.nodes.to_string(), "--race"]).args(more).arg("--");
    command.args(programs.words(pair, language, false)?).arg("20").stdin(Stdio::null());
    for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
        command.env_remove(variable);
    }
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The race is reported once, with both places; unless nobody wants to hear of it.
pub(crate) fn is_found(programs: &Programs, pair: &Pair, language: Language) -> Result<(), String> {
    let place = line(pair, language)?;
    let (code, said) = run(programs, pair, language, &[])?;
    let places = said.lines().filter(|line| line.starts_with("    put ") && line.contains(&place)).count();
    let races = said.lines().filter(|line| line.starts_with("rsm-ctl: race: 0x400000 of node 3, [4096,+8)")).count();
    if code != Some(FOUND) || places != 2 || races != 1 {
        return Err(format!("{code:?}, not both places {place} of one race:\n{said}"));
    }
    let file = std::env::temp_dir().join(format!("rsm-suppressions-{}-{language}", std::process::id()));
    std::fs::write(&file, "# known\nfunction writer\n").map_err(|e| e.to_string())?;
    let (code, said) = run(programs, pair, language, &["--race-suppressions", &file.to_string_lossy()])?;
    let _ = std::fs::remove_file(&file);
    if code == Some(FOUND) || said.contains("race: 0x") || !said.contains("1 left out") {
        return Err(format!("{code:?}, of a race that was to be left out:\n{said}"));
    }
    Ok(())
}
