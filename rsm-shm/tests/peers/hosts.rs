//! Whole hosts: memory of one that the other has connected to, puts that are vouched for or not, and deaths.

use crate::side::DEADLINE;
use crate::{Other, bridge};
use rsm_core::access::{AccessEntry, Level, Permission};
use rsm_core::generation::{EndCause, Generation};
use rsm_core::message::SegmentName;
use rsm_core::peer::asks::Wish;
use rsm_core::peer::lane::Counts;
use rsm_core::peer::message::{Grant, Processes, Publication};
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::Facts;
use rsm_core::peer::seal::Seal;
use rsm_core::registry::{LinkState, LinkWord};
use rsm_core::sync::AtomicU64;
use rsm_core::verdict::{self, Snapshot, Window};
use rsm_core::{Code, Error, Result};
use rsm_shm::agent::far::host::{At, Estate, Event, FarHost};
use rsm_shm::agent::far::local::Local;
use rsm_shm::agent::far::paged::{self, Paged};
use rsm_shm::agent::far::{Carrier, Peering, Reach};
use rsm_shm::memory::memfd::{self, Sealing};
use rsm_shm::memory::pages::SealPages;
use rsm_shm::memory::{fence, lease, page_size};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

const SEGMENT: SegmentName = SegmentName { row: 0, incarnation: 1 };

/// What a host has: a process of each node, and segments.
struct Land {
    nodes: Nodes,
    segments: BTreeMap<SegmentName, (OwnedFd, Publication)>,
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
        let &Wish { segment, version, node, permission, .. } = wish;
        let gone = || Error::with(Code::SegNotPublished, "there is no such publication");
        let (_, publication) = self.segments.get(&segment).filter(|(_, p)| p.version == version).ok_or_else(gone)?;
        if !publication.modes.iter().any(|entry| entry.node == node) {
            return Err(Error::with(Code::SegNotPublishedToNode, format!("it is not published to node {node}")));
        }
        if !publication.level.admits(permission) {
            return Err(Error::with(Code::PermDenied, "it is sealed"));
        }
        Ok(publication.length)
    }
    fn memory(&self, segment: SegmentName) -> Result<(BorrowedFd<'_>, u64)> {
        let gone = || Error::with(Code::SegNotPublished, "the memory is gone");
        self.segments.get(&segment).map(|(memory, p)| (memory.as_fd(), p.length)).ok_or_else(gone)
    }
}

/// A host with its part of the work.
struct Host {
    land: Land,
    far: FarHost<Paged<Local>, u32>,
    events: Vec<Event<u32>>,
}

impl Host {
    fn new(bridge: &str, nodes: &str) -> Host {
        let nodes = Nodes::parse(nodes).unwrap();
        let host = paged::Host { name: "lab".to_owned(), node_count: 4, nodes };
        let bridge = Paged::new(Local::new(bridge).unwrap(), host).unwrap();
        let land = Land { nodes, segments: BTreeMap::new() };
        Host { land, far: FarHost::new(bridge, 100, 7), events: Vec::new() }
    }

    /// Publishes memory of two pages to some nodes.
    fn publish(&mut self, level: Level, to: &[u32]) {
        let length = 2 * page_size() as u64;
        let memory = memfd::create("rsm-segment", length).unwrap();
        memfd::seal(&memory, Sealing::Size).unwrap();
        let modes = to.iter().map(|&node| AccessEntry { node, mode: 0o600 }).collect();
        let node = self.land.nodes.first().unwrap();
        let (segment, id, uid, gid, number, version) = (SEGMENT, 1, 0, 0, 1, 1);
        let publication = Publication { segment, node, id, length, level, uid, gid, number, modes, version };
        self.land.segments.insert(SEGMENT, (memory, publication));
        self.far.segment_changed(SEGMENT);
    }

    fn turn(&mut self) {
        while let Some(event) = self.far.take(&mut self.land) {
            self.events.push(event);
        }
    }

    /// The first event that this says something of is taken out.
    fn event<R>(&mut self, which: impl Fn(&Event<u32>) -> Option<R>) -> Option<R> {
        let found = self.events.iter().position(|event| which(event).is_some())?;
        which(&self.events.remove(found))
    }

    fn ask(&mut self, by: u32, node: u32, permission: Permission) -> Result<u64> {
        let publication = self.far.mirror().and_then(|mirror| mirror.segment(SEGMENT)).cloned();
        let (version, length) = publication.map_or((0, 1), |p| (p.version, p.length));
        self.far.ask(&Wish { segment: SEGMENT, version, length, node, pid: 1, permission }, by)
    }

    fn memory(&self) -> &OwnedFd {
        &self.land.segments[&SEGMENT].0
    }
}

/// Gives hosts their turns until something is so.
fn until<R>(what: &str, hosts: &mut [&mut Host], mut done: impl FnMut(&mut [&mut Host]) -> Option<R>) -> R {
    let end = Instant::now() + DEADLINE;
    loop {
        hosts.iter_mut().for_each(|host| host.turn());
        if let Some(result) = done(hosts) {
            return result;
        }
        let now = Instant::now();
        assert!(now < end, "{what}: {:?}", hosts.iter().map(|host| &host.events).collect::<Vec<_>>());
        let next = hosts.iter().map(|host| host.far.bridge().next()).min().unwrap_or(now);
        let left = next.saturating_duration_since(now) + Duration::from_micros(1);
        let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        let events: Vec<_> = hosts.iter().map(|host| host.far.bridge().events()).collect();
        let mut polled: Vec<_> = events.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        let _ = poll(&mut polled, Some(&left));
    }
}

fn open(event: &Event<u32>) -> Option<()> {
    (*event == Event::Open).then_some(())
}

fn granted(by: u32) -> impl Fn(&Event<u32>) -> Option<(u64, Grant)> {
    move |event| match event {
        Event::Granted { by: to, number, grant } if *to == by => Some((*number, *grant)),
        _ => None,
    }
}

/// What an importing process has.
struct Import {
    reach: Reach,
    seal: Seal,
    slot: u32,
    seals: SealPages,
    generation: AtomicU64,
    link: AtomicU64,
}

impl Import {
    fn new(host: &Host, grant: Grant, permission: Permission) -> Import {
        let length = 2 * page_size() as u64;
        Import {
            reach: host.far.bridge().reach(grant.offset, length, permission).unwrap(),
            seal: grant.seal().unwrap(),
            slot: grant.slot,
            seals: SealPages::open(host.far.bridge().seals().unwrap().memory, 0, false).unwrap(),
            generation: AtomicU64::new(Generation::live(1).word()),
            link: AtomicU64::new(LinkWord::new(LinkState::Active).word()),
        }
    }

    /// Puts, and says what the verdict is.
    fn put(&self, bytes: &[u8]) -> Result<(), Code> {
        let opened = Snapshot { granted: Generation::live(1), link: LinkWord::new(LinkState::Active) };
        rustix::io::pwrite(&self.reach.memory, bytes, self.reach.offset).unwrap();
        opened.judge_posted(&self.generation, &self.link, self.seal, self).map_err(|error| error.code())
    }
}

impl Window for Import {
    fn fence(&self) {
        fence::full();
    }
    fn load_seal(&self) -> u64 {
        self.seals.load(self.slot)
    }
    fn wait(&self) -> bool {
        false
    }
}

fn bytes_of(memory: &OwnedFd) -> [u8; 4] {
    let mut bytes = [0; 4];
    rustix::io::pread(memory, &mut bytes, 0).unwrap();
    bytes
}

pub(crate) fn a_put_across_is_vouched_for_until_it_is_withdrawn() {
    let bridge = bridge("put");
    let (mut one, mut other) = (Host::new(&bridge, "1-2"), Host::new(&bridge, "3-4"));
    one.publish(Level::Guarded, &[3]);
    until("they meet", &mut [&mut one, &mut other], |h| h[1].event(open));
    let numbers = [Permission::ReadWrite, Permission::ReadWrite, Permission::Read]
        .map(|permission| other.ask(permission.bits(), 3, permission).unwrap());
    let abandoned = other.ask(9, 3, Permission::Read).unwrap();
    other.far.abandon(abandoned);
    let both = &mut [&mut one, &mut other];
    let writes = granted(Permission::ReadWrite.bits());
    let grants = [&writes, &writes].map(|which| until("it is granted", both, |h| h[1].event(which)));
    let (reads, read_grant) = until("it is granted", both, |h| h[1].event(granted(Permission::Read.bits())));
    assert_eq!([grants[0].0, grants[1].0, reads], numbers);
    assert_eq!(grants[0].1.slot, grants[1].1.slot, "attached once for those that write");
    assert!(read_grant.slot != grants[0].1.slot && read_grant.lane != grants[1].1.lane);
    let import = Import::new(&other, grants[0].1, Permission::ReadWrite);
    assert_eq!(import.put(b"one "), Ok(()));
    assert_eq!(&bytes_of(one.memory()), b"one ");
    let length = 2 * page_size() as u64;
    let denied = other.far.bridge().reach(read_grant.offset, length, Permission::ReadWrite).unwrap_err();
    assert_eq!(denied.code(), Code::PermDenied);
    // One of two gives back: the other goes on.
    other.far.give_back(grants[1].0);
    other.far.give_back(grants[1].0);
    until("it is given back", &mut [&mut one, &mut other], |_| (import.put(b"two ") == Ok(())).then_some(()));
    // What the other host does not know yet the seal tells at once.
    let (memory, _) = one.land.segments.remove(&SEGMENT).unwrap();
    one.far.withdraw(&one.land, SEGMENT);
    assert_eq!(import.put(b"late"), Err(Code::ConnAborted));
    let cut = |event: &Event<u32>| if let Event::Cut(numbers) = event { Some(numbers.clone()) } else { None };
    let numbers = until("it is cut", &mut [&mut one, &mut other], |h| h[1].event(cut));
    assert_eq!(numbers, [grants[0].0, reads]);
    let free = |event: &Event<u32>| (*event == Event::Free(SEGMENT)).then_some(());
    until("it is free", &mut [&mut one, &mut other], |h| h[0].event(free));
    assert!(one.far.is_free(SEGMENT) && !lease::only_original(&memory).unwrap(), "the importer has it still");
    verdict::abort(&import.generation, EndCause::Withdrawn);
    drop(import);
    until("nobody has it", &mut [&mut one, &mut other], |_| lease::only_original(&memory).unwrap().then_some(()));
    // Whoever gave up heard nothing.
    assert!(other.event(granted(9)).is_none());
    assert!(other.ask(1, 3, Permission::Read).is_err(), "it is not published");
}

pub(crate) fn who_may_not_connect_is_told_why() {
    let bridge = bridge("refused");
    let (mut one, mut other) = (Host::new(&bridge, "1-2"), Host::new(&bridge, "3-4"));
    assert_eq!(other.ask(1, 3, Permission::Read).unwrap_err().code(), Code::RemoteNodeUnreachable);
    one.publish(Level::Sealed, &[3]);
    until("they meet", &mut [&mut one, &mut other], |h| h[1].event(open));
    for (by, node, permission, code) in
        [(1, 4, Permission::Read, Code::SegNotPublishedToNode), (2, 3, Permission::Write, Code::PermDenied)]
    {
        other.ask(by, node, permission).unwrap();
        let refused = |event: &Event<u32>| match event {
            Event::Refused { by: to, error } if *to == by => Some(error.clone()),
            _ => None,
        };
        let error = until("it is refused", &mut [&mut one, &mut other], |h| h[1].event(refused));
        assert_eq!(error.code(), code);
        assert!(error.to_string().contains("the other host refuses"), "{error}");
    }
    other.ask(3, 3, Permission::Read).unwrap();
    let (_, grant) = until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(3)));
    // What waits for an answer when the link ends gets one; what stands is cut.
    other.ask(4, 3, Permission::Read).unwrap();
    let import = Import::new(&other, grant, Permission::Read);
    one.far.close(&one.land, "repairs");
    assert_eq!(import.put_nothing(), Err(Code::ConnAborted), "the seals first");
    let told = until("it ends", &mut [&mut other], |h| {
        h[0].event(|event| if let Event::Ended(why) = event { Some(why.clone()) } else { None })
    });
    assert!(told.contains("repairs"), "{told}");
    assert!(other.event(|event| if let Event::Cut(numbers) = event { Some(numbers.len()) } else { None }) == Some(1));
    let answered = |event: &Event<u32>| match event {
        Event::Refused { by: 4, error } => Some(error.code()),
        _ => None,
    };
    assert_eq!(other.event(answered), Some(Code::RemoteNodeUnreachable));
}

pub(crate) fn a_host_that_does_not_answer_is_waited_for_no_longer() {
    let bridge = bridge("silent");
    let (mut one, other) = (Host::new(&bridge, "1-2"), Host::new(&bridge, "3-4"));
    let mut other = Host { far: other.far.with_patience(Duration::from_millis(50)), ..other };
    one.publish(Level::Guarded, &[3]);
    until("they meet", &mut [&mut one, &mut other], |h| h[1].event(open));
    other.ask(1, 3, Permission::Read).unwrap();
    assert!(other.far.look((2, 7)));
    // The other end stands still.
    let refused = |event: &Event<u32>| match event {
        Event::Refused { by: 1, error } => Some(error.clone()),
        _ => None,
    };
    let unlooked = |event: &Event<u32>| match event {
        Event::Unlooked((2, 7), error) => Some(error.clone()),
        _ => None,
    };
    let errors = [
        until("it is waited for no longer", &mut [&mut other], |h| h[0].event(refused)),
        until("it is waited for no longer", &mut [&mut other], |h| h[0].event(unlooked)),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::RemoteNodeUnreachable);
        assert!(error.detail().contains("does not answer: it may be stopped"), "{error}");
    }
    // It goes on, and what it grants late is given back.
    let answers = |event: &Event<u32>| (*event == Event::Answers).then_some(());
    for _ in 0..2 {
        until("it answers", &mut [&mut one, &mut other], |h| h[1].event(answers));
    }
    let is_back = |h: &mut [&mut Host]| (h[0].far.between() == (0, 0, 0)).then_some(());
    until("it is given back", &mut [&mut one, &mut other], is_back);
    assert!(other.event(granted(1)).is_none() && other.far.lives() == 1);
    other.far = other.far.with_patience(DEADLINE);
    other.ask(3, 3, Permission::Read).unwrap();
    until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(3)));
}

const SIGNAL: Counts = Counts::of(1, 0);

/// Adds up what has come to an end of a connection until it is so much.
fn signalled(hosts: &mut [&mut Host], at: usize, end: At, number: u64, expected: Counts) {
    let mut sum = Counts::default();
    until("it is signalled", hosts, |h| {
        let mine = |event: &Event<u32>| match event {
            Event::Signalled { end: e, number: n, counts } if (*e, *n) == (end, number) => Some(*counts),
            _ => None,
        };
        while let Some(counts) = h[at].event(mine) {
            sum = sum.plus(counts);
        }
        (sum == expected).then_some(())
    });
}

pub(crate) fn signals_cross_and_reach_the_connection_meant() {
    let bridge = bridge("signals");
    let (mut one, mut other) = (Host::new(&bridge, "1-2"), Host::new(&bridge, "3-4"));
    one.publish(Level::Guarded, &[3]);
    until("they meet", &mut [&mut one, &mut other], |h| h[1].event(open));
    other.ask(1, 3, Permission::ReadWrite).unwrap();
    let (first, grant) = until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(1)));
    let import = Import::new(&other, grant, Permission::ReadWrite);
    assert_eq!(import.put(b"data"), Ok(()));
    let mixed = Counts::of(3, 1);
    other.far.post(At::Import, first, mixed).unwrap();
    one.far.post(At::Export, first, SIGNAL).unwrap();
    one.far.post(At::Export, first, SIGNAL).unwrap();
    signalled(&mut [&mut one, &mut other], 0, At::Export, first, mixed);
    assert_eq!(&bytes_of(one.memory()), b"data", "what was put before is there");
    signalled(&mut [&mut one, &mut other], 1, At::Import, first, SIGNAL.plus(SIGNAL));
    // The last signals of a connection, then another one by the same lane.
    other.far.post(At::Import, first, SIGNAL).unwrap();
    other.far.post(At::Import, first, SIGNAL).unwrap();
    other.far.give_back(first);
    assert_eq!(other.far.post(At::Import, first, SIGNAL).unwrap_err().code(), Code::ConnAborted);
    signalled(&mut [&mut one, &mut other], 0, At::Export, first, SIGNAL.plus(SIGNAL));
    other.ask(2, 3, Permission::Read).unwrap();
    let (second, again) = until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(2)));
    assert_eq!(again.lane, grant.lane);
    other.far.post(At::Import, second, SIGNAL).unwrap();
    one.far.post(At::Export, second, SIGNAL).unwrap();
    signalled(&mut [&mut one, &mut other], 0, At::Export, second, SIGNAL);
    signalled(&mut [&mut one, &mut other], 1, At::Import, second, SIGNAL);
    // Withdrawn: what is posted before the other host knows is nobody's.
    let (_memory, _) = one.land.segments.remove(&SEGMENT).unwrap();
    one.far.withdraw(&one.land, SEGMENT);
    assert_eq!(one.far.post(At::Export, second, SIGNAL).unwrap_err().code(), Code::ConnAborted);
    other.far.post(At::Import, second, SIGNAL).unwrap();
    let cut = |event: &Event<u32>| matches!(event, Event::Cut(_)).then_some(());
    until("it is cut", &mut [&mut one, &mut other], |h| h[1].event(cut));
    let free = |event: &Event<u32>| (*event == Event::Free(SEGMENT)).then_some(());
    until("it is free", &mut [&mut one, &mut other], |h| h[0].event(free));
    assert_eq!(other.far.post(At::Import, second, SIGNAL).unwrap_err().code(), Code::ConnAborted);
    let late = |event: &Event<u32>| matches!(event, Event::Signalled { .. }).then_some(());
    assert_eq!((one.event(late), other.event(late)), (None, None));
}

/// A host that does not read keeps nobody from being told, once it does, that memory was taken back.
pub(crate) fn what_a_host_was_not_told_in_time_is_told_later() {
    let bridge = bridge("unread");
    let (mut one, mut other) = (Host::new(&bridge, "1-2"), Host::new(&bridge, "3-4"));
    one.publish(Level::Guarded, &[3]);
    until("they meet", &mut [&mut one, &mut other], |h| h[1].event(open));
    other.ask(1, 3, Permission::ReadWrite).unwrap();
    let (number, grant) = until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(1)));
    // More than the socket between the two takes.
    for _ in 0..4000 {
        one.far.post(At::Export, number, SIGNAL).unwrap();
    }
    let (memory, _) = one.land.segments.remove(&SEGMENT).unwrap();
    one.far.withdraw(&one.land, SEGMENT);
    let length = 2 * page_size() as u64;
    let reach = |host: &Host| host.far.bridge().reach(grant.offset, length, Permission::Read).map(drop);
    assert!(one.far.is_free(SEGMENT) && reach(&other).is_ok() && !lease::only_original(&memory).unwrap());
    until("it is told", &mut [&mut one, &mut other], |h| reach(h[1]).is_err().then_some(()));
    until("nobody has it", &mut [&mut one, &mut other], |_| lease::only_original(&memory).unwrap().then_some(()));
    // The same place again.
    one.publish(Level::Guarded, &[3]);
    let known = |h: &mut [&mut Host]| h[1].far.mirror().and_then(|mirror| mirror.segment(SEGMENT)).map(drop);
    until("it is published", &mut [&mut one, &mut other], known);
    other.ask(2, 3, Permission::Read).unwrap();
    let (_, again) = until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(2)));
    assert_eq!((again.offset, one.far.lives(), other.far.lives()), (grant.offset, 1, 1));
}

/// However many there are, a waiter is woken by what does not accumulate.
pub(crate) fn singles_are_not_lost_on_a_host_that_does_not_look() {
    let bridge = bridge("singles");
    let (mut one, mut other) = (Host::new(&bridge, "1-2"), Host::new(&bridge, "3-4"));
    one.publish(Level::Guarded, &[3]);
    until("they meet", &mut [&mut one, &mut other], |h| h[1].event(open));
    other.ask(1, 3, Permission::ReadWrite).unwrap();
    let (number, _) = until("it is granted", &mut [&mut one, &mut other], |h| h[1].event(granted(1)));
    let single = Counts::of(0, 1);
    // More than fit into half of a count, and into a whole one.
    for times in [40_000, 70_000] {
        for _ in 0..times {
            one.far.post(At::Export, number, single).unwrap();
        }
        one.far.post(At::Export, number, SIGNAL).unwrap();
        let mut sum = Counts::default();
        until("it is signalled", &mut [&mut one, &mut other], |h| {
            let mine = |event: &Event<u32>| match event {
                Event::Signalled { end: At::Import, counts, .. } => Some(*counts),
                _ => None,
            };
            while let Some(counts) = h[1].event(mine) {
                sum = sum.plus(counts);
            }
            (sum.signals == 1).then_some(())
        });
        assert!(sum.singles > 2, "all that was on its way was seen, and of what was held back the first and the last");
    }
    // What is held back of a connection that ends comes before the end.
    for _ in 0..40_000 {
        other.far.post(At::Import, number, single).unwrap();
    }
    other.far.post(At::Import, number, SIGNAL).unwrap();
    other.far.give_back(number);
    let last = |event: &Event<u32>| match event {
        Event::Signalled { end: At::Export, counts, .. } => Some(*counts),
        _ => None,
    };
    let counts = until("it is signalled", &mut [&mut one, &mut other], |h| h[0].event(last));
    assert_eq!(counts, Counts { signals: 1, singles: (1 << 14) + 2, before: 0 });
}

impl Import {
    /// The verdict of a span of loads.
    fn put_nothing(&self) -> Result<(), Code> {
        let opened = Snapshot { granted: Generation::live(1), link: LinkWord::new(LinkState::Active) };
        opened.judge_posted(&self.generation, &self.link, self.seal, self).map_err(|error| error.code())
    }
}

/// A whole host in another process: publishes to nodes 1 and 2, connects to what node 1 publishes, and says so.
pub(crate) fn play(bridge: &str) {
    let mut host = Host::new(bridge, "3-4");
    host.publish(Level::Guarded, &[1]);
    println!("up");
    let published = |event: &Event<u32>| matches!(event, Event::Mirror(_)).then_some(());
    until("it is published", &mut [&mut host], |h| {
        let known = h[0].far.mirror().is_some_and(|mirror| mirror.segment(SEGMENT).is_some());
        h[0].event(published).filter(|()| known)
    });
    host.ask(1, 3, Permission::ReadWrite).unwrap();
    let (_, grant) = until("it is granted", &mut [&mut host], |h| h[0].event(granted(1)));
    let import = Import::new(&host, grant, Permission::ReadWrite);
    println!("put {:?}", import.put(b"kill"));
    until("it is killed", &mut [&mut host], |_| None::<()>);
}

pub(crate) fn a_dead_importer_leaves_nothing() {
    let bridge = bridge("importer");
    let mut host = Host::new(&bridge, "1-2");
    host.publish(Level::Guarded, &[3]);
    let mut other = Other::start_host(&bridge);
    until("it puts", &mut [&mut host], |h| (&bytes_of(h[0].memory()) == b"kill").then_some(()));
    // Its verdict needs nobody here.
    assert_eq!(other.says("put"), "put Ok(())\n");
    assert!(!lease::only_original(host.memory()).unwrap());
    other.signal(Signal::KILL);
    let free = |event: &Event<u32>| (*event == Event::Free(SEGMENT)).then_some(());
    until("it is free", &mut [&mut host], |h| h[0].event(free));
    until("nobody has it", &mut [&mut host], |h| lease::only_original(h[0].memory()).unwrap().then_some(()));
    assert!(host.far.is_free(SEGMENT) && host.far.mirror().is_none());
}

pub(crate) fn a_dead_exporter_is_missed() {
    let bridge = bridge("exporter");
    let mut host = Host::new(&bridge, "1-2");
    let other = Other::start_host(&bridge);
    until("they meet", &mut [&mut host], |h| h[0].event(open));
    let number = host.ask(5, 1, Permission::ReadWrite).unwrap();
    let (granted, grant) = until("it is granted", &mut [&mut host], |h| h[0].event(granted(5)));
    assert_eq!(granted, number);
    let import = Import::new(&host, grant, Permission::ReadWrite);
    assert_eq!(import.put(b"here"), Ok(()));
    other.signal(Signal::KILL);
    let cut = |event: &Event<u32>| if let Event::Cut(numbers) = event { Some(numbers.clone()) } else { None };
    assert_eq!(until("it is cut", &mut [&mut host], |h| h[0].event(cut)), [number]);
    verdict::abort(&import.generation, EndCause::LinkDown);
    assert_eq!(import.put(b"late"), Err(Code::ConnAborted));
    // A connection that was cut is given back to nobody.
    host.far.give_back(number);
    assert_eq!(host.ask(6, 1, Permission::Read).unwrap_err().code(), Code::RemoteNodeUnreachable);
}
