//! C programs under the tools that people run them under: valgrind, ThreadSanitizer, AddressSanitizer with LeakSanitizer.
//! They work there, and what the tools report is the program's.

mod library;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// For one program. Tools take their time.
const PATIENCE: Duration = Duration::from_secs(120);

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A directory with the library, for programs.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn skipped(what: &str, why: &str) {
    // Past the capture of the test harness.
    std::io::stderr().write_all(format!("{what} skipped: {why}\n").as_bytes()).expect("standard error");
}

impl Scratch {
    fn new(name: &str) -> Scratch {
        let scratch = Scratch(std::env::temp_dir().join(format!("rsm-tools-{name}-{}", std::process::id())));
        std::fs::create_dir(&scratch.0).expect("a directory");
        std::fs::copy(library::library(), scratch.0.join("librsm.so.2")).expect("the library");
        scratch
    }

    /// Builds a program of `tests/tools`; `None` where the compiler cannot link with these options.
    fn build(&self, source: &str, options: &[&str]) -> Option<PathBuf> {
        let plain = self.0.join("plain.c");
        std::fs::write(&plain, "int main(void) { return 0; }\n").expect("written");
        let mut probe = Command::new("cc");
        probe.args(options).arg("-o").arg(self.0.join("plain")).arg(&plain);
        let can = probe.output().is_ok_and(|o| o.status.success())
            && Command::new(self.0.join("plain")).output().is_ok_and(|o| o.status.success());
        if !can {
            return None;
        }
        let program = self.0.join(source);
        let mut cc = Command::new("cc");
        cc.args(["-std=gnu11", "-g", "-O1", "-pthread", "-Wall", "-Wextra", "-Werror"]).args(options);
        cc.arg("-o").arg(&program).arg(here("tests/tools").join(format!("{source}.c")));
        cc.arg("-I").arg(here("include")).arg("-L").arg(&self.0).arg("-l:librsm.so.2");
        let output = cc.output().expect("cc runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(program)
    }

    /// A command in no cluster.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
            command.env_remove(variable);
        }
        command.env("LD_LIBRARY_PATH", &self.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Waits for a program, and kills it when its time is over.
fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("our child").is_none() {
        if Instant::now() > deadline {
            child.kill().expect("our child");
            let output = child.wait_with_output().expect("our child");
            panic!("not ended within {PATIENCE:?}: {}", text(&output));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("our child")
}

fn run(command: &mut Command) -> Output {
    finish(command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}")))
}

fn text(output: &Output) -> String {
    let of = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, of(&output.stdout), of(&output.stderr))
}

/// It went through, and the tool had nothing to say.
#[track_caller]
fn walked(output: &Output) {
    assert!(output.status.success() && output.stdout == b"walked\n", "{}", text(output));
}

fn valgrind(scratch: &Scratch, program: &Path, part: &str) -> Command {
    let mut command = scratch.command("valgrind");
    command.args(["--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
    command.arg(program).arg(part);
    command
}

/// The program for valgrind, where that is.
fn for_valgrind(test: &str) -> Option<(Scratch, PathBuf)> {
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success()) {
        skipped(test, "valgrind is not installed");
        return None;
    }
    let scratch = Scratch::new(test);
    let program = scratch.build("walk", &[]).expect("no options");
    Some((scratch, program))
}

#[test]
fn programs_run_under_valgrind() {
    let Some((scratch, program)) = for_valgrind("programs_run_under_valgrind") else { return };
    walked(&run(&mut valgrind(&scratch, &program, "alone")));
    walked(&run(&mut valgrind(&scratch, &program, "keeping")));
    // What only the threads of its parent pointed to is lost in every forked child: there is nothing to look for.
    let mut forking = scratch.command("valgrind");
    walked(&run(forking.args(["--error-exitcode=99", "--leak-check=no"]).arg(&program).arg("forking")));
}

#[test]
fn programs_of_two_nodes_run_under_valgrind() {
    let Some((scratch, program)) = for_valgrind("programs_of_two_nodes_run_under_valgrind") else { return };
    // On both sides, and where all is to be played on either one.
    let all = std::env::var("RSM_TESTS").is_ok_and(|which| which == "all");
    for checked in [[true, true], [true, false], [false, true]].into_iter().take(if all { 3 } else { 1 }) {
        let cluster = rsm::Cluster::new(2).expect("a cluster");
        let start = |node: u32, part: &str, checked: bool| {
            let mut command = if checked {
                valgrind(&scratch, &program, part)
            } else {
                let mut command = scratch.command(&program);
                command.arg(part);
                command
            };
            command.envs(cluster.environment(node).expect("a node")).spawn().expect("it runs")
        };
        let (exporter, importer) = (start(1, "exporter", checked[0]), start(2, "importer", checked[1]));
        let (importer, exporter) = (finish(importer), finish(exporter));
        walked(&exporter);
        walked(&importer);
    }
}

#[test]
fn thread_sanitizer_reports_races_of_the_program_only() {
    let scratch = Scratch::new("thread");
    let Some(program) = scratch.build("race", &["-fsanitize=thread"]) else {
        return skipped("thread_sanitizer", "cc -fsanitize=thread makes no programs that run here");
    };
    let suppressions = format!("suppressions={}", here("share/tsan.supp").display());
    let with = |argument: &[&str]| run(scratch.command(&program).args(argument).env("TSAN_OPTIONS", &suppressions));
    walked(&with(&[]));
    let raced = with(&["race"]);
    let report = text(&raced);
    assert!(!raced.status.success() && report.contains("data race") && report.contains("racer"), "{report}");
    let walk = scratch.build("walk", &["-fsanitize=thread"]).expect("as before");
    walked(&run(scratch.command(walk).arg("keeping").env("TSAN_OPTIONS", &suppressions)));
}

#[test]
fn address_sanitizer_reports_no_live_handle_as_lost() {
    let scratch = Scratch::new("address");
    let Some(program) = scratch.build("walk", &["-fsanitize=address"]) else {
        return skipped("address_sanitizer", "cc -fsanitize=address makes no programs that run here");
    };
    // A tracer, or a sandbox, keeps LeakSanitizer from looking: it says so and fails, and nothing is known of leaks.
    let output = run(scratch.command(&program).arg("keeping"));
    if text(&output).contains("LeakSanitizer has encountered a fatal error") {
        skipped("address_sanitizer", "LeakSanitizer does not work here");
        return walked(&run(scratch.command(&program).arg("alone").env("ASAN_OPTIONS", "detect_leaks=0")));
    }
    walked(&output);
    walked(&run(scratch.command(&program).arg("alone")));
}
