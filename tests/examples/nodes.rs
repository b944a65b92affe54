//! Builds the examples and runs them on clusters. Every run has a deadline; whatever is left of it then is killed.

use rsm::Cluster;
use rsm::steer::Steering;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Far more than any of the runs needs, on a machine that does much else besides.
const DEADLINE: Duration = Duration::from_secs(120);

/// The executable of an example.
pub(crate) fn example(name: &str) -> &'static Path {
    static BUILT: OnceLock<Result<HashMap<String, PathBuf>, String>> = OnceLock::new();
    let built =
        BUILT.get_or_init(build).as_ref().unwrap_or_else(|errors| panic!("the examples do not build:\n{errors}"));
    built.get(name).unwrap_or_else(|| panic!("there is no example {name}"))
}

/// `cargo test --test examples` does not build the examples, and old ones must not be tested: so cargo is asked, which
/// has nothing to do in most cases, and says where they are.
fn build() -> Result<HashMap<String, PathBuf>, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--message-format", "json"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    for name in ["failover", "halo", "hello", "neighbours", "ring", "sort", "steady"] {
        cargo.args(["--example", name]);
    }
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let messages = output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let example = |message: serde_json::Value| {
        let path = PathBuf::from(message["executable"].as_str()?);
        (message["target"]["kind"][0] == "example").then_some(())?;
        Some((message["target"]["name"].as_str()?.to_owned(), path))
    };
    Ok(messages.filter_map(example).collect())
}

/// A directory for the files of a test, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static LAST: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut last = LAST.lock().expect("a number");
            *last += 1;
            *last
        };
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("examples-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a scratch file");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What became of a node.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs an example on a cluster to its end. Node K is at K-1 of the result.
pub(crate) fn run(nodes: u32, name: &str, arguments: &[&OsStr]) -> Vec<Ended> {
    Running::start(nodes, name, arguments, None).wait()
}

/// The same, where every node has to end well.
pub(crate) fn run_well(nodes: u32, name: &str, arguments: &[&OsStr]) -> Vec<Ended> {
    let all = run(nodes, name, arguments);
    for (node, ended) in (1..).zip(&all) {
        assert!(ended.status.success(), "node {node} of {nodes} ended with {}: {}", ended.status, ended.stderr);
    }
    all
}

/// An example at work.
pub(crate) struct Running {
    children: Vec<Child>,
    scratch: Scratch,
    deadline: Instant,
    /// Ends after the nodes do.
    cluster: Cluster,
}

impl Running {
    /// `stdout` is for node 1, instead of a file that [`wait`](Running::wait) reads.
    pub(crate) fn start(nodes: u32, name: &str, arguments: &[&OsStr], mut stdout: Option<Stdio>) -> Running {
        let program = example(name);
        let scratch = Scratch::new();
        let cluster = Cluster::new(nodes).expect("a cluster");
        let mut running = Running { children: Vec::new(), scratch, deadline: Instant::now() + DEADLINE, cluster };
        for node in 1..=nodes {
            let create = |path: PathBuf| Stdio::from(File::create(path).expect("a file for output"));
            let mut command = Command::new(program);
            command.args(arguments).envs(running.cluster.environment(node).expect("an environment"));
            command.stdin(Stdio::null()).stderr(create(running.stderr(node)));
            command.stdout(stdout.take().unwrap_or_else(|| create(running.stdout(node))));
            running.children.push(command.spawn().expect("a node starts"));
        }
        running
    }

    /// The right to disturb the cluster.
    pub(crate) fn steering(&self) -> Steering {
        self.cluster.steering().expect("a cluster to steer")
    }

    pub(crate) fn kill(&mut self, node: u32) {
        self.children[node as usize - 1].kill().expect("a node can be killed");
    }

    /// Waits for the end of all nodes.
    pub(crate) fn wait(mut self) -> Vec<Ended> {
        let mut all = Vec::new();
        for node in 1..=self.children.len() as u32 {
            let status = self.status(node).unwrap_or_else(|| {
                let said: Vec<_> =
                    (1..=self.children.len() as u32).map(|node| fs::read_to_string(self.stderr(node))).collect();
                panic!("node {node} still runs after {DEADLINE:?}; the nodes said {said:?}")
            });
            let stdout = fs::read(self.stdout(node)).unwrap_or_default();
            let stderr = String::from_utf8_lossy(&fs::read(self.stderr(node)).expect("its errors")).into_owned();
            all.push(Ended { status, stdout, stderr });
        }
        all
    }

    /// How the node ended, or nothing if it has not at the deadline.
    fn status(&mut self, node: u32) -> Option<ExitStatus> {
        let child = &mut self.children[node as usize - 1];
        let pid = Pid::from_child(child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("a child that is not yet reaped");
        let left = self.deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)).expect("a poll of a process");
        (ended == 1).then(|| child.wait().expect("its status"))
    }

    fn stdout(&self, node: u32) -> PathBuf {
        self.scratch.path(&format!("stdout-{node}"))
    }

    fn stderr(&self, node: u32) -> PathBuf {
        self.scratch.path(&format!("stderr-{node}"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
