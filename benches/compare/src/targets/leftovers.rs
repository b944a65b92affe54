//! T20: what is left when nodes and agent are SIGKILLed in the middle of their work.

use super::{Target, said};
use rsm::{AccessList, Controller, Permission, SegmentId};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NAME: &str = "rsm-compare-leftovers";

/// Names in shared memory, in temporary files, and of abstract sockets.
fn names() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["/dev/shm", "/tmp"] {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| entry.path().display().to_string()));
    }
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    found.extend(sockets.lines().filter_map(|line| line.split_whitespace().nth(7)).map(str::to_owned));
    found
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts what carries a name of ours, or is new and there to stay.
pub fn target() -> Result<Target, String> {
    let before = names();
    for _ in 0..5 {
        // An agent and two nodes: one process that starts the others, and all are killed.
        let this = std::env::current_exe().map_err(said)?;
        let mut command = Command::new(this);
        command.args(["--node", "work"]).stdout(Stdio::piped()).process_group(0);
        let mut cluster = Killed(command.spawn().map_err(said)?);
        let stdout = cluster.0.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        match lines.next() {
            Some(Ok(line)) if line == "working" => {}
            other => return Err(format!("the nodes said {other:?}")),
        }
        let process = Pid::from_child(&cluster.0);
        rustix::process::kill_process_group(process, Signal::KILL).map_err(said)?;
        let _ = kill_process(process, Signal::KILL);
    }
    // Others use /tmp and sockets too: what is not ours does not count, and what is ours has a second to go.
    let began = Instant::now();
    let left = loop {
        let after = names();
        let left = after.difference(&before).filter(|name| name.contains("rsm") && !name.contains("rsm-perf")).count();
        if left == 0 || began.elapsed() > Duration::from_secs(1) {
            break left;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let what = "names left after SIGKILL of agent and nodes, 5 times".into();
    Ok(Target { name: "T20", what, measured: Some(left as f64), most: 0.0, unit: "names" })
}

/// A cluster at work: the first process is agent and starter, the others are nodes.
pub fn work() -> Result<(), String> {
    if let Ok(node) = std::env::var("RSM_NODE_ID") {
        return work_as(node.parse().map_err(said)?);
    }
    let name = format!("{NAME}-{}", std::process::id());
    let cluster = rsm::Cluster::builder(2).name(&name).start().map_err(said)?;
    let this = std::env::current_exe().map_err(said)?;
    let mut nodes = Vec::new();
    for node in [1, 2] {
        let mut command = Command::new(&this);
        command.args(["--node", "work"]).envs(cluster.environment(node).map_err(said)?);
        nodes.push(command.stdout(Stdio::piped()).spawn().map_err(said)?);
    }
    for node in &mut nodes {
        let mut line = String::new();
        BufReader::new(node.stdout.as_mut().ok_or("no standard output")?).read_line(&mut line).map_err(said)?;
    }
    println!("working");
    loop {
        std::thread::park();
    }
}

fn work_as(node: u32) -> Result<(), String> {
    let controller = Controller::open("shm0").map_err(said)?;
    let export = controller.export(1 << 20).map_err(said)?;
    export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).map_err(said)?;
    let (other, patience) = (3 - node, Duration::from_secs(20));
    let import =
        controller.connect_within(other, SegmentId::new(0x40_0000), Permission::ReadWrite, patience).map_err(said)?;
    println!("working");
    for round in 0.. {
        // Until it is killed, or the other is.
        if import.put_u64(0, round).and_then(|()| import.signal()).is_err() {
            break;
        }
    }
    Ok(())
}
