//! What a program pays that was built by `rsm-ctl cc` for accesses to memory of no segment.
//!
//! ```text
//! cargo bench -p rsm-litmus --bench told
//! ```
//!
//! Each loop of `told.c` built plainly and by `rsm-ctl cc`, with each compiler that is installed, in turns, in a cluster that is
//! looked at and in which the program has a segment; the best of both, and how much longer the second took. The program stays on
//! one processor, and what else the machine does is said.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// So often is each program run.
const TURNS: usize = 7;

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

/// Builds the program with this compiler, that of `command` or behind it.
fn build(folder: &Folder, command: &mut Command, name: &str) -> PathBuf {
    let built = folder.0.join(name);
    command.args(["-O2", "-Wall", "-Wextra", "-Werror"]).arg("-I").arg(root().join("rsm-capi/include"));
    command.arg(root().join("tests/lens/race/told.c")).arg("-o").arg(&built).arg("-L").arg(&folder.0).arg("-lrsm");
    run(command.arg(format!("-Wl,-rpath,{}", folder.0.display())));
    built
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
    std::fs::copy(library.trim_end(), folder.0.join("librsm.so.2")).expect("librsm");
    symlink("librsm.so.2", folder.0.join("librsm.so")).expect("a link");
    let ctl = || Command::new(profile.join("rsm-ctl"));
    for compiler in ["gcc", "clang", "clang-14", "clang-16", "clang-19"] {
        let asked = Command::new(compiler).arg("--version").stdin(Stdio::null()).output();
        if !asked.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let plain = build(&folder, &mut Command::new(compiler), "plain");
        let seen = build(&folder, ctl().args(["cc", compiler]), "seen");
        let mut best: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for _ in 0..TURNS {
            for (which, program) in [&plain, &seen].into_iter().enumerate() {
                let told = run(ctl().args(["run", "--race", "-n", "1", "--"]).arg(program));
                for line in told.lines() {
                    let (name, time) = line.rsplit_once(' ').expect("a name and a time");
                    let times = best.entry(name.to_owned()).or_insert([f64::MAX; 2]);
                    times[which] = times[which].min(time.parse().expect("a time"));
                }
            }
        }
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("{compiler} -O2, on one processor, load {}", load.split(' ').next().unwrap_or("unknown"));
        println!("  {:<34} {:>9} {:>9} {:>7}", "ns for each", "plain", "cc", "times");
        for (name, [plain, seen]) in best {
            println!("  {name:<34} {plain:>9.3} {seen:>9.3} {:>7.2}", seen / plain);
        }
    }
}
