//! An installation by install.sh, and programs that are built with nothing but what it installed. And the manual pages:
//! what they say about names, numbers and declarations is what the headers say.

mod header;

use header::{declared, declared_in};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The version nodes of exported symbols: of the RSMAPI, and of what this library has beyond it.
const NODE: &str = "SUNWprivate_1.1";
const EXTENSION: &str = "RSM_EXT_1.0";
const RACE: &str = "RSM_RACE_1.0";
/// What is exported there and is no function.
const VARIABLES: [&str; 2] = ["rsm_race_granules", "rsm_race_threads"];

/// The functions of `rsm_ext.h`.
fn extension() -> BTreeSet<String> {
    declared_in("include/rsm_ext.h")
}

/// The functions of `rsm/race.h`, which compilers have called.
fn race() -> BTreeSet<String> {
    declared_in("include/rsm/race.h")
}

/// All functions of the library that programs call.
fn all() -> BTreeSet<String> {
    declared().union(&extension()).cloned().collect()
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Says what was not tested and why, past the capture of the test harness.
fn skipped(what: &str, why: &str) {
    std::io::stderr().write_all(format!("{what} skipped: {why}\n").as_bytes()).unwrap();
}

/// Whether all these programs are there.
fn have(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |name: &&str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    match programs.iter().find(|name| !found(name)) {
        Some(missing) => {
            skipped(test, &format!("{missing} is not installed"));
            false
        }
        None => true,
    }
}

fn show(command: &Command, output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs a command that has to succeed; returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{}", show(command, &output));
    String::from_utf8(output.stdout).unwrap()
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rsm-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// install.sh, without what the environment might tell it. The library is built as this test is, or for use where
/// `RSM_INSTALL=release` says so.
fn install(arguments: &[&OsStr]) -> Command {
    let mut command = Command::new("sh");
    command.arg(here("install.sh"));
    if cfg!(debug_assertions) && std::env::var_os("RSM_INSTALL").is_none_or(|profile| profile != "release") {
        command.arg("--debug");
    }
    command.args(arguments).env_remove("DESTDIR");
    command
}

/// The files below a directory, by their paths in it.
fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}

/// The constants of rsm_common.h whose values are plain decimal numbers.
fn numbers() -> BTreeMap<String, u32> {
    let header = read(here("include/sys/rsm/rsm_common.h"));
    let defines = header.lines().filter_map(|line| line.strip_prefix("#define "));
    let pairs = defines.filter_map(|define| define.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

/// The manual pages, by file name.
fn pages() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(here("man")).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), read(entry.path()))).collect()
}

/// The program of rsm(3): its first example.
fn example() -> String {
    let page = read(here("man/rsm.3"));
    let (_, examples) = page.split_once(".SH EXAMPLES").unwrap();
    let (_, program) = examples.split_once(".EX\n").unwrap();
    program.split_once(".EE").unwrap().0.replace("\\e", "\\").replace("\\-", "-")
}

#[test]
fn an_installation_serves_programs() {
    let needed = ["cc", "c++", "pkg-config", "objcopy", "ar", "nm", "readelf"];
    if !have("an_installation_serves_programs", &needed) {
        return;
    }
    let scratch = Scratch::new("install");
    let prefix = scratch.join("prefix");
    let said = run(&mut install(&["--prefix".as_ref(), prefix.as_os_str()]));
    let installed = files(&prefix);
    for file in &installed {
        assert!(said.contains(&format!("installed {}", prefix.join(file).display())), "{file} in\n{said}");
    }

    // For `rsm-ctl cc`, and what it builds.
    for file in ["lib/librsm_race.a", "include/rsm/annotate.h"] {
        assert!(installed.contains(file), "{installed:?}");
    }
    // The manual names it, and ThreadSanitizer fails without it.
    assert!(installed.contains("share/rsm/tsan.supp"), "{installed:?}");
    the_shared_library_exports_the_api(&prefix.join("lib"));
    the_static_library_exports_the_api(&prefix.join("lib"));
    every_function_has_a_page(&prefix);
    let stage = scratch.join("a stage");
    std::thread::scope(|scope| {
        scope.spawn(|| programs_are_built_and_run(&prefix, &scratch));
        scope.spawn(|| a_program_is_tested(&prefix, &scratch));
        let packaged = ["--prefix", "/opt/rsm", "--libdir", "lib64", "--destdir"].map(OsStr::new);
        run(&mut install(&[&packaged[..], &[stage.as_os_str()]].concat()));
    });
    // An installation that is packaged names the place where it will be.
    let expected = installed.iter().map(|file| format!("opt/rsm/{}", file.replacen("lib/", "lib64/", 1)));
    assert_eq!(files(&stage), expected.collect(), "an installation with --destdir and --libdir");
    let pc = read(stage.join("opt/rsm/lib64/pkgconfig/rsm.pc"));
    assert!(pc.starts_with("prefix=/opt/rsm\nlibdir=${prefix}/lib64\n"), "{pc}");

    // Once more is the same.
    run(&mut install(&["--prefix".as_ref(), prefix.as_os_str()]));
    assert_eq!(files(&prefix), installed, "a second installation");
    run(&mut install(&["--uninstall".as_ref(), "--prefix".as_ref(), prefix.as_os_str()]));
    assert_eq!(files(&prefix), BTreeSet::new(), "what --uninstall left");
}

fn the_shared_library_exports_the_api(lib: &Path) {
    let table =
        run(Command::new("nm").args(["-D", "--defined-only", "--with-symbol-versions"]).arg(lib.join("librsm.so.2")));
    let symbols = table.lines().map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "));
    assert_eq!(declared().len(), 42);
    let functions = declared().into_iter().map(|name| (name, NODE));
    let functions = functions.chain(extension().into_iter().map(|name| (name, EXTENSION)));
    let functions = functions.chain(race().into_iter().map(|name| (name, RACE)));
    let mut expected: BTreeSet<String> = functions.map(|(name, node)| format!("T {name}@@{node}")).collect();
    // Whether they begin as nothing but zeros is nobody's business.
    expected.extend(VARIABLES.map(|name| format!("B {name}@@{RACE}")));
    // The nodes themselves.
    expected.extend([NODE, EXTENSION, RACE].map(|node| format!("A {node}")));
    let bare = |symbol: String| match symbol.strip_prefix("D ") {
        Some(name) => format!("B {name}"),
        None => symbol,
    };
    let symbols = symbols.map(bare);
    let bare = |symbol: String| match symbol.strip_prefix("A ").and_then(|node| node.split_once("@@")) {
        Some((node, _)) => format!("A {node}"),
        None => symbol,
    };
    let symbols: BTreeSet<String> = symbols.map(bare).collect();
    assert_eq!(symbols, expected);

    let dynamic = run(Command::new("readelf").args(["-dW"]).arg(lib.join("librsm.so.2")));
    assert!(dynamic.contains("soname: [librsm.so.2]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    assert_eq!(std::fs::read_link(lib.join("librsm.so")).unwrap(), Path::new("librsm.so.2"));
}

fn the_static_library_exports_the_api(lib: &Path) {
    let table = run(Command::new("nm").args(["-g", "--defined-only"]).arg(lib.join("librsm.a")));
    let symbols = table.lines().filter_map(|line| line.split_once(" T "));
    let functions = all().union(&race()).cloned().collect::<BTreeSet<_>>();
    assert_eq!(symbols.map(|(_, name)| name.to_owned()).collect::<BTreeSet<_>>(), functions);
    let count = table.lines().filter(|line| line.split(' ').count() == 3).count();
    assert_eq!(count, functions.len() + VARIABLES.len(), "{table}");
    // A group whose symbol is local is lost when another library has one of the same name, and its users point nowhere.
    let groups = run(Command::new("readelf").args(["-gW"]).arg(lib.join("librsm.a")));
    assert!(!groups.contains("COMDAT"), "{groups}");
}

fn every_function_has_a_page(prefix: &Path) {
    let man = prefix.join("share/man");
    for name in all() {
        let page = read(man.join(format!("man3/{name}.3rsm")));
        let page = page.strip_prefix(".so ").map_or(page.clone(), |target| read(man.join(target.trim_end())));
        assert!(page.contains(&name), "the page of {name}");
    }
    assert!(man.join("man3/rsm.3").is_file());
    assert!(man.join("man7/rsm_differences.7").is_file());
    for arguments in
        [&["rsm_memseg_import_put64"][..], &["3rsm", "rsm_memseg_import_put64"], &["3", "rsm"], &["rsm_differences"]]
    {
        if have("reading a page with man", &["man"]) {
            let mut command = Command::new("man");
            command.arg("-M").arg(&man).args(arguments).env("MANPAGER", "cat").env("LC_ALL", "C");
            let text = run(&mut command);
            // Small systems have a `man` that says how to get manual pages.
            assert!(text.contains(arguments.last().unwrap()) || text.contains("minimized"), "{arguments:?}: {text}");
        }
    }
}

/// One program in both languages, against the shared library, the static library, and without any shared library.
fn programs_are_built_and_run(prefix: &Path, scratch: &Scratch) {
    let pkg_config = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("rsm").env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        run(&mut command).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let cflags = pkg_config(&["--cflags"]);
    let shared = pkg_config(&["--libs"]);
    let all_static = [&["-static".to_owned()][..], &pkg_config(&["--static", "--libs"])].concat();
    let archive = prefix.join("lib/librsm.a").display().to_string();
    let needs = pkg_config(&["--static", "--libs-only-l"]).into_iter().filter(|library| library != "-lrsm");
    let only_rsm_static: Vec<String> = [archive].into_iter().chain(needs).collect();

    for (compiler, suffix) in [("cc", "c"), ("c++", "cc")] {
        let source = scratch.join(&format!("program.{suffix}"));
        std::fs::write(&source, example()).unwrap();
        for (kind, libraries) in [("shared", &shared), ("static", &all_static), ("archive", &only_rsm_static)] {
            if kind == "static" && !links_statically(compiler, suffix, scratch) {
                continue;
            }
            let program = scratch.join(&format!("{kind}-{suffix}"));
            let mut build = Command::new(compiler);
            build.args(["-Wall", "-Wextra", "-pedantic", "-Werror", "-o"]).arg(&program).arg(&source);
            run(build.args(&cflags).args(libraries));
            let mut command = Command::new(&program);
            for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
                command.env_remove(variable);
            }
            command.env("LD_LIBRARY_PATH", prefix.join("lib"));
            assert_eq!(run(&mut command), "hello from next door\n", "{kind}, {compiler}");
            let needed = run(Command::new("readelf").args(["-dW"]).arg(&program));
            assert_eq!(needed.contains("[librsm.so.2]"), kind == "shared", "{kind}, {compiler}: {needed}");
        }
    }
}

/// The example of a program with tests, as its guide says: under CTest, or without CMake as CTest would run them.
fn a_program_is_tested(prefix: &Path, scratch: &Scratch) {
    let example = here("../examples/testing");
    let profile = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "-p", "rsm-ctl"]).current_dir(here(".."));
    run(if cfg!(debug_assertions) { &mut cargo } else { cargo.arg("--release") });
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(profile.clone()).chain(std::env::split_paths(&usual));
    let path = std::env::join_paths(path).unwrap();
    let command = |program: &str| {
        let mut command = Command::new(program);
        command.env("PATH", &path).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
            command.env_remove(variable);
        }
        command.env("LD_LIBRARY_PATH", prefix.join("lib"));
        command
    };
    let warnings = "-Wall -Wextra -pedantic -Werror";
    let neighbours = halo_in_two_languages(&command, scratch, warnings);
    assert!(
        (1..=4).all(|node| neighbours.contains(&format!("node {node}: 32 cells after 50 steps, sum "))),
        "{neighbours}"
    );
    // The cluster file names programs where they are built as a rule.
    if profile == here("..").canonicalize().unwrap().join("target/debug") {
        let said = run(command("rsm-ctl").arg("run").arg("--file").arg(here("../examples/cluster.toml")));
        assert!(said.contains("[1] node 1: connected to node 2\n") && said.contains("CONN_ABORTED after "), "{said}");
    }
    if have("tests under CTest", &["cmake", "ctest"]) {
        let project = scratch.join("testing");
        std::fs::create_dir(&project).unwrap();
        for file in ["CMakeLists.txt", "faults.txt", "gather.c"] {
            std::fs::copy(example.join(file), project.join(file)).unwrap();
        }
        let mut said = String::new();
        for line in commands_of_the_build_server() {
            // A seed that is drawn is for build servers; here it is always the same.
            let line = line.replace(" --chaos ", " --chaos=7 ");
            said += &run(command("sh").args(["-ec", &line]).current_dir(&project).env("CFLAGS", warnings));
        }
        assert!(said.contains("100% tests passed, 0 tests failed out of 3"), "{said}");
        assert!(said.ends_with("node 2 sent 20\nnode 3 sent 30\n"), "{said}");
        let report = read(project.join("build/survives_faults.xml"));
        assert!(report.contains("<testsuite name=\"survives_faults\" tests=\"3\""), "{report}");
        return;
    }
    let program = scratch.join("gather");
    let mut build = command("sh");
    build.arg("-c").arg(format!("cc {warnings} -o \"$0\" \"$1\" $(pkg-config --cflags --libs rsm)"));
    run(build.arg(&program).arg(example.join("gather.c")));
    let faults = example.join("faults.txt").display().to_string();
    for options in [&[][..], &["--chaos", "7", "--model", "sci"], &["--script", &faults]] {
        let mut ctl = command("rsm-ctl");
        ctl.args(["run", "-n", "3", "--timeout", "60s"]).args(options).arg("--").arg(&program).arg("3");
        assert_eq!(run(&mut ctl), "node 2 sent 20\nnode 3 sent 30\n");
    }
}

/// What the guide has a build server do when all is installed, but for what Rust's and Python's tests are run by.
fn commands_of_the_build_server() -> Vec<String> {
    let guide = read(here("../docs/testing-with-faults.md"));
    let block = guide.split("## On a build server").nth(1).and_then(|text| text.split("```sh\n").nth(1)).unwrap();
    let lines = block.split("```").next().unwrap().lines();
    let kept = lines.filter(|line| ["cmake ", "ctest ", "rsm-ctl "].iter().any(|program| line.starts_with(program)));
    let kept = kept.map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(kept.len(), 4, "{kept:?}");
    kept
}

/// The example of the guide to a second program, in C and beside itself in Rust: neighbours of each other.
fn halo_in_two_languages(command: &dyn Fn(&str) -> Command, scratch: &Scratch, warnings: &str) -> String {
    let in_c = scratch.join("halo");
    let mut build = command("sh");
    build.arg("-c").arg(format!("cc {warnings} -o \"$0\" \"$1\" $(pkg-config --cflags --libs rsm)"));
    run(build.arg(&in_c).arg(here("../examples/halo/halo.c")));
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "-q", "--example", "halo"]).current_dir(here(".."));
    run(if cfg!(debug_assertions) { &mut cargo } else { cargo.arg("--release") });
    let in_rust = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/halo");
    let mut ctl = command("rsm-ctl");
    ctl.args(["run", "-n", "4", "--timeout", "60s", "--node", "1,2", "--"]).arg(&in_c);
    run(ctl.args(["--node", "3,4", "--"]).arg(&in_rust))
}

/// Whether this system has the C library to link a program without shared libraries.
fn links_statically(compiler: &str, suffix: &str, scratch: &Scratch) -> bool {
    let source = scratch.join(&format!("empty.{suffix}"));
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let built =
        Command::new(compiler).arg("-static").arg("-o").arg(scratch.join("empty")).arg(&source).output().unwrap();
    if !built.status.success() {
        skipped("a static program", &format!("{compiler} -static does not link here"));
    }
    built.status.success()
}

#[test]
fn install_says_what_is_wrong() {
    let scratch = Scratch::new("install-errors");
    let prefix = scratch.join("prefix");
    let to_prefix = ["--prefix".as_ref(), prefix.as_os_str()];
    let fails = |command: &mut Command, expected: &str| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{expected}: {}", show(command, &output));
    };
    fails(&mut install(&[]), "--prefix is missing");
    fails(&mut install(&["--prefix".as_ref()]), "--prefix needs a directory");
    fails(&mut install(&["--prefix".as_ref(), "/a b".as_ref()]), "blanks");
    fails(&mut install(&["--perfix=/usr".as_ref()]), "no such option");
    fails(install(&to_prefix).env("CARGO", "no-such-cargo"), "no-such-cargo not found: Rust");
    fails(install(&to_prefix).env("CARGO", "true").env("CC", "no-such-cc"), "no-such-cc not found: a C compiler");
    let mut command = install(&to_prefix);
    command.env("CARGO", "true").env("CC", "true").env("OBJCOPY", "no-such-objcopy");
    fails(&mut command, "no-such-objcopy not found");
    fails(
        install(&to_prefix).env("CARGO", "false").envs(["CC", "OBJCOPY", "AR", "NM"].map(|v| (v, "true"))),
        "cargo did not build",
    );
    assert!(!prefix.exists(), "nothing is installed when something is missing");
    run(&mut install(&["--uninstall".as_ref(), "--prefix".as_ref(), prefix.as_os_str()]));
}

#[test]
fn the_map_names_what_the_headers_declare() {
    let map = read(here("librsm.map"));
    let names = map.lines().filter_map(|line| line.trim().strip_suffix(';')).filter(|name| name.starts_with("rsm_"));
    let mut expected = all().union(&race()).cloned().collect::<BTreeSet<_>>();
    expected.extend(VARIABLES.map(str::to_owned));
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_pages_are_clean() {
    for (file, page) in pages() {
        assert!(page.lines().all(|line| line.trim_end() == line), "{file} has blanks at the end of a line");
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        let (name, section) = file.rsplit_once('.').unwrap();
        let section = section.to_uppercase();
        assert!(title.starts_with(&format!(".TH {} {section} ", name.to_uppercase())), "{file}: {title}");
    }
    if have("the_pages_are_clean", &["groff"]) {
        for file in pages().keys() {
            let mut command = Command::new("groff");
            command.args(["-man", "-t", "-Tutf8", "-rLL=78n", "-ww", "-z"]).arg(here("man").join(file));
            let output = command.output().unwrap();
            assert!(output.status.success() && output.stderr.is_empty(), "{}", show(&command, &output));
        }
    }
}

#[test]
fn the_pages_refer_to_pages() {
    let pages = pages();
    // These two are made: of what the command says of itself, and of the table of OpenSHMEM's functions.
    let mut sections = BTreeMap::from([("rsm-ctl".to_owned(), "1"), ("rsm_shmem".to_owned(), "7")]);
    for (file, page) in &pages {
        let (_, names) = page.split_once(".SH NAME\n").unwrap();
        let names = names.split_once(" \\-").unwrap().0.split([',', '\n', ' ']).filter(|name| !name.is_empty());
        let section =
            [(".3", "3"), (".7", "7"), (".3rsm", "3RSM")].into_iter().find(|(suffix, _)| file.ends_with(suffix));
        sections.extend(names.map(|name| (name.to_owned(), section.unwrap().1)));
    }
    for (file, page) in &pages {
        // As it reads: `.BR rsm (3),` and `\fBrsm\fR(3)` are both rsm(3).
        let page = page.replace(" (", "(").replace("\\fR(", "(").replace("\\fB", " ").replace("\\-", "-");
        for (before, after) in page.match_indices('(').map(|(at, _)| page.split_at(at)) {
            let name = before.rsplit([' ', '\n', '\t', '"']).next().unwrap();
            let section = after[1..].split(')').next().unwrap();
            if name.starts_with("rsm") && ["1", "3", "3RSM", "7"].contains(&section) {
                assert_eq!(sections.get(name), Some(&section), "{file} refers to {name}({section})");
            }
        }
    }
}

#[test]
fn the_pages_give_the_numbers_of_the_header() {
    let numbers = numbers();
    let page = read(here("man/rsm.3"));
    let rows = page.lines().filter_map(|line| line.split_once('\t')).filter(|(_, rest)| rest.starts_with("RSMERR_"));
    let listed: BTreeMap<String, u32> =
        rows.filter_map(|(n, rest)| Some((rest.split('\t').next()?.to_owned(), n.parse().ok()?))).collect();
    let returned = |number: u32| number <= 45 || number == 100 || number == 117;
    let expected = numbers.iter().filter(|(name, number)| name.starts_with("RSMERR_") && returned(**number));
    assert_eq!(listed, expected.map(|(name, number)| (name.clone(), *number)).collect());

    for (file, page) in pages() {
        for word in page.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.starts_with("RSMERR_"))
        {
            assert!(numbers.contains_key(word), "{file} has {word}");
        }
    }
}

/// The arguments of a macro line, joined: `.BI "int f(int " x );` is `int f(int x);`.
fn joined(line: &str) -> String {
    let parts = line.split('"').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { part.to_owned() } else { part.replace(' ', "") }).collect()
}

#[test]
fn the_synopses_are_the_declarations() {
    if !have("the_synopses_are_the_declarations", &["cc"]) {
        return;
    }
    let pages = pages();
    let synopses = pages.values().filter_map(|page| page.split_once(".SH SYNOPSIS")?.1.split_once(".SH DESCRIPTION"));
    let lines = synopses.flat_map(|(synopsis, _)| synopsis.lines()).filter_map(|line| line.strip_prefix(".BI "));
    let program = lines.fold("#include <rsm_ext.h>\n".to_owned(), |text, line| text + &joined(line) + "\n");
    for name in all() {
        let count = [' ', '*'].map(|before| program.matches(&format!("{before}{name}(")).count());
        assert_eq!(count[0] + count[1], 1, "{name} in the synopses:\n{program}");
    }
    let scratch = Scratch::new("synopses");
    let source = scratch.join("synopses.c");
    std::fs::write(&source, program).unwrap();
    run(Command::new("cc").args(["-fsyntax-only", "-Wall", "-Werror", "-I"]).arg(here("include")).arg(&source));
}
