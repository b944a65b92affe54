//! Two agents over a bridge that delays, reorders what may be reordered, loses doorbells and links, and stops one or the
//! other: whatever happens, once it is left alone each knows the other's state.

use super::hello::{Hello, VERSION};
use super::life::tests::pages;
use super::life::{End, Life, REST, Stage, Told};
use super::message::{Message, Processes, Publication};
use super::mirror::Mirror;
use super::nodes::Nodes;
use super::outbox::{Facts, Outbox};
use super::seal::Seals;
use super::{Far, Near, UNANSWERED, control};
use crate::access::{AccessEntry, Level};
use crate::chance::Chance;
use crate::message::SegmentName;
use crate::sync::{AtomicU64, Ordering::Relaxed};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    sent: u64,
    came: u64,
    ends: Vec<End>,
    opened: u32,
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
            sent: 0,
            came: 0,
            ends: Vec::new(),
            opened: 0,
        }
    }

    fn begin(&mut self, bridge: &Bridge, now: Duration) {
        let near = bridge.near(self.number);
        near.ours.iter().chain(near.theirs).for_each(|word| word.store(0, Relaxed));
        let boot = self.boots.fresh();
        let nonce = [self.boots.fresh().word(), self.boots.fresh().word()];
        let name = format!("host{}", self.number);
        let (version, page, node_count, window) = (VERSION, 4096, 5, 64 << 20);
        let me = Hello { version, page, node_count, nodes: self.nodes, window, nonce, boot, name };
        self.life = Some(Life::begin(me, near, now));
        (self.sent, self.came) = (0, 0);
    }

    fn end(&mut self, end: End, now: Duration) {
        assert!(!matches!(end, End::Misfit(_) | End::Babble(_) | End::Unsayable(_)), "{end}");
        self.ends.push(end);
        (self.life, self.again_at) = (None, now + REST);
        self.mirror = Mirror::new(64);
    }

    /// Something of this host changes, or it has something to say.
    fn change(&mut self, bridge: &Bridge) {
        let nodes: Vec<u32> = self.nodes.iter().collect();
        let node = nodes[bridge.below(nodes.len())];
        let known: Vec<SegmentName> = self.own.published.keys().copied().collect();
        let one = known.get(bridge.below(known.len())).copied();
        self.publications += 1;
        let number = self.publications;
        let segment = match (bridge.below(6), one) {
            (0, _) => {
                let count = bridge.below(4) as u32;
                self.own.nodes.insert(node, Processes { count, pid: count * 7, uid: 1000 });
                return self.outbox.node_changed(node);
            }
            (1, Some(segment)) => {
                self.own.published.remove(&segment);
                segment
            }
            (2, Some(segment)) => {
                let publication = self.own.published.get_mut(&segment).unwrap();
                publication.version = number;
                publication.modes = Vec::new();
                segment
            }
            (3, _) => {
                if self.life.as_ref().is_some_and(|life| life.stage() == Stage::Open) {
                    self.sent += 1;
                    self.outbox.say(Message::Disconnect { number: self.sent });
                }
                return;
            }
            (4, Some(segment)) => {
                // Withdrawn, and published anew before anybody was told.
                let id = 1 + bridge.below(8) as u32;
                let publication = self.own.published.get_mut(&segment).unwrap();
                let node = publication.node;
                (publication.number, publication.version) = (number, number);
                if !self.own.published.values().any(|p| (p.node, p.id) == (node, id)) {
                    self.own.published.get_mut(&segment).unwrap().id = id;
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
    fn turn(&mut self, bridge: &Bridge, now: Duration) -> bool {
        if now < self.stopped_until {
            return false;
        }
        if std::mem::take(&mut self.link_event) && self.life.is_some() {
            self.end(End::Unanswered, now);
        }
        if self.life.is_none() && now >= self.again_at {
            self.begin(bridge, now);
        }
        match self.serve(bridge, now) {
            Ok(ring) => ring,
            Err(end) => {
                self.end(end, now);
                false
            }
        }
    }

    fn serve(&mut self, bridge: &Bridge, now: Duration) -> Result<bool, End> {
        let (near, far) = (bridge.near(self.number), Through(bridge, self.number));
        let Some(life) = &mut self.life else { return Ok(false) };
        let mut ring = false;
        if std::mem::take(&mut self.rung) || now >= life.next() {
            let turn = life.turn(near, &far, now)?;
            ring |= turn.ring;
            for told in turn.told {
                match told {
                    Told::Met(peer, _) => {
                        assert_eq!((peer.name, peer.nonce), (format!("host{}", 1 - self.number), [0; 2]));
                        self.outbox = Outbox::new(self.nodes, self.own.published.keys().copied());
                    }
                    Told::Said(Message::Disconnect { number }) => {
                        assert_eq!(number, self.came + 1, "every request, once, in order");
                        self.came = number;
                    }
                    Told::Said(message) => match self.mirror.hear(&message) {
                        Ok(change) => assert!(change.is_some()),
                        Err(error) => panic!("{error}: {message:?}"),
                    },
                    Told::Open => self.opened += 1,
                }
            }
        }
        Ok(ring | life.tell(&mut self.outbox, &self.own, near, &far)?)
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
        } else if bridge.percent(if bridge.up.get() { 2 } else { 20 }) {
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
            }
            if !calm && bridge.percent(40) {
                host.change(&bridge);
            }
            let ring = host.turn(&bridge, now);
            // Lost, or early: what was stored may be on its way still.
            hosts[1 - at].rung |= ring && bridge.percent(70);
            bridge.deliver(at, bridge.below(20));
        }
    }
    hosts
}

#[test]
fn each_comes_to_know_the_other() {
    let seeds = if cfg!(miri) { 1 } else { 60 };
    let (mut ends, mut opened) = (Vec::new(), 0);
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
            ends.extend(host.ends.iter().cloned());
            opened += host.opened;
        }
    }
    // It was a siege: lives ended in each of the ways that a bridge can end them.
    let seen = |end: fn(&End) -> bool| ends.iter().any(end);
    assert!(seen(|e| *e == End::Unanswered) && seen(|e| *e == End::Another), "{ends:?}");
    assert!(seen(|e| matches!(e, End::Damaged(_))), "{ends:?}");
    assert!(opened > 4 * seeds as u32, "{opened}");
}
