//! The library, the launcher, and programs in C: built when they are first asked for.

use rsm_shmem_table::{self as table, TYPES};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};

/// What the compiler is told of every program.
const STRICT: &[&str] = &["-std=gnu11", "-g", "-Wall", "-Wextra", "-Werror"];

/// A directory of this run below the target directory, which cargo clears.
pub(crate) fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openshmem");
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    })
}

pub(crate) fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a command that has to succeed; returns what it printed.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// All that a run has said, and how it ended.
pub(crate) fn text(output: &Output) -> String {
    let of = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}\n{}", output.status, of(&output.stdout), of(&output.stderr))
}

/// Whether tests are built for release, and so the library is.
fn release() -> &'static [&'static str] {
    if cfg!(debug_assertions) { &[] } else { &["--release"] }
}

/// The directory with `librsm_shmem.so`, `shmem.h` and the list of names.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<()> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        succeed(Command::new("sh").arg(here("tests/library.sh")).arg(directory()).args(release()));
    });
    directory()
}

/// `rsm-ctl`; the one that `RSM_CTL` names, or one that is up to date.
pub(crate) fn ctl() -> &'static Path {
    static CTL: OnceLock<PathBuf> = OnceLock::new();
    CTL.get_or_init(|| {
        if let Some(named) = std::env::var_os("RSM_CTL") {
            return PathBuf::from(named);
        }
        succeed(Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "rsm-ctl"]).args(release()));
        let test = std::env::current_exe().expect("this test");
        let profile = test.parent().and_then(Path::parent).expect("a target directory");
        profile.join("rsm-ctl")
    })
}

/// A run of a program on so many PEs, with options of rsm-ctl before it. It ends by itself, or after a minute.
pub(crate) fn run(pes: usize, options: &[&str], program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(ctl());
    command.args(["run", "-n", &pes.to_string(), "--timeout", "100s"]).args(options).arg("--").arg(program);
    // Small, as pages are made at once.
    command.args(arguments).env("SHMEM_SYMMETRIC_SIZE", "4M");
    for variable in ["RSM_CLUSTER", "SHMEM_INFO", "SHMEM_VERSION", "SHMEM_DEBUG"] {
        command.env_remove(variable);
    }
    command
}

/// A program of one file in `tests/programs`.
pub(crate) fn program(name: &str) -> PathBuf {
    program_of(&format!("tests/programs/{name}.c"))
}

/// A program of one file, by its path from here.
pub(crate) fn program_of(file: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let build = || {
        let path = directory().join(Path::new(file).file_stem().expect("the name of a program"));
        let mut cc = compiler();
        cc.arg("-pthread").arg("-o").arg(&path).arg(here(file));
        succeed(link(&mut cc));
        path
    };
    built.entry(file.to_owned()).or_insert_with(build).clone()
}

/// The suite, and which functions its objects call. With `types`, those types only.
pub(crate) struct Suite {
    pub(crate) program: PathBuf,
    pub(crate) objects: Vec<PathBuf>,
}

/// The suite with every type.
pub(crate) fn suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| build_suite("suite", &|_| true, compiler))
}

/// The suite with a few types, for where a run takes its time.
pub(crate) fn short_suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| build_suite("short", &is_of_few, compiler))
}

/// The same, which tells what it does with memory itself.
pub(crate) fn told_suite() -> &'static Suite {
    static SUITE: OnceLock<Suite> = OnceLock::new();
    SUITE.get_or_init(|| build_suite("told", &is_of_few, telling_compiler))
}

fn is_of_few(name: &str) -> bool {
    ["long", "ulong", "double", "short"].contains(&name)
}

fn build_suite(name: &str, chosen: &dyn Fn(&str) -> bool, compiler: fn() -> Command) -> Suite {
    let place = directory().join(format!("{name}-objects"));
    std::fs::create_dir_all(&place).expect("a directory");
    std::fs::write(place.join("types.h"), types(chosen)).expect("written");
    library();
    let mut sources: Vec<PathBuf> = std::fs::read_dir(here("tests/suite"))
        .expect("the suite")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|e| e == "c"))
        .collect();
    sources.sort();
    let object = |source: &PathBuf| place.join(source.file_stem().expect("a name")).with_extension("o");
    let objects: Vec<PathBuf> = sources.iter().map(object).collect();
    // Two at a time.
    let work = Mutex::new(sources.iter().zip(&objects));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = work.lock().expect("no panic while it is held").next();
                    let Some((source, object)) = next else { break };
                    succeed(compiler().arg("-I").arg(&place).arg("-c").arg("-o").arg(object).arg(source));
                }
            });
        }
    });
    let program = directory().join(name);
    let mut cc = compiler();
    cc.arg("-pthread").arg("-o").arg(&program).args(&objects);
    succeed(link(&mut cc));
    Suite { program, objects }
}

/// The compiler, which finds `shmem.h`.
pub(crate) fn compiler() -> Command {
    let mut cc = Command::new("cc");
    cc.args(STRICT).arg("-I").arg(library());
    cc
}

/// The same for programs that tell what they do with memory.
pub(crate) fn telling_compiler() -> Command {
    static LIBRARY: OnceLock<()> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut made = Command::new("sh");
        made.arg(here("../rsm-race-cc/library.sh")).arg(library().join("librsm_race.a")).args(release());
        succeed(made.env("CARGO", env!("CARGO")));
    });
    let mut cc = Command::new(ctl());
    cc.args(["cc", "gcc"]).args(STRICT).arg("-I").arg(library()).arg("-L").arg(library());
    cc
}

/// What links with the library.
pub(crate) fn link(cc: &mut Command) -> &mut Command {
    cc.arg("-L").arg(library()).arg("-lrsm_shmem").arg(format!("-Wl,-rpath,{}", library().display()))
}

/// `RMA_TYPES(X)` and so on: the types of each set of the table.
fn types(chosen: &dyn Fn(&str) -> bool) -> String {
    let mut text = String::new();
    for (set, name) in table::SETS {
        let types: Vec<String> = TYPES
            .iter()
            .filter(|of| of.sets & set != 0 && chosen(of.name))
            .map(|of| format!("X({}, {})", of.name, of.c))
            .collect();
        writeln!(text, "#define {name}_TYPES(X) {}", types.join(" ")).expect("a string takes everything");
    }
    text
}
