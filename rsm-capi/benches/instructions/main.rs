//! Instructions for each operation of the data path, in Rust and in C, counted by valgrind.
//!
//! ```text
//! cargo bench -p rsm-capi --bench instructions               print the table
//! cargo bench -p rsm-capi --bench instructions -- --check    fail when what is recorded has grown
//! cargo bench -p rsm-capi --bench instructions -- --record   record what is counted now
//! cargo bench -p rsm-capi --bench instructions -- --shmem    print a table of OpenSHMEM's calls instead
//! ```
//!
//! The probes (`rust.rs`, `probe.c`) run each operation in a loop in a function of its own. Each program runs twice
//! under callgrind, with different numbers of rounds: what differs between the two is the rounds' alone, whatever
//! start and end cost. The cost of an empty loop is taken off. Without valgrind nothing is counted, and it says so.

#![allow(unsafe_code)] // a store through a mapping, as a program makes it

mod callgrind;
mod rust;
mod shmem;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

/// Rounds of the two runs.
const ROUNDS: (u32, u32) = (500, 1500);
/// What `--check` looks at, in both languages; see `recorded.txt`. Not blocks of many bytes: which instructions copy them is chosen by the
/// processor.
const GUARDED: &[&str] = &[
    "put8_explicit",
    "put64_explicit",
    "put64_implicit",
    "get64_explicit",
    "get64_implicit",
    "vector_put_explicit",
    "span",
    "span_put64",
    "order",
    "post",
    "wait",
];
/// Parts of the vectors.
const PARTS: f64 = 8.0;

type Counts = BTreeMap<String, f64>;

fn main() -> ExitCode {
    if let Some(rounds) = std::env::var_os(rust::ROUNDS) {
        return rust::run(rounds.to_str().and_then(|r| r.parse().ok()).unwrap_or(1));
    }
    // What cargo passes to every bench is of no interest here.
    let asked = |option: &str| std::env::args().any(|a| a == option);
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success()) {
        println!("skipped: valgrind is not installed, so instructions cannot be counted");
        return ExitCode::SUCCESS;
    }
    if asked("--shmem") {
        return shmem::print();
    }
    match count() {
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
        Ok([rust, _, c]) if asked("--record") => record(&rust, &c),
        Ok([rust, watched, c]) => {
            print(&rust, &watched, &c);
            if asked("--check") { check(&rust, &c) } else { ExitCode::SUCCESS }
        }
    }
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/recorded.txt")
}

/// Counts the probes in Rust, plain and watched, and those in C.
fn count() -> Result<[Counts; 3], String> {
    let scratch = Scratch::new()?;
    // Agent and exporter stay outside: valgrind knows few of the system calls they need.
    let cluster = rsm::Cluster::new(2).map_err(|e| e.to_string())?;
    let node = cluster.environment(2).map_err(|e| e.to_string())?;
    let export = export(&cluster).map_err(|e| e.to_string())?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| post_on_request(&export, &done));
        let counted = count_both(&scratch, cluster.name(), &node);
        done.store(true, Relaxed);
        counted
    })
}

fn export(cluster: &rsm::Cluster) -> rsm::Result<rsm::Export> {
    let export = cluster.node(1)?.controller("shm0")?.export(1 << 16)?;
    export.publish(rust::SEGMENT, &rsm::AccessList::everyone())?;
    Ok(export)
}

/// Posts to a probe that asks for it, as often as it will wait.
fn post_on_request(export: &rsm::Export, done: &AtomicBool) {
    let Ok(request) = export.memory().atomic_u64(rust::REQUEST) else { return };
    while !done.load(Relaxed) {
        if request.load(Acquire) == 1 {
            let posted = (0..ROUNDS.1).try_for_each(|_| export.signal());
            request.store(if posted.is_ok() { 2 } else { 3 }, Release);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn count_both(scratch: &Scratch, cluster: &str, node: &[(&str, String)]) -> Result<[Counts; 3], String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let rust = differ(scratch, |rounds| {
        let mut command = Command::new(&me);
        command.envs(node.iter().cloned());
        command.env(rust::ROUNDS, rounds.to_string());
        command
    })?;
    let observer = rsm::observe::Observer::attach(Some(cluster)).map_err(|e| e.to_string())?;
    observer.activity().map_err(|e| e.to_string())?;
    let watched = differ(scratch, |rounds| {
        let mut command = Command::new(&me);
        command.envs(node.iter().cloned());
        command.env(rust::ROUNDS, rounds.to_string()).env(rust::WATCHED, "1");
        command
    })?;
    drop(observer);
    let (program, library) = compile(scratch)?;
    let c = differ(scratch, |rounds| {
        let mut command = Command::new(&program);
        command.envs(node.iter().cloned()).env("LD_LIBRARY_PATH", &library);
        command.arg(rounds.to_string());
        command
    })?;
    Ok([rust, watched, c])
}

/// A directory for one run.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        let path = std::env::temp_dir().join(format!("rsm-instructions-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Builds the C probe against the library of the profile this is built in; gives both places.
fn compile(scratch: &Scratch) -> Result<(PathBuf, PathBuf), String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new("sh");
    build.arg(here.join("tests/library.sh")).arg("--release");
    let library = succeed(&mut build)?;
    std::fs::copy(library.trim_end(), scratch.0.join("librsm.so.2")).map_err(|e| format!("{library:?}: {e}"))?;
    let program = scratch.0.join("probe");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O2", "-g", "-o"]).arg(&program).arg("-I").arg(here.join("include"));
    cc.arg(here.join("benches/instructions/probe.c")).arg("-L").arg(&scratch.0).arg("-l:librsm.so.2");
    succeed(&mut cc)?;
    Ok((program, scratch.0.clone()))
}

/// Runs a program; gives what it printed.
fn succeed(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return String::from_utf8(output.stdout).map_err(|e| format!("{command:?}: {e}"));
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Instructions for each round of each probe.
fn differ(scratch: &Scratch, mut program: impl FnMut(u32) -> Command) -> Result<Counts, String> {
    let mut run = |rounds: u32| -> Result<BTreeMap<String, u64>, String> {
        let probe = program(rounds);
        let out = scratch.0.join("callgrind.out");
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=callgrind", "-q"]).arg(format!("--callgrind-out-file={}", out.display()));
        valgrind.arg(probe.get_program()).args(probe.get_args());
        valgrind.envs(probe.get_envs().filter_map(|(name, value)| Some((name, value?))));
        succeed(&mut valgrind)?;
        let text = std::fs::read_to_string(&out).map_err(|e| e.to_string())?;
        Ok(callgrind::inclusive(&text))
    };
    let (few, many) = (run(ROUNDS.0)?, run(ROUNDS.1)?);
    let each = |name: &str| -> Result<f64, String> {
        let (a, b) = few.get(name).zip(many.get(name)).ok_or_else(|| format!("probe {name} did not run"))?;
        Ok((*b as f64 - *a as f64) / f64::from(ROUNDS.1 - ROUNDS.0))
    };
    let mut counts = Counts::new();
    for name in few.keys().filter(|name| *name != "empty") {
        let mut count = each(name)? - if name.ends_with('*') { 0.0 } else { each("empty")? };
        if name.starts_with("vector") {
            count /= PARTS;
        }
        counts.insert(name.clone(), count);
    }
    Ok(counts)
}

fn print(rust: &Counts, watched: &Counts, c: &Counts) {
    println!("| operation | Rust | Rust, watched | C | of it, in librsm |\n|---|---|---|---|---|");
    let shown = |counts: &Counts, name: &str| counts.get(name).map_or("-".to_owned(), |n| format!("{n:.0}"));
    let only_c = c.keys().filter(|name| !rust.contains_key(*name) && !name.ends_with('*'));
    for name in rust.keys().chain(only_c) {
        let (plain, seen) = (shown(rust, name), shown(watched, name));
        println!("| {name} | {plain} | {seen} | {} | {} |", shown(c, name), shown(c, &format!("{name}*")));
    }
}

fn record(rust: &Counts, c: &Counts) -> ExitCode {
    let lines = |language: &str, counts: &Counts| {
        let line = |name: &&str| counts.get(*name).map(|n| format!("{language} {name} {n:.0}\n"));
        GUARDED.iter().filter_map(line).collect::<String>()
    };
    let text = format!("{}{}{}{}", HEAD, compilers(), lines("rust", rust), lines("c", c));
    match std::fs::write(recorded(), text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {}: {error}", recorded().display());
            ExitCode::FAILURE
        }
    }
}

const HEAD: &str = "\
# Instructions for each operation, x86-64, counted by `cargo bench -p rsm-capi --bench instructions -- --record`.
# With `--check` it fails when one of them has grown: at all where compilers and valgrind are these, else by more than a tenth.
";

/// The lines that say what compiled the probes and counts: others make and see other instructions.
fn compilers() -> String {
    let version = |command: &mut Command| succeed(command.arg("--version")).unwrap_or_default();
    let rustc = version(&mut Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())));
    let (cc, valgrind) = (version(&mut Command::new("cc")), version(&mut Command::new("valgrind")));
    let first = |text: &str| text.lines().next().unwrap_or("unknown").to_owned();
    format!("# {}\n# {}\n# {}\n", first(&rustc), first(&cc), first(&valgrind))
}

/// Compares with what is recorded.
fn check(rust: &Counts, c: &Counts) -> ExitCode {
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: what is recorded is of x86-64");
        return ExitCode::SUCCESS;
    }
    let text = std::fs::read_to_string(recorded()).unwrap_or_default();
    let (allowed, what) = if text.contains(&compilers()) {
        (1.0, "no higher than what is recorded")
    } else {
        (1.1, "within a tenth of what is recorded with other tools")
    };
    let mut compared = 0;
    let mut fine = true;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let counts = if fields.first() == Some(&"c") { c } else { rust };
        let known = fields.get(1).and_then(|name| counts.get(*name));
        let (Some(now), Some(before)) = (known, fields.get(2).and_then(|n| n.parse::<f64>().ok())) else {
            eprintln!("instructions: nothing is known of {line:?}");
            fine = false;
            continue;
        };
        compared += 1;
        if now.round() > before * allowed {
            eprintln!(
                "instructions: {} {} takes {now:.0} instructions, recorded are {before:.0}",
                fields[0], fields[1]
            );
            fine = false;
        }
    }
    if fine && compared == 2 * GUARDED.len() {
        println!("{compared} counts are {what}");
        return ExitCode::SUCCESS;
    }
    eprintln!("instructions: {compared} of {} counts compared", 2 * GUARDED.len());
    ExitCode::FAILURE
}
