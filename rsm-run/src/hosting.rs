//! The cluster that the processes of a run are part of: one that the warden hosts, or one that let it in.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rsm::lens::gate::Called;
use rsm::lens::{Delivered, Injected};
use rsm::steer::{Links, Steering};
use rsm::{CLUSTER_NODE, Cluster};
use rustix::process::{Pid, RawPid, getpid, getppid};

use crate::calls::ProcessCalls;
use crate::deadline::MOMENT;
use crate::failure::Failure;
use crate::keeper::{Entrance, Keeper};
use crate::message::{Hang, ToFront, raw};
use crate::plan::{NewCluster, Plan};
use crate::status::Status;
use crate::verbosity::Verbosity;

/// How long the cluster may take to clean up after its last process.
const CLEANING: Duration = Duration::from_secs(5);

/// Points of a piece of what a process says of its calls: far less than a message holds.
const POINTS_OF_PIECE: usize = 16;

/// Most waits that are told.
const MOST_HANGS: usize = 128;

/// Most lines of what was late or went wrong.
const MOST_LATE: usize = 8;

/// SIGKILL as a status has it, and what a shell makes of that.
const KILL: u8 = 9;
const KILLED: u8 = 128 + KILL;

/// The cluster that the processes are part of.
pub(crate) enum Hosting<'a> {
    /// Ours.
    Own(Box<Cluster>, Keeper),
    /// One that let us in, until its entrance closes.
    Entered { entrance: &'a Entrance, closed: bool },
}

/// Starts a cluster and opens its entrance.
pub(crate) fn host(new: &NewCluster, plan: &Plan) -> Result<Hosting<'static>, Failure> {
    if plan.verbosity == Verbosity::Verbose {
        // Straight to standard error, whole lines: too many of them may be lost, and no message between us.
        rsm::log::show("rsm-ctl: agent", rsm::log::Level::Debug);
    } else if new.bridge.is_some() && plan.verbosity > Verbosity::Quiet {
        // What keeps the two hosts from each other is nothing that a program could tell.
        rsm::log::show("rsm-ctl: agent", rsm::log::Level::Warn);
    }
    let mut builder = Cluster::builder(new.nodes).dedicated();
    if let Some(name) = &new.name {
        builder = builder.name(name);
    }
    if !new.controllers.is_empty() {
        builder = builder.controllers(new.controllers.iter().map(String::as_str));
    }
    if let Some(lens) = new.lens {
        builder = builder.lens(lens);
    }
    if let Some(here) = &new.here {
        builder = builder.here(here.iter().copied());
    }
    if let Some(bridge) = &new.bridge {
        builder = builder.bridge(&bridge.controller, &bridge.device);
    }
    let cluster = builder.start()?;
    if !new.links.is_empty() {
        let steering = cluster.steering()?;
        for link in &new.links {
            let links = if link.both { Links::between(link.from, link.to) } else { Links::one_way(link.from, link.to) };
            steering.link_down(&link.controller.iter().fold(links, |links, name| links.through(name)))?;
        }
    }
    let hosts = getppid().into_iter().chain([getpid()]).collect::<Vec<_>>();
    let keeper = Keeper::open(&cluster, plan.grace, raw(&hosts))
        .map_err(|error| Failure::system("cannot listen for those who want to enter the cluster", error))?;
    Ok(Hosting::Own(Box::new(cluster), keeper))
}

impl Hosting<'_> {
    pub(crate) fn name(&self) -> &str {
        match self {
            Hosting::Own(cluster, _) => cluster.name(),
            Hosting::Entered { entrance, .. } => &entrance.name,
        }
    }

    /// The right to disturb the cluster, where it is ours.
    pub(crate) fn steering(&self) -> Result<Option<Steering>, Failure> {
        match self {
            Hosting::Own(cluster, _) => Ok(Some(cluster.steering()?)),
            Hosting::Entered { .. } => Ok(None),
        }
    }

    pub(crate) fn environment(&self, node: u32) -> Result<Vec<(String, String)>, Failure> {
        match self {
            Hosting::Own(cluster, _) => {
                let variables = cluster.environment(node)?;
                Ok(variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }
            Hosting::Entered { entrance, .. } => Ok(entrance.variables.clone()),
        }
    }

    /// Whether a process of this node ended so because somebody who disturbs the cluster wanted it to: it was killed
    /// itself, or is a shell that reports that of what it ran.
    pub(crate) fn killed(&self, node: u32, pid: Pid, status: Status) -> bool {
        let Hosting::Own(cluster, _) = self else { return false };
        let kills: Vec<(u32, u32)> = cluster.kills().into_iter().chain(cluster.gate_kills()).collect();
        match status {
            Status::Killed(KILL) => kills.iter().any(|&(_, killed)| i32::try_from(killed) == Ok(pid.as_raw_pid())),
            Status::Exited(KILLED) => kills.iter().any(|&(of, _)| of == node),
            _ => false,
        }
    }

    /// What to wait for.
    pub(crate) fn sources(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Hosting::Own(_, keeper) => keeper.sources().collect(),
            Hosting::Entered { closed: true, .. } => Vec::new(),
            Hosting::Entered { entrance, closed: false } => vec![entrance.wire.as_fd()],
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Hosting::Own(_, keeper) => keeper.deadline(),
            Hosting::Entered { .. } => None,
        }
    }

    /// What the cluster's lens has done, a line for each process in which something came out of order and one for each that met
    /// faults, the last ones; or that nothing was either.
    pub(crate) fn late(&self) -> Vec<String> {
        let Hosting::Own(cluster, _) = self else { return Vec::new() };
        let deliveries = cluster.deliveries();
        if deliveries.is_empty() {
            return Vec::new();
        }
        let faults = cluster.faults();
        let faults = faults.iter().filter_map(|(node, pid, Injected { count, last })| {
            let (last, faults) = ((*last)?, if *count == 1 { "fault" } else { "faults" });
            Some(format!("chaos: node {node} (pid {pid}): {count} {faults}; the last: {last}"))
        });
        let lines: Vec<String> = deliveries
            .iter()
            .filter_map(|(node, pid, delivered)| {
                let Delivered { pieces, out_of_order, last } = delivered;
                let last = (*last)?;
                Some(format!(
                    "chaos: node {node} (pid {pid}): {pieces} pieces, {out_of_order} delivered out of order; the last {last}"
                ))
            })
            .chain(faults)
            .collect();
        if lines.is_empty() {
            let pieces: u64 = deliveries.iter().map(|(.., delivered)| delivered.pieces).sum();
            // A lens may be there for something else.
            let told = (pieces > 0).then(|| format!("chaos: {pieces} pieces, none delivered out of order"));
            return told.into_iter().collect();
        }
        lines[lines.len().saturating_sub(MOST_LATE)..].to_vec()
    }

    /// How long calls of each node's processes would have taken, the longest of them, where that is added up.
    pub(crate) fn modelled(&self) -> Option<String> {
        let Hosting::Own(cluster, _) = self else { return None };
        let mut nodes: BTreeMap<u32, Duration> = BTreeMap::new();
        for (node, _, time) in cluster.modelled() {
            let longest = nodes.entry(node).or_default();
            *longest = time.max(*longest);
        }
        let told = |(node, time): (u32, Duration)| format!("{:.3} ms (node {node})", time.as_secs_f64() * 1000.0);
        let told: Vec<String> = nodes.into_iter().filter(|(_, time)| !time.is_zero()).map(told).collect();
        (!told.is_empty()).then(|| format!("modelled: {}", told.join(", ")))
    }

    /// What processes say of their calls, in pieces that fit a message.
    pub(crate) fn calls(&self) -> Vec<ToFront> {
        let Hosting::Own(cluster, _) = self else { return Vec::new() };
        let pieces = cluster.calls().into_iter().flat_map(|(node, pid, mut called)| {
            let pid = RawPid::try_from(pid).unwrap_or_default();
            let points = std::mem::take(&mut called.points);
            let more = points.chunks(POINTS_OF_PIECE).map(move |points| {
                let called = Called { points: points.to_vec(), ..Called::default() };
                ToFront::Calls { calls: ProcessCalls { node, pid, called }, more: true }
            });
            let first = ToFront::Calls { calls: ProcessCalls { node, pid, called }, more: false };
            std::iter::once(first).chain(more).collect::<Vec<_>>()
        });
        pieces.collect()
    }

    /// With all processes gone: what of theirs the cluster still has, a line for each kind, after it has had time to clean up.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let Hosting::Own(cluster, _) = self else { return Vec::new() };
        let Ok(steering) = cluster.steering() else { return Vec::new() };
        let observer = steering.observer();
        let end = Instant::now() + CLEANING;
        loop {
            let mut seen = observer.snapshot();
            // What the cluster itself owns stays as long as it does.
            let all = seen.segments.len();
            seen.segments.retain(|segment| segment.node != CLUSTER_NODE);
            let common = all - seen.segments.len();
            let counts = [
                (seen.nodes.iter().filter(|node| node.joined).count(), "nodes that seem to be there"),
                (seen.segments.len(), "segments"),
                (seen.connections.len(), "connections"),
                (memory_objects().saturating_sub(common), "memory objects of segments"),
            ];
            let left = Instant::now() < end && counts.iter().any(|(count, _)| *count > 0);
            if !left {
                let lines = counts.into_iter().filter(|(count, _)| *count > 0);
                return lines.map(|(count, what)| format!("{count} {what} in the cluster")).collect();
            }
            // Objects are closed without a change that could be waited for.
            let _ = observer.wait(&seen, Some(MOMENT));
        }
    }

    /// What the nodes that run wait for, as the cluster knows it.
    pub(crate) fn hangs(&self, nodes: &BTreeSet<u32>) -> Vec<Hang> {
        let Hosting::Own(cluster, _) = self else { return Vec::new() };
        let Ok(steering) = cluster.steering() else { return Vec::new() };
        let observer = steering.observer();
        let absent = observer.nodes().into_iter().filter(|node| !node.joined).map(|node| Hang {
            node: node.node,
            process: 0,
            text: "has not joined the cluster".to_owned(),
        });
        let waits = observer.waits().unwrap_or_default().into_iter().map(|wait| Hang {
            node: wait.node,
            process: RawPid::try_from(wait.pid).unwrap_or_default(),
            text: format!("waits for {wait}"),
        });
        absent.chain(waits).filter(|hang| nodes.contains(&hang.node)).take(MOST_HANGS).collect()
    }
}

/// Descriptors of this process that lead to memory of segments; threads may have tables of their own.
fn memory_objects() -> usize {
    let entries = |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let tables = entries("/proc/self/task").map(|thread| thread.join("fd"));
    let descriptors = tables.flat_map(|table| entries(&table.to_string_lossy()).collect::<Vec<_>>());
    let leads = |path: &std::path::PathBuf| {
        std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().contains("memfd:rsm-segment"))
    };
    descriptors.filter(leads).count()
}
