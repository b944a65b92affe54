//! Two agents over a bridge that delays, reorders what may be reordered, loses doorbells and links, and stops one or the
//! other, or kills it. Whatever happens: whose seal holds reaches memory that is attached, every request is answered once,
//! and once it is left alone each knows the other's state, and what the other has of it.

use super::asks::{Asks, Outcome, Wish};
use super::direct::pages;
use super::grants::{Deed, Grants};
use super::hello::{Hello, VERSION};
use super::life::{End, Life, REST, Stage, Told};
use super::message::{Grant, Message, Processes, Publication};
use super::mirror::{Change, Mirror};
use super::nodes::Nodes;
use super::outbox::{Facts, Outbox};
use super::{Far, Near, UNANSWERED, control};
use crate::access::{AccessEntry, Level, Permission};
use crate::chance::Chance;
use crate::error::{Code, Error};
use crate::message::SegmentName;
use crate::seal::{Reading, Seal, Seals, break_seal};
use crate::sync::{AtomicU64, Ordering::Relaxed};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A store on its way.
struct Store {
    at: usize,
    word: u64,
    /// How many fences came before it.
    group: u64,
}

/// The bridge. Direction 0 goes from host 0 to host 1.
struct Bridge {
    up: Cell<bool>,
    pages: [(Vec<AtomicU64>, Vec<AtomicU64>); 2],
    ways: [RefCell<Vec<Store>>; 2],
    fences: [Cell<u64>; 2],
    chance: RefCell<Chance>,
}

impl Bridge {
    fn below(&self, end: usize) -> usize {
        self.chance.borrow_mut().below(end)
    }

    fn percent(&self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn near(&self, host: usize) -> Near<'_> {
        Near { ours: &self.pages[host].0, theirs: &self.pages[host].1 }
    }

    /// Delivers so many stores: any of those before the first fence, but of one word the oldest.
    fn deliver(&self, from: usize, count: usize) {
        let mut way = self.ways[from].borrow_mut();
        for _ in 0..count {
            let Some(first) = way.first() else { return };
            let open = way.partition_point(|store| store.group == first.group);
            let any = way[self.below(open)].at;
            let oldest = way.iter().position(|store| store.at == any).unwrap();
            let store = way.remove(oldest);
            self.pages[1 - from].1[store.at - control::OURS_WORDS].store(store.word, Relaxed);
        }
    }

    /// The link goes: what is on its way is lost, or some of it.
    fn go(&self) {
        for from in 0..2 {
            self.deliver(from, self.below(4));
            self.ways[from].borrow_mut().clear();
        }
        self.up.set(false);
    }
}

/// The window of one host.
struct Through<'a>(&'a Bridge, usize);

impl Far for Through<'_> {
    fn store(&self, at: usize, word: u64) {
        if self.0.up.get() {
            self.0.ways[self.1].borrow_mut().push(Store { at, word, group: self.0.fences[self.1].get() });
        }
    }
    fn fence(&self) {
        self.0.fences[self.1].set(self.0.fences[self.1].get() + 1);
    }
    fn load(&self, at: usize) -> u64 {
        if !self.0.up.get() {
            return UNANSWERED;
        }
        // The question pushes what goes its way, the answer what goes the other.
        for from in [self.1, 1 - self.1] {
            let all = self.0.ways[from].borrow().len();
            self.0.deliver(from, all);
        }
        let (ours, theirs) = &self.0.pages[1 - self.1];
        let word = if at < control::OURS_WORDS { &ours[at] } else { &theirs[at - control::OURS_WORDS] };
        word.load(Relaxed)
    }
}

/// What a host has.
#[derive(Default)]
struct Own {
    nodes: BTreeMap<u32, Processes>,
    published: BTreeMap<SegmentName, Publication>,
}

impl Facts for Own {
    fn processes(&self, node: u32) -> Processes {
        self.nodes.get(&node).copied().unwrap_or_default()
    }
    fn publication(&self, segment: SegmentName) -> Option<Publication> {
        self.published.get(&segment).cloned()
    }
}

/// What a host gives the other, and has of it, in one life of the link.
struct Dealings {
    grants: Grants,
    asks: Asks<u32>,
    /// Connections of this host.
    imports: BTreeMap<u64, (SegmentName, Grant)>,
    /// What was asked, by who asked.
    asked: BTreeMap<u32, (u64, SegmentName)>,
}

/// What this host's device has attached, and what it is doing.
#[derive(Default)]
struct Device {
    attached: BTreeMap<u64, SegmentName>,
    jobs: Vec<Job>,
}

/// Something that the device has begun.
struct Job {
    done: Duration,
    slot: u32,
    /// What is attached then, and where; nothing when it is detached.
    attached: Option<(u64, SegmentName)>,
}

struct Host {
    number: usize,
    nodes: Nodes,
    own: Own,
    publications: u64,
    boots: Seals,
    life: Option<Life>,
    outbox: Outbox,
    mirror: Mirror,
    again_at: Duration,
    stopped_until: Duration,
    rung: bool,
    link_event: bool,
    ends: Vec<End>,
    opened: u32,
    dealings: Option<Dealings>,
    device: Device,
    /// Who asked for something and was not answered.
    waiting: BTreeSet<u32>,
    askers: u32,
    granted: u32,
    /// Segments that wait for the device.
    taken_back: BTreeSet<SegmentName>,
}

impl Host {
    fn new(number: usize, seed: u64) -> Host {
        Host {
            number,
            nodes: Nodes::parse(["1,3", "2,4-5"][number]).unwrap(),
            own: Own::default(),
            publications: 0,
            boots: Seals::new(seed),
            life: None,
            outbox: Outbox::default(),
            mirror: Mirror::new(64),
            again_at: Duration::ZERO,
            stopped_until: Duration::ZERO,
            rung: false,
            link_event: false,
            ends: Vec::new(),
            opened: 0,
            dealings: None,
            device: Device::default(),
            waiting: BTreeSet::new(),
            askers: 0,
            granted: 0,
            taken_back: BTreeSet::new(),
        }
    }

    fn begin(&mut self, bridge: &Bridge, now: Duration) {
        let near = bridge.near(self.number);
        near.ours.iter().chain(near.theirs).for_each(|word| word.store(0, Relaxed));
        // Whatever a dead one had attached went with its device.
        self.device = Device::default();
        let boot = self.boots.fresh();
        let nonce = [self.boots.fresh().word(), self.boots.fresh().word()];
        let name = format!("host{}", self.number);
        let (version, page, node_count, window) = (VERSION, 4096, 5, 64 << 20);
        let me = Hello { version, page, node_count, nodes: self.nodes, window, nonce, boot, name };
        self.life = Some(Life::begin(me, near, now));
    }

    fn end(&mut self, bridge: &Bridge, end: End, now: Duration) {
        assert!(!matches!(end, End::Misfit(_) | End::Babble(_) | End::Unsayable(_)), "{end}");
        self.ends.push(end);
        (self.life, self.again_at) = (None, now + REST);
        self.mirror = Mirror::new(64);
        if let Some(mut dealings) = self.dealings.take() {
            let deeds = dealings.grants.end();
            let last_break = deeds.iter().rposition(|d| matches!(d, Deed::Break { .. }));
            let first_detach = deeds.iter().position(|d| matches!(d, Deed::Detach { .. }));
            assert!(last_break.is_none() || last_break < first_detach, "all seals first");
            for (asker, _) in dealings.asks.close("the link ended") {
                assert!(self.waiting.remove(&asker), "answered once");
            }
            self.taken_back.clear();
            // Its device ends too; only the seals matter from here on.
            for deed in deeds {
                if let Deed::Break { slot, dead } = deed {
                    break_seal(&bridge.near(self.number).ours[control::SEALS + slot as usize], dead);
                }
            }
            self.device = Device::default();
        }
        assert!(self.waiting.is_empty(), "whoever waits is told of the end");
    }

    /// Does what is to be done, in order.
    fn carry_out(&mut self, bridge: &Bridge, now: Duration, deeds: Vec<Deed>) {
        let seal_of = |slot: u32| &bridge.near(self.number).ours[control::SEALS + slot as usize];
        for deed in deeds {
            match deed {
                Deed::Attach { slot, segment, at, .. } => {
                    let done = now + Duration::from_millis(bridge.below(60) as u64);
                    self.device.jobs.push(Job { done, slot, attached: Some((at, segment)) });
                }
                Deed::Seal { slot, seal } => seal_of(slot).store(seal.word(), Relaxed),
                Deed::Break { slot, dead } => break_seal(seal_of(slot), dead),
                Deed::Detach { slot, at } => {
                    // From here on it may be gone at any time.
                    assert!(self.device.attached.remove(&at).is_some(), "what is attached is detached");
                    let done = now + Duration::from_millis(bridge.below(60) as u64);
                    self.device.jobs.push(Job { done, slot, attached: None });
                }
                Deed::Say(message) => self.outbox.say(message),
                Deed::Free(segment) => {
                    self.taken_back.remove(&segment);
                }
            }
        }
    }

    /// What the device has done by now.
    fn finish_jobs(&mut self, bridge: &Bridge, now: Duration) {
        while let Some(at) = self.device.jobs.iter().position(|job| job.done <= now) {
            let Job { slot, attached, .. } = self.device.jobs.remove(at);
            let Some(dealings) = &mut self.dealings else { continue };
            let deeds = match attached {
                None => dealings.grants.detached(slot),
                Some(_) if bridge.percent(5) => {
                    let error = Error::with(Code::InsufficientMem, "no memory to be locked");
                    dealings.grants.attached(slot, Err(error))
                }
                Some((at, segment)) => {
                    assert_eq!(self.device.attached.insert(at, segment), None, "one at a place");
                    dealings.grants.attached(slot, Ok(()))
                }
            };
            self.carry_out(bridge, now, deeds);
        }
    }

    /// A publication of this host has ended.
    fn withdraw(&mut self, bridge: &Bridge, now: Duration, segment: SegmentName) {
        let Some(dealings) = &mut self.dealings else { return };
        let deeds = dealings.grants.withdraw(segment);
        if !dealings.grants.is_free(segment) {
            self.taken_back.insert(segment);
        }
        self.carry_out(bridge, now, deeds);
    }

    /// A connection of this host is over.
    fn give_back(&mut self, number: u64) {
        let Some(dealings) = &mut self.dealings else { return };
        dealings.imports.remove(&number).expect("a connection");
        self.outbox.say(dealings.asks.end(number).expect("given back once").1);
    }

    /// A process of this host asks for a segment of the other, gives up, or gives one back.
    fn deal(&mut self, bridge: &Bridge) {
        let known: Vec<Publication> = self.mirror.segments().cloned().collect();
        let Some(dealings) =
            self.dealings.as_mut().filter(|_| self.life.as_ref().is_some_and(|l| l.stage() == Stage::Open))
        else {
            return;
        };
        match bridge.below(4) {
            0 => {
                let imports: Vec<u64> = dealings.imports.keys().copied().collect();
                if let Some(&number) = imports.get(bridge.below(imports.len())) {
                    self.give_back(number);
                }
            }
            1 if bridge.percent(30) => {
                let asked: Vec<(u32, u64)> = dealings.asked.iter().map(|(&by, &(number, _))| (by, number)).collect();
                if let Some(&(by, number)) = asked.get(bridge.below(asked.len())) {
                    dealings.asks.abandon(number);
                    dealings.asked.remove(&by);
                    self.waiting.remove(&by);
                }
            }
            _ => {
                let Some(publication) = known.get(bridge.below(known.len())) else { return };
                let permission = [Permission::Read, Permission::ReadWrite, Permission::None][bridge.below(3)];
                let &Publication { segment, version, length, .. } = publication;
                let node = self.nodes.first().unwrap();
                self.askers += 1;
                let wish = Wish { segment, version, length, node, pid: 1, permission };
                let (number, message) = dealings.asks.ask(&wish, self.askers);
                dealings.asked.insert(self.askers, (number, segment));
                self.waiting.insert(self.askers);
                self.outbox.say(message);
            }
        }
    }

    /// A message about a connection.
    fn hear(&mut self, bridge: &Bridge, now: Duration, message: &Message) {
        let dealings = self.dealings.as_mut().expect("they have met");
        let deeds = match message {
            &Message::Connect { number, segment, version, permission, .. } => {
                match self.own.published.get(&segment).filter(|p| p.version == version) {
                    Some(publication) => {
                        dealings.grants.connect(number, segment, publication.length, permission).unwrap()
                    }
                    None => {
                        let text = "it is not as you know it".to_owned();
                        vec![Deed::Say(Message::Refused { number, code: Code::SegNotPublished, text })]
                    }
                }
            }
            &Message::Disconnect { number } => dealings.grants.disconnect(number).unwrap(),
            answer => {
                let asker = match dealings.asks.hear(answer).unwrap().expect("an answer") {
                    Outcome::Granted { by, number, grant } => {
                        dealings.imports.insert(number, (dealings.asked[&by].1, grant));
                        self.granted += 1;
                        Some(by)
                    }
                    Outcome::Refused { by, say, .. } => {
                        say.into_iter().for_each(|say| self.outbox.say(say));
                        by
                    }
                };
                if let Some(asker) = asker {
                    assert!(self.waiting.remove(&asker), "answered once");
                    dealings.asked.remove(&asker);
                }
                return;
            }
        };
        self.carry_out(bridge, now, deeds);
    }

    /// Something of this host changes, or it has something to say.
    fn change(&mut self, bridge: &Bridge, now: Duration) {
        let nodes: Vec<u32> = self.nodes.iter().collect();
        let node = nodes[bridge.below(nodes.len())];
        let known: Vec<SegmentName> = self.own.published.keys().copied().collect();
        let one = known.get(bridge.below(known.len())).copied();
        self.publications += 1;
        let number = self.publications;
        let segment = match (bridge.below(12), one) {
            (0, _) => {
                let count = bridge.below(4) as u32;
                self.own.nodes.insert(node, Processes { count, pid: count * 7, uid: 1000 });
                return self.outbox.node_changed(node);
            }
            (1, Some(segment)) => {
                self.own.published.remove(&segment);
                self.withdraw(bridge, now, segment);
                segment
            }
            (2, Some(segment)) => {
                let publication = self.own.published.get_mut(&segment).unwrap();
                publication.version = number;
                publication.modes = Vec::new();
                segment
            }
            (5.., _) => return self.deal(bridge),
            (3, Some(segment)) => {
                // Withdrawn, and published anew before anybody was told; unless the exporter has to wait for its memory.
                let publication = self.own.published.remove(&segment).expect("known");
                self.withdraw(bridge, now, segment);
                if !self.taken_back.contains(&segment) {
                    let id = 1 + bridge.below(8) as u32;
                    let is_free = |id| !self.own.published.values().any(|p| (p.node, p.id) == (publication.node, id));
                    let id = if is_free(id) { id } else { publication.id };
                    let anew = Publication { number, version: number, id, ..publication };
                    self.own.published.insert(segment, anew);
                }
                segment
            }
            _ => {
                let (row, id) = (bridge.below(8) as u32, 1 + bridge.below(8) as u32);
                let segment = SegmentName { row, incarnation: number };
                if self.own.published.values().any(|p| p.segment.row == row || (p.node, p.id) == (node, id)) {
                    return;
                }
                let modes = vec![AccessEntry { node: [2, 1][self.number], mode: 0o600 }];
                let (level, uid, gid, version, length) = (Level::Guarded, 1, 1, number, 4096);
                let publication = Publication { segment, node, id, length, level, uid, gid, number, modes, version };
                self.own.published.insert(segment, publication);
                segment
            }
        };
        self.outbox.segment_changed(segment);
    }

    /// Has its turn, if it is time; whether the other is to be rung.
    fn turn(&mut self, bridge: &Bridge, now: Duration, calm: bool) -> bool {
        if now < self.stopped_until {
            return false;
        }
        if std::mem::take(&mut self.link_event) && self.life.is_some() {
            self.end(bridge, End::Unanswered, now);
        }
        if self.life.is_none() && now >= self.again_at {
            self.begin(bridge, now);
        }
        self.finish_jobs(bridge, now);
        match self.serve(bridge, now, calm) {
            Ok(ring) => ring,
            Err(end) => {
                self.end(bridge, end, now);
                false
            }
        }
    }

    fn serve(&mut self, bridge: &Bridge, now: Duration, calm: bool) -> Result<bool, End> {
        let (near, far) = (bridge.near(self.number), Through(bridge, self.number));
        let Some(life) = &mut self.life else { return Ok(false) };
        let mut ring = false;
        if std::mem::take(&mut self.rung) || now >= life.next() {
            let turn = life.turn(near, &far, now)?;
            ring |= turn.ring;
            for told in turn.told {
                match told {
                    Told::Met(peer, terms) => {
                        assert_eq!((peer.name, peer.nonce), (format!("host{}", 1 - self.number), [0; 2]));
                        self.outbox = Outbox::new(self.nodes, self.own.published.keys().copied());
                        let grants = Grants::new(&terms, peer.window, Seals::new(self.boots.fresh().word()));
                        let (asks, imports, asked) = (Asks::new(terms), BTreeMap::new(), BTreeMap::new());
                        self.dealings = Some(Dealings { grants, asks, imports, asked });
                    }
                    Told::Said(message) => match self.mirror.hear(&message) {
                        Ok(None) => self.hear(bridge, now, &message),
                        Ok(Some(Change::Withdrawn(publication))) => {
                            let dealings = self.dealings.as_mut().expect("they have met");
                            for number in dealings.asks.withdrawn(publication.segment) {
                                self.give_back(number);
                            }
                        }
                        Ok(Some(_)) => {}
                        Err(error) => panic!("{error}: {message:?}"),
                    },
                    Told::Open => self.opened += 1,
                }
            }
        }
        let Some(life) = &mut self.life else { return Ok(ring) };
        // Now and then there is no room, and what is to be said waits.
        if !calm && bridge.percent(50) {
            return Ok(ring);
        }
        Ok(ring | life.tell(&mut self.outbox, &self.own, near, &far)?)
    }

    /// Whose seal holds reaches what is attached, the segment that was meant, which is published as far as is known.
    fn check(&self, bridge: &Bridge, other: &Host) {
        let imports = self.dealings.iter().flat_map(|dealings| dealings.imports.values());
        for (segment, grant) in imports {
            assert!(self.mirror.segment(*segment).is_some(), "an import of what is withdrawn");
            let seal = Seal::from_word(grant.seal).expect("a seal");
            let word = bridge.near(other.number).ours[control::SEALS + grant.slot as usize].load(Relaxed);
            if seal.read(word) == Reading::Holds {
                let attached = other.device.attached.get(&grant.offset);
                assert_eq!(attached, Some(segment), "a seal holds of what is not attached");
            }
        }
    }
}

/// A run of so many steps, all of which a seed decides.
fn siege(seed: u64) -> [Host; 2] {
    let bridge = Bridge {
        up: Cell::new(true),
        pages: [pages(), pages()],
        ways: [RefCell::default(), RefCell::default()],
        fences: [Cell::new(0), Cell::new(0)],
        chance: RefCell::new(Chance::new(seed)),
    };
    let mut hosts = [Host::new(0, seed), Host::new(1, !seed)];
    let mut now = Duration::ZERO;
    for step in 0..1200 {
        let calm = step >= 600;
        now += Duration::from_millis(bridge.below(10) as u64);
        if calm {
            bridge.up.set(true);
        } else if bridge.percent(if bridge.up.get() { 1 } else { 20 }) {
            if bridge.up.get() {
                bridge.go();
                // Nobody may be told, where it is back soon enough.
                hosts.iter_mut().for_each(|host| host.link_event = bridge.percent(70));
            } else {
                bridge.up.set(true);
            }
        }
        for at in if bridge.percent(50) { [0, 1] } else { [1, 0] } {
            let host = &mut hosts[at];
            if !calm && bridge.percent(1) {
                host.stopped_until = now + Duration::from_millis(bridge.below(400) as u64);
            }
            if !calm && bridge.percent(1) {
                // Its agent is killed, and another one started.
                (host.life, host.again_at, host.mirror) = (None, now, Mirror::new(64));
                // Its processes end with it.
                (host.dealings, host.waiting) = (None, BTreeSet::new());
                host.taken_back.clear();
            }
            if !calm && bridge.percent(80) {
                host.change(&bridge, now);
            }
            let ring = host.turn(&bridge, now, calm);
            // Lost, or early: what was stored may be on its way still.
            hosts[1 - at].rung |= ring && bridge.percent(70);
            bridge.deliver(at, bridge.below(20));
            hosts[0].check(&bridge, &hosts[1]);
            hosts[1].check(&bridge, &hosts[0]);
        }
    }
    hosts
}

#[test]
fn each_comes_to_know_the_other() {
    let seeds = if cfg!(miri) { 1 } else { 60 };
    let (mut ends, mut opened, mut granted) = (Vec::new(), 0, 0);
    for seed in 0..seeds {
        let hosts = siege(seed);
        for (host, other) in [(&hosts[0], &hosts[1]), (&hosts[1], &hosts[0])] {
            let told = format!("seed {seed}, host {}: {:?}", host.number, host.ends);
            assert_eq!(host.life.as_ref().map(Life::stage), Some(Stage::Open), "{told}");
            assert!(host.outbox.is_empty(), "{told}");
            for node in other.nodes.iter() {
                assert_eq!(host.mirror.processes(node), other.own.processes(node), "{told}");
            }
            let known: Vec<&Publication> = host.mirror.segments().collect();
            assert_eq!(known, other.own.published.values().collect::<Vec<_>>(), "{told}");
            assert!(host.waiting.is_empty() && host.device.jobs.is_empty(), "{told}");
            assert_eq!(host.taken_back, BTreeSet::new(), "{told}");
            let (has, gives) = (host.dealings.as_ref().unwrap(), other.dealings.as_ref().unwrap());
            let numbers: BTreeSet<u64> = has.asks.connections().collect();
            assert!(!has.asks.is_waiting(), "{told}");
            assert_eq!(numbers, has.imports.keys().copied().collect(), "{told}");
            assert_eq!(numbers, gives.grants.connections().collect(), "{told}");
            let reached: BTreeSet<u64> = has.imports.values().map(|(_, grant)| grant.offset).collect();
            assert_eq!(reached, other.device.attached.keys().copied().collect(), "{told}");
            let lanes: BTreeSet<u32> = has.imports.values().map(|(_, grant)| grant.lane).collect();
            assert_eq!(lanes.len(), has.imports.len(), "{told}");
            granted += host.granted;
            ends.extend(host.ends.iter().cloned());
            opened += host.opened;
        }
    }
    // It was a siege: lives ended in each of the ways that a bridge can end them.
    let seen = |end: fn(&End) -> bool| ends.iter().any(end);
    assert!(seen(|e| *e == End::Unanswered) && seen(|e| *e == End::Another), "{ends:?}");
    assert!(seen(|e| matches!(e, End::Damaged(_))), "{ends:?}");
    assert!(opened > 4 * seeds as u32 && granted > 5 * seeds as u32, "{opened} {granted}");
}
