//! One of two agents, as far as the other sees it: what it has, what it hears, and its part of the work.

use rsm_core::access::{AccessEntry, Level};
use rsm_core::message::SegmentName;
use rsm_core::peer::life::{End, Stage};
use rsm_core::peer::message::{Message, Processes, Publication};
use rsm_core::peer::mirror::Mirror;
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::{Facts, Outbox};
use rsm_shm::agent::far::local::Local;
use rsm_shm::agent::far::paged::{Host, Paged};
use rsm_shm::agent::far::{News, Peering};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long anything may take before the test has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a host has.
#[derive(Default)]
pub(crate) struct Own {
    pub(crate) nodes: BTreeMap<u32, Processes>,
    pub(crate) published: BTreeMap<SegmentName, Publication>,
}

impl Facts for Own {
    fn processes(&self, node: u32) -> Processes {
        self.nodes.get(&node).copied().unwrap_or_default()
    }
    fn publication(&self, segment: SegmentName) -> Option<Publication> {
        self.published.get(&segment).cloned()
    }
}

pub(crate) struct Side {
    pub(crate) peering: Paged<Local>,
    pub(crate) own: Own,
    pub(crate) outbox: Outbox,
    pub(crate) mirror: Mirror,
    pub(crate) requests: Vec<Message>,
    pub(crate) met: u32,
    pub(crate) opened: u32,
    pub(crate) ends: Vec<End>,
    nodes: Nodes,
}

impl Side {
    /// With a process of each node.
    pub(crate) fn new(bridge: &str, name: &str, node_count: u32, nodes: &str) -> Side {
        let nodes = Nodes::parse(nodes).unwrap();
        let host = Host { name: name.to_owned(), node_count, nodes };
        let mut own = Own::default();
        for node in nodes.iter() {
            own.nodes.insert(node, Processes { count: 1, pid: std::process::id(), uid: 0 });
        }
        Side {
            peering: Paged::new(Local::new(bridge).unwrap(), host).unwrap(),
            own,
            outbox: Outbox::default(),
            mirror: Mirror::new(100),
            requests: Vec::new(),
            met: 0,
            opened: 0,
            ends: Vec::new(),
            nodes,
        }
    }

    /// Publishes a segment to a node.
    pub(crate) fn publish(&mut self, row: u32, to: u32) {
        let segment = SegmentName { row, incarnation: 1 };
        let node = self.nodes.first().unwrap();
        let modes = vec![AccessEntry { node: to, mode: 0o600 }];
        let (length, level, uid, gid, number, version) = (4096, Level::Guarded, 0, 0, 1, 1);
        let publication = Publication { segment, node, id: row + 1, length, level, uid, gid, number, modes, version };
        self.own.published.insert(segment, publication);
        self.outbox.segment_changed(segment);
    }

    /// Does what there is to do now.
    pub(crate) fn turn(&mut self) {
        while let Some(news) = self.peering.take() {
            match news {
                News::Met(..) => {
                    self.met += 1;
                    self.mirror = Mirror::new(100);
                    self.outbox = Outbox::new(self.nodes, self.own.published.keys().copied());
                }
                News::Said(message) => match self.mirror.hear(&message) {
                    Ok(Some(_)) => {}
                    Ok(None) => self.requests.push(message),
                    Err(error) => self.peering.refuse(&error),
                },
                News::Open => self.opened += 1,
                News::Ended(end) => {
                    self.mirror = Mirror::new(100);
                    self.ends.push(end);
                }
            }
        }
        self.peering.send(&mut self.outbox, &self.own);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.peering.stage() == Some(Stage::Open)
    }

    /// Whether it knows what the other has, and has told what it has itself.
    pub(crate) fn knows(&self, other: &Side) -> bool {
        let nodes = other.nodes.iter().all(|node| self.mirror.processes(node) == other.own.processes(node));
        let segments: Vec<&Publication> = self.mirror.segments().collect();
        self.is_open() && nodes && segments == other.own.published.values().collect::<Vec<_>>()
    }
}

/// Gives the sides their turns until something is so.
pub(crate) fn until(what: &str, sides: &mut [&mut Side], done: impl Fn(&[&mut Side]) -> bool) {
    let end = Instant::now() + DEADLINE;
    loop {
        sides.iter_mut().for_each(|side| side.turn());
        if done(sides) {
            return;
        }
        let now = Instant::now();
        assert!(now < end, "{what}: {:?}", sides.iter().map(|side| side.peering.trouble()).collect::<Vec<_>>());
        let next = sides.iter().map(|side| side.peering.next()).min().unwrap_or(now);
        let left = next.saturating_duration_since(now) + Duration::from_micros(1);
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let events: Vec<_> = sides.iter().map(|side| side.peering.events()).collect();
        let mut polled: Vec<_> = events.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let _ = poll(&mut polled, Some(&left));
    }
}
