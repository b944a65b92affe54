//! `rsm-ctl cc`: what programs that it builds tell the race detector, for which one stands in that prints it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Compilers by the names under which they may be installed.
const C: &[&str] =
    &["gcc", "clang", "clang-14", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19", "clang-20"];

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn ctl() -> Command {
    Command::new(env!("CARGO_BIN_EXE_rsm-ctl"))
}

/// A directory with librsm_race.a and the stand-in, which goes at the end.
struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Bench {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cc-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a directory");
        let bench = Bench(folder);
        let library = here("../rsm-race-cc/library.sh");
        succeed(Command::new("sh").arg(library).arg(bench.0.join("librsm_race.a")).env("CARGO", env!("CARGO")));
        let mut stand_in = Command::new("gcc");
        stand_in
            .args(["-D_GNU_SOURCE", "-c"])
            .arg(here("tests/cc/recorder.c"))
            .arg("-o")
            .arg(bench.0.join("recorder.o"));
        succeed(&mut stand_in);
        bench
    }

    /// Builds a program with this compiler, and gives what it printed.
    fn told(&self, compiler: &str, source: &str, more: &[&str]) -> (PathBuf, String) {
        let program = self.0.join(format!("{source}.{compiler}"));
        let mut build = ctl();
        build.args(["cc", compiler, "-O1", "-Wall", "-Werror"]).args(more).arg("-I").arg(here("../rsm-capi/include"));
        build.arg(here("tests/cc").join(source)).arg(self.0.join("recorder.o")).arg("-L").arg(&self.0);
        build.arg("-o").arg(&program);
        succeed(&mut build);
        let told = succeed(&mut Command::new(&program));
        (program, told)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The compilers of these that are installed. None is no fault; it is said past the capture of the test.
fn installed<'a>(names: &[&'a str], test: &str) -> Vec<&'a str> {
    let known: Vec<&str> = names.iter().copied().filter(|name| is_there(name)).collect();
    let missing =
        if known.is_empty() { "no compiler that rsm-ctl cc takes is installed".to_owned() } else { known.join(", ") };
    std::io::stderr().write_all(format!("{test}: {missing}\n").as_bytes()).expect("standard error");
    // The stand-in is built with gcc.
    if is_there("gcc") { known } else { Vec::new() }
}

/// What stands behind `mark` on each line of a source, up to `end`.
fn marked(source: &str, mark: &str, end: &str) -> BTreeMap<u32, String> {
    let text = std::fs::read_to_string(here("tests/cc").join(source)).expect("a source");
    let lines = (1..).zip(text.lines());
    let marked = lines.filter_map(|(number, line)| Some((number, line.split_once(mark)?.1.trim_end_matches(end))));
    marked.map(|(number, line)| (number, line.trim().to_owned())).collect()
}

/// What a program printed, by the line of its source that it was about; and what was about none.
fn by_line<'a>(program: &Path, told: &'a str) -> (BTreeMap<u32, String>, Vec<&'a str>) {
    let lines = addr2line::Loader::new(program).expect("a program with its lines");
    let mut seen: BTreeMap<u32, String> = BTreeMap::new();
    let mut others = Vec::new();
    for line in told.lines() {
        let Some((what, place)) = line.split_once(" @") else {
            others.push(line);
            continue;
        };
        let place = u64::from_str_radix(place, 16).expect("a place in the program");
        // The outermost of what was compiled into one another.
        let mut frames = lines.find_frames(place).expect("readable lines");
        let mut location = None;
        while let Some(frame) = frames.next().expect("a frame") {
            location = frame.location.and_then(|location| location.line);
        }
        let all = seen.entry(location.expect("a line")).or_default();
        *all += if all.is_empty() { "" } else { ", " };
        *all += what;
    }
    (seen, others)
}

#[test]
fn each_access_is_told_with_its_line() {
    let compilers = installed(C, "each_access_is_told_with_its_line");
    if compilers.is_empty() {
        return;
    }
    let bench = Bench::new("accesses");
    let wanted = marked("accesses.c", "/* sees: ", "*/");
    assert!(wanted.len() > 20, "{wanted:?}");
    for compiler in compilers {
        let wide: &[&str] = if cfg!(target_arch = "x86_64") { &["-mcx16", "-latomic"] } else { &["-latomic"] };
        let (program, told) = bench.told(compiler, "accesses.c", wide);
        let (seen, others) = by_line(&program, &told);
        assert_eq!(seen, wanted, "{compiler}:\n{told}");
        assert_eq!(others, ["sees 1", "benign +8 16", "right"], "{compiler}");
    }
}

/// Where the assembler can be given macros no call is made for what is not watched; where it cannot, calls are, and the same is told.
#[test]
fn what_is_told_is_the_same_however_it_is_looked_for() {
    let compilers = installed(C, "what_is_told_is_the_same_however_it_is_looked_for");
    if compilers.is_empty() || !is_there("nm") || cfg!(not(target_arch = "x86_64")) {
        return;
    }
    let bench = Bench::new("inline");
    let wanted = marked("accesses.c", "/* sees: ", "*/");
    for compiler in compilers {
        let of_gcc = compiler.starts_with("gcc");
        let called = if of_gcc { "-masm=intel" } else { "-fintegrated-as" };
        let ways: &[&str] = if of_gcc { &["-pipe", "-flto", "-fno-pic", called] } else { &["-pipe", "-fPIC", called] };
        for way in ways {
            let object = bench.0.join("accesses.o");
            let mut build = ctl();
            build.args(["cc", compiler, "-c", way, "-mcx16", "-I"]).arg(here("../rsm-capi/include"));
            succeed(build.arg(here("tests/cc/accesses.c")).arg("-o").arg(&object));
            let names = succeed(Command::new("nm").arg("-u").arg(&object));
            // What is optimized when it is linked is assembled then.
            let is_inline = names.contains("__rsm_race_granules") || *way == "-flto";
            assert_eq!(is_inline, *way != called, "{compiler} {way}: {names}");
            let more: &[&str] = if *way == "-fno-pic" { &["-no-pie"] } else { &[] };
            let (program, told) = bench.told(compiler, "accesses.c", &[&["-mcx16", "-latomic", way], more].concat());
            let (seen, others) = by_line(&program, &told);
            assert_eq!(seen, wanted, "{compiler} {way}:\n{told}");
            assert_eq!(others, ["sees 1", "benign +8 16", "right"], "{compiler} {way}");
        }
    }
}

/// Loops of which clang makes accesses to 32 bytes at once: there are no calls for such.
#[test]
fn clang_makes_no_vectors_that_are_not_told() {
    if cfg!(not(target_arch = "x86_64")) {
        return;
    }
    for compiler in
        installed(C, "clang_makes_no_vectors_that_are_not_told").iter().filter(|name| name.contains("clang"))
    {
        let mut child = ctl();
        child.args(["cc", compiler, "-O2", "-mavx2", "-S", "-x", "c", "-o", "-", "-"]).stdin(Stdio::piped());
        let mut child = child.stdout(Stdio::piped()).spawn().expect("it starts");
        let source = b"void f(float *a, const float *b, int n) { for (int i = 0; i < n; i++) a[i] += b[i]; }\n";
        child.stdin.take().expect("a pipe").write_all(source).expect("written");
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("__tsan_write4"), "{compiler}: {text}");
        assert!(!text.contains("%ymm"), "{compiler}: {text}");
    }
}

#[test]
fn a_program_without_librsm_runs_as_ever() {
    let compilers = installed(C, "a_program_without_librsm_runs_as_ever");
    if compilers.is_empty() {
        return;
    }
    let bench = Bench::new("alone");
    let source = bench.0.join("alone.c");
    std::fs::write(
        &source,
        "#include <string.h>\nint main(int n, char **v) { int a[9]; memset(a, n, 36); return a[3] - n * 0x1010101; }\n",
    )
    .expect("a source");
    for compiler in compilers {
        // In two steps, and with a library of its own.
        let place = |name: &str| bench.0.join(format!("{name}.{compiler}"));
        succeed(ctl().args(["cc", compiler, "-c", "-fPIC"]).arg(&source).arg("-o").arg(place("alone.o")));
        succeed(
            ctl()
                .args(["cc", compiler, "-shared"])
                .arg(place("alone.o"))
                .arg("-L")
                .arg(&bench.0)
                .arg("-o")
                .arg(place("alone.so")),
        );
        succeed(
            ctl().args(["cc", compiler]).arg(place("alone.o")).arg("-L").arg(&bench.0).arg("-o").arg(place("alone")),
        );
        succeed(&mut Command::new(place("alone")));
        let needed = std::fs::read(place("alone")).expect("a program");
        assert!(!needed.windows(7).any(|word| word == b"libtsan"), "{compiler}");
    }
}

/// Every function that librsm_race has in place of another one is one that calls are led to, and no other.
#[test]
fn calls_are_led_to_what_there_is() {
    if !is_there("gcc") || !is_there("nm") {
        return;
    }
    let bench = Bench::new("led");
    let names = succeed(Command::new("nm").args(["-g", "--defined-only"]).arg(bench.0.join("librsm_race.a")));
    let there: BTreeSet<&str> = names.split_whitespace().filter_map(|word| word.strip_prefix("__wrap_")).collect();
    let compiler = bench.0.join("gcc");
    // Says what it is told, once it has said what it is.
    let script = "#!/bin/sh\n[ \"$1\" != --version ] || exec gcc --version\nprintf '%s\\n' \"$@\"\n";
    std::fs::write(&compiler, script).expect("a script");
    succeed(Command::new("chmod").arg("+x").arg(&compiler));
    let told = succeed(ctl().args(["cc", "--threads"]).arg(&compiler).args(["a.o", "-L"]).arg(&bench.0));
    let led: BTreeSet<&str> = told.lines().filter_map(|word| word.strip_prefix("-Wl,--wrap=")).collect();
    assert!(there.len() > 100, "{there:?}");
    assert_eq!(led, there);
}

/// Functions of libstdc++ are those that it has, but for what only later ones have.
#[test]
fn calls_of_libstdcxx_are_led_by_names_that_it_has() {
    const LATER: [&str; 1] = ["_ZNSt6chrono11reload_tzdbEv"];
    if !is_there("g++") || !is_there("nm") {
        return;
    }
    let library = succeed(Command::new("g++").arg("-print-file-name=libstdc++.so"));
    if !library.trim().starts_with('/') {
        return;
    }
    let bench = Bench::new("names");
    let there = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(library.trim()));
    let there: BTreeSet<&str> = there.split_whitespace().map(|word| word.split('@').next().unwrap_or(word)).collect();
    let names = succeed(Command::new("nm").args(["-g", "--defined-only"]).arg(bench.0.join("librsm_race.a")));
    let led = names.split_whitespace().filter_map(|word| word.strip_prefix("__wrap_"));
    let of_cxx: Vec<&str> = led.filter(|name| name.starts_with("_Z") || name.starts_with("__cxa_")).collect();
    assert!(of_cxx.len() > 30, "{of_cxx:?}");
    let unknown: Vec<&&str> = of_cxx.iter().filter(|name| !there.contains(**name) && !LATER.contains(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// What the linker leads of the program's calls librsm leads of libstdc++'s: it finds each by a name, which is there.
#[test]
fn all_that_the_linker_leads_is_on_a_list() {
    if !is_there("gcc") || !is_there("nm") {
        return;
    }
    let bench = Bench::new("lists");
    let library = bench.0.join("librsm_race.a");
    let names = succeed(Command::new("nm").args(["-g", "--defined-only"]).arg(&library));
    let led: BTreeSet<&str> = names.split_whitespace().filter_map(|word| word.strip_prefix("__wrap_")).collect();
    // Not copies, of which only the program's are told; nor facets, of which libstdc++ has only its own installed.
    let is_of_program = |name: &str| {
        name.trim_start_matches('_').starts_with("mem")
            || name.ends_with("_facetEPKNS_2idEPKNS_5facetE")
            || name.ends_with("_replace_facetEPKS0_PKNS_2idE")
    };
    let of_threads = led.into_iter().filter(|name| !is_of_program(name));
    let bytes = std::fs::read(&library).expect("a library");
    let words: BTreeSet<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let unlisted: Vec<&str> = of_threads.filter(|name| !words.contains(name.as_bytes())).collect();
    assert!(words.contains(&b"pthread_create"[..]) && unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn a_crate_is_built_so_by_cargo() {
    if !is_there("gcc") || cfg!(not(target_env = "gnu")) {
        return;
    }
    let bench = Bench::new("cargo");
    let folder = bench.0.join("crate");
    std::fs::create_dir_all(folder.join("src")).expect("a directory");
    let manifest = "[package]\nname = \"accesses\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    let script = format!("fn main() {{ println!(\"cargo::rustc-link-arg={}/recorder.o\"); }}", bench.0.display());
    std::fs::write(folder.join("build.rs"), script).expect("a build script");
    std::fs::copy(here("tests/cc/accesses.rs"), folder.join("src/main.rs")).expect("a source");
    let mut cargo = ctl();
    cargo.args(["cc", env!("CARGO"), "build", "--offline", "--quiet", "--release"]).current_dir(&folder);
    // Where the library is found, as nothing is installed.
    cargo
        .env("LIBRARY_PATH", &bench.0)
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS");
    succeed(&mut cargo);
    let program = folder.join("target/rsm-race/release/accesses");
    let told = succeed(&mut Command::new(&program));
    let (seen, others) = by_line(&program, &told);
    let wanted = marked("accesses.rs", "// sees: ", "");
    assert!(wanted.len() > 8, "{wanted:?}");
    assert_eq!(seen, wanted, "{told}");
    // Two libraries print, each when it likes.
    let others: std::collections::BTreeSet<&str> = others.into_iter().collect();
    assert_eq!(others, ["right", "sees 1"].into());
    // In front of cargo there is room for one.
    let mut twice = ctl();
    twice.args(["cc", env!("CARGO"), "build"]).current_dir(&folder).env("RUSTC_WRAPPER", "sccache");
    let said = String::from_utf8_lossy(&run(&mut twice).stderr).into_owned();
    assert!(said.contains("RUSTC_WRAPPER is set"), "{said}");
}

#[test]
fn what_cannot_be_done_is_said() {
    for (words, code, says) in [
        (&["cc"][..], 2, "COMPILER"),
        (&["cc", "nonesuch", "a.c"], 127, "cannot run nonesuch: No such file"),
        (
            &["cc", "true", "a.c"],
            1,
            "true is no compiler that is known here; rsm-ctl cc takes gcc and g++ from 12, clang",
        ),
        (&["cc", "gcc", "-fsanitize=thread", "a.c"], 2, "brings a library of its own in; leave it out"),
        (&["cc", "gcc", "-static", "a.c"], 2, "leave -static out"),
        (&["cc", "--threads", "g++", "-static-libstdc++", "a.cpp"], 2, "threads of a program that has libstdc++ in it"),
        (
            &["cc", "--threads", "cargo", "build"],
            2,
            "threads of programs in Rust cannot be told apart: leave --threads out",
        ),
    ] {
        let output = run(ctl().args(words));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    }
    if is_there("gcc") {
        let mut command = ctl();
        command.args(["cc", "gcc", "nonesuch.c"]).env_remove("LIBRARY_PATH");
        let said = String::from_utf8_lossy(&run(&mut command).stderr).into_owned();
        // Where one is installed the compiler speaks.
        assert!(said.contains("rsm-capi/install.sh installs it") || said.contains("nonesuch.c"), "{said}");
    }
}
