//! The other host, as the agent of this one knows it.
//!
//! This joins the parts: the [`Peering`] says what is heard, the [`Mirror`] keeps what the other has, [`Asks`] what is wanted of
//! it, [`Grants`] what it was given, the [`Outbox`] what it is still to be told, and the [`Carrier`] attaches and detaches. What
//! the agent has to do with its own tables, its processes above all, it is told by [`Event`]s.

use super::patience::{self, Patience, Question};
use super::{Carrier, Job, News, Peering};
use rsm_core::message::SegmentName;
use rsm_core::peer::asks::{Asks, Outcome, Wish};
use rsm_core::peer::grants::{Deed, Grants};
use rsm_core::peer::hello::Hello;
use rsm_core::peer::lane::{Counts, Credit, Incoming};
use rsm_core::peer::links::{Link, Links};
use rsm_core::peer::message::{Grant, Message, Terms};
use rsm_core::peer::mirror::{Change, Mirror};
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::{Facts, Outbox};
use rsm_core::peer::place;
use rsm_core::peer::seal::Seals;
use rsm_core::registry::LinkChange;
use rsm_core::sync::{AtomicU64, Ordering::Relaxed};
use rsm_core::{Code, Error, Result, crash_point};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Most messages that are heard one after the other before something else has its turn.
const MOST_MESSAGES: usize = 64;
/// Segments that the other host may have in any case: a host whose own tables are small leaves out what it has no room for.
const FEWEST_MIRRORS: usize = 1 << 16;
/// Most messages that wait for a peer that does not read.
const MOST_WAITING: usize = 1 << 16;

/// What this host has, as the other may come to know and reach it.
pub trait Estate: Facts {
    /// Its nodes.
    fn nodes(&self) -> Nodes;

    /// The segments that are published.
    fn segments(&self) -> Vec<SegmentName>;

    /// Takes in a connection of the other host, where its node may connect to the publication of this version; gives the bytes
    /// of the segment. Of its users the other host's agent has judged. It is over with [`Event::ImporterGone`].
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED, SEG_NOT_PUBLISHED_TO_NODE, PERM_DENIED; INSUFFICIENT_RESOURCES without room for it.
    fn admit(&mut self, number: u64, wish: &Wish) -> Result<u64>;

    /// Its memory.
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED when it is gone.
    fn memory(&self, segment: SegmentName) -> Result<(BorrowedFd<'_>, u64)>;
}

/// An end of a connection between two hosts, as one of them sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// This host imports.
    Import,
    /// This host exports.
    Export,
}

/// What the agent is told. `T` is whatever those that ask are known by.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// The other host is there; what it has comes next.
    Met(Hello, Terms),
    /// What it has changed.
    Mirror(Change),
    /// Each knows what the other has.
    Open,
    /// A connection that was asked for stands.
    Granted {
        /// Who asked.
        by: T,
        /// Its number.
        number: u64,
        /// How it is reached.
        grant: Grant,
    },
    /// One that was asked for does not.
    Refused {
        /// Who asked.
        by: T,
        /// Why.
        error: Error,
    },
    /// A connection is over that the other host was [admitted](Estate::admit) with this number.
    ImporterGone(u64),
    /// Other contents are in place in a segment of the other host; once no span that is open here can be vouched for, it is to
    /// be told [so](FarHost::stepped), with this number.
    Rebound(SegmentName, u64),
    /// The other host has done so for a segment of this one, or there is nobody left there to be told.
    Resumed(SegmentName),
    /// The other host has told all that there was when it was [asked](FarHost::look), for this party's request; or it is gone.
    Looked(u64),
    /// It has not, for longer than a party's request with this number can wait.
    Unlooked((u64, u64), Error),
    /// It answers again, after somebody was told that it does not.
    Answers,
    /// Signals came, by a connection that stands.
    Signalled {
        /// Whose.
        end: At,
        /// Number of the connection.
        number: u64,
        /// How many, within what a peer may say.
        counts: Counts,
    },
    /// Connections of this host that hold no more: they are to be cut. Nothing is to be given back.
    Cut(Vec<u64>),
    /// Somebody on the other host has changed a link between the two, between these nodes. The same is to be done here, where
    /// it [counts](FarHost::link_heard).
    LinkSet(Link, LinkChange, u64),
    /// Nothing of a segment of this host is reached by the other any more.
    Free(SegmentName),
    /// The other host is gone, for people. What it had has gone before, by `Cut` and `Refused`.
    Ended(String),
}

/// What is wanted and given in one life of the link.
#[derive(Debug)]
struct Dealings<T> {
    life: u64,
    /// Most bytes of a segment that this host reaches, and that the other one does.
    room: (u64, u64),
    mirror: Mirror,
    asks: Asks<T>,
    /// What goes and comes by each lane that was ever used.
    lanes: BTreeMap<u32, Lane>,
    /// Connections that can be signalled by, with their lanes.
    ends: BTreeMap<(At, u64), u32>,
    /// Lanes by which something is held back until the other host has looked.
    holding: BTreeSet<u32>,
    /// Connections that the other host was admitted with.
    importers: BTreeSet<u64>,
    /// Segments of this host whose contents were replaced, until the other has said that it knows; `None` where they are being
    /// replaced again.
    rebinds: BTreeMap<u64, Option<SegmentName>>,
    /// Who waits until all state is told, by number: party and request.
    looks: BTreeMap<u64, (u64, u64)>,
    patience: Patience,
    /// Numbers looks and rebinds.
    next: u64,
}

/// The signals of a lane, one connection after the other.
#[derive(Debug)]
struct Lane {
    outgoing: AtomicU64,
    credit: Credit,
    incoming: Incoming,
}

/// The other host.
#[derive(Debug)]
pub struct FarHost<B, T> {
    bridge: B,
    /// Most segments of it that are taken in.
    most: usize,
    outbox: Outbox,
    now: Option<Dealings<T>>,
    lives: u64,
    /// What it was given, by life: those that have ended until everything is detached.
    grants: BTreeMap<u64, Grants>,
    /// What the bridge is doing: life, slot, and whether it attaches.
    jobs: BTreeMap<Job, (u64, u32, bool)>,
    events: VecDeque<Event<T>>,
    links: Links,
    seed: Seals,
    /// How long it is waited for.
    patience: Duration,
}

impl Lane {
    fn new() -> Lane {
        Lane { outgoing: AtomicU64::new(0), credit: Credit::default(), incoming: Incoming::new() }
    }
}

impl<B: Peering + Carrier, T> FarHost<B, T> {
    /// Behind this bridge. Of what it has so many segments are taken in, or 2^16 if that is more; `seed` was drawn at random.
    pub fn new(bridge: B, most: usize, seed: u64) -> FarHost<B, T> {
        FarHost {
            bridge,
            most: most.max(FEWEST_MIRRORS),
            outbox: Outbox::default(),
            now: None,
            lives: 0,
            grants: BTreeMap::new(),
            jobs: BTreeMap::new(),
            events: VecDeque::new(),
            links: Links::default(),
            seed: Seals::new(seed),
            patience: patience::PATIENCE,
        }
    }

    /// Waits for answers so long, and not [`PATIENCE`](patience::PATIENCE).
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> FarHost<B, T> {
        FarHost { patience, ..self }
    }

    /// The bridge: when to look, why there is nobody, how memory is reached.
    pub fn bridge(&self) -> &B {
        &self.bridge
    }

    /// How often another agent was met.
    pub fn lives(&self) -> u64 {
        self.lives
    }

    /// Whether there is something to take without the other host saying more.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When to [`take`](Self::take) at the latest.
    pub fn next(&self) -> Instant {
        if self.has_events() {
            return Instant::now();
        }
        let answers = self.now.as_ref().and_then(|now| now.patience.next());
        answers.map_or(self.bridge.next(), |at| at.min(self.bridge.next()))
    }

    /// What there is between the two now: what is attached for the other host, connections of this one, connections of the other.
    pub fn between(&self) -> (usize, usize, usize) {
        let attached = self.grants.values().map(Grants::count).sum();
        let Some(now) = &self.now else { return (attached, 0, 0) };
        let exports = self.grants.get(&now.life).map_or(0, |grants| grants.connections().count());
        (attached, now.asks.connections().count(), exports)
    }

    /// What the other host has; `None` while it is not there.
    pub fn mirror(&self) -> Option<&Mirror> {
        self.now.as_ref().map(|now| &now.mirror)
    }

    /// Most bytes of a segment of the other host that this one reaches, and of one of this host that the other does; `None` while
    /// it is not there.
    pub fn room(&self) -> Option<(u64, u64)> {
        self.now.as_ref().map(|now| now.room)
    }

    /// What happened next. Called until there is nothing, whenever the bridge has something, or time has come.
    pub fn take(&mut self, estate: &mut dyn Estate) -> Option<Event<T>> {
        if self.events.is_empty() {
            self.take_signals();
            self.post_held();
            // Before what is heard: should that be the end, it is told why it came to it.
            self.lose_patience();
        }
        for _ in 0..MOST_MESSAGES {
            if !self.events.is_empty() {
                break;
            }
            self.finish_jobs(estate);
            // What has come of them is told first: a number that is free again may be asked for next.
            if !self.events.is_empty() {
                break;
            }
            let Some(news) = self.bridge.take() else {
                // The bridge may have done something meanwhile, and has said so.
                if self.finish_jobs(estate) {
                    continue;
                }
                break;
            };
            if self.outbox.waiting() > MOST_WAITING && !matches!(news, News::Ended(_)) {
                self.close(estate, "it asks for more than it listens to");
                break;
            }
            if let Err(error) = self.hear(estate, news) {
                tracing::info!(%error, "the other host says something that makes no sense");
                self.bridge.refuse(&error);
            }
        }
        // What was heard or done may have to be told.
        self.tell(estate);
        self.events.pop_front()
    }

    /// Tells the other host what there is to tell.
    pub fn tell(&mut self, estate: &dyn Estate) {
        if self.now.is_some() {
            self.bridge.send(&mut self.outbox, estate);
        }
    }

    fn hear(&mut self, estate: &mut dyn Estate, news: News) -> Result<()> {
        let message = match news {
            News::Met(hello, terms) => {
                self.lives += 1;
                self.outbox = Outbox::new(estate.nodes(), estate.segments());
                for (from, to) in self.links.meet() {
                    self.outbox.say_first(Message::LinkSet { from, to, change: LinkChange::Down, count: 1 });
                }
                let seals = Seals::new(self.seed.fresh().word());
                self.grants.insert(self.lives, Grants::new(&terms, hello.window, seals));
                let (mirror, asks) = (Mirror::new(self.most), Asks::new(terms));
                self.now = Some(Dealings {
                    life: self.lives,
                    room: (terms.room(), place::room(hello.window, terms.granule)),
                    mirror,
                    asks,
                    lanes: BTreeMap::new(),
                    ends: BTreeMap::new(),
                    holding: BTreeSet::new(),
                    importers: BTreeSet::new(),
                    rebinds: BTreeMap::new(),
                    looks: BTreeMap::new(),
                    patience: Patience::default(),
                    next: 0,
                });
                self.events.push_back(Event::Met(hello, terms));
                return Ok(());
            }
            News::Open => {
                self.events.push_back(Event::Open);
                return Ok(());
            }
            News::Ended(end) => {
                self.end(estate, &end.to_string());
                return Ok(());
            }
            News::Said(message) => message,
        };
        let Some(Dealings { life, mirror, asks, lanes, ends, importers, rebinds, looks, patience, .. }) = &mut self.now
        else {
            return Ok(());
        };
        let life = *life;
        match message {
            Message::Connect { number, segment, version, node, pid, permission } => {
                if importers.contains(&number) {
                    let text = format!("the other host asked for connection {number} twice");
                    return Err(Error::with(Code::BadArgsErrors, text));
                }
                let grants = self.grants.get_mut(&life);
                let wish = Wish { segment, version, length: 0, node, pid, permission };
                let deeds = match estate.admit(number, &wish) {
                    Ok(length) => {
                        importers.insert(number);
                        crash_point!(AcrossAdmitted);
                        grants.map(|grants| grants.connect(number, segment, length, permission)).transpose()?
                    }
                    Err(error) => {
                        let (code, text) = (error.code(), error.detail().to_owned());
                        self.outbox.say(Message::Refused { number, code, text });
                        None
                    }
                };
                self.carry_out(estate, life, deeds.unwrap_or_default());
            }
            Message::Disconnect { number } => {
                // All that it has signalled is there.
                self.close_end(At::Export, number);
                self.importer_gone(number);
                let deeds = self.grants.get_mut(&life).map(|grants| grants.disconnect(number)).transpose()?;
                self.carry_out(estate, life, deeds.unwrap_or_default());
            }
            Message::Granted { number, .. } | Message::Refused { number, .. } => {
                let outcome = asks.hear(&message)?;
                if patience.answered(Question::Connect(number)) {
                    self.events.push_back(Event::Answers);
                }
                match outcome {
                    Some(Outcome::Granted { by, number, grant }) => {
                        let lane = lanes.entry(grant.lane).or_insert_with(Lane::new);
                        lane.incoming = Incoming::from(Counts::from_word(grant.sent));
                        ends.insert((At::Import, number), grant.lane);
                        self.events.push_back(Event::Granted { by, number, grant });
                    }
                    Some(Outcome::Refused { by, error, say }) => {
                        say.into_iter().for_each(|say| self.outbox.say(say));
                        self.events.extend(by.map(|by| Event::Refused { by, error }));
                    }
                    None => {}
                }
            }
            Message::Look { number } => self.outbox.say(Message::Looked { number }),
            Message::Looked { number } => {
                let late = patience.answered(Question::Look(number));
                let unknown =
                    || Error::with(Code::BadArgsErrors, "the other host answered a look that nobody asked for");
                match looks.remove(&number) {
                    Some((party, _)) => self.events.push_back(Event::Looked(party)),
                    None if late => self.events.push_back(Event::Answers),
                    None => return Err(unknown()),
                }
            }
            Message::Rebound { segment, number } => self.events.push_back(Event::Rebound(segment, number)),
            Message::Stepped { number } => {
                let unknown = || Error::with(Code::BadArgsErrors, "the other host answered a rebind that was none");
                if let Some(segment) = rebinds.remove(&number).ok_or_else(unknown)? {
                    let deeds = self.grants.get_mut(&life).map(|grants| grants.resume(segment)).unwrap_or_default();
                    self.carry_out(estate, life, deeds);
                    self.events.push_back(Event::Resumed(segment));
                }
            }
            Message::LinkSet { from, to, change, count } => {
                self.events.push_back(Event::LinkSet((from, to), change, count));
            }
            state => {
                if let Some(change) = mirror.hear(&state)? {
                    if let Change::Withdrawn(publication) = &change {
                        let numbers = asks.withdrawn(publication.segment);
                        if !numbers.is_empty() {
                            patience.gave_back(publication.segment, publication.length, Instant::now());
                            numbers.iter().for_each(|&number| self.give_back(number));
                            self.events.push_back(Event::Cut(numbers));
                        }
                    }
                    self.events.push_back(Event::Mirror(change));
                }
            }
        }
        Ok(())
    }

    /// The other host is gone.
    fn end(&mut self, estate: &dyn Estate, why: &str) {
        self.take_signals();
        let importers: Vec<u64> = self.now.iter().flat_map(|now| now.importers.iter().copied()).collect();
        importers.into_iter().for_each(|number| self.importer_gone(number));
        let Some(now) = self.now.take() else { return };
        let deeds = self.grants.get_mut(&now.life).map(Grants::end).unwrap_or_default();
        self.outbox = Outbox::default();
        self.carry_out(estate, now.life, deeds);
        let numbers: Vec<u64> = now.asks.connections().collect();
        if !numbers.is_empty() {
            self.events.push_back(Event::Cut(numbers));
        }
        self.events.extend(now.looks.into_values().map(|(party, _)| Event::Looked(party)));
        self.events.extend(now.rebinds.into_values().flatten().map(Event::Resumed));
        self.events.extend(now.asks.close(why).into_iter().map(|(by, error)| Event::Refused { by, error }));
        self.events.push_back(Event::Ended(why.to_owned()));
    }

    /// Does what is to be done for the other host, in order.
    fn carry_out(&mut self, estate: &dyn Estate, life: u64, deeds: Vec<Deed>) {
        let mut deeds = VecDeque::from(deeds);
        while let Some(deed) = deeds.pop_front() {
            match deed {
                Deed::Attach { slot, segment, at, access } => {
                    let begun = estate
                        .memory(segment)
                        .and_then(|(memory, length)| self.bridge.attach(at, memory, length, access));
                    match begun {
                        Ok(job) => drop(self.jobs.insert(job, (life, slot, true))),
                        Err(error) => deeds.extend(self.done(life, slot, true, Err(error))),
                    }
                }
                Deed::Detach { slot, at } => match self.bridge.detach(at) {
                    Ok(job) => drop(self.jobs.insert(job, (life, slot, false))),
                    // It went with the link.
                    Err(_) => deeds.extend(self.done(life, slot, false, Ok(()))),
                },
                Deed::Seal { slot, seal } => self.bridge.seal(slot, seal),
                Deed::Break { slot, dead } => {
                    self.bridge.break_seal(slot, dead);
                    crash_point!(AcrossBroken);
                }
                Deed::Say(mut message) => {
                    match (&mut message, &mut self.now) {
                        (Message::Granted { number, grant }, Some(now)) => {
                            let lane = now.lanes.entry(grant.lane).or_insert_with(Lane::new);
                            // Relaxed: this thread alone raises it.
                            grant.sent = lane.outgoing.load(Relaxed);
                            now.ends.insert((At::Export, *number), grant.lane);
                        }
                        (Message::Refused { number, .. }, _) => self.importer_gone(*number),
                        _ => {}
                    }
                    self.outbox.say(message);
                }
                Deed::Free(segment) => {
                    if self.is_free(segment) {
                        self.events.push_back(Event::Free(segment));
                    }
                }
            }
        }
    }

    fn done(&mut self, life: u64, slot: u32, attaches: bool, outcome: Result<()>) -> Vec<Deed> {
        if attaches {
            crash_point!(AcrossAttached);
        } else {
            crash_point!(AcrossDetached);
        }
        let Some(grants) = self.grants.get_mut(&life) else { return Vec::new() };
        let deeds = if attaches { grants.attached(slot, outcome) } else { grants.detached(slot) };
        let is_now = self.now.as_ref().is_some_and(|now| now.life == life);
        if !is_now && grants.is_empty() {
            self.grants.remove(&life);
        }
        deeds
    }

    /// Takes what the bridge has done; whether that was anything.
    fn finish_jobs(&mut self, estate: &dyn Estate) -> bool {
        let mut any = false;
        while let Some((job, outcome)) = self.bridge.done() {
            any = true;
            if let Some((life, slot, attaches)) = self.jobs.remove(&job) {
                let deeds = self.done(life, slot, attaches, outcome);
                self.carry_out(estate, life, deeds);
            }
        }
        any
    }

    /// Processes of a node of this host have come or gone.
    pub fn node_changed(&mut self, node: u32) {
        self.outbox.node_changed(node);
    }

    /// A segment of this host was published or republished.
    pub fn segment_changed(&mut self, segment: SegmentName) {
        self.outbox.segment_changed(segment);
    }

    /// A segment of this host is published no more: no grant of it holds when this returns. It is free once
    /// [`is_free`](Self::is_free) says so, or [`Event::Free`].
    pub fn withdraw(&mut self, estate: &dyn Estate, segment: SegmentName) {
        // What was signalled until now came in time, and went.
        self.take_signals();
        let ends = self.now.iter().flat_map(|now| {
            let numbers = self.grants.get(&now.life).into_iter().flat_map(|grants| grants.connections_to(segment));
            numbers.filter_map(|number| now.ends.get(&(At::Export, number)))
        });
        ends.copied().collect::<Vec<u32>>().into_iter().for_each(|lane| self.post_rest(lane));
        self.outbox.segment_changed(segment);
        if let Some(life) = self.now.as_ref().map(|now| now.life) {
            let deeds = self.grants.get_mut(&life).map(|grants| grants.withdraw(segment)).unwrap_or_default();
            self.carry_out(estate, life, deeds);
        }
        self.finish_jobs(estate);
        self.tell(estate);
    }

    /// Whether nothing of a segment of this host is reached by the other.
    pub fn is_free(&self, segment: SegmentName) -> bool {
        self.grants.values().all(|grants| grants.is_free(segment))
    }

    /// A process of this host wants a connection; gives its number. The answer is an event.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE while the other host is not there, SEG_NOT_PUBLISHED when it has not that segment.
    pub fn ask(&mut self, wish: &Wish, by: T) -> Result<u64> {
        let gone = || Error::with(Code::RemoteNodeUnreachable, "the other host is not there");
        let now = self.now.as_mut().ok_or_else(gone)?;
        if now.mirror.segment(wish.segment).is_none() {
            return Err(Error::with(Code::SegNotPublished, "the other host has no such segment any more"));
        }
        if !now.patience.is_there() {
            let text = "the other host's agent has left too many questions unanswered to be asked more";
            return Err(Error::with(Code::RemoteNodeUnreachable, text));
        }
        let (number, message) = now.asks.ask(wish, by);
        now.patience.wanted(number, wish.length, self.patience, Instant::now());
        self.outbox.say(message);
        Ok(number)
    }

    /// A party wants to know for a request what the other host has *now*; told by [`Event::Looked`], or [`Event::Unlooked`].
    /// `false` when it is not there, or does not answer.
    pub fn look(&mut self, by: (u64, u64)) -> bool {
        let Some(now) = &mut self.now else { return false };
        if !now.patience.is_there() {
            return false;
        }
        now.next += 1;
        now.looks.insert(now.next, by);
        now.patience.asked(Question::Look(now.next), Instant::now() + self.patience);
        self.outbox.say(Message::Look { number: now.next });
        true
    }

    /// Contents of a segment of this host are about to be replaced: no span of the other is vouched for from here on, and what
    /// is stored next comes after all that was.
    pub fn suspend(&mut self, estate: &dyn Estate, segment: SegmentName) {
        let Some(now) = &mut self.now else { return };
        now.rebinds.values_mut().filter(|of| **of == Some(segment)).for_each(|of| *of = None);
        let deeds = self.grants.get_mut(&now.life).map(|grants| grants.suspend(segment)).unwrap_or_default();
        let life = now.life;
        self.carry_out(estate, life, deeds);
    }

    /// They are in place. `true`: the other host is asked to see to spans that were open meanwhile, until which it is vouched for
    /// nothing; told by [`Event::Resumed`].
    pub fn rebound(&mut self, estate: &dyn Estate, segment: SegmentName) -> bool {
        let Some(now) = &mut self.now else { return false };
        let Some(grants) = self.grants.get_mut(&now.life) else { return false };
        if grants.is_free(segment) {
            let (life, deeds) = (now.life, grants.resume(segment));
            self.carry_out(estate, life, deeds);
            return false;
        }
        now.next += 1;
        now.rebinds.insert(now.next, Some(segment));
        self.outbox.say(Message::Rebound { segment, number: now.next });
        true
    }

    /// No span is vouched for here that was open when [`Event::Rebound`] came with this number.
    pub fn stepped(&mut self, number: u64) {
        if self.now.is_some() {
            self.outbox.say(Message::Stepped { number });
        }
    }

    /// Who asked does not wait any more.
    pub fn abandon(&mut self, number: u64) {
        if let Some(now) = &mut self.now {
            now.asks.abandon(number);
        }
    }

    /// A connection of this host is over. One that was cut already is nobody's business.
    pub fn give_back(&mut self, number: u64) {
        self.close_end(At::Import, number);
        let Some(now) = &mut self.now else { return };
        if let Some((segment, say)) = now.asks.end(number) {
            // One that was withdrawn is known no more.
            if let Some(publication) = now.mirror.segment(segment) {
                now.patience.gave_back(segment, publication.length, Instant::now());
            }
            self.outbox.say(say);
        }
    }

    /// Signals the other end of a connection. What this host stored to its memory before is seen there with the signal.
    ///
    /// # Errors
    /// CONN_ABORTED when the connection does not stand any more.
    pub fn post(&mut self, end: At, number: u64, more: Counts) -> Result<()> {
        let gone = || Error::with(Code::ConnAborted, "the connection to the other host is over");
        let now = self.now.as_mut().ok_or_else(gone)?;
        let lane = *now.ends.get(&(end, number)).ok_or_else(gone)?;
        if !stands(&self.grants, now.life, end, number) {
            return Err(gone());
        }
        let turns = self.bridge.turns();
        let there = now.lanes.entry(lane).or_insert_with(Lane::new);
        let more = there.credit.post(more, turns);
        if there.credit.holds() {
            now.holding.insert(lane);
        }
        if more != Counts::NONE {
            self.bridge.post(&there.outgoing, lane, more);
        }
        Ok(())
    }

    /// Posts what was held back, as far as the other host has looked since.
    fn post_held(&mut self) {
        let Some(now) = &mut self.now else { return };
        let turns = self.bridge.turns();
        for lane in std::mem::take(&mut now.holding) {
            let Some(there) = now.lanes.get_mut(&lane) else { continue };
            let more = there.credit.due(turns);
            if there.credit.holds() {
                now.holding.insert(lane);
            } else {
                self.bridge.post(&there.outgoing, lane, more);
            }
        }
    }

    /// Posts what was held back of a connection that ends.
    fn post_rest(&mut self, lane: u32) {
        let Some(now) = &mut self.now else { return };
        if now.holding.remove(&lane)
            && let Some(there) = now.lanes.get_mut(&lane)
        {
            self.bridge.post(&there.outgoing, lane, there.credit.rest());
        }
    }

    /// Who has waited for too long is told so.
    fn lose_patience(&mut self) {
        let Some(now) = &mut self.now else { return };
        let at = Instant::now();
        while let Some(question) = now.patience.overdue(at) {
            let text = "the other host's agent does not answer: it may be stopped";
            let error = Error::with(Code::RemoteNodeUnreachable, text);
            self.events.extend(match question {
                Question::Connect(number) => now.asks.abandon(number).map(|by| Event::Refused { by, error }),
                Question::Look(number) => now.looks.remove(&number).map(|by| Event::Unlooked(by, error)),
            });
        }
    }

    /// Takes what has come by all lanes.
    fn take_signals(&mut self) {
        let ends: Vec<(At, u64)> = self.now.iter().flat_map(|now| now.ends.keys().copied()).collect();
        ends.into_iter().for_each(|(end, number)| self.take_from(end, number));
    }

    /// Takes what has come by the lane of a connection. Of one that was withdrawn it is nobody's.
    fn take_from(&mut self, end: At, number: u64) {
        let Some(now) = &mut self.now else { return };
        let Some(&lane) = now.ends.get(&(end, number)) else { return };
        let Some(word) = self.bridge.lane(lane) else { return };
        let counts = now.lanes.entry(lane).or_insert_with(Lane::new).incoming.take(word);
        if stands(&self.grants, now.life, end, number) && counts != Counts::NONE {
            self.events.push_back(Event::Signalled { end, number, counts });
        }
    }

    fn importer_gone(&mut self, number: u64) {
        if self.now.as_mut().is_some_and(|now| now.importers.remove(&number)) {
            self.events.push_back(Event::ImporterGone(number));
        }
    }

    /// A connection is over: what has come is still its own.
    fn close_end(&mut self, end: At, number: u64) {
        self.take_from(end, number);
        // So is what it has signalled itself.
        if let Some(lane) = self.now.as_mut().and_then(|now| now.ends.remove(&(end, number))) {
            self.post_rest(lane);
        }
    }

    /// Somebody changes a link between the two hosts here, from one node to another.
    pub fn link_changed(&mut self, (from, to): Link, change: LinkChange) {
        let count = self.links.changed((from, to), change);
        if self.now.is_some() {
            self.outbox.say(Message::LinkSet { from, to, change, count });
        }
    }

    /// Whether what was said on the other host is to be done here as well: not where what was done here since counts more.
    #[must_use]
    pub fn link_heard(&mut self, link: Link, change: LinkChange, count: u64) -> bool {
        self.links.heard(link, change, count)
    }

    /// Ends this life of the link, and tells the other host why.
    pub fn close(&mut self, estate: &dyn Estate, why: &str) {
        // The seals first: from here on nobody is vouched for.
        self.end(estate, why);
        self.bridge.close(why);
    }
}

/// Whether a connection was not withdrawn here.
fn stands(grants: &BTreeMap<u64, Grants>, life: u64, end: At, number: u64) -> bool {
    end == At::Import || grants.get(&life).is_some_and(|grants| grants.stands(number))
}
