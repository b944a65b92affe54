//! SIGKILL in the middle of real work, and a look at what is left: nothing.
//!
//! The sort example runs on four nodes over a file; after a random time somebody is killed: one node, all nodes,
//! rsm-ctl itself, or its warden. `RSM_KILL_ROUNDS` says how often each (3 without it), `RSM_KILL_SEED` the first seed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const NODES: u32 = 4;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    OneNode,
    AllNodes,
    Front,
    Warden,
}

/// What could be left of a cluster.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Processes that carry the cluster's name, by id and command.
    processes: BTreeSet<String>,
    /// Descriptors and mappings of its memory objects in any process of this user.
    memory: BTreeSet<String>,
    /// Its abstract sockets.
    sockets: BTreeSet<String>,
    /// Names in /dev/shm and in the temporary directory.
    files: BTreeSet<String>,
}

impl Left {
    fn now(name: &str) -> Left {
        let mut processes = BTreeSet::new();
        let mut memory = BTreeSet::new();
        for pid in numbers("/proc") {
            let read = |file: &str| {
                String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).into_owned()
            };
            let carries = read("cmdline").contains(name) || read("environ").contains(name);
            if !carries || pid == std::process::id() {
                continue;
            }
            processes.insert(format!("{pid} {}", read("cmdline").replace('\0', " ")));
            memory.extend(read("maps").lines().filter(|l| l.contains("memfd:rsm")).map(|l| format!("{pid} {l}")));
            // Threads may have tables of their own.
            for task in numbers(&format!("/proc/{pid}/task")) {
                let folder = format!("/proc/{pid}/task/{task}/fd");
                let targets = entries(&folder).filter_map(|fd| std::fs::read_link(Path::new(&folder).join(fd)).ok());
                let ours = targets.filter(|t| t.to_string_lossy().contains("memfd:rsm"));
                memory.extend(ours.map(|t| format!("{pid}/{task} {}", t.display())));
            }
        }
        let unix = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let files = ["/dev/shm".to_owned(), std::env::temp_dir().display().to_string()];
        Left {
            processes,
            memory,
            sockets: unix.split_whitespace().filter(|w| w.contains(name)).map(str::to_owned).collect(),
            files: files
                .iter()
                .flat_map(|d| entries(d).filter(|e| e.contains(name)).map(move |e| format!("{d}/{e}")))
                .collect(),
        }
    }
}

fn entries(folder: &str) -> impl Iterator<Item = String> {
    let read = std::fs::read_dir(folder).into_iter().flatten();
    read.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
}

fn numbers(folder: &str) -> Vec<u32> {
    entries(folder).filter_map(|e| e.parse().ok()).collect()
}

/// The sort example, built if need be in the profile of this test: for the whole workspace, as by whoever runs all its tests.
fn sort_example() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root).args(["build", "-q", "--example", "sort"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("cargo runs").success());
    let profile = Path::new(env!("CARGO_BIN_EXE_rsm-ctl")).parent().expect("a folder");
    profile.join("examples/sort")
}

/// A folder with a file to sort; removed when dropped.
struct Work(PathBuf);

impl Work {
    fn new() -> Work {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let folder =
            std::env::temp_dir().join(format!("sorting-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
        std::fs::create_dir(&folder).expect("a new folder");
        // Twenty megabytes of lines in no order, from a little generator of numbers.
        let mut state = 1u64;
        let mut text = String::with_capacity(21 << 20);
        while text.len() < 20 << 20 {
            text.push_str(&format!("{:016x} some text to carry along\n", next(&mut state)));
        }
        std::fs::write(folder.join("in"), text).expect("written");
        Work(folder)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// xorshift: the next of a sequence of numbers without visible order.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a process id");
    // It may have ended by itself just now.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let read = |task| std::fs::read_to_string(format!("/proc/{pid}/task/{task}/children")).unwrap_or_default();
    let text: String = numbers(&format!("/proc/{pid}/task")).into_iter().map(read).collect();
    text.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// Waits until something is so; the pause only spares the processor.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A run of the sort, which says nothing.
fn start(name: &str, more: &[&str], sort: &Path, work: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rsm-ctl"));
    command.args(["-q", "run", "-n", &NODES.to_string(), "--name", name]).args(more).arg("--").arg(sort);
    command.arg(work.join("in")).arg("-o").arg(work.join("out"));
    command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("rsm-ctl starts")
}

fn round(victim: Victim, sort: &Path, work: &Path, seed: u64) {
    let name = format!("kills-{}-{seed}", std::process::id());
    let before = Left::now(&name);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut front = start(&name, &[], sort, work);
    // The warden is the front's child, the nodes are the warden's. Everything may be over before we look.
    let over = |front: &mut Child| front.try_wait().expect("our child").is_some();
    let found = wait_for("the nodes", || {
        let warden = children(front.id()).first().copied();
        let nodes = warden.map(children).unwrap_or_default();
        match warden {
            Some(warden) if nodes.len() == NODES as usize => Some(Some((warden, nodes))),
            _ => over(&mut front).then_some(None),
        }
    });
    if let Some((warden, nodes)) = found {
        // Anywhere in the work: that is what the random time is for.
        std::thread::park_timeout(Duration::from_micros(next(&mut state) % 150_000));
        match victim {
            Victim::OneNode => kill(nodes[(next(&mut state) % u64::from(NODES)) as usize]),
            Victim::AllNodes => nodes.iter().copied().for_each(kill),
            Victim::Front => kill(front.id()),
            Victim::Warden => kill(warden),
        }
    }
    wait_for("rsm-ctl to end", || over(&mut front).then_some(()));
    wait_for("everything to be gone", || (Left::now(&name) == before).then_some(()));
    assert!(before.processes.is_empty() && before.sockets.is_empty());
}

/// The same sort with two nodes on each of two hosts, which here are two runs; the warden of one is killed, agent and all, or
/// nobody is.
fn round_of_hosts(kills: bool, sort: &Path, work: &Path, seed: u64) {
    let name = |host: &str| format!("pair-{}-{seed}-{host}", std::process::id());
    let names = [name("one"), name("two")];
    let before = names.each_ref().map(|name| Left::now(name));
    let bridge = format!("shm0=local:pair-{}-{seed}", std::process::id());
    let host = |at: usize, here: &str| {
        let patience = if kills { "3s" } else { "60s" };
        let more = ["--here", here, "--bridge", &bridge, "--bridge-wait", "20s", "--timeout", patience];
        start(&names[at], &more, sort, work)
    };
    // Who is killed before the others have met it is waited for, as one that is late would be.
    let mut fronts = [host(0, "1-2"), host(1, "3-4")];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    if kills {
        let victim = fronts[(seed % 2) as usize].id();
        let warden = wait_for("its nodes", || {
            let warden = children(victim).first().copied()?;
            (children(warden).len() == 2).then_some(warden)
        });
        std::thread::park_timeout(Duration::from_micros(next(&mut state) % 150_000));
        kill(warden);
    }
    let codes = fronts
        .each_mut()
        .map(|front| wait_for("rsm-ctl to end", || front.try_wait().expect("our child")).code().expect("an exit code"));
    for (name, before) in names.iter().zip(&before) {
        wait_for("everything to be gone", || (Left::now(name) == *before).then_some(()));
    }
    assert!(kills || codes == [0, 0], "{codes:?}");
}

/// Two hosts do together what one does, and either survives the end of the other.
#[test]
fn hosts_sort_together_and_survive_each_other() {
    let (sort, work) = (sort_example(), Work::new());
    round_of_hosts(false, &sort, &work.0, 101);
    let mut expected = std::fs::read(work.0.join("in")).expect("the input");
    let mut lines: Vec<&[u8]> = expected.split_inclusive(|&byte| byte == b'\n').collect();
    lines.sort_unstable();
    expected = lines.concat();
    assert!(std::fs::read(work.0.join("out")).expect("the output") == expected, "sorted");
    for seed in [102, 103] {
        round_of_hosts(true, &sort, &work.0, seed);
    }
}

fn rounds(victim: Victim) {
    let read = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    let (sort, work) = (sort_example(), Work::new());
    let count: u64 = read("RSM_KILL_ROUNDS", 3);
    for seed in read("RSM_KILL_SEED", 1)..=count {
        round(victim, &sort, &work.0, seed);
    }
    println!("{count} times {victim:?} killed in the middle of the sort: nothing left");
}

/// The look can fail: a process that carries the name is seen, and not seen any more when it is gone.
#[test]
fn a_process_that_is_left_is_seen() {
    let name = format!("left-{}", std::process::id());
    let before = Left::now(&name);
    let mut left = Command::new("sleep").arg("60").env("RSM_CLUSTER", &name).spawn().expect("sleep starts");
    wait_for("the process to be seen", || (Left::now(&name) != before).then_some(()));
    left.kill().expect("our child");
    left.wait().expect("our child");
    assert_eq!(Left::now(&name), before);
}

/// One after the other: each look is at the whole system.
#[test]
fn nothing_is_left_whoever_is_killed() {
    for victim in [Victim::OneNode, Victim::AllNodes, Victim::Front, Victim::Warden] {
        rounds(victim);
    }
}
