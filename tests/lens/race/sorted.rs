//! What looking for races costs the example `sort`.
//!
//! ```text
//! cargo bench -p rsm-litmus --bench sorted [-- LINES]
//! ```
//!
//! Three nodes sort the same lines, 2 million where nothing else is asked for, in turns: plainly, and looked at between calls. What is
//! shown is the best of the turns, of the whole run from its start to its end, and how much longer that is than the plain one. What else
//! the machine does is said.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const TURNS: usize = 5;

/// What is compared: with which options of `run`.
const WAYS: [(&str, &[&str]); 2] = [("plain", &[]), ("--race", &["--race"])];

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// A file that goes at the end.
struct File(PathBuf);

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Lines in no order, the same each time.
fn lines(count: u64) -> String {
    let mut state = 1_u64;
    let mut number = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    (0..count).map(|_| format!("{}\n", number())).collect()
}

fn main() {
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(2_000_000);
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let bench = std::env::current_exe().expect("a program");
    let profile = bench.parent().and_then(Path::parent).expect("a directory");
    let ctl = profile.join("rsm-ctl");
    let example = ["build", "--release", "--quiet", "--locked", "-p", "rsm-examples", "--example", "sort"];
    run(Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--locked", "-p", "rsm-ctl"])
        .current_dir(root));
    run(Command::new(env!("CARGO")).args(example).current_dir(root));
    let program = profile.join("examples/sort");
    let place =
        |name: &str| File(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id())));
    let (input, output) = (place("lines"), place("sorted"));
    let text = lines(count);
    std::fs::write(&input.0, &text).expect("a file");
    let mut best = WAYS.map(|_| f64::MAX);
    for _ in 0..TURNS {
        for ((_, options), best) in WAYS.iter().zip(&mut best) {
            let mut command = Command::new(&ctl);
            command.args(["run", "-n", "3"]).args(*options).arg("--").arg(&program);
            command.arg(&input.0).arg("-o").arg(&output.0);
            let began = Instant::now();
            run(&mut command);
            *best = best.min(began.elapsed().as_secs_f64());
            let length = std::fs::metadata(&output.0).expect("what was sorted").len();
            assert_eq!(length, text.len() as u64, "{command:?} lost lines");
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("sort of {count} lines on 3 nodes, load {}", load.split(' ').next().unwrap_or("unknown"));
    for ((name, ..), seconds) in WAYS.iter().zip(best) {
        println!("  {name:<28} {seconds:>8.3} s {:>6.2}", seconds / best[0]);
    }
}
