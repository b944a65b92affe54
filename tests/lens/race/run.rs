//! Building and running the programs.

use crate::guide;
use crate::programs::{Program, is_cxx};
use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the compiler is told of every program, and of each language.
const STRICT: &[&str] = &["-O1", "-g", "-Wall", "-Wextra", "-Werror"];
const C: (&str, &str) = ("gcc", "-std=gnu11");
const CXX: (&str, &str) = ("g++", "-std=gnu++20");

/// What programs need, built once, in a directory that stays.
struct Needed {
    ctl: PathBuf,
    librsm: PathBuf,
    librsm_race: PathBuf,
    /// There is a compiler for C++ that can be told so, too.
    has_cxx: bool,
}

/// What is built for one test, in a directory that goes at the end, with the libraries in it by other names.
pub(crate) struct Bench {
    folder: PathBuf,
    needed: &'static Needed,
}

/// What a run reported.
pub(crate) struct Seen {
    /// How many races.
    pub(crate) races: usize,
    /// Lines of the program that were named as theirs.
    pub(crate) lines: BTreeSet<u32>,
    /// Accesses that were named without a line of the program.
    pub(crate) unplaced: usize,
    /// All that was said.
    pub(crate) said: String,
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("race").join(name).with_extension(if is_cxx(name) { "cpp" } else { "c" })
}

/// The compiler of a source, and its standard.
fn language(source: &Path) -> (&'static str, &'static str) {
    if source.extension().is_some_and(|extension| extension == "cpp") { CXX } else { C }
}

/// The lines that are marked as those of the race.
pub(crate) fn marked(source: &Path) -> BTreeSet<u32> {
    let text = std::fs::read_to_string(source).unwrap_or_default();
    (1..).zip(text.lines()).filter(|(_, line)| line.ends_with("/* SITE */")).map(|(number, _)| number).collect()
}

/// Runs a command, and gives what it printed if it ended well.
pub(crate) fn succeed(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// A directory below the target directory.
fn directory(name: &str) -> Result<PathBuf, String> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).map_err(|error| error.to_string())?;
    Ok(path)
}

impl Needed {
    /// `None` without a compiler that can be told to have accesses told.
    fn build() -> Result<Option<Needed>, String> {
        let test = std::env::current_exe().map_err(|error| error.to_string())?;
        let profile = test.parent().and_then(Path::parent).ok_or("the test is in no target directory")?;
        // One for each profile, as the two may be tested at once.
        let folder = directory(&format!("race-{}", profile.file_name().unwrap_or_default().display()))?;
        let librsm_race = folder.join("librsm_race.a");
        let (mut cargo, mut library, mut library_race) =
            (Command::new(env!("CARGO")), Command::new("sh"), Command::new("sh"));
        cargo.args(["build", "--quiet", "-p", "rsm-ctl"]).current_dir(root());
        library.arg(root().join("rsm-capi/tests/library.sh"));
        library_race.arg(root().join("rsm-race-cc/library.sh")).arg(&librsm_race);
        for command in [&mut cargo, &mut library, &mut library_race] {
            command.env("CARGO", env!("CARGO"));
            if profile.ends_with("release") {
                command.arg("--release");
            }
        }
        succeed(&mut cargo)?;
        let ctl = profile.join("rsm-ctl");
        let takes = |compiler| succeed(Command::new(&ctl).args(["cc", compiler, "--version"])).is_ok();
        if !takes(C.0) {
            return Ok(None);
        }
        let has_cxx = takes(CXX.0);
        let made = succeed(&mut library)?;
        succeed(&mut library_race)?;
        // Cargo may make another one in its place.
        let librsm = folder.join("librsm.so.2");
        let new = folder.join(format!("librsm.so.{}", std::process::id()));
        std::fs::copy(made.trim_end(), &new)
            .and_then(|_| std::fs::rename(&new, &librsm))
            .map_err(|error| error.to_string())?;
        Ok(Some(Needed { ctl, librsm, librsm_race, has_cxx }))
    }
}

impl Bench {
    /// Lays out what programs need; `None` without a compiler that can be told to have accesses told.
    pub(crate) fn new() -> Result<Option<Bench>, String> {
        static NEEDED: OnceLock<Result<Option<Needed>, String>> = OnceLock::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let needed = NEEDED.get_or_init(Needed::build);
        let Some(needed) = needed.as_ref().map_err(Clone::clone)? else { return Ok(None) };
        // Relaxed: a number that no other has.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let bench = Bench { folder: directory(&format!("race-{}-{number}", std::process::id()))?, needed };
        for (file, name) in [(&needed.librsm, "librsm.so.2"), (&needed.librsm_race, "librsm_race.a")] {
            symlink(file, bench.folder.join(name)).map_err(|error| error.to_string())?;
        }
        symlink("librsm.so.2", bench.folder.join("librsm.so")).map_err(|error| error.to_string())?;
        Ok(Some(bench))
    }

    /// Whether a program can be built here.
    pub(crate) fn takes(&self, program: &Program) -> bool {
        self.needed.has_cxx || !program.is_cxx()
    }

    /// Where librsm and librsm_race.a are, and what is built.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The target directory's part that `rsm-ctl` is in.
    pub(crate) fn profile(&self) -> Result<&Path, String> {
        self.needed.ctl.parent().ok_or_else(|| "rsm-ctl is in no target directory".to_owned())
    }

    pub(crate) fn ctl(&self) -> Command {
        let mut command = Command::new(&self.needed.ctl);
        for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Builds a program.
    pub(crate) fn build(&self, program: &Program) -> Result<PathBuf, String> {
        let mut command = self.ctl();
        let threads: &[&str] = if program.has_threads() { &["--threads"] } else { &[] };
        let source = source(program.name);
        command.arg("cc").args(threads).arg(language(&source).0);
        self.compile(command, &source, self.folder.join(program.name))
    }

    /// Builds a program of whichever folder, likewise.
    pub(crate) fn build_seen(&self, source: &Path, name: &str, options: &[&str]) -> Result<PathBuf, String> {
        let mut command = self.ctl();
        command.arg("cc").args(options).arg(language(source).0);
        self.compile(command, source, self.folder.join(name))
    }

    /// Builds a program as if nobody were to look at it.
    pub(crate) fn build_plainly(&self, source: &Path, name: &str, more: &[&str]) -> Result<PathBuf, String> {
        let mut command = Command::new(language(source).0);
        command.arg("-pthread").args(more);
        self.compile(command, source, self.folder.join(name))
    }

    /// Builds a program by another compiler.
    pub(crate) fn build_by(&self, compiler: &str, program: &Program) -> Result<PathBuf, String> {
        let mut command = self.ctl();
        command.args(["cc", compiler]);
        let built = self.folder.join(format!("{}-{compiler}", program.name));
        self.compile(command, &source(program.name), built)
    }

    /// Builds a program whose threads are told apart, by whichever compiler and with more words.
    pub(crate) fn build_apart(
        &self,
        compiler: &str,
        program: &Program,
        name: &str,
        more: &[&str],
    ) -> Result<PathBuf, String> {
        let mut command = self.ctl();
        command.args(["cc", "--threads", compiler]);
        self.compile_with(command, &source(program.name), self.folder.join(name), more)
    }

    /// Whether a compiler takes a program at all.
    pub(crate) fn is_taken(&self, compiler: &str, program: &Program) -> bool {
        let source = source(program.name);
        let mut command = Command::new(compiler);
        command.arg("-fsyntax-only").arg("-I").arg(root().join("tests/lens/c")).arg("-I");
        command.arg(root().join("rsm-capi/include")).arg(language(&source).1).arg(source);
        succeed(&mut command).is_ok()
    }

    /// The first of these compilers that `rsm-ctl cc` takes.
    pub(crate) fn first_of(&self, compilers: &[&'static str]) -> Option<&'static str> {
        compilers.iter().copied().find(|compiler| succeed(self.ctl().args(["cc", compiler, "--version"])).is_ok())
    }

    /// Builds a program likewise, with librsm in it as cargo makes it.
    pub(crate) fn build_with_the_library_in_it(&self, source: &Path, name: &str) -> Result<PathBuf, String> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--quiet", "-p", "rsm-capi", "--lib", "--crate-type", "staticlib"]).current_dir(root());
        cargo.arg("--message-format=json-render-diagnostics");
        if self.profile()?.ends_with("release") {
            cargo.arg("--release");
        }
        // The words of install.sh, so that it is compiled once for both.
        cargo.args(["--", "-C", "target-feature=-crt-static", "--print=native-static-libs"]);
        let made = succeed(&mut cargo)?;
        let mut files = made.split('"').filter(|word| word.ends_with("librsm_capi.a") || word.ends_with("librsm.a"));
        let archive = files.next_back().ok_or("cargo made no librsm.a")?;
        let built = self.folder.join(name);
        let mut command = Command::new(C.0);
        command
            .arg(C.1)
            .args(STRICT)
            .arg("-pthread")
            .arg("-I")
            .arg(root().join("rsm-capi/include"))
            .arg("-o")
            .arg(&built);
        command.arg(source).arg(archive).args(["-lutil", "-lrt", "-lm", "-ldl"]);
        succeed(&mut command).map(|_| built)
    }

    fn compile(&self, command: Command, source: &Path, built: PathBuf) -> Result<PathBuf, String> {
        self.compile_with(command, source, built, &[])
    }

    /// With more words, which come last.
    fn compile_with(
        &self,
        mut command: Command,
        source: &Path,
        built: PathBuf,
        more: &[&str],
    ) -> Result<PathBuf, String> {
        command.arg(language(source).1).args(STRICT).arg("-I").arg(root().join("tests/lens/c"));
        command.arg("-I").arg(root().join("rsm-capi/include")).arg("-o").arg(&built).arg(source);
        command.arg("-L").arg(&self.folder).arg("-lrsm").arg(format!("-Wl,-rpath,{}", self.folder.display()));
        succeed(command.args(more)).map(|_| built)
    }

    /// Runs it, with these options, to whatever end.
    pub(crate) fn run_with(
        &self,
        program: &Program,
        built: &Path,
        options: &[&str],
        variant: &str,
    ) -> Result<Output, String> {
        let mut command = self.ctl();
        command.args(["run", "--timeout", "60s", "-n", &program.nodes.to_string()]).args(options);
        command.arg("--").arg(built).arg(variant);
        // Where programs tell each other what the RSMAPI does not know, none of an earlier run.
        let aside = built.with_extension(format!("aside-{variant}"));
        let _ = std::fs::remove_file(&aside);
        command.env("LITMUS_ASIDE", aside);
        command.output().map_err(|error| format!("{command:?}: {error}"))
    }

    /// Runs it, with these options as well, and looks for races.
    pub(crate) fn run(&self, program: &Program, built: &Path, options: &[&str], variant: &str) -> Result<Seen, String> {
        self.run_to(program, built, &[&["--race"], options].concat(), variant)
    }

    /// Runs it, with these options.
    pub(crate) fn run_to(
        &self,
        program: &Program,
        built: &Path,
        options: &[&str],
        variant: &str,
    ) -> Result<Seen, String> {
        let output = self.run_with(program, built, options, variant)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let races = said.lines().filter(|line| line.starts_with("rsm-ctl: race: ")).count();
        match output.status.code() {
            Some(0) if races == 0 => {}
            Some(5) if races > 0 => {}
            _ => return Err(format!("{variant} {options:?}: {} with {races} races:\n{said}", output.status)),
        }
        let mark = format!("{}.{}:", program.name, if program.is_cxx() { "cpp" } else { "c" });
        let number =
            |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
        let lines = said.split(&mark).skip(1).filter_map(number).collect();
        let unplaced =
            said.lines().filter(|line| line.starts_with("    ") && line.contains(" by node ") && !line.contains(&mark));
        let unplaced = unplaced.count();
        Ok(Seen { races, lines, unplaced, said })
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A trace of one of them has its calls, in their order.
pub(crate) fn a_program_in_c_is_traced() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let program =
        crate::programs::PROGRAMS.iter().find(|program| program.name == "flag_order").ok_or("no such program")?;
    let built = bench.build(program)?;
    let trace = bench.folder.join("t.rsmtrace");
    let file = trace.to_str().ok_or("a path of letters")?;
    let output = bench.run_with(program, &built, &["--trace", file], "good")?;
    if !output.status.success() {
        return Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let shown = succeed(bench.ctl().args(["trace", "show", file, "--node", "1"]))?;
    // DATA and FLAG of race.h.
    let wanted = [
        "put        2:0x400000 [4096,+64)",
        "order      2:0x400000",
        "put        2:0x400000 [12288,+8)",
        "close      2:0x400000",
    ];
    let mut lines = shown.lines();
    for call in wanted {
        if !lines.any(|line| line.contains(call)) {
            return Err(format!("there is no {call:?} behind the one before:\n{shown}"));
        }
    }
    let who = succeed(bench.ctl().args(["trace", "who", file, "2:0x400000+4100"]))?;
    if !who.contains(wanted[0]) {
        return Err(format!("the byte was put by {who}"));
    }
    Ok(())
}

/// What docs/finding-bugs.md says of its program is so.
pub(crate) fn the_guide_finds_its_bug() -> Result<(), String> {
    let Some(bench) = Bench::new()? else { return Ok(()) };
    let source = root().join("examples/finding/till.c");
    let build = |command: &mut Command, more: &[&str], name: &str| {
        let built = bench.folder.join(name);
        command.args(["-g", "-Wall", "-Wextra", "-pedantic", "-Werror"]).args(more).arg("-o").arg(&built).arg(&source);
        command.arg("-I").arg(root().join("rsm-capi/include")).arg("-L").arg(&bench.folder).arg("-lrsm");
        command.arg(format!("-Wl,-rpath,{}", bench.folder.display()));
        succeed(command).map(|_| built)
    };
    let plain = build(&mut Command::new("cc"), &[], "till")?;
    let seen = build(bench.ctl().args(["cc", "gcc"]), &[], "till-seen")?;
    let repaired = build(bench.ctl().args(["cc", "gcc"]), &["-DREPAIRED"], "till-repaired")?;
    let run = |program: &Path, options: &[&str]| {
        let mut command = bench.ctl();
        command.args(["run", "-n", "2", "--timeout", "120s"]).args(options).arg("--").arg(program);
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Ok::<_, String>((output.status.code(), said))
    };
    let expect = |what: &str, is_so: bool, said: &str| if is_so { Ok(()) } else { Err(format!("{what}:\n{said}")) };
    let (code, said) = run(&plain, &[])?;
    expect("it comes to its end", code == Some(0) && said.contains("2000 receipts, 2970000 in all"), &said)?;
    let trace = bench.folder.join("till.rsmtrace");
    let file = trace.to_str().ok_or("a path of letters")?;
    // Nearly always node 2 ends before the span is closed, as in the guide; who is slow to see that ends in another way.
    let (mut shown, mut times) = (String::new(), 0);
    while !shown.contains("close      2:0x400000: RSMERR_CONN_ABORTED") {
        times += 1;
        expect("a span is cut by the end of node 2", times <= 20, &shown)?;
        let (code, said) = run(&plain, &["--chaos=7", "--trace", file])?;
        expect("it fails under chaos", matches!(code, Some(1 | 2)) && said.contains("till: receipt "), &said)?;
        shown = succeed(bench.ctl().args(["trace", "show", file]))?;
    }
    let who = succeed(bench.ctl().args(["trace", "who", file, "2:0x400000+200"]))?;
    expect("the trace knows who", who.contains("put        2:0x400000 [0,+248)"), &who)?;
    // The lines as the guide has them.
    let guide = std::fs::read_to_string(root().join("docs/finding-bugs.md")).map_err(|error| error.to_string())?;
    expect("who is told as in the guide", guide::printed(&guide, "trace who") == guide::shapes(&who), &who)?;
    let (told, shown_too) = (guide::printed(&guide, "trace show"), guide::shapes(&shown));
    let calls = guide::calls(&told);
    let same = guide::calls(&shown_too).ends_with(&calls) && guide::ends(&told) == guide::ends(&shown_too);
    expect("the trace is shown as in the guide", calls.len() == 4 && same, &shown)?;
    let places: Vec<&str> = guide.split_whitespace().filter(|word| word.starts_with("till.c:")).collect();
    let [put, read] = places[..] else { return Err(format!("the guide has {places:?}")) };
    let (code, said) = run(&seen, &["--race"])?;
    let is_found =
        code == Some(5) && said.contains("rsm-ctl: 1 race found") && said.contains(put) && said.contains(read);
    expect("its race is found", is_found, &said)?;
    // Once, and as the guide has it.
    let outside = "rsm-ctl: what files, pipes or sockets order is not known: --race=outside";
    let of = |text: &str| text.lines().filter(|line| line.starts_with(outside)).map(str::to_owned).collect::<Vec<_>>();
    expect("what is not known is said", of(&said).len() == 1 && of(&said) == of(&guide), &said)?;
    let (code, said) = run(&seen, &["--race=outside"])?;
    expect("and not where it is known", of(&said).is_empty() && matches!(code, Some(0 | 5)), &said)?;
    // And what it is told with, as the guide and the gallery have it.
    let gallery = std::fs::read_to_string(root().join("docs/gallery.md")).map_err(|error| error.to_string())?;
    for page in [&guide, &gallery] {
        let told = |line: &&str| line.starts_with("rsm-ctl: race: ") || line.starts_with("  node 2 was told ");
        let lines: Vec<&str> = page.lines().filter(told).collect();
        let is_told = lines.len() == 2 && lines.iter().all(|line| said.lines().any(|other| other == *line));
        expect(&format!("it is told by {lines:?}"), is_told, &said)?;
    }
    for options in [&["--race"][..], &["--race", "--chaos=41"]] {
        let (code, said) = run(&repaired, options)?;
        expect("repaired, it has none", code == Some(0) && said.contains("rsm-ctl: no races found"), &said)?;
    }
    Ok(())
}
