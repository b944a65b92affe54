//! The peering of a device that has a window: a [`Life`] after the other over its control pages.

use super::{Carrier, Device, Job, Limits, News, Peering, Reach};
use crate::address::random_secret;
use crate::memory::page_size;
use rsm_core::access::Permission;
use rsm_core::peer::control::{HEARTBEAT, LANES, SLOTS, seal_at};
use rsm_core::peer::hello::{Hello, VERSION};
use rsm_core::peer::lane::{self, Counts};
use rsm_core::peer::life::{End, Life, REST, Stage, Told};
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::{Facts, Outbox};
use rsm_core::peer::report::Traffic;
use rsm_core::peer::seal::{Seal, Seals, break_seal, set_seal};
use rsm_core::peer::{Far, UNANSWERED};
use rsm_core::sync::{AtomicU64, Ordering::Relaxed};
use rsm_core::{Result, crash_point};
use std::cell::Cell;
use std::collections::VecDeque;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// What there is to tell before anybody was met.
pub const NOBODY: &str = "nobody is at the other end of the bridge yet";

/// What an agent says of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name of its cluster, to be shown.
    pub name: String,
    /// Nodes of the cluster, those of both hosts.
    pub node_count: u32,
    /// Nodes of this host.
    pub nodes: Nodes,
}

/// The peering of one device.
#[derive(Debug)]
pub struct Paged<D> {
    host: Host,
    device: D,
    /// Numbers that tell lives apart.
    numbers: Seals,
    life: Option<Life>,
    news: VecDeque<News>,
    /// When times began.
    epoch: Instant,
    again_at: Instant,
    trouble: Option<String>,
    traffic: Cell<Traffic>,
}

/// The other host's control pages, with a count of what is done with them.
struct Counted<'a, F> {
    far: &'a F,
    traffic: &'a Cell<Traffic>,
}

impl<F: Far> Far for Counted<'_, F> {
    fn store(&self, at: usize, word: u64) {
        count(self.traffic, |traffic| &mut traffic.stores);
        self.far.store(at, word);
    }
    fn fence(&self) {
        self.far.fence();
    }
    fn load(&self, at: usize) -> u64 {
        count(self.traffic, |traffic| &mut traffic.loads);
        self.far.load(at)
    }
}

/// Control pages that nobody has any more.
struct Nobody;

impl Far for Nobody {
    fn store(&self, _at: usize, _word: u64) {}
    fn fence(&self) {}
    fn load(&self, _at: usize) -> u64 {
        UNANSWERED
    }
}

fn count(traffic: &Cell<Traffic>, of: impl Fn(&mut Traffic) -> &mut u64) {
    let mut now = traffic.get();
    *of(&mut now) += 1;
    traffic.set(now);
}

impl<D: Device> Paged<D> {
    /// Nobody is looked for before the first [`take`](Peering::take).
    ///
    /// # Errors
    /// INTERNAL_ERROR without random numbers.
    pub fn new(device: D, host: Host) -> Result<Paged<D>> {
        let [low, high] = *random_secret()?.as_chunks::<8>().0 else { unreachable!("16 bytes") };
        let seed = u64::from_le_bytes(low) ^ u64::from_le_bytes(high);
        let epoch = Instant::now();
        let (news, numbers) = (VecDeque::new(), Seals::new(seed));
        Ok(Paged {
            host,
            device,
            numbers,
            life: None,
            news,
            epoch,
            again_at: epoch,
            trouble: None,
            traffic: Cell::default(),
        })
    }

    /// What it talks by.
    pub fn device(&self) -> &D {
        &self.device
    }

    fn ring(&self) {
        count(&self.traffic, |traffic| &mut traffic.doorbells);
        self.device.ring();
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn hello(&mut self) -> Hello {
        let nonce = [self.numbers.fresh().word(), self.numbers.fresh().word()];
        Hello {
            version: VERSION,
            page: (page_size() as u64).max(self.device.limits().granule),
            node_count: self.host.node_count,
            nodes: self.host.nodes,
            window: self.device.limits().window,
            nonce,
            boot: self.numbers.fresh(),
            name: self.host.name.clone(),
        }
    }

    /// Begins another life, once the last one has rested.
    fn begin(&mut self) -> Result<()> {
        self.again_at = Instant::now() + REST;
        self.device.renew()?;
        let (hello, now) = (self.hello(), self.now());
        self.life = Some(Life::begin(hello, self.device.near(), now));
        self.again_at = Instant::now();
        Ok(())
    }

    fn end(&mut self, end: End) {
        self.trouble = Some(end.to_string());
        // Who does not fit may find out so itself.
        if !matches!(end, End::Misfit(_)) {
            self.device.let_go();
        }
        self.again_at = Instant::now() + REST;
        // Who never met it has nothing to forget.
        if self.life.take().is_some_and(|life| life.terms().is_some()) {
            self.news.push_back(News::Ended(end));
        }
    }

    /// Why the peer has closed a link that is gone by now, if it has said so: that is here already.
    fn last_words(&mut self) -> Option<End> {
        // At a time at which no canary is due: nobody would answer it.
        let last = self.life.as_mut()?.turn(self.device.near(), &Nobody, Duration::ZERO);
        last.err().filter(|end| matches!(end, End::Closed(_)))
    }

    fn look(&mut self) -> Result<()> {
        let stir = self.device.stir();
        // Between two lives there is nothing to lose.
        if let Some(why) = stir.lost.filter(|_| self.life.is_some()) {
            match self.last_words() {
                Some(end) => self.end(end),
                None => {
                    self.end(End::Lost);
                    self.trouble = Some(why.detail().to_owned());
                }
            }
        }
        if self.life.is_none() && Instant::now() >= self.again_at {
            self.begin()?;
        }
        if self.life.is_some() && self.device.far().is_none() && Instant::now() >= self.again_at {
            self.again_at = Instant::now() + REST;
            self.device.offer()?;
            crash_point!(AcrossOffered);
        }
        let now = self.now();
        let (Some(life), Some(far)) = (&mut self.life, self.device.far()) else { return Ok(()) };
        let far = &Counted { far, traffic: &self.traffic };
        if !stir.rung && now < life.next() {
            return Ok(());
        }
        match life.turn(self.device.near(), far, now) {
            Ok(turn) => {
                if turn.ring {
                    self.ring();
                }
                if !turn.told.is_empty() {
                    self.device.catch_up();
                }
                self.news.extend(turn.told.into_iter().map(|told| match told {
                    Told::Met(peer, terms) => News::Met(peer, terms),
                    Told::Said(message) => News::Said(message),
                    Told::Open => News::Open,
                }));
                if self.stage() == Some(Stage::Open) {
                    self.trouble = None;
                }
            }
            Err(end) => self.end(end),
        }
        Ok(())
    }
}

impl<D: Device> Carrier for Paged<D> {
    fn limits(&self) -> Limits {
        self.device.limits()
    }
    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job> {
        self.device.attach(at, memory, length, access)
    }
    fn detach(&mut self, at: u64) -> Result<Job> {
        self.device.detach(at)
    }
    fn done(&mut self) -> Option<(Job, Result<()>)> {
        self.device.done()
    }
    fn reach(&self, at: u64, length: u64, permission: Permission) -> Result<Reach> {
        self.device.reach(at, length, permission)
    }
}

impl<D: Device> Peering for Paged<D> {
    fn take(&mut self) -> Option<News> {
        if self.news.is_empty()
            && let Err(error) = self.look()
        {
            self.trouble = Some(error.detail().to_owned());
        }
        self.news.pop_front()
    }

    fn send(&mut self, outbox: &mut Outbox, facts: &dyn Facts) {
        let (Some(life), Some(far)) = (&mut self.life, self.device.far()) else { return };
        let far = &Counted { far, traffic: &self.traffic };
        match life.tell(outbox, facts, self.device.near(), far) {
            Ok(true) => self.ring(),
            Ok(false) => {}
            Err(end) => self.end(end),
        }
    }

    fn refuse(&mut self, error: &rsm_core::Error) {
        if let Some(Err(end)) = self.life.as_mut().map(|life| life.refuse(error)) {
            self.end(end);
        }
    }

    fn seal(&mut self, slot: u32, seal: Seal) {
        set_seal(&self.device.near().ours[seal_at(slot)], seal);
    }

    fn break_seal(&mut self, slot: u32, dead: Seal) {
        break_seal(&self.device.near().ours[seal_at(slot)], dead);
    }

    fn post(&mut self, outgoing: &AtomicU64, lane: u32, more: Counts) {
        if let Some(far) = self.device.far() {
            lane::post(outgoing, &Counted { far, traffic: &self.traffic }, lane, more);
            crash_point!(AcrossPosted);
            self.ring();
        }
    }

    fn turns(&self) -> u64 {
        // Relaxed: the peer has stored it, and fenced, before it looked at what it has looked at by the next one; and what was
        // posted was loaded back before this.
        self.device.near().theirs[HEARTBEAT].load(Relaxed)
    }

    fn lane(&self, lane: u32) -> Option<&AtomicU64> {
        if lane < SLOTS { self.device.near().theirs.get(LANES + lane as usize) } else { None }
    }

    fn seals(&self) -> Result<Reach> {
        self.device.seals()
    }

    fn sentinel(&self) -> Result<Option<OwnedFd>> {
        self.device.sentinel()
    }

    fn close(&mut self, why: &str) {
        if let (Some(life), Some(far)) = (self.life.take(), self.device.far())
            && life.close(why, self.device.near(), &Counted { far, traffic: &self.traffic })
        {
            self.ring();
        }
        self.news.clear();
        self.again_at = Instant::now() + REST;
    }

    fn stage(&self) -> Option<Stage> {
        self.life.as_ref().map(Life::stage)
    }

    fn trouble(&self) -> Option<String> {
        let nobody = || self.device.far().is_none().then(|| NOBODY.to_owned());
        self.trouble.clone().or_else(nobody)
    }

    fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn events(&self) -> BorrowedFd<'_> {
        self.device.events()
    }

    fn next(&self) -> Instant {
        match (&self.life, self.device.far()) {
            _ if !self.news.is_empty() => Instant::now(),
            (Some(life), Some(_)) => self.epoch + life.next(),
            _ => self.again_at,
        }
    }
}
