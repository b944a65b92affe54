//! Whole hosts at the two ends of an emulated bridge: what an agent keeps of the other, over the driver.

use crate::world::{PATIENCE, memory, readable, set_word, word};
use rsm_core::access::{AccessEntry, Level, Permission};
use rsm_core::generation::Generation;
use rsm_core::message::SegmentName;
use rsm_core::peer::asks::Wish;
use rsm_core::peer::control::seal_at;
use rsm_core::peer::message::{Grant, Processes, Publication};
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::Facts;
use rsm_core::peer::seal::Seal;
use rsm_core::peer::{Far, UNANSWERED};
use rsm_core::registry::{LinkState, LinkWord};
use rsm_core::sync::AtomicU64;
use rsm_core::verdict::{Snapshot, Window};
use rsm_core::{Code, Error, Result};
use rsm_ntb::{Ntb, PciFunction};
use rsm_shm::agent::far::host::{Estate, Event, FarHost};
use rsm_shm::agent::far::paged::{self, Paged};
use rsm_shm::agent::far::{Device, Peering};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// Bytes of a segment.
pub(crate) const BYTES: u64 = 1 << 16;

pub(crate) fn segment(row: u32) -> SegmentName {
    SegmentName { row, incarnation: 1 }
}

/// What a host has: a process of each node, and segments.
pub(crate) struct Land {
    nodes: Nodes,
    segments: BTreeMap<SegmentName, (File, Publication)>,
}

impl Facts for Land {
    fn processes(&self, node: u32) -> Processes {
        Processes { count: u32::from(self.nodes.has(node)), pid: std::process::id(), uid: 0 }
    }
    fn publication(&self, segment: SegmentName) -> Option<Publication> {
        self.segments.get(&segment).map(|(_, publication)| publication.clone())
    }
}

impl Estate for Land {
    fn nodes(&self) -> Nodes {
        self.nodes
    }
    fn segments(&self) -> Vec<SegmentName> {
        self.segments.keys().copied().collect()
    }
    fn admit(&mut self, _: u64, wish: &Wish) -> Result<u64> {
        let &Wish { segment, version, .. } = wish;
        let gone = || Error::with(Code::SegNotPublished, "there is no such publication");
        self.segments.get(&segment).filter(|(_, p)| p.version == version).map(|(_, p)| p.length).ok_or_else(gone)
    }
    fn memory(&self, segment: SegmentName) -> Result<(BorrowedFd<'_>, u64)> {
        let gone = || Error::with(Code::SegNotPublished, "the memory is gone");
        self.segments.get(&segment).map(|(memory, p)| (memory.as_fd(), p.length)).ok_or_else(gone)
    }
}

/// A host with its part of the work.
pub(crate) struct Host<F: PciFunction + 'static> {
    pub(crate) land: Land,
    pub(crate) far: FarHost<Paged<Ntb<F>>, u32>,
    pub(crate) events: Vec<Event<u32>>,
}

impl<F: PciFunction + 'static> Host<F> {
    pub(crate) fn new(function: F, nodes: &str) -> Host<F> {
        let nodes = Nodes::parse(nodes).unwrap();
        let host = paged::Host { name: format!("lab-{nodes}"), node_count: 4, nodes };
        let bridge = Paged::new(Ntb::take_over(function).unwrap(), host).unwrap();
        let land = Land { nodes, segments: BTreeMap::new() };
        Host { land, far: FarHost::new(bridge, 100, 7), events: Vec::new() }
    }

    /// Publishes memory whose first word is `first`.
    pub(crate) fn publish(&mut self, row: u32, first: u64) {
        let theirs = Nodes::up_to(4).minus(self.land.nodes);
        let modes = theirs.iter().map(|node| AccessEntry { node, mode: 0o600 }).collect();
        let (segment, node) = (segment(row), self.land.nodes.first().unwrap());
        let (id, level, uid, gid, number, version) = (row + 1, Level::Guarded, 0, 0, 1, 1);
        let publication = Publication { segment, node, id, length: BYTES, level, uid, gid, number, modes, version };
        self.land.segments.insert(segment, (memory(BYTES, first), publication));
        self.far.segment_changed(segment);
    }

    /// Ends a publication; what its memory was.
    pub(crate) fn withdraw(&mut self, row: u32) -> File {
        let (memory, _) = self.land.segments.remove(&segment(row)).unwrap();
        self.far.withdraw(&self.land, segment(row));
        memory
    }

    pub(crate) fn word(&self, row: u32, at: u64) -> u64 {
        word(&self.land.segments[&segment(row)].0, at)
    }

    pub(crate) fn set_word(&self, row: u32, at: u64, new: u64) {
        set_word(&self.land.segments[&segment(row)].0, at, new);
    }

    pub(crate) fn turn(&mut self) {
        while let Some(event) = self.far.take(&mut self.land) {
            self.events.push(event);
        }
    }

    /// The first event that this says something of is taken out.
    pub(crate) fn event<R>(&mut self, which: impl Fn(&Event<u32>) -> Option<R>) -> Option<R> {
        let found = self.events.iter().position(|event| which(event).is_some())?;
        which(&self.events.remove(found))
    }

    /// Whether it knows of so many segments of the other.
    pub(crate) fn knows(&self, segments: usize) -> bool {
        self.far.mirror().is_some_and(|mirror| mirror.segments().count() == segments)
    }

    /// Wants a connection to a segment of the other host.
    pub(crate) fn ask(&mut self, by: u32, row: u32, permission: Permission) -> u64 {
        let node = self.land.nodes.first().unwrap();
        let wish = Wish { segment: segment(row), version: 1, length: BYTES, node, pid: 1, permission };
        self.far.ask(&wish, by).unwrap()
    }

    fn next(&self) -> Instant {
        self.far.bridge().next()
    }
}

/// Gives two hosts their turns until something is so.
pub(crate) fn until<F: PciFunction, G: PciFunction, R>(
    what: &str,
    (one, other): (&mut Host<F>, &mut Host<G>),
    mut done: impl FnMut(&mut Host<F>, &mut Host<G>) -> Option<R>,
) -> R {
    let end = Instant::now() + PATIENCE;
    loop {
        one.turn();
        other.turn();
        if let Some(result) = done(one, other) {
            return result;
        }
        let now = Instant::now();
        let troubles = (one.far.bridge().trouble(), other.far.bridge().trouble());
        assert!(now < end, "{what}: {troubles:?} {:?} {:?}", one.events, other.events);
        let left = one.next().min(other.next()).saturating_duration_since(now) + Duration::from_micros(1);
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let events = [one.far.bridge().events(), other.far.bridge().events()];
        let mut polled = events.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let _ = poll(&mut polled, Some(&left));
    }
}

pub(crate) fn open(event: &Event<u32>) -> Option<()> {
    (*event == Event::Open).then_some(())
}

pub(crate) fn granted(by: u32) -> impl Fn(&Event<u32>) -> Option<(u64, Grant)> {
    move |event| match event {
        Event::Granted { by: to, number, grant } if *to == by => Some((*number, *grant)),
        _ => None,
    }
}

pub(crate) fn ended(event: &Event<u32>) -> Option<String> {
    if let Event::Ended(why) = event { Some(why.clone()) } else { None }
}

/// What an importing process has; its stores are made by its agent, as an emulated bridge without a machine cannot be mapped.
pub(crate) struct Import<'a, F: PciFunction + 'static> {
    host: &'a Host<F>,
    /// Whether a verdict loads the seal, or takes it for what it was.
    reads_back: bool,
    sentinel: OwnedFd,
    seal: Seal,
    grant: Grant,
    generation: AtomicU64,
    link: AtomicU64,
}

impl<'a, F: PciFunction> Import<'a, F> {
    pub(crate) fn new(host: &'a Host<F>, grant: Grant) -> Import<'a, F> {
        Import {
            host,
            reads_back: true,
            sentinel: host.far.bridge().sentinel().unwrap().unwrap(),
            seal: grant.seal().unwrap(),
            grant,
            generation: AtomicU64::new(Generation::live(1).word()),
            link: AtomicU64::new(LinkWord::new(LinkState::Active).word()),
        }
    }

    /// One whose verdicts load nothing.
    pub(crate) fn that_does_not_read_back(self) -> Self {
        Import { reads_back: false, ..self }
    }

    /// Stores a word, and says what the verdict is.
    pub(crate) fn put(&self, at: u64, word: u64) -> Result<(), Code> {
        let opened = Snapshot { granted: Generation::live(1), link: LinkWord::new(LinkState::Active) };
        if let Some(far) = self.host.far.bridge().device().far() {
            far.store(self.grant.offset + at, word).unwrap();
        }
        opened.judge_posted(&self.generation, &self.link, self.seal, self).map_err(|error| error.code())
    }

    /// Loads a word.
    pub(crate) fn get(&self, at: u64) -> u64 {
        let far = self.host.far.bridge().device().far();
        far.map_or(UNANSWERED, |far| far.load(self.grant.offset + at).unwrap())
    }
}

impl<F: PciFunction> Window for Import<'_, F> {
    fn fence(&self) {
        rsm_shm::memory::fence::full();
    }
    fn load_seal(&self) -> u64 {
        if !self.reads_back {
            return self.seal.word();
        }
        let far = self.host.far.bridge().device().far();
        let word = far.map_or(UNANSWERED, |far| Far::load(far, seal_at(self.grant.slot)));
        if readable(self.sentinel.as_fd(), false) { UNANSWERED } else { word }
    }
    fn wait(&self) -> bool {
        false
    }
}
