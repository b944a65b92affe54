//! T21, T23: many importers, and taking memory back from the willing and from the stopped.

use super::{Target, said};
use rsm::{AccessList, Cluster, Controller, Permission, SegmentId};
use rsm_perf::measure::middle;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const M: usize = 1 << 20;

pub fn targets() -> Result<Vec<Target>, String> {
    let many = Some(post_to_many()?);
    let mut targets = vec![Target {
        name: "T21",
        what: "post to 62 importers, nobody asleep".into(),
        measured: many,
        most: 300.0,
        unit: "ns",
    }];
    for (size, stopped, rounds, most) in [(M, false, 15, 1.0), (M, true, 3, 150.0), (64 * M, true, 3, 400.0)] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            times.push(unpublish(size, stopped)?);
        }
        let importer = if stopped { "a stopped" } else { "a willing" };
        let what = format!("unpublish of {} from {importer} importer", rsm_perf::report::bytes(size));
        targets.push(Target { name: "T23", what, measured: Some(middle(times)), most, unit: "ms" });
    }
    Ok(targets)
}

fn post_to_many() -> Result<f64, String> {
    let cluster = Cluster::new(63).map_err(said)?;
    let controller = |node| cluster.node(node).and_then(|node| node.controller("shm0")).map_err(said);
    let export = controller(1)?.export(64 << 10).map_err(said)?;
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).map_err(said)?;
    let connect = |node| controller(node)?.connect(1, id, Permission::ReadWrite).map_err(said);
    let imports = (2..=63).map(connect).collect::<Result<Vec<_>, String>>()?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        (0..100).try_for_each(|_| export.signal()).map_err(said)?;
        times.push(began.elapsed().as_nanos() as f64 / 100.0);
    }
    // Every one of them has been told as often.
    for import in &imports {
        let nothing = Some(std::time::Duration::ZERO);
        (0..20_000).try_for_each(|_| import.wait(nothing)).map_err(|e| format!("a signal is missing: {e}"))?;
    }
    Ok(middle(times))
}

/// A process of the cluster's second node, killed in the end.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Milliseconds of one unpublish.
fn unpublish(size: usize, stopped: bool) -> Result<f64, String> {
    let cluster = Cluster::new(2).map_err(said)?;
    let export = cluster.node(1).and_then(|node| node.controller("shm0")?.export(size)).map_err(said)?;
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).map_err(said)?;
    let this = std::env::current_exe().map_err(said)?;
    let mut command = Command::new(this);
    command.args(["--node", "import", &id.get().to_string()]).envs(cluster.environment(2).map_err(said)?);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(said)?;
    let mut node = Node(child);
    let mut line = String::new();
    let stdout = node.0.stdout.as_mut().ok_or("no standard output")?;
    BufReader::new(stdout).read_line(&mut line).map_err(said)?;
    if line != "mapped\n" {
        return Err(format!("the importer said {line:?}"));
    }
    if stopped {
        let process = Pid::from_child(&node.0);
        kill_process(process, Signal::STOP).map_err(said)?;
        let status = format!("/proc/{}/stat", process.as_raw_nonzero());
        let is_stopped = || std::fs::read_to_string(&status).is_ok_and(|text| text.contains(") T "));
        while !is_stopped() {
            std::thread::yield_now();
        }
    }
    let began = Instant::now();
    export.unpublish().map_err(said)?;
    Ok(began.elapsed().as_nanos() as f64 / 1e6)
}

/// The importer: maps, writes, and stays until its standard input ends.
pub fn import(id: &str) -> Result<(), String> {
    let id = SegmentId::new(id.parse().map_err(said)?);
    let import = Controller::open("shm0").and_then(|c| c.connect(1, id, Permission::ReadWrite)).map_err(said)?;
    let mapping = import.map(0, import.len(), Permission::ReadWrite).map_err(said)?;
    mapping.memory().write_volatile_u64(0, 1).map_err(said)?;
    println!("mapped");
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}
