//! The leak gate: what processes and the system hold, by kind, before and after.

use super::process::patience;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is held, by kind, and how many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings(BTreeMap<String, usize>);

impl Holdings {
    /// Notes one more of a kind.
    pub fn note(&mut self, kind: String) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Threads of a process, descriptors in the table of each, and mappings of rsm's memory objects. Pumps of poll
    /// descriptors stay for the life of their process, and share its table; so do bells of peers.
    pub fn of(pid: i32) -> Holdings {
        let mut held = Holdings::default();
        for task in entries(&format!("/proc/{pid}/task")) {
            let folder = format!("/proc/{pid}/task/{task}");
            let Ok(thread) = std::fs::read_to_string(format!("{folder}/comm")) else { continue };
            if thread.trim() == "rsm-pump" {
                continue;
            }
            held.note(format!("thread {}", thread.trim()));
            for fd in entries(&format!("{folder}/fd")) {
                if let Ok(target) = std::fs::read_link(Path::new(&folder).join("fd").join(fd)) {
                    // Without the numbers that tell one socket or pipe from another.
                    let target = target.to_string_lossy();
                    let kind = target.split(":[").next().unwrap_or_default();
                    // What it looks and marks with it has as long as it lives, and the name of the one is its process's.
                    if thread.trim() == "rsm-events" && (kind == "/dev/zero" || kind.ends_with("/maps")) {
                        continue;
                    }
                    held.note(format!("descriptor of {}: {kind}", thread.trim()));
                }
            }
        }
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let mut before = ("", String::new());
        for line in maps.lines().filter(|line| line.contains("memfd:") && !line.contains("memfd:rsm-bells")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [range, _, _, _, inode, name, ..] = words[..] else { continue };
            let (start, end) = range.split_once('-').unwrap_or_default();
            // The kernel may show one in pieces.
            if before != (inode, start.to_owned()) {
                held.note(format!("mapping {name}"));
            }
            before = (inode, end.to_owned());
        }
        held
    }

    /// Puts two looks together.
    pub fn add(&mut self, other: Holdings) {
        for (kind, count) in other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }

    /// Of these, what belongs to segments and to the tie to a cluster.
    pub fn of_segments(mut self) -> Holdings {
        self.0.retain(|kind, _| kind.contains("rsm-segment") || kind.contains("rsm-events"));
        self
    }

    /// Whether the process looks after a membership.
    pub fn is_member(&self) -> bool {
        self.0.contains_key("thread rsm-events")
    }

    /// What a cluster could leave in the system: sockets and files that carry its name.
    pub fn of_cluster(name: &str) -> Holdings {
        let mut held = Holdings::default();
        let unix = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
        for socket in unix.split_whitespace().filter(|word| word.contains(name)) {
            held.note(format!("socket {socket}"));
        }
        for folder in ["/dev/shm", "/tmp"] {
            for file in entries(folder).filter(|file| file.contains(name)) {
                held.note(format!("file {folder}/{file}"));
            }
        }
        held
    }

    /// What all that this program ever started could leave: descendants, files in the folders that they were given
    /// for temporary ones and in /dev/shm, and shared memory charged to the control group.
    pub fn of_everything() -> Holdings {
        let mut held = Holdings::default();
        for (pid, command) in descendants() {
            held.note(format!("process {pid} {command}"));
        }
        for file in entries(&temporary().display().to_string()) {
            held.note(format!("file {}/{file}", temporary().display()));
        }
        for file in entries("/dev/shm").filter(|file| file.contains("rsm") || file.contains("cluster-")) {
            held.note(format!("file /dev/shm/{file}"));
        }
        held
    }

    /// What is in `self` and was not `before`, or fewer.
    fn difference(&self, before: &Holdings) -> String {
        let kinds = self.0.keys().chain(before.0.keys()).collect::<std::collections::BTreeSet<_>>();
        let count = |held: &Holdings, kind: &String| held.0.get(kind).copied().unwrap_or(0);
        let differ = kinds.into_iter().filter(|kind| count(self, kind) != count(before, kind));
        let lines = differ.map(|kind| format!("{kind}: {} before, {} after", count(before, kind), count(self, kind)));
        lines.collect::<Vec<_>>().join("; ")
    }

    /// Waits until what is held is what was held before: what ends takes its time. Says what is not.
    pub fn is_again(&self, what: &str, look: impl Fn() -> Holdings) -> Result<(), String> {
        self.is_again_within(patience(), what, look)
    }

    /// As [`is_again`](Self::is_again), with this patience.
    pub fn is_again_within(&self, patience: Duration, what: &str, look: impl Fn() -> Holdings) -> Result<(), String> {
        let deadline = Instant::now() + patience;
        loop {
            let now = look();
            if now == *self {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("{what}: {}", now.difference(self)));
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

/// The names in a folder; none where it is not there.
pub fn entries(folder: &str) -> impl Iterator<Item = String> + use<> {
    let read = std::fs::read_dir(folder).into_iter().flatten();
    read.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
}

/// The folder that processes of this program get for temporary files.
pub fn temporary() -> std::path::PathBuf {
    std::path::Path::new("/tmp").join(format!("rsm-crash-{}", std::process::id()))
}

/// Processes that this one started, directly or not; those that lost their parent come to it.
fn descendants() -> Vec<(u32, String)> {
    let mut parents = BTreeMap::new();
    for pid in entries("/proc").filter_map(|entry| entry.parse::<u32>().ok()) {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name is in parentheses, and may hold any character.
        let Some((head, rest)) = stat.rsplit_once(") ") else { continue };
        let parent: u32 = rest.split(' ').nth(1).and_then(|p| p.parse().ok()).unwrap_or(0);
        let name = head.split_once(" (").map_or("", |(_, name)| name);
        parents.insert(pid, (parent, format!("{name} ({})", rest.split(' ').next().unwrap_or_default())));
    }
    let mine = |mut pid: u32| {
        while let Some((parent, _)) = parents.get(&pid) {
            if *parent == std::process::id() {
                return true;
            }
            pid = *parent;
        }
        false
    };
    parents.iter().filter(|(pid, _)| mine(**pid)).map(|(pid, (_, name))| (*pid, name.clone())).collect()
}

/// Children of a process.
pub fn orphans_of(parent: i32) -> Vec<i32> {
    let children = entries(&format!("/proc/{parent}/task"))
        .map(|task| std::fs::read_to_string(format!("/proc/{parent}/task/{task}/children")).unwrap_or_default());
    children.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Reaps processes that came to this one when their parent died. Only while no other child is waited for.
pub fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}

/// Bytes of shared memory charged to this program's control group; nothing where that cannot be read.
pub fn charged() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let memory = groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
    let roots = [("/sys/fs/cgroup/memory", memory), ("/sys/fs/cgroup", unified)];
    let stat = roots
        .iter()
        .find_map(|(root, path)| std::fs::read_to_string(format!("{root}{}/memory.stat", (*path)?)).ok())?;
    let field = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    field("total_shmem ").or_else(|| field("shmem "))
}
