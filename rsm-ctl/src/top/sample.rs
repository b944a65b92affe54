//! A look at everything that is shown, and what is different from the one before.

use std::collections::BTreeMap;
use std::time::Instant;

use rsm::observe::{Activity, NodeInfo, Observer, ProcessActivity, Snapshot};

use crate::failure::Failure;
use crate::number::counted;
use crate::query::cluster;
use crate::query::process::{self, ProcessState};
use crate::{printable, size};

/// A look.
pub(super) struct Sample {
    taken: Instant,
    pub(super) seen: Snapshot,
    /// What processes did since somebody looked first; `None` when the agent does not answer.
    activity: Option<Vec<ProcessActivity>>,
    /// By process id.
    states: BTreeMap<u32, ProcessState>,
}

/// What happens in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) signals: f64,
    pub(super) transfers: f64,
    pub(super) bytes: f64,
}

impl Sample {
    pub(super) fn take(observer: &Observer) -> Sample {
        let seen = observer.snapshot();
        // One that did not answer just now would make us wait as long again.
        let activity = seen.processes.as_ref().and_then(|_| observer.activity().ok());
        let pids = seen.processes.iter().flatten().map(|process| process.pid);
        let states = pids.map(|pid| (pid, process::look(observer, pid))).collect();
        Sample { taken: Instant::now(), seen, activity, states }
    }

    /// Whether there is more than one host.
    pub(super) fn has_hosts(&self) -> bool {
        has_hosts(&self.seen.nodes)
    }

    /// The host of a node; 0 where there is one only.
    pub(super) fn host_of(&self, node: u32) -> u32 {
        self.seen.nodes.iter().find(|row| row.node == node).map_or(0, |row| row.host)
    }

    /// The processes of a node, as the kernel describes them.
    pub(super) fn states_of(&self, node: u32) -> impl Iterator<Item = &ProcessState> {
        let own = self.seen.processes.iter().flatten().filter(move |process| process.node == node);
        own.filter_map(|process| self.states.get(&process.pid))
    }

    /// What a node did in each second since an earlier look; all nodes without a number.
    pub(super) fn rates(&self, before: &Sample, node: Option<u32>) -> Rates {
        let seconds = self.taken.saturating_duration_since(before.taken).as_secs_f64();
        if seconds == 0.0 {
            return Rates::default();
        }
        let earlier: BTreeMap<u64, Activity> =
            before.activity.iter().flatten().map(|p| (p.membership, p.activity)).collect();
        let own = self.activity.iter().flatten().filter(|p| node.is_none_or(|node| p.node == node));
        // Of one that is new there is nothing to compare with yet.
        let since = own.filter_map(|p| Some(p.activity.since(*earlier.get(&p.membership)?)));
        let sum = since.fold(Activity::default(), Activity::and);
        let rate = |count: u64| count as f64 / seconds;
        Rates {
            signals: rate(sum.posts),
            transfers: rate(sum.puts + sum.gets),
            bytes: rate(sum.put_bytes.saturating_add(sum.got_bytes)),
        }
    }

    /// Lines above the table.
    pub(super) fn summary(&self, before: &Sample) -> [String; 3] {
        let cluster = &self.seen.cluster;
        let (mut active, mut down, mut errors) = (0_u32, 0_u32, 0_u64);
        for link in &self.seen.links {
            active += u32::from(link.state == "active");
            down += u32::from(link.state == "down");
            errors += link.errors;
        }
        let cut = self.seen.connections.iter().filter(|connection| connection.state == "cut").count();
        let exported: u64 = self.seen.nodes.iter().map(|node| node.exported_bytes).fold(0, u64::saturating_add);
        let resident = process::resident_together(self.states.values());
        let rates = self.rates(before, None);
        let lens = cluster.lens.as_ref().map(|lens| format!("   lens: {lens}")).unwrap_or_default();
        let silent = if self.activity.is_none() { "   agent does not answer" } else { "" };
        [
            format!(
                "cluster {}   {} of {} joined   {}{lens}{silent}",
                printable::name(&cluster.name),
                cluster.joined,
                counted(cluster.nodes, "node", "nodes"),
                counted(cluster.processes, "process", "processes")
            ),
            format!(
                "{}, {}   {}, {cut} cut   links {active} active, {down} down, {}",
                counted(cluster.segments, "segment", "segments"),
                size::bytes(exported),
                counted(cluster.connections, "connection", "connections"),
                counted(errors, "error", "errors")
            ),
            format!(
                "{} signals/s   {} transfers/s   {}/s   memory of processes {}",
                size::count(rates.signals),
                size::count(rates.transfers),
                size::bytes(rates.bytes as u64),
                resident.map_or_else(|| "?".to_owned(), size::bytes)
            ),
        ]
    }
}

/// Whether nodes are on more than one host.
pub(super) fn has_hosts(nodes: &[NodeInfo]) -> bool {
    nodes.iter().any(|node| node.host > 0)
}

/// The failure of a cluster that ended after this look at it.
pub(super) fn gone(observer: &Observer, last: &Sample) -> Failure {
    cluster::ended(observer, &last.seen.cluster.name)
}
