//! `rsm-ctl cc cargo ..`: cargo, with this program in front of each rustc that it calls.
//!
//! Stable Rust has no option for what is wanted, but its compiler can be told to run passes of LLVM that it does not run by
//! itself: one that puts calls in place of atomic accesses, and then one that puts a call before each load and store that is
//! left. What is built so stands in a target directory of its own, beside what is built as ever.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::led::{self, CHECKED, COPIES};
use super::words::Words;
use super::{library, unstarted};
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Set by this program for itself, when cargo is to call it in place of rustc.
const MARK: &str = "RSM_CC_RUSTC";

/// The directory for what is built so, in the target directory.
const FOLDER: &str = "rsm-race";

/// In this order: an atomic access is seen by the first two, which make a call of it, and not by the third.
const PASSES: &str = "tsan-module tsan sancov-module";

/// What the last one is to call.
const COVERAGE: &str = "-sanitizer-coverage-level=1 -sanitizer-coverage-trace-pc-guard -sanitizer-coverage-trace-loads \
    -sanitizer-coverage-trace-stores";

/// The crate that is to tell of accesses by calls of its own (`rsm-shm/src/memory/told.rs`).
const TELLS: &str = "rsm_shm";

/// Crates whose accesses to segments are told by their calls, or are none of the program's.
const OWN: [&str; 7] = ["rsm", "rsm_core", "rsm_lab", "rsm_race", "rsm_run", "rsm_shm", "rsm_team"];

/// Becomes cargo.
pub(super) fn perform(cargo: &OsStr, words: &[OsString]) -> Result<ExitCode, Failure> {
    let own = std::env::current_exe().map_err(|error| Failure::system("cannot find rsm-ctl", error))?;
    if std::env::var_os("RUSTC_WRAPPER").is_some_and(|wrapper| !wrapper.is_empty()) {
        return Err(Failure::new("RUSTC_WRAPPER is set: rsm-ctl cc has to be what cargo calls; unset it"));
    }
    // Where it is missing this is said at once, and not by each rustc.
    library::find(&Words::default())?;
    let mut command = Command::new(cargo);
    command.args(words).env("RUSTC_WRAPPER", own).env(MARK, "1");
    if std::env::var_os("CARGO_TARGET_DIR").is_none() && !words.iter().any(|word| is_target_option(word)) {
        command.env("CARGO_TARGET_DIR", target(cargo, words)?.join(FOLDER));
    }
    Err(unstarted(cargo, &command.exec()))
}

fn is_target_option(word: &OsStr) -> bool {
    word == "--target-dir" || word.as_encoded_bytes().starts_with(b"--target-dir=")
}

/// Asks cargo where it builds.
fn target(cargo: &OsStr, words: &[OsString]) -> Result<PathBuf, Failure> {
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version=1"]).stdin(Stdio::null());
    let manifest = words.iter().position(|word| word == "--manifest-path").and_then(|at| words.get(at..at + 2));
    command.args(manifest.unwrap_or_default());
    command.args(words.iter().filter(|word| word.as_encoded_bytes().starts_with(b"--manifest-path=")));
    let output = command.output().map_err(|error| unstarted(cargo, &error))?;
    let told: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    let folder = told.as_ref().and_then(|told| told["target_directory"].as_str());
    folder.map(PathBuf::from).ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Failure::new(format!("cargo does not say where it builds; give --target-dir: {said}"))
    })
}

/// Where cargo calls this program in place of rustc: becomes rustc, which is told more. `None` where it does not.
pub(crate) fn stand_in() -> Option<Failure> {
    std::env::var_os(MARK)?;
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let (rustc, words) = words.split_first()?;
    // It may be a program that a build runs, and that uses rsm-ctl itself.
    if std::path::Path::new(rustc).file_stem().is_none_or(|name| name != "rustc" && name != "clippy-driver") {
        return None;
    }
    let more = match more(words) {
        Ok(more) => more,
        Err(failure) => return Some(failure),
    };
    let mut command = Command::new(rustc);
    Some(unstarted(rustc, &command.args(words).args(more).exec()))
}

/// What a command line of rustc says of a crate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Crate {
    /// Its accesses are to be told.
    is_told: bool,
    /// It tells of accesses itself.
    tells: bool,
    /// It is linked; whether to a library of its own.
    is_linked: Option<bool>,
    /// What a debugger is to know is said.
    has_debug: bool,
    /// How much it is optimized is said.
    has_level: bool,
}

impl Crate {
    /// `None` for a question about rustc itself.
    fn of(words: &[OsString]) -> Option<Crate> {
        let at = words.iter().position(|word| word == "--crate-name")?;
        let name = words.get(at + 1)?.to_str().filter(|name| *name != "___")?;
        let types = words.windows(2).filter(|two| two[0] == "--crate-type").filter_map(|two| two[1].to_str());
        let types: Vec<&str> = types.flat_map(|types| types.split(',')).collect();
        let is_library = types.iter().any(|one| matches!(*one, "dylib" | "cdylib" | "proc-macro"));
        let is_program = types.contains(&"bin") || words.iter().any(|word| word == "--test");
        let says = |option: &str| words.iter().any(|word| word.to_str().is_some_and(|word| word.starts_with(option)));
        // What runs while others are built touches no segment; but what it links may be built for both.
        let runs_at_build = name.starts_with("build_script_") || types.contains(&"proc-macro");
        Some(Crate {
            tells: name == TELLS,
            is_told: !OWN.contains(&name) && !runs_at_build,
            is_linked: (is_library || is_program).then_some(is_library && !is_program),
            has_debug: says("debuginfo="),
            has_level: says("opt-level="),
        })
    }
}

/// Whether the crate that is built comes from a registry or a repository. rsm uses such crates itself, and some of what they are
/// made of, so they tell nothing.
fn is_fetched() -> bool {
    let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    ["/registry/src/", "/git/checkouts/"].iter().any(|part| folder.contains(part))
}

/// What rustc is told.
fn more(words: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let Some(built) = Crate::of(words) else { return Ok(Vec::new()) };
    let mut more: Vec<OsString> = Vec::new();
    let mut tell = |option: &str| more.extend(["-C", option].map(OsString::from));
    if built.is_told && !is_fetched() {
        // Otherwise functions of the standard library that were made for rsm are used here too, and those tell nothing.
        tell("opt-level=2");
        if !built.has_level {
            // As it would be without.
            tell("debug-assertions=on");
        }
        tell(&format!("passes={PASSES}"));
        tell(&format!("llvm-args={COVERAGE}"));
        if !built.has_debug {
            // Reports name lines. Where a profile has no such information cargo has it taken away.
            tell("debuginfo=line-tables-only");
            tell("strip=none");
        }
    }
    if built.tells {
        more.extend(["--cfg", "rsm_told"].map(OsString::from));
    }
    let mut tell = |option: &str| more.extend(["-C", option].map(OsString::from));
    if let Some(is_library) = built.is_linked {
        for name in COPIES.iter().chain(&CHECKED) {
            tell(&format!("link-arg={}", led::option(name)));
        }
        if is_library {
            tell("link-arg=-Wl,--exclude-libs=librsm_race.a");
        }
        let mut argument = OsString::from("link-arg=");
        argument.push(library::find(&Words::default())?);
        more.extend(["-C".into(), argument]);
    }
    Ok(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<Crate> {
        Crate::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_runs_on_nodes_is_told_more() {
        assert_eq!(read("-vV"), None);
        assert_eq!(read("- --crate-name ___ --print=file-names --crate-type bin"), None);
        let of = |line: &str| read(line).map(|built| (built.is_told, built.is_linked, built.has_debug));
        assert_eq!(of("--crate-name rsm_shm --crate-type lib"), Some((false, None, false)), "it tells itself");
        assert_eq!(of("--crate-name mine --crate-type lib"), Some((true, None, false)));
        assert_eq!(of("--crate-name mine --crate-type bin -C debuginfo=2"), Some((true, Some(false), true)));
        assert_eq!(of("--crate-name mine --test"), Some((true, Some(false), false)));
        assert_eq!(of("--crate-name mine --crate-type cdylib,rlib"), Some((true, Some(true), false)));
        assert_eq!(of("--crate-name build_script_build --crate-type bin"), Some((false, Some(false), false)));
        assert_eq!(of("--crate-name derive --crate-type proc-macro"), Some((false, Some(true), false)));
    }
}
