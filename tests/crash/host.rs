//! A host: its agent, in a process of its own, and two nodes that have nothing to do with what happens.

use super::scene::{Player, environment};
use rsm::Code;
use rsm::observe::Observer;
use rsm_core::crash::Point;
use rsm_stories::gate::Holdings;
use rsm_stories::{NodeProcess, patience};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Which nodes are on one host.
pub(crate) struct Plan {
    /// Of the cluster.
    nodes: u32,
    /// Of this host: the one that acts, and the bystanders, of whom the first exports.
    here: [u32; 3],
    acting: &'static [u32],
    /// A node that is not one of them, where there is another host.
    far: u32,
}

impl Plan {
    /// Whether a node is one that acts on this host.
    pub(crate) fn has(&self, node: u32) -> bool {
        self.acting.contains(&node)
    }
}

/// All nodes on one host, or the exporter's and the importer's.
pub(crate) const ALONE: &[Plan] = &[Plan { nodes: 4, here: [1, 3, 4], acting: &[1, 2], far: 0 }];
pub(crate) const TWO: &[Plan] = &[
    Plan { nodes: 6, here: [1, 3, 4], acting: &[1], far: 2 },
    Plan { nodes: 6, here: [2, 5, 6], acting: &[2], far: 1 },
];

/// Name of a bridge that nobody else has.
pub(crate) fn bridge() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("crash-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// Waits until each host knows what the other has, or an agent has died.
pub(crate) fn meet(hosts: &mut [Host]) {
    let deadline = Instant::now() + patience();
    loop {
        let mut met = true;
        for host in &mut *hosts {
            let Some(answer) = host.agent.process.try_ask("awaitbridge c 20") else {
                host.agent.dead = true;
                return;
            };
            met &= answer.starts_with("ok");
        }
        if met {
            return;
        }
        assert!(Instant::now() < deadline, "the hosts do not meet");
    }
}

pub(crate) struct Host {
    plan: &'static Plan,
    /// Of the cluster, or how it begins where the agent died before it told.
    pub(crate) name: String,
    pub(crate) agent: Player,
    /// Of its nodes, in their order.
    environments: Vec<(u32, Vec<(&'static str, String)>)>,
    /// What the agent held when nobody but the bystanders was there; none of one that came in the course of it.
    pub(crate) baseline: Option<Holdings>,
    others: Option<(NodeProcess, NodeProcess)>,
    rounds: u64,
    /// The cluster ends in the course of it.
    pub(crate) over: bool,
    /// It has lost the other host, and met another.
    pub(crate) met_again: bool,
}

impl Host {
    /// Starts its agent, which may die at a step of that.
    pub(crate) fn start(plan: &'static Plan, bridge: &str, crash: Option<(Point, u32)>) -> Host {
        let Plan { nodes, here, far, .. } = plan;
        let mut agent = Player::new(environment(crash));
        let said = match far {
            0 => agent.process.try_ask(&format!("hostwarm c {nodes}")),
            _ => {
                let here = here.map(|node| node.to_string()).join(",");
                agent.process.try_ask(&format!("hosthere c {nodes} {here} local:{bridge}"))
            }
        };
        agent.dead = said.is_none();
        let said = said.map_or_else(String::new, |said| said.strip_prefix("ok ").expect("a cluster").to_owned());
        let environments = said.split_whitespace().map(|word| {
            let environment = rsm_stories::environment_of(word);
            (environment[1].1.parse().expect("a node"), environment)
        });
        let environments: Vec<_> = environments.collect();
        let address = environments.first().and_then(|(_, environment)| environment[0].1.rsplit(':').next());
        // So they all begin.
        let name = address.map_or_else(|| format!("cluster-{}-", agent.process.pid()), str::to_owned);
        let (baseline, others, rounds, over, met_again) = (None, None, 0, false, false);
        Host { plan, name, agent, environments, baseline, others, rounds, over, met_again }
    }

    /// Brings the bystanders on, if they are not there.
    pub(crate) fn others_enter(&mut self) {
        if self.others.is_some() {
            return;
        }
        let [_, exporter, importer] = self.plan.here;
        let start = |node| NodeProcess::with([environment(None), self.environment(node).expect("its own")].concat());
        let mut others = (start(exporter), start(importer));
        others.0.ok("export b 16384");
        others.0.ok("fill b");
        others.0.ok("publish b 0x400333");
        others.1.ok(&format!("connect b {exporter} 0x400333 rw"));
        if self.plan.far == 0 {
            // With the bells of what no node owns, which there is on one host only.
            others.0.ok("common z 0x400777 4096 rw");
            others.0.ok("disconnect z");
        }
        self.others = Some(others);
        self.others_go_on();
    }

    /// What makes a process one of its node; `None` for one of another host.
    pub(crate) fn environment(&self, node: u32) -> Option<Vec<(&'static str, String)>> {
        self.environments.iter().find(|(of, _)| *of == node).map(|(_, environment)| environment.clone())
    }

    pub(crate) fn has(&self, node: u32) -> bool {
        self.plan.has(node)
    }

    /// Whether its cluster goes on.
    pub(crate) fn lives(&self) -> bool {
        !self.agent.dead && !self.over
    }

    pub(crate) fn observer(&self) -> Observer {
        Observer::attach(Some(&self.name)).expect("the cluster runs")
    }

    /// Notes what the agent holds, once the memberships that were there for a moment have ended.
    pub(crate) fn rests(&mut self) {
        let mut settled = || {
            let nodes = self.observer().nodes();
            nodes.iter().filter(|n| n.joined && self.plan.here.contains(&n.node)).count() == 2
        };
        rsm_stories::wait_for("the first memberships to end", &mut settled);
        self.baseline = Some(self.agent_settled());
    }

    /// What the agent's process holds once nothing of it changes any more.
    fn agent_settled(&self) -> Holdings {
        let deadline = Instant::now() + patience();
        let mut held = Holdings::of(self.agent.process.pid());
        let mut same = 0;
        while same < 5 && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(1));
            let now = Holdings::of(self.agent.process.pid());
            // The memberships that were there for a moment take their threads with them.
            same = if now == held && !now.is_member() { same + 1 } else { 0 };
            held = now;
        }
        held
    }

    /// Has the other host asked for all that it has to tell.
    pub(crate) fn asks(&mut self) {
        if let Some((_, other)) = self.others.as_mut().filter(|_| self.plan.far > 0) {
            other.fails(&format!("connect q {} 0x7ffffff1 rw", self.plan.far), Code::SegNotPublished);
        }
    }

    /// The bystanders end.
    pub(crate) fn others_end(&mut self) {
        if let Some((exporter, importer)) = self.others.take() {
            exporter.end();
            importer.end();
        }
    }

    /// Waits until no node of another host is there.
    pub(crate) fn is_alone(&self) {
        let observer = self.observer();
        let far = || observer.nodes().iter().any(|node| node.joined && !self.plan.here.contains(&node.node));
        rsm_stories::wait_for("the other host to be gone", || !far());
    }

    /// The bystanders transfer, signal, and find their memory as it was.
    pub(crate) fn others_go_on(&mut self) {
        let Some((exporter, importer)) = &mut self.others else { return };
        self.rounds += 1;
        let value = self.rounds;
        exporter.ok(&format!("write b 0 {value}"));
        assert_eq!(importer.ok("get b 0"), value.to_string());
        importer.ok(&format!("put b 8 {value}"));
        assert_eq!(exporter.ok("read b 8"), value.to_string());
        importer.ok("post b");
        exporter.ok("waitexport b 30000");
        exporter.ok("postall b");
        importer.ok("waitimport b 30000");
        assert_eq!(exporter.ok("verify b"), "true");
    }

    /// They have learned of the end of the cluster.
    pub(crate) fn others_are_told(&mut self) {
        let Some((exporter, importer)) = &mut self.others else { return };
        exporter.until_fails("export x 4096", Code::CtlrNotPresent);
        importer.until_fails(&format!("connect x {} 0x400333 rw", self.plan.here[1]), Code::CtlrNotPresent);
    }

    /// Only the bystanders' rows are left, and what the cluster owns; says how many segments that are.
    pub(crate) fn only_others_are_left(&self, hosts: usize) -> usize {
        let observer = self.observer();
        let gone = || {
            observer
                .nodes()
                .iter()
                .all(|node| !node.joined || self.plan.here[1..].contains(&node.node) || node.node > 2)
        };
        rsm_stories::wait_for("both nodes to be gone", gone);
        let count = || {
            let segments = observer.segments();
            let common = segments.iter().filter(|segment| segment.node == rsm::CLUSTER_NODE).count();
            (segments.len() - common, observer.connections().len(), common)
        };
        // What the other host has taken back is told a little later.
        if hosts > 1 {
            rsm_stories::wait_for("the other host's to be gone", || (count().0, count().1) == (hosts, 1));
        }
        let (segments, connections, common) = count();
        assert_eq!((segments, connections), (hosts, 1), "only the bystanders' rows are left");
        common
    }
}
