//! What a program pays that was built by `rsm-ctl cc` for accesses to memory of no segment.
//!
//! ```text
//! cargo bench -p rsm-litmus --bench told
//! ```
//!
//! Each loop of `told.c` and each program of `work.c`, built plainly and by `rsm-ctl cc`, with each compiler that is installed, in
//! turns, in a cluster that is looked at and in which the program has segments below and above what it uses. What a short loop takes
//! depends on where its code lies; so each is built with it in several places, and beside the best time there is that of the worst
//! place. Behind that is how much longer both are than the best one that was built plainly. The programs stay on one processor, and
//! what else the machine does is said.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// So often is each program run.
const TURNS: usize = 5;

/// So many bytes behind the beginning of a line of the processor's caches.
const PLACES: [usize; 4] = [0, 16, 32, 48];

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// A directory with the libraries, which goes at the end.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What a program is built of and for.
struct Source {
    title: &'static str,
    file: &'static str,
    /// More for the compiler, and the library.
    options: &'static [&'static str],
    library: &'static str,
    /// Where its code may begin.
    places: &'static [usize],
}

const SOURCES: [Source; 3] = [
    Source { title: "ns for each step", file: "told.c", options: &[], library: "-lrsm", places: &PLACES },
    Source { title: "ms for programs", file: "work.c", options: &[], library: "-lrsm", places: &[0] },
    Source {
        title: "ms, of OpenSHMEM",
        file: "work.c",
        options: &["-DOPENSHMEM"],
        library: "-lrsm_shmem",
        places: &[0],
    },
];

/// Builds a program with this compiler, that of `command` or behind it.
fn build(folder: &Folder, command: &mut Command, source: &Source, place: usize, name: &str) -> PathBuf {
    let built = folder.0.join(name);
    command.args(["-O2", "-Wall", "-Wextra", "-Werror"]).arg("-I").arg(root().join("rsm-capi/include"));
    command.args(source.options).arg(format!("-DPLACE={place}")).arg("-I").arg(&folder.0);
    command.arg(root().join("tests/lens/race").join(source.file)).arg("-o").arg(&built);
    command.arg("-L").arg(&folder.0).arg(source.library).arg(format!("-Wl,-rpath,{}", folder.0.display()));
    run(command);
    built
}

/// The best times of one thing, by place, built plainly and by `rsm-ctl cc`.
struct Row {
    name: String,
    best: [Vec<f64>; 2],
}

/// Runs all these programs in turns.
fn measure(ctl: impl Fn() -> Command, programs: &[[PathBuf; 2]]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..TURNS {
        for (place, both) in programs.iter().enumerate() {
            for (which, program) in both.iter().enumerate() {
                let told = run(ctl().args(["run", "--race", "-n", "1", "--"]).arg(program));
                for line in told.lines() {
                    let (name, time) = line.rsplit_once(' ').expect("a name and a time");
                    let time: f64 = time.parse().expect("a time");
                    let known = rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
                        let best = [vec![f64::MAX; programs.len()], vec![f64::MAX; programs.len()]];
                        rows.push(Row { name: name.to_owned(), best });
                        rows.len() - 1
                    });
                    let best = &mut rows[known].best[which][place];
                    *best = best.min(time);
                }
            }
        }
    }
    rows
}

fn print(title: &str, rows: &[Row]) {
    println!("  {title:<40} {:>9} {:>9} {:>9} {:>13}", "plain", "cc", "worst", "times");
    for Row { name, best } in rows {
        assert!(best.iter().flatten().all(|time| *time < f64::MAX), "{name}: not all came to that");
        let least = |which: usize| best[which].iter().copied().fold(f64::MAX, f64::min);
        let (plain, seen, worst) = (least(0), least(1), best[1].iter().copied().fold(0.0, f64::max));
        println!("  {name:<40} {plain:>9.3} {seen:>9.3} {worst:>9.3} {:>6.2} {:>6.2}", seen / plain, worst / plain);
    }
}

fn main() {
    let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("told-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).expect("a directory");
    let cargo = env!("CARGO");
    let bench = std::env::current_exe().expect("a program");
    let profile = bench.parent().and_then(Path::parent).expect("a directory");
    run(Command::new(cargo).args(["build", "--release", "--quiet", "-p", "rsm-ctl"]).current_dir(root()));
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.arg(root().join(script)).env("CARGO", cargo);
        command
    };
    let library = run(shell("rsm-capi/tests/library.sh").arg("--release"));
    run(shell("rsm-race-cc/library.sh").arg(folder.0.join("librsm_race.a")).arg("--release"));
    run(shell("rsm-shmem/tests/library.sh").arg(&folder.0).arg("--release"));
    std::fs::copy(library.trim_end(), folder.0.join("librsm.so.2")).expect("librsm");
    symlink("librsm.so.2", folder.0.join("librsm.so")).expect("a link");
    let ctl = || Command::new(profile.join("rsm-ctl"));
    for compiler in ["gcc", "clang", "clang-14", "clang-16", "clang-19"] {
        let asked = Command::new(compiler).arg("--version").stdin(Stdio::null()).output();
        if !asked.is_ok_and(|output| output.status.success()) {
            continue;
        }
        for source in &SOURCES {
            let both = |&place: &usize| {
                let plain = build(&folder, &mut Command::new(compiler), source, place, &format!("plain.{place}"));
                [plain, build(&folder, ctl().args(["cc", compiler]), source, place, &format!("seen.{place}"))]
            };
            let rows = measure(ctl, &source.places.iter().map(both).collect::<Vec<_>>());
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            println!("{compiler} -O2, on one processor, load {}", load.split(' ').next().unwrap_or("unknown"));
            print(source.title, &rows);
        }
    }
}
