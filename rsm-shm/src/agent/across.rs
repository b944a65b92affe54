//! What the tables say of another host, and what that is told of this one.
//!
//! Its nodes have rows like any other; their processes are as many as it says. Its publications are *mirrors*: segments of
//! the books, published, without memory here and without a member that created them. So whoever looks into the registry,
//! and whoever waits for a publication, finds them where all others are.

use super::Agent;
use super::books::chores::{Chore, Owner as Turn};
use super::books::connection::Connection;
use super::books::memory::Memory;
use super::books::request::{Given, Owed, Undo};
use super::books::segment::{Segment, Wanted};
use super::config::Config;
use super::connect::Grants;
use super::far::host::{At, Estate, Event, FarHost};
use super::far::local::Local;
use super::far::paged::{Host, Paged};
use super::far::{Carrier, Limits, Peering};
use crate::address::random_secret;
use crate::parking::Poster;
use rsm_core::access::{AccessEntry, AccessList, Owner, Permission};
use rsm_core::bell::Accumulate;
use rsm_core::driver::WindowKind;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::peer::asks::Wish;
use rsm_core::peer::lane::Counts;
use rsm_core::peer::life::Stage;
use rsm_core::peer::message::{Grant, Processes, Publication};
use rsm_core::peer::mirror::Change;
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::Facts;
use rsm_core::peer::report::{MOST_TROUBLE, Report};
use rsm_core::registry::{ControllerKind, ControllerRow, SegmentFields};
use rsm_core::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Most segments of the other host that are mirrored.
const MOST: usize = 4096;
/// Most signals that are posted at once; what a peer says beyond that is left out.
const MOST_SIGNALS: u32 = 1 << 16;
/// How often bells are looked at whose waiters are on the other host.
const RELAY_EVERY: Duration = Duration::from_millis(1);

/// A connect that the other host was asked for.
#[derive(Debug)]
pub(super) struct Asking {
    owed: Owed,
    mirror: SegmentName,
    controller: u32,
    permission: Permission,
    has_bells: bool,
}

/// The other host, and the rows of what it has.
pub(super) struct Across {
    /// Controller that reaches it.
    controller: u32,
    host: FarHost<Paged<Local>, Asking>,
    rows: BTreeMap<SegmentName, u32>,
    /// Why there is nobody, as it was told last.
    trouble: Option<String>,
    /// The device, as it was given.
    device: String,
    /// Name of the other agent's cluster, while it is there.
    peer: Option<String>,
}

impl Across {
    /// Opens the bridge that a cluster is configured with.
    ///
    /// # Errors
    /// BAD_CONF, saying which bridges there are.
    pub(super) fn open(config: &Config) -> Result<Option<Across>> {
        let (Some(bridge), Some(controller)) = (&config.bridge, config.bridge_controller()) else { return Ok(None) };
        let device = &bridge.device;
        let Some(name) = device.strip_prefix("local:") else {
            let text = format!("{device:?} is no bridge: give local:NAME, which joins two agents of one machine");
            return Err(Error::with(Code::BadConf, text));
        };
        let nodes = config.here.unwrap_or(Nodes::up_to(config.node_count));
        let host = Host { name: config.name.clone(), node_count: config.node_count, nodes };
        let seed = random_secret()?.iter().fold(0, |seed: u64, &byte| seed.rotate_left(8) ^ u64::from(byte));
        let host = FarHost::new(Paged::new(Local::new(name)?, host)?, MOST, seed);
        Ok(Some(Across { controller, host, rows: BTreeMap::new(), trouble: None, device: device.clone(), peer: None }))
    }

    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.host.bridge().events()
    }

    /// For people, but what the registry and the configuration say.
    pub(super) fn report(&self) -> Report {
        let (bridge, number) = (self.host.bridge(), |count: usize| u32::try_from(count).unwrap_or(u32::MAX));
        let (slots, imports, exports) = self.host.between();
        let Limits { window, granule } = bridge.limits();
        let state = match bridge.stage() {
            None => "closed",
            Some(Stage::Hello) => "hello",
            Some(Stage::Syncing) => "syncing",
            Some(Stage::Open) => "open",
        };
        Report {
            device: self.device.clone(),
            state: state.to_owned(),
            trouble: bridge.trouble().map(|text| text.chars().take(MOST_TROUBLE).collect()),
            peer: self.peer.clone(),
            lives: self.host.lives(),
            window,
            granule,
            slots: number(slots),
            mirrors: number(self.host.mirror().map_or(0, |mirror| mirror.segments().count())),
            imports: number(imports),
            exports: number(exports),
            traffic: bridge.traffic(),
            ..Report::default()
        }
    }

    pub(super) fn next(&self, relays: bool) -> Instant {
        let next = self.host.bridge().next();
        if relays { next.min(Instant::now() + RELAY_EVERY) } else { next }
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
    fn with_across<R>(&mut self, deed: impl FnOnce(&mut FarHost<Paged<Local>, Asking>, &Agent) -> R) -> Option<R> {
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
                    if let Some(across) = &mut self.across {
                        across.peer = None;
                    }
                    self.forget_across();
                }
                Event::Met(hello, _) => {
                    tracing::info!(cluster = hello.name, "the other host is there");
                    if let Some(across) = &mut self.across {
                        across.peer = Some(hello.name);
                    }
                }
                Event::Open => tracing::debug!("each host knows what the other has"),
                Event::Granted { by, number, grant } => {
                    let owed = by.owed;
                    let given = self.granted_across(&by, number, &grant).inspect_err(|_| self.give_back_across(number));
                    if let (Ok((Answer::Connected(connected), _)), Some(member)) =
                        (&given, self.books.members.get_mut(&owed.party))
                    {
                        member.last = Some((owed.number, Undo::Connect(connected.connection.row)));
                    }
                    self.pay(owed, given);
                }
                Event::Refused { by, error } => self.pay(by.owed, Err(error)),
                // Their mirror goes next, or all of them do.
                Event::Cut(_) => {}
                Event::Importer { number, segment, node, pid } => {
                    if let Err(error) = self.connect_from_across(number, node, pid, segment.row) {
                        tracing::warn!(%error, "an importer of the other host cannot be signalled");
                    }
                }
                Event::ImporterGone(number) => {
                    if let Some(row) = self.row_across(At::Export, number) {
                        self.drop_holder(row, 0, EndCause::Disconnected);
                    }
                }
                Event::Signalled { end, number, counts } => self.signalled_across(end, number, counts),
                Event::Looked(party) => self.books.chores.add(Turn::Party(party), Chore::Again(party)),
                Event::LinkSet { from, to, change } => tracing::info!(from, to, ?change, "a link was changed there"),
                Event::Free(segment) => self.books.withdrawals.look_at(segment.row, Some(Instant::now())),
            }
        }
        self.relay();
        let Some(across) = &mut self.across else { return };
        let trouble = across.host.bridge().trouble();
        if across.trouble != trouble {
            if let Some(trouble) = &trouble {
                tracing::info!(trouble, "the bridge");
            }
            across.trouble = trouble;
        }
    }

    /// Asks the other host for a connection to what it has; the answer comes later.
    pub(super) fn ask_across(
        &mut self,
        (party, number): (u64, u64),
        wish: &Wish,
        mirror: SegmentName,
        controller: u32,
        has_bells: bool,
    ) -> Result<()> {
        let owed = Owed { party, number };
        let by = Asking { owed, mirror, controller, permission: wish.permission, has_bells };
        let gone = || Error::with(Code::RemoteNodeUnreachable, "there is no other host");
        self.with_across(|host, _| host.ask(wish, by)).ok_or_else(gone)??;
        self.owe(party, number);
        Ok(())
    }

    /// Has a connect heard again that was refused by what is known of another host: what is there now may be more, which its
    /// asker may have been told by others. `false` where that is not so.
    pub(super) fn look_first(&mut self, party: u64, node: u32) -> bool {
        node >= 1
            && node <= self.node_count
            && !self.here.has(node)
            && self.with_across(|host, _| host.look(party)).unwrap_or(false)
    }

    /// What the asker is given.
    fn granted_across(&mut self, by: &Asking, number: u64, grant: &Grant) -> Result<Given> {
        let importer = self.books.node_of(by.owed.party)?;
        let segment = self.books.segment(by.mirror)?;
        let length = segment.length;
        let bridge = self.across.as_ref().ok_or(Error::new(Code::RemoteNodeUnreachable))?.host.bridge();
        let memory = (by.permission != Permission::None)
            .then(|| bridge.reach(grant.offset, length, by.permission))
            .transpose()?;
        let (memory, offset) = memory.map_or((None, 0), |reach| (Some(reach.memory), reach.offset));
        let window = WindowKind::Posted { slot: grant.slot, seal: grant.seal };
        let way = Grants { window, memory, seals: Some(bridge.seals()?), across: Some(number), offset };
        self.grant(by.owed.party, by.controller, importer, by.mirror.row, by.permission, by.has_bells, way)
    }

    /// A connection of this host to the other is over.
    pub(super) fn give_back_across(&mut self, number: u64) {
        self.with_across(|host, _| host.give_back(number));
    }

    /// The row of a connection by its number at the other host.
    fn row_across(&self, end: At, number: u64) -> Option<u32> {
        let is_it = |connection: &Connection| {
            connection.across == Some(number) && self.here.has(connection.importer) == (end == At::Import)
        };
        self.books.connections.iter().find(|(_, connection)| is_it(connection)).map(|(&row, _)| row)
    }

    /// Whether there are bells here whose waiters are on the other host.
    pub(super) fn relays(&self) -> bool {
        self.across.is_some() && self.books.connections.values().any(|connection| connection.across.is_some())
    }

    /// Takes what was posted here for waiters of the other host, and posts it there.
    pub(super) fn relay(&mut self) {
        if !self.relays() {
            return;
        }
        let mut due: Vec<(At, u64, u32)> = Vec::new();
        let mut shared = BTreeSet::new();
        for connection in self.books.connections.values() {
            let (Some(number), Some(segment)) = (connection.across, connection.segment) else { continue };
            let (end, bell) = if self.here.has(connection.importer) {
                // The bell of the mirror is that of all its importers.
                let mirror = self.books.segments.get(&segment).filter(|_| shared.insert(segment));
                (At::Import, mirror.and_then(|mirror| self.books.bell(mirror.node, mirror.bell)))
            } else {
                (At::Export, self.books.bell(connection.exporter, connection.bell))
            };
            let Some(bell) = bell else { continue };
            let pending = bell.pending();
            let taken = (0..pending.min(MOST_SIGNALS)).take_while(|_| bell.try_take() == Ok(true)).count();
            if taken > 0 {
                due.push((end, number, u32::try_from(taken).unwrap_or(MOST_SIGNALS)));
            }
        }
        for (end, number, signals) in due {
            // Of a connection that is over it is nobody's.
            let _ = self.with_across(|host, _| host.post(end, number, Counts { signals, singles: 0 }));
        }
    }

    /// Signals of the other host, for who waits here.
    fn signalled_across(&self, end: At, number: u64, counts: Counts) {
        let Some((row, connection)) =
            self.row_across(end, number).and_then(|row| Some((row, self.books.connections.get(&row)?)))
        else {
            return;
        };
        let (bell, epoch) = match end {
            At::Export => {
                let segment = connection.segment.and_then(|row| self.books.segments.get(&row));
                let Some(segment) = segment else { return };
                (self.books.bell(segment.node, segment.bell), segment.epoch)
            }
            At::Import => {
                let Some(fields) = self.map.registry().connections[row as usize].fields() else { return };
                (self.books.bell(connection.exporter, connection.bell), fields.epoch)
            }
        };
        let Some(bell) = bell else { return };
        for _ in 0..counts.signals.min(MOST_SIGNALS) {
            let _ = bell.post(epoch, Accumulate::Yes, &Poster);
        }
        if counts.singles > 0 {
            let _ = bell.post(epoch, Accumulate::No, &Poster);
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
        let controller = self.across.as_ref().map_or(0, |across| across.controller);
        let fields = SegmentFields::bound(incarnation, length, node, controller, (0, uid), bell);
        self.writer().add_segment(row, &fields);
        let kind = ControllerKind::Shared;
        let wanted = Wanted { node, kind, controller, length, default_mode: 0, level };
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

    /// The controller that reaches the other host.
    pub(super) fn controller_across(&self) -> Option<u32> {
        self.across.as_ref().map(|across| across.controller)
    }

    /// The bridge, for people.
    pub(super) fn bridge(&self) -> Option<Box<Report>> {
        let (across, registry) = (self.across.as_ref()?, self.map.registry());
        let controller = registry.controllers.get(across.controller as usize).map(ControllerRow::name);
        let host = self.here.first().map_or(0, |node| registry.nodes[node as usize].fields().host);
        let (controller, here) = (controller.unwrap_or_default(), self.here.bits());
        Some(Box::new(Report { controller, here, host, ..across.report() }))
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
