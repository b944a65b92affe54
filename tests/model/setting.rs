//! What the nodes of a script stand on: plain memory, a lens, or two hosts.

use super::verbs::{JOINED, PAGE, Verb};
use rsm::lens::Lens;
use rsm::{AccessList, Cluster, Code, Export, Import, Node, Permission, Result, SegmentId};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// How long something may take on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Segments of the ground's own, which no script names.
const WITNESS: SegmentId = SegmentId::new(0x7fff_fff0);
/// Nobody publishes this.
const NOWHERE: SegmentId = SegmentId::new(0x7fff_fff1);
/// The first signal of a witness may overtake one that was posted before it by another bell of the same pass of an agent: so may
/// the next by another word of the same look of the other agent. What follows when each has arrived is behind both.
const ROUNDS: u32 = 4;

/// How the memory of other nodes is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    Plain,
    Lens(Lens),
    /// Node 1 on one host, the others on the other: two agents, joined by a bridge of this machine.
    TwoHosts,
}

/// A cluster of the nodes that have joined and one that has not.
pub(crate) struct Ground {
    setting: Setting,
    /// Of each node that has joined: how it signals to another host and hears that the signal is there.
    witnesses: Vec<(Import, Export)>,
    clusters: Vec<Cluster>,
}

impl Ground {
    pub(crate) fn new(setting: Setting) -> Ground {
        let builder = Cluster::builder(JOINED + 1);
        let clusters = match setting {
            Setting::Plain => vec![builder.start().expect("a cluster")],
            Setting::Lens(lens) => vec![builder.lens(lens).start().expect("a cluster")],
            Setting::TwoHosts => two_hosts().expect("two clusters that are one"),
        };
        let mut ground = Ground { setting, witnesses: Vec::new(), clusters };
        if matches!(setting, Setting::TwoHosts) {
            ground.witnesses = (1..=JOINED).map(|node| ground.witness(node).expect("a witness")).collect();
        }
        ground
    }

    pub(crate) fn node(&self, node: u32) -> Node {
        let cluster = self.clusters.get(node as usize - 1).or(self.clusters.last());
        cluster.expect("one at least").node(node).expect("a node")
    }

    fn witness(&self, node: u32) -> Result<(Import, Export)> {
        let [mine, others] = [node, other(node)].map(|node| self.node(node).controller("shm0"));
        let export = others?.export(PAGE)?;
        export.publish(WITNESS, &AccessList::everyone())?;
        Ok((mine?.connect(other(node), WITNESS, Permission::ReadWrite)?, export))
    }

    /// Waits until everybody is told what a verb has changed. On one host that is when it returns, but for signals through a lens;
    /// two agents tell each other, and signals are under way for as long as they take.
    pub(crate) fn settle(&self, verb: &Verb) {
        match (self.setting, verb) {
            (Setting::Plain, _) => {}
            // When a signal arrives no barrier says.
            (Setting::Lens(_), _) => {
                (1..=JOINED).for_each(|node| self.node(node).membership().deliver_signals());
            }
            (Setting::TwoHosts, Verb::Post { .. } | Verb::PostAll { .. }) => self.signals_have_come(),
            (Setting::TwoHosts, Verb::Unpublish { .. } | Verb::Destroy { .. } | Verb::Rebind { .. }) => self.is_told(),
            (Setting::TwoHosts, _) => {}
        }
    }

    fn signals_have_come(&self) {
        for (import, export) in &self.witnesses {
            for _ in 0..ROUNDS {
                import.signal().and_then(|()| export.wait(Some(PATIENCE))).expect("a signal across");
            }
        }
    }

    /// Who connects to what is not there, as far as is known here, has the other host asked for all that it has to tell. The
    /// third finds the answer to what the second has heard.
    fn is_told(&self) {
        for node in (1..=JOINED).chain([1]) {
            let controller = self.node(node).controller("shm0").expect("a controller");
            let refused = controller.connect(other(node), NOWHERE, Permission::Read).expect_err("there is none");
            assert_eq!(refused.code(), Code::SegNotPublished, "{refused}");
        }
    }
}

fn other(node: u32) -> u32 {
    JOINED + 1 - node
}

fn two_hosts() -> Result<Vec<Cluster>> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let bridge = format!("local:model-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    let host =
        |nodes: std::ops::RangeInclusive<u32>| Cluster::builder(JOINED + 1).here(nodes).bridge("shm0", &bridge).start();
    let clusters = vec![host(1..=1)?, host(2..=JOINED + 1)?];
    clusters.iter().try_for_each(|cluster| cluster.await_bridge(PATIENCE))?;
    Ok(clusters)
}
