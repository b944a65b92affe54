//! Races that are found: where only calls are seen, of two nodes that put to a third one and that nothing orders; and of all pairs
//! whose bug is a race, in C and built by `rsm-ctl cc`.

use crate::pairs::{Language, Pair};
use crate::programs::{Built, Programs, SITE, root, source};
use std::collections::BTreeSet;
use std::path::Path;
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

fn run(
    programs: &Programs,
    pair: &Pair,
    (language, built): (Language, Built),
    more: &[&str],
) -> Result<(Option<i32>, String), String> {
    let mut command = Command::new(programs.ctl()?);
    // Nodes that wait for one that has failed are of no more use.
    command.args(["run", "--timeout", "60s", "--grace", "0", "-n", &pair.nodes.to_string(), "--race"]).args(more);
    command.arg("--").args(programs.words(pair, language, false, built)?).arg("20").stdin(Stdio::null());
    for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
        command.env_remove(variable);
    }
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The race is reported once, with both places; unless nobody wants to hear of it.
pub(crate) fn is_found(programs: &Programs, pair: &Pair, language: Language) -> Result<(), String> {
    let place = line(pair, language)?;
    let (code, said) = run(programs, pair, (language, Built::Plainly), &[])?;
    let places = said.lines().filter(|line| line.starts_with("    put ") && line.contains(&place)).count();
    let races = said.lines().filter(|line| line.starts_with("rsm-ctl: race: 0x400000 of node 3, [4096,+8)")).count();
    if code != Some(FOUND) || places != 2 || races != 1 {
        return Err(format!("{code:?}, not both places {place} of one race:\n{said}"));
    }
    let file = std::env::temp_dir().join(format!("rsm-suppressions-{}-{language}", std::process::id()));
    std::fs::write(&file, "# known\nfunction writer\n").map_err(|e| e.to_string())?;
    let (code, said) =
        run(programs, pair, (language, Built::Plainly), &["--race-suppressions", &file.to_string_lossy()])?;
    let _ = std::fs::remove_file(&file);
    if code == Some(FOUND) || said.contains("race: 0x") || !said.contains("1 left out") {
        return Err(format!("{code:?}, of a race that was to be left out:\n{said}"));
    }
    Ok(())
}

/// A line of a program, as reports name it.
type Place = (String, u32);

/// The lines of a file that are marked as those of a race.
fn marked(path: &Path) -> Result<BTreeSet<Place>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| line.ends_with(SITE));
    Ok(lines.map(|(number, _)| (name.clone(), number)).collect())
}

/// Whether the bug of a pair is a race, whose lines are marked in its source in C.
pub(crate) fn has_one(pair: &Pair) -> bool {
    pair.languages.contains(&Language::C)
        && marked(&source(pair.name, Language::C)).is_ok_and(|lines| !lines.is_empty())
}

/// The place that a line of a report ends with, but for what it says more.
fn place(line: &str) -> Option<Place> {
    let word = line.split_whitespace().find(|word| word.contains(".c:") || word.contains(".h:"))?;
    let (file, number) = word.rsplit_once(':')?;
    let name = Path::new(file).file_name()?.to_str()?;
    Some((name.to_owned(), number.parse().ok()?))
}

/// In a run in which one node happens to come behind what the other one says later, the two are ordered.
const ATTEMPTS: u64 = 4;

/// The race is found, where stores are late, and both lines of each report are marked ones.
pub(crate) fn is_told_by_its_lines(programs: &Programs, pair: &Pair) -> Result<(), String> {
    if !programs.sees()? {
        return Ok(());
    }
    let own = marked(&source(pair.name, Language::C))?;
    // Where what all programs share touches a record.
    let shared = marked(&root().join("tests/lens/c/litmus.h"))?;
    let mut last = String::new();
    for seed in 1..=ATTEMPTS {
        let seed = seed.to_string();
        let late = ["--chaos", &seed];
        let (code, said) = run(programs, pair, (Language::C, Built::Seen), &late)?;
        let races = said.lines().filter(|line| line.starts_with("rsm-ctl: race: ")).count();
        let accesses: Vec<&str> =
            said.lines().filter(|line| line.starts_with("    ") && line.contains(" by node ")).collect();
        let places: Vec<Option<Place>> = accesses.iter().map(|line| place(line)).collect();
        let is_marked = |place: &Option<Place>| place.as_ref().is_some_and(|p| own.contains(p) || shared.contains(p));
        if !places.iter().all(is_marked) || accesses.len() != 2 * races {
            return Err(format!("{code:?}, with other lines than {own:?} and {shared:?}:\n{said}"));
        }
        if races > 0 && code == Some(FOUND) && places.iter().flatten().any(|place| own.contains(place)) {
            return Ok(());
        }
        last = format!("{code:?}:\n{said}");
    }
    Err(format!("its race was not found in {ATTEMPTS} runs, the last of which ended with {last}"))
}
