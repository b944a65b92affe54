//! Where is measured: in a cluster that runs, or in private ones.

use std::cell::RefCell;
use std::ffi::OsString;
use std::time::Duration;

use rsm::lens::Lens;
use rsm::observe::{BridgeInfo, Observer};
use rsm::steer::Steering;
use rsm_perf::crossing::Agents;
use rsm_perf::pair::{Broken, Program};

use super::PerfArgs;
use crate::failure::Failure;

/// How long two private hosts may take to meet.
const MEETING: Duration = Duration::from_secs(30);

/// A host of a cluster that runs.
struct Host {
    steering: Steering,
    observer: Observer,
}

/// Where to measure.
pub(super) struct Stage {
    nodes: [u32; 2],
    /// What it is, for the first line.
    pub(super) line: String,
    /// The hosts of a cluster that runs, that of the first node first; otherwise each pair gets a private one, which ends with
    /// this. Pairs that wait for their turn would otherwise count as processes of the same cluster, and waits do not spin where
    /// there are more of those than processors.
    running: Vec<Host>,
    private: RefCell<Vec<rsm::Cluster>>,
    /// What private ones are seen through.
    lens: Option<Lens>,
    /// Controller of a bridge that private ones have between them.
    bridge: Option<String>,
}

impl Stage {
    pub(super) fn set(args: &PerfArgs) -> Result<Stage, Failure> {
        let (nodes, controller) = (args.nodes, args.controller.as_str());
        let running = args.cluster.as_ref().map_or_else(|| Ok(Vec::new()), |name| hosts(name, nodes, controller))?;
        let bridge = (args.cluster.is_none() && controller != "shm0").then(|| controller.to_owned());
        if bridge.is_some() && nodes[0] == nodes[1] {
            let text =
                format!("node {} cannot be on two hosts: give two --nodes for --controller {controller}", nodes[0]);
            return Err(Failure::usage(text));
        }
        let place = match &running[..] {
            [] if bridge.is_some() => "two private hosts joined by a local: bridge".to_owned(),
            [] => "a private cluster".to_owned(),
            [host] => format!("cluster {}", host.observer.cluster().name),
            hosts => hosts
                .iter()
                .map(|host| format!("cluster {}", host.observer.cluster().name))
                .collect::<Vec<_>>()
                .join(" and "),
        };
        let lens = args.profile.map(|profile| Lens { is_virtual: args.is_virtual, ..Lens::clear(0).profile(profile) });
        let place = match args.profile {
            Some(profile) if args.is_virtual => {
                format!("{place} with profile {profile}, all times modelled, by virtual clocks")
            }
            Some(profile) => format!("{place} with profile {profile}, all times modelled"),
            None => place,
        };
        let through = if controller == "shm0" { String::new() } else { format!(" through {controller}") };
        let line = format!("{place}: node {} imports from node {}{through}", nodes[0], nodes[1]);
        Ok(Stage { nodes, line, running, private: RefCell::default(), lens, bridge })
    }

    /// Whether the two nodes are on two hosts.
    pub(super) fn crosses(&self) -> bool {
        self.running.len() > 1 || self.bridge.is_some()
    }

    /// The program as two processes, one for each node.
    pub(super) fn program(&self, command: &[OsString]) -> Result<Program, Failure> {
        let [a, b] = self.nodes;
        let environment = match &self.running[..] {
            [] => {
                let clusters = self.start()?;
                let [first, last] = [clusters.first(), clusters.last()].map(|cluster| cluster.expect("one at least"));
                let environment = [owned(first.environment(a)?), owned(last.environment(b)?)];
                self.private.borrow_mut().extend(clusters);
                environment
            }
            [first, others @ ..] => {
                let last = others.last().unwrap_or(first);
                [owned(first.steering.environment(a)?), owned(last.steering.environment(b)?)]
            }
        };
        Ok(Program { command: command.to_vec(), launcher: false, environment })
    }

    /// A private cluster, or one for each of two hosts.
    fn start(&self) -> Result<Vec<rsm::Cluster>, Failure> {
        let [a, b] = self.nodes;
        let count = a.max(b);
        let Some(controller) = &self.bridge else {
            let builder = rsm::Cluster::builder(count);
            let builder = if let Some(lens) = self.lens { builder.lens(lens) } else { builder };
            return Ok(vec![builder.start()?]);
        };
        let device = format!("local:perf-{}", std::process::id());
        let others: Vec<u32> = (1..=count).filter(|&node| node != a).collect();
        let host = |here: Vec<u32>| rsm::Cluster::builder(count).here(here).bridge(controller, &device).start();
        let clusters = vec![host(vec![a])?, host(others)?];
        clusters.iter().try_for_each(|cluster| cluster.await_bridge(MEETING))?;
        Ok(clusters)
    }

    /// What the agents of both hosts have done over the bridge until now.
    pub(super) fn agents(&self) -> Result<Agents, Broken> {
        let broken = |error: rsm::Error| Broken(error.to_string());
        let mut all = Agents::default();
        let mut add = |observer: &Observer| {
            let bridge = observer.bridge().map_err(broken)?.ok_or_else(|| Broken("the bridge is gone".into()))?;
            all.loads += bridge.loads as f64;
            all.stores += bridge.stores as f64;
            all.doorbells += bridge.doorbells as f64;
            Ok::<_, Broken>(())
        };
        self.running.iter().try_for_each(|host| add(&host.observer))?;
        for cluster in self.private.borrow().iter() {
            add(&Observer::attach(Some(cluster.name())).map_err(broken)?)?;
        }
        Ok(all)
    }

    /// Whether the cluster has ended meanwhile, which the data path does not notice.
    pub(super) fn still_there(&self) -> Result<(), Broken> {
        match self.running.iter().find(|host| host.observer.is_gone()) {
            Some(host) => {
                let name = host.observer.cluster().name;
                Err(Broken(format!("the cluster {name:?} has ended in the middle of the measurement")))
            }
            None => Ok(()),
        }
    }
}

/// The host of the first node, and that of the other where it is another.
fn hosts(name: &str, nodes: [u32; 2], controller: &str) -> Result<Vec<Host>, Failure> {
    let attach = |name: &str| {
        let steering = Steering::attach(Some(name))?;
        let observer = steering.observer();
        Ok::<_, Failure>(Host { steering, observer })
    };
    let given = attach(name)?;
    let names: Vec<String> = given.observer.controllers().into_iter().map(|row| row.controller).collect();
    if !names.iter().any(|known| known == controller) {
        let text = format!("cluster {name} has no controller {controller}; it has: {}", names.join(", "));
        return Err(Failure::new(text));
    }
    let bridge = given.observer.bridge()?.filter(|bridge| bridge.controller == controller);
    let Some(bridge) = bridge.filter(|bridge| nodes.iter().any(|node| !bridge.here.contains(node))) else {
        return Ok(vec![given]);
    };
    let other = bridge.peer.as_deref().map(attach).transpose()?.filter(|host| is_across(host, &bridge));
    let Some(other) = other else {
        let text = format!(
            "the nodes of this host are {}: perf starts both processes, so both hosts have to be of this machine, over local:, \
             and there",
            bridge.here.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
        );
        return Err(Failure::new(text));
    };
    Ok(match nodes.map(|node| bridge.here.contains(&node)) {
        [true, _] => vec![given, other],
        [false, true] => vec![other, given],
        // Both are on the other one.
        [false, false] => vec![other],
    })
}

/// Whether a cluster is the one at the other end of a bridge, and not another of that name.
fn is_across(host: &Host, bridge: &BridgeInfo) -> bool {
    let there = host.observer.bridge().ok().flatten();
    there.is_some_and(|there| there.device == bridge.device && there.host != bridge.host)
}

/// An environment as programs are given it.
fn owned(environment: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
