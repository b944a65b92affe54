//! What the tables say of another host, and what that is told of this one.
//!
//! Its nodes have rows like any other; their processes are as many as it says. Its publications are *mirrors*: segments of
//! the books, published, without memory here and without a member that created them. So whoever looks into the registry,
//! and whoever waits for a publication, finds them where all others are.

use super::Agent;
use super::books::memory::Memory;
use super::books::segment::{Segment, Wanted};
use super::config::Config;
use super::far::Peering;
use super::far::host::{Estate, Event, FarHost};
use super::far::local::Local;
use super::far::paged::{Host, Paged};
use crate::address::random_secret;
use rsm_core::access::{AccessEntry, AccessList, Owner, Permission};
use rsm_core::generation::EndCause;
use rsm_core::message::SegmentName;
use rsm_core::peer::message::{Processes, Publication};
use rsm_core::peer::mirror::Change;
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::Facts;
use rsm_core::registry::{ControllerKind, SegmentFields};
use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

/// Most segments of the other host that are mirrored.
const MOST: usize = 4096;
/// The controller that mirrors are exported through.
const CONTROLLER: u32 = 1;

/// The other host, and the rows of what it has.
pub(super) struct Across {
    host: FarHost<Paged<Local>, ()>,
    rows: BTreeMap<SegmentName, u32>,
    /// Why there is nobody, as it was told last.
    trouble: Option<String>,
}

impl Across {
    /// Opens the bridge that a cluster is configured with.
    ///
    /// # Errors
    /// BAD_CONF, saying which bridges there are.
    pub(super) fn open(config: &Config) -> Result<Option<Across>> {
        let Some(bridge) = &config.bridge else { return Ok(None) };
        let Some(name) = bridge.strip_prefix("local:") else {
            let text = format!("{bridge:?} is no bridge: give local:NAME, which joins two agents of one machine");
            return Err(Error::with(Code::BadConf, text));
        };
        let nodes = config.here.unwrap_or(Nodes::up_to(config.node_count));
        let host = Host { name: config.name.clone(), node_count: config.node_count, nodes };
        let seed = random_secret()?.iter().fold(0, |seed: u64, &byte| seed.rotate_left(8) ^ u64::from(byte));
        let host = FarHost::new(Paged::new(Local::new(name)?, host)?, MOST, seed);
        Ok(Some(Across { host, rows: BTreeMap::new(), trouble: None }))
    }

    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.host.bridge().events()
    }

    pub(super) fn next(&self) -> Instant {
        self.host.bridge().next()
    }
}

/// As the other host may know it.
impl Facts for Agent {
    fn processes(&self, node: u32) -> Processes {
        let fields = self.map.registry().nodes[node as usize].fields();
        Processes { count: fields.processes, pid: fields.pid, uid: fields.uid }
    }

    fn publication(&self, name: SegmentName) -> Option<Publication> {
        let segment = self.books.segments.get(&name.row).filter(|s| s.incarnation == name.incarnation)?;
        let id = segment.id.filter(|_| segment.far.is_none() && segment.kind == ControllerKind::Shared)?;
        let theirs = Nodes::up_to(self.node_count).minus(self.here);
        let mode = |node| Some(AccessEntry { node, mode: segment.access().mode_for(node, segment.default_mode).ok()? });
        let (number, version) = segment.publication;
        Some(Publication {
            segment: name,
            node: segment.node,
            id,
            length: segment.length,
            level: segment.level,
            uid: segment.owner.uid,
            gid: segment.owner.gid,
            number,
            modes: theirs.iter().filter_map(mode).collect(),
            version,
        })
    }
}

impl Estate for Agent {
    fn nodes(&self) -> Nodes {
        self.here
    }

    fn segments(&self) -> Vec<SegmentName> {
        let name = |(&row, segment): (&u32, &Segment)| SegmentName { row, incarnation: segment.incarnation };
        self.books.segments.iter().filter(|(_, s)| s.id.is_some() && s.far.is_none()).map(name).collect()
    }

    fn admits(&self, name: SegmentName, version: u64, node: u32, permission: Permission) -> Result<u64> {
        let gone = || Error::with(Code::SegNotPublished, "there is no such publication any more");
        let publication = self.publication(name).filter(|p| p.version == version).ok_or_else(gone)?;
        if !publication.modes.iter().any(|entry| entry.node == node) {
            return Err(Error::with(Code::SegNotPublishedToNode, format!("it is not published to node {node}")));
        }
        if !publication.level.admits(permission) {
            return Err(Error::with(Code::PermDenied, format!("it is sealed: it can only be read, not {permission}")));
        }
        Ok(publication.length)
    }

    fn memory(&self, name: SegmentName) -> Result<(BorrowedFd<'_>, u64)> {
        let gone = || Error::with(Code::SegNotPublished, "there is no such segment any more");
        let segment = self.books.segments.get(&name.row).filter(|s| s.incarnation == name.incarnation);
        let segment = segment.filter(|s| s.far.is_none()).ok_or_else(gone)?;
        Ok((segment.memory().object().as_fd(), segment.length))
    }
}

impl Agent {
    /// Does something with the other host, which looks at this one meanwhile.
    fn with_across<R>(&mut self, deed: impl FnOnce(&mut FarHost<Paged<Local>, ()>, &Agent) -> R) -> Option<R> {
        let mut across = self.across.take()?;
        let result = deed(&mut across.host, self);
        self.across = Some(across);
        Some(result)
    }

    /// Hears what the other host says, and tells it what there is to tell.
    pub(super) fn look_across(&mut self) {
        while let Some(event) = self.with_across(|host, agent| host.take(agent)).flatten() {
            self.changed = true;
            match event {
                Event::Mirror(change) => self.heard_across(change),
                Event::Ended(why) => {
                    tracing::warn!(why, "the other host is gone");
                    self.forget_across();
                }
                Event::Met(hello, _) => tracing::info!(cluster = hello.name, "the other host is there"),
                // Nobody connects across yet, so nothing is granted here or there.
                other => tracing::debug!(?other, "heard from the other host"),
            }
        }
        let Some(across) = &mut self.across else { return };
        let trouble = across.host.bridge().trouble();
        if across.trouble != trouble {
            if let Some(trouble) = &trouble {
                tracing::info!(trouble, "the bridge");
            }
            across.trouble = trouble;
        }
    }

    fn heard_across(&mut self, change: Change) {
        let mirror = self.across.as_ref().and_then(|across| across.host.mirror());
        match change {
            Change::Node(node) => {
                let processes = mirror.map_or(Processes::default(), |mirror| mirror.processes(node));
                self.set_far_processes(node, processes);
            }
            Change::Published(name) => {
                // It may be gone by now, which is told next.
                if let Some(publication) = mirror.and_then(|mirror| mirror.segment(name)).cloned()
                    && let Err(error) = self.add_mirror(&publication)
                {
                    tracing::warn!(%error, "a segment of the other host is left out");
                }
            }
            Change::Republished(name) => {
                let access = mirror.and_then(|mirror| mirror.segment(name)).map(access_of);
                let row = self.across.as_ref().and_then(|across| across.rows.get(&name)).copied();
                if let (Some(access), Some(segment)) = (access, row.and_then(|row| self.books.segments.get_mut(&row))) {
                    let node = segment.node;
                    segment.set_access(access);
                    self.something_reachable(node);
                }
            }
            Change::Withdrawn(publication) => self.remove_mirror(publication.segment, EndCause::Withdrawn),
        }
    }

    fn set_far_processes(&self, node: u32, processes: Processes) {
        if self.writer().set_processes(node, processes.count, (processes.pid, processes.uid)) {
            self.something_reachable(node);
        }
    }

    /// A segment of the other host: in the tables, published, and without memory.
    fn add_mirror(&mut self, publication: &Publication) -> Result<()> {
        let &Publication { segment: far, node, id, length, level, uid, gid, number, version, .. } = publication;
        let row = self.books.segment_rows.take(node)?;
        let (bell, epoch) = match self.take_bell(node, node) {
            Ok(bell) => bell,
            Err(error) => {
                self.books.segment_rows.give(row);
                return Err(error);
            }
        };
        let incarnation = self.books.take_serial();
        let fields = SegmentFields::bound(incarnation, length, node, CONTROLLER, (0, uid), bell);
        self.writer().add_segment(row, &fields);
        let kind = ControllerKind::Shared;
        let wanted = Wanted { node, kind, controller: CONTROLLER, length, default_mode: 0, level };
        let memory = Memory::elsewhere(length, &self.books.ledger);
        let mut segment = Segment::new((0, Owner { uid, gid }), incarnation, &wanted, memory, (bell, epoch));
        segment.far = Some(far);
        segment.publication = (number, version);
        segment.set_access(access_of(publication));
        segment.id = Some(id);
        self.books.segments.insert(row, segment);
        let older = self.writer().publish(row, id);
        self.books.published.insert((node, id), row);
        if let Some(older) = older.and_then(|row| self.books.segments.get_mut(&row)) {
            older.newer_in_bucket = Some(row);
        }
        if let Some(across) = &mut self.across {
            across.rows.insert(far, row);
        }
        self.something_reachable(node);
        Ok(())
    }

    fn remove_mirror(&mut self, name: SegmentName, cause: EndCause) {
        if let Some(row) = self.across.as_mut().and_then(|across| across.rows.remove(&name)) {
            self.cut(row, cause);
            self.remove_segment(row);
        }
    }

    /// Nothing of the other host is there any more.
    fn forget_across(&mut self) {
        let names: Vec<SegmentName> = self.across.iter().flat_map(|across| across.rows.keys().copied()).collect();
        for name in names {
            self.remove_mirror(name, EndCause::LinkDown);
        }
        for node in Nodes::up_to(self.node_count).minus(self.here).iter() {
            self.set_far_processes(node, Processes::default());
        }
    }

    /// Processes of a node have come or gone.
    pub(super) fn tell_of_node(&mut self, node: u32) {
        self.with_across(|host, _| host.node_changed(node));
    }

    /// A segment was published or republished.
    pub(super) fn tell_of_segment(&mut self, name: SegmentName) {
        self.with_across(|host, _| host.segment_changed(name));
    }

    /// A segment is published no more.
    pub(super) fn withdraw_across(&mut self, name: SegmentName) {
        if self.books.segments.get(&name.row).is_some_and(|segment| segment.far.is_none()) {
            self.with_across(|host, agent| host.withdraw(agent, name));
        }
    }

    /// Whether a node is one of this host.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT, saying where it is.
    pub(super) fn check_here(&self, node: u32) -> Result<()> {
        if self.here.has(node) {
            return Ok(());
        }
        let text =
            format!("node {node} is one of the other host, this one has {}: start its processes there", self.here);
        Err(Error::with(Code::CtlrNotPresent, text))
    }
}

/// Who of this host may connect. A list without anybody would let in everybody.
fn access_of(publication: &Publication) -> AccessList {
    let nobody = AccessList::new().node(0, 0);
    publication.modes.iter().fold(nobody, |list, entry| list.node(entry.node, entry.mode))
}
