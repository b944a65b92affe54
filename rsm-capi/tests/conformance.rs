//! The conformance suite: every assertion of the RSMAPI reference, by number, through the C interface.
//!
//! The assertions are a C program (`tests/conformance/`), which lists them and runs one at a time. This runner builds
//! it against the shared library and makes a trial of each assertion in each of its contexts: on the controller
//! loopback, on shm0 of a cluster of one node, and between two nodes of a cluster that lives in this process; between nodes
//! also through a lens, with RSM_LENS=all of every model and on one node as well, so that what is looked at without the
//! barrier that the reference asks for is not there; and between two nodes on two hosts, which are two agents here. As root, each is run as
//! root and, in one process or with RSM_TESTS=all wherever there is no lens, as a user without privileges. At the end it says what was
//! skipped, and why. What an assertion repeats it repeats five times as often with RSM_TESTS=all.
//!
//! ```text
//! cargo test -p rsm-capi --test conformance                      all
//! cargo test -p rsm-capi --test conformance -- A-214             one, wherever it applies
//! RSM_LENS_SEED=7 cargo test -p rsm-capi --test conformance -- pcie     other delays
//! RSM_TEST_PATIENCE=6 cargo test -p rsm-capi --test conformance            on a machine six times as slow
//! ```
//!
//! Where there is no compiler, `RSM_CONFORMANCE` names a directory with what was built elsewhere: `conformance`,
//! `rsmtest`, `librsm.so.2` (`ci/kernels.sh`).

mod header;
mod library;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rsm::lens::{Lens, Model};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, kill_process_group, pidfd_open};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The assertions of the reference.
const NUMBERS: std::ops::RangeInclusive<u32> = 1..=262;

/// For one run of the program, which has a shorter deadline of its own. Longer by the factor `RSM_TEST_PATIENCE`, for
/// machines that are slow, such as emulated ones.
fn deadline() -> Timespec {
    let factor = std::env::var("RSM_TEST_PATIENCE").map_or(1, |text| {
        text.parse()
            .ok()
            .filter(|factor| (1..=100).contains(factor))
            .expect("RSM_TEST_PATIENCE is a number from 1 to 100")
    });
    Timespec { tv_sec: 60 * factor, tv_nsec: 0 }
}

/// For two agents to meet.
const PATIENCE: Duration = Duration::from_secs(20);

/// The user without privileges.
const NOBODY: u32 = 65534;

/// What the compilers are told about every source.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-pedantic", "-Werror"];

fn main() {
    let mut arguments = Arguments::from_args();
    // Now and then they wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(4));
    let suite = Arc::new(Suite::build().unwrap_or_else(|e| panic!("the suite cannot be built: {e}")));
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let mut trials = vec![no_number_is_missing(&suite)];
    trials.extend(headers());
    trials.extend(sample(&suite));
    trials.push(first_of_a_namespace(&suite));
    trials.push(what_is_said(&suite));
    trials.extend(suite.cases().map(|case| trial(case, &suite, &ledger)));
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", ledger.lock().unwrap());
    }
    drop(suite);
    conclusion.exit();
}

/// The directory with what was built before; `None` where that is to be done here.
fn prepared() -> Option<PathBuf> {
    std::env::var_os("RSM_CONFORMANCE").map(PathBuf::from)
}

/// A directory that goes at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program, and the library beside it.
struct Suite {
    directory: PathBuf,
    /// What `directory` is, where it was made here.
    _scratch: Option<Scratch>,
    assertions: Vec<Assertion>,
}

/// A line of the program's list.
#[derive(Clone)]
struct Assertion {
    number: u32,
    contexts: Vec<String>,
    words: String,
}

/// An assertion, where, and as whom.
struct Case {
    assertion: Assertion,
    context: String,
    user: Option<u32>,
    /// What it is seen through, if anything.
    lens: Option<Lens>,
    /// Each node is on a host of its own.
    two_hosts: bool,
}

impl Suite {
    /// The suite as it was built before, or built now.
    fn build() -> Result<Suite, Box<dyn std::error::Error>> {
        let mut suite = match prepared() {
            Some(directory) => Suite { directory, _scratch: None, assertions: Vec::new() },
            None => Suite::compile()?,
        };
        let list = succeed(suite.program().arg("--list"))?;
        suite.assertions = list.lines().map(|line| Assertion::parse(line).ok_or(line)).collect::<Result<_, _>>()?;
        Ok(suite)
    }

    /// Builds library and program. They go where other users find them, which a target directory may not be.
    fn compile() -> Result<Suite, Box<dyn std::error::Error>> {
        let scratch = Scratch(std::env::temp_dir().join(format!("rsm-conformance-{}", std::process::id())));
        let directory = scratch.0.clone();
        std::fs::create_dir(&directory)?;
        std::fs::copy(library::library(), directory.join("librsm.so.2"))?;
        symlink("librsm.so.2", directory.join("librsm.so"))?;

        let mut define = Vec::new();
        let mut inputs = sources("c")?;
        if let Some(cxx) = first_of(&["c++", "g++", "clang++"]) {
            let object = directory.join("cxx.o");
            succeed(
                Command::new(cxx)
                    .args(["-std=c++17", "-c", "-o"])
                    .arg(&object)
                    .arg(include())
                    .args(STRICT)
                    .args(sources("cpp")?),
            )?;
            inputs.push(object);
            define.push("-DCONFORMANCE_CXX");
        }
        let functions: String = header::declared().iter().map(|name| format!("    \"{name}\",\n")).collect();
        std::fs::write(directory.join("functions.h"), functions)?;
        let mut cc = Command::new("cc");
        cc.arg("-I")
            .arg(&directory)
            .args(["-std=gnu11", "-O1", "-g", "-pthread", "-o"])
            .arg(directory.join("conformance"));
        cc.arg(include()).args(STRICT).args(define).args(inputs).arg("-L").arg(&directory).arg("-lrsm");
        succeed(&mut cc)?;
        Ok(Suite { directory, _scratch: Some(scratch), assertions: Vec::new() })
    }

    /// A command that runs the program, in no cluster.
    fn program(&self) -> Command {
        self.command("conformance")
    }

    fn command(&self, name: &str) -> Command {
        self.prepared(Command::new(self.directory.join(name)))
    }

    fn prepared(&self, mut command: Command) -> Command {
        for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY", "RSM_SEGMENTID_FILE"] {
            command.env_remove(variable);
        }
        command.env("LD_LIBRARY_PATH", &self.directory).current_dir("/");
        command
    }

    fn cases(&self) -> impl Iterator<Item = Case> + use<> {
        // As root also as another user; otherwise as whoever this is.
        let users = if geteuid().is_root() { vec![None, Some(NOBODY)] } else { vec![None] };
        let everybody = std::env::var("RSM_TESTS").is_ok_and(|which| which == "all");
        let everywhere =
            |assertion: Assertion| assertion.contexts.clone().into_iter().map(move |c| (assertion.clone(), c));
        let seed = std::env::var("RSM_LENS_SEED").map_or(1, |seed| seed.parse().expect("RSM_LENS_SEED is a number"));
        let all = std::env::var("RSM_LENS").is_ok_and(|which| which == "all");
        let models = Model::ALL.into_iter().map(|(_, model)| model).filter(|&model| all || model == Model::default());
        // Nor is anything of it a race.
        let lenses: Vec<_> = models.map(|model| (None, Some(Lens::chaos(seed).model(model).race()))).collect();
        self.assertions.clone().into_iter().flat_map(everywhere).flat_map(move |(assertion, context)| {
            let through = context == "nodes" || (all && context == "shm0");
            let lenses = through.then(|| lenses.clone());
            // Where two users meet who is who matters; between nodes each is a process of its own already.
            let users = if everybody || context != "nodes" { users.clone() } else { vec![None] };
            let plain = users.clone().into_iter().map(|user| (user, None, false));
            let hosts = (context == "nodes").then(|| users.into_iter().map(|user| (user, None, true)));
            let lenses = lenses.into_iter().flatten().map(|(user, lens)| (user, lens, false));
            plain.chain(hosts.into_iter().flatten()).chain(lenses).map(move |(user, lens, two_hosts)| Case {
                assertion: assertion.clone(),
                context: context.clone(),
                user,
                lens,
                two_hosts,
            })
        })
    }
}

impl Assertion {
    /// `A-042`, the contexts between blanks, the words; between tabs.
    fn parse(line: &str) -> Option<Assertion> {
        let mut fields = line.split('\t');
        let number = fields.next()?.strip_prefix("A-")?.parse().ok()?;
        let contexts = fields.next()?.split_whitespace().map(str::to_owned).collect();
        Some(Assertion { number, contexts, words: fields.next()?.to_owned() })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "A-{:03} {}", self.assertion.number, self.context)?;
        f.write_str(&self.special())
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn include() -> String {
    format!("-I{}", here("include").display())
}

fn sources(extension: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(here("tests/conformance"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The first of these programs that can be run.
fn first_of(names: &[&'static str]) -> Option<&'static str> {
    names.iter().copied().find(|name| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success()))
}

/// Runs a command that has to succeed; returns what it printed.
fn succeed(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a program in a process group of its own and ends all of it when the program or its time is over.
fn run(command: &mut Command) -> Result<Output, Failed> {
    let child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{command:?}: {e}"))?;
    finish(child)
}

fn finish(child: Child) -> Result<Output, Failed> {
    let process = Pid::from_child(&child);
    let watched = pidfd_open(process, PidfdFlags::empty())?;
    // What is printed is less than a pipe holds: nobody has to read meanwhile.
    let ended = poll(&mut [PollFd::new(&watched, PollFlags::IN)], Some(&deadline()))?;
    // The child has not been waited for, so the number is still its group's.
    let _ = kill_process_group(process, Signal::KILL);
    let output = child.wait_with_output()?;
    if ended == 0 {
        return Err(format!(
            "not finished within {} s\n{}{}",
            deadline().tv_sec,
            text(&output.stdout),
            text(&output.stderr)
        )
        .into());
    }
    Ok(output)
}

/// How the program ended, in words.
fn ending(status: ExitStatus) -> String {
    match status.signal() {
        Some(14) => "did not end within its deadline".to_owned(),
        Some(11) => "SIGSEGV".to_owned(),
        Some(7) => "SIGBUS".to_owned(),
        Some(6) => "SIGABRT".to_owned(),
        _ => status.to_string(),
    }
}

fn trial(case: Case, suite: &Arc<Suite>, ledger: &Arc<Mutex<Ledger>>) -> Trial {
    let (suite, ledger) = (Arc::clone(suite), Arc::clone(ledger));
    Trial::ignorable_test(case.to_string(), move || {
        let verdict = case.run(&suite);
        ledger.lock().unwrap().enter(&case, &verdict);
        verdict.map_err(|e| format!("{}\n{}", case.assertion.words, e.message().unwrap_or("")).into())
    })
}

impl Case {
    fn run(&self, suite: &Suite) -> Result<Completion, Failed> {
        let mut command = suite.program();
        command.args(["--run", &format!("A-{:03}", self.assertion.number), "--context", &self.context]);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let nodes = if self.context == "nodes" { 2 } else { 1 };
        if self.two_hosts {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let bridge = format!("local:conformance-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
            let host = |node: u32| rsm::Cluster::builder(2).here([node]).bridge("shm0", &bridge).start();
            let (one, other) = (host(1)?, host(2)?);
            for host in [&one, &other] {
                host.await_bridge(PATIENCE)?;
            }
            command.env("CONFORMANCE_HOSTS", "2");
            command.envs(one.environment(1)?);
            command.envs(other.environment(2)?.into_iter().map(|(name, value)| (format!("PEER_{name}"), value)));
            return verdict(&run(&mut command)?);
        }
        // Lives until the program has ended. One that is plain and of one node is the program's own.
        let cluster = if nodes == 2 || self.lens.is_some() {
            let builder = rsm::Cluster::builder(nodes);
            let cluster = match self.lens {
                Some(lens) => builder.lens(lens),
                None => builder,
            }
            .start()?;
            if self.lens.is_some() {
                command.env("CONFORMANCE_LENS", "1");
            }
            command.envs(cluster.environment(1)?);
            if nodes == 2 {
                command.envs(cluster.environment(2)?.into_iter().map(|(name, value)| (format!("PEER_{name}"), value)));
            }
            Some(cluster)
        } else {
            None
        };
        let verdict = verdict(&run(&mut command)?);
        match cluster.and_then(|cluster| cluster.races()) {
            Some(looked) if !looked.races.is_empty() => Err(format!("races: {:#?}", looked.races).into()),
            _ => verdict,
        }
    }

    /// What is not as usual.
    fn special(&self) -> String {
        let hosts = if self.two_hosts { " two-hosts" } else { "" };
        match (self.user, self.lens.and_then(|lens| lens.model)) {
            (Some(_), _) => format!("{hosts} unprivileged"),
            (None, Some(model)) => format!(" {model}"),
            (None, None) => hosts.to_owned(),
        }
    }
}

/// What the program says of an assertion.
fn verdict(output: &Output) -> Result<Completion, Failed> {
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    match output.status.code() {
        // A panic that was caught at the boundary is printed, and is a failure all the same.
        Some(0) if said == "ok\n" && complained.is_empty() => Ok(Completion::Completed),
        Some(77) => Ok(Completion::ignored_with(said.trim().trim_start_matches("skip: "))),
        _ => Err(format!("{}\n{said}{complained}", ending(output.status)).into()),
    }
}

/// What came out, for the table at the end.
#[derive(Default)]
struct Ledger {
    /// By context: passed, skipped, failed.
    counts: BTreeMap<String, [usize; 3]>,
    skipped: BTreeMap<String, BTreeSet<String>>,
    passed: BTreeSet<u32>,
    failed: BTreeSet<u32>,
}

impl Ledger {
    fn enter(&mut self, case: &Case, verdict: &Result<Completion, Failed>) {
        let counts = self.counts.entry(format!("{}{}", case.context, case.special())).or_default();
        match verdict {
            Ok(Completion::Completed) => {
                counts[0] += 1;
                self.passed.insert(case.assertion.number);
            }
            Ok(Completion::Ignored { reason }) => {
                counts[1] += 1;
                self.skipped.entry(reason.clone().unwrap_or_default()).or_default().insert(case.to_string());
            }
            Err(_) => {
                counts[2] += 1;
                self.failed.insert(case.assertion.number);
            }
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>7} {:>8} {:>7}", "context", "passed", "skipped", "failed")?;
        for (context, [passed, skipped, failed]) in &self.counts {
            writeln!(f, "{context:<24} {passed:>7} {skipped:>8} {failed:>7}")?;
        }
        let everywhere = self.passed.difference(&self.failed).count();
        writeln!(f, "{everywhere} of {} assertions passed wherever they ran", NUMBERS.count())?;
        for (reason, cases) in &self.skipped {
            writeln!(f, "skipped, {reason}: {}", cases.iter().map(String::as_str).collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

fn no_number_is_missing(suite: &Arc<Suite>) -> Trial {
    let suite = Arc::clone(suite);
    Trial::test("no number is missing", move || {
        let there: Vec<u32> = suite.assertions.iter().map(|assertion| assertion.number).collect();
        if there == NUMBERS.collect::<Vec<_>>() && suite.assertions.iter().all(|a| !a.contexts.is_empty()) {
            return Ok(());
        }
        let missing: Vec<u32> = NUMBERS.filter(|number| !there.contains(number)).collect();
        Err(format!("missing: {missing:?}; there are {}", there.len()).into())
    })
}

/// The headers under every standard, each of them first and twice.
fn headers() -> Vec<Trial> {
    let languages = [
        ("cc", "c", "c99"),
        ("cc", "c", "c11"),
        ("cc", "c", "gnu11"),
        ("cc", "c", "c17"),
        ("c++", "c++", "c++17"),
        ("c++", "c++", "gnu++20"),
    ];
    let headers = ["rsmapi.h", "rsm_ext.h", "sys/rsm/rsm_common.h", "sys/rsm/rsmapi_common.h", "rsm/rsmpai.h"];
    let trial = |(compiler, language, standard): (&'static str, &'static str, &'static str)| {
        Trial::ignorable_test(format!("headers {standard}"), move || {
            if first_of(&[compiler]).is_none() {
                return Ok(Completion::ignored_with(format!("there is no {compiler}")));
            }
            for header in headers {
                let directory =
                    Scratch(std::env::temp_dir().join(format!("rsm-header-{}-{standard}", std::process::id())));
                std::fs::create_dir(&directory.0)?;
                let source = directory.0.join("unit");
                std::fs::write(
                    &source,
                    format!("#include <{header}>\n#include <{header}>\n#include <rsmapi.h>\nint unit;\n"),
                )?;
                let mut compile = Command::new(compiler);
                compile.args(["-x", language, &format!("-std={standard}"), "-fsyntax-only"]).args(STRICT);
                succeed(compile.arg("-Wconversion").arg(include()).arg(&source))?;
            }
            Ok(Completion::Completed)
        })
    };
    languages.into_iter().map(trial).collect()
}

/// A-054 where nobody has made a System V segment before: the first one has the id 0, and 0 as its inode.
fn first_of_a_namespace(suite: &Arc<Suite>) -> Trial {
    let suite = Arc::clone(suite);
    Trial::ignorable_test("A-054 with the first segment of an IPC namespace", move || {
        let own: &[&str] = if geteuid().is_root() { &["--ipc"] } else { &["--user", "--map-root-user", "--ipc"] };
        match Command::new("unshare").args(own).arg("true").output() {
            Ok(tried) if tried.status.success() => {}
            Ok(tried) => return Ok(Completion::ignored_with(text(&tried.stderr).trim())),
            Err(error) => return Ok(Completion::ignored_with(format!("unshare: {error}"))),
        }
        let mut command = suite.prepared(Command::new("unshare"));
        command.args(own).arg(suite.directory.join("conformance"));
        verdict(&run(command.args(["--run", "A-054", "--context", "loopback"]))?)
    })
}

/// RSM_LOG for a program of C. Every assertion above shows that nothing is said without it.
fn what_is_said(suite: &Arc<Suite>) -> Trial {
    let suite = Arc::clone(suite);
    Trial::test("RSM_LOG", move || {
        let mut command = suite.program();
        command.args(["--run", "A-042", "--context", "loopback"]).env("RSM_LOG", "debug");
        let output = run(&mut command)?;
        let (said, lines) = (text(&output.stdout), text(&output.stderr));
        if said == "ok\n"
            && lines.contains("]: debug: joined (party 1, pid ")
            && lines.lines().all(|l| l.starts_with("rsm["))
        {
            return Ok(());
        }
        Err(format!("{}\n{said}{lines}", ending(output.status)).into())
    })
}

/// The sample program: built as its users build it, run on two nodes.
fn sample(suite: &Arc<Suite>) -> Vec<Trial> {
    let source = here("../examples/c/rsmtest.c");
    let build = |suite: &Suite, source: &Path, name: &str, standard: &str| {
        let mut cc = Command::new("cc");
        cc.arg(standard).args(STRICT).arg("-o").arg(suite.directory.join(name)).arg(source);
        succeed(cc.arg(include()).arg("-L").arg(&suite.directory).arg("-lrsm"))
    };
    let (one, other, from) = (Arc::clone(suite), Arc::clone(suite), source.clone());
    vec![
        Trial::ignorable_test("sample c11", move || {
            if prepared().is_some() {
                return Ok(Completion::ignored_with("nothing is compiled here"));
            }
            build(&one, &source, "rsmtest-c11", "-std=c11")?;
            Ok(Completion::Completed)
        }),
        Trial::test("sample on two nodes", move || {
            if prepared().is_none() {
                build(&other, &from, "rsmtest", "-std=gnu17")?;
            }
            for importer_first in [false, true] {
                sample_on_two_nodes(&other, importer_first)?;
            }
            Ok(())
        }),
    ]
}

fn sample_on_two_nodes(suite: &Suite, importer_first: bool) -> Result<(), Failed> {
    let cluster = rsm::Cluster::new(2)?;
    let start = |node: u32, arguments: [&str; 3]| -> Result<Child, Failed> {
        let mut command = suite.command("rsmtest");
        command.args(arguments).envs(cluster.environment(node)?).process_group(0);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    };
    let exporter = || start(1, ["-e", "-n", "2"]);
    let importer = || start(2, ["-i", "-n", "1"]);
    let (exporter, importer) = if importer_first {
        let importer = importer()?;
        (exporter()?, importer)
    } else {
        (exporter()?, importer()?)
    };
    let (importer, exporter) = (finish(importer), finish(exporter));
    for (role, output) in [("exporter", exporter?), ("importer", importer?)] {
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        if !output.status.success() || !said.contains("passed") {
            return Err(format!("{role}: {}\n{said}", ending(output.status)).into());
        }
    }
    Ok(())
}
