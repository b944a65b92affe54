//! The other host of a cluster of two: what the tables say of it, and what it is told of this one.
//!
//! Its nodes have rows like any other; their processes are as many as it says. Its publications are *mirrors*: segments of
//! the books, published, without memory here and without a member that created them. So whoever looks into the registry,
//! and whoever waits for a publication, finds them where all others are.
//!
//! | file | what |
//! |---|---|
//! | `estate` | what the other host may come to know and reach |
//! | `mirrors` | what it has |
//! | `signals` | signals, both ways |
//! | `waker` | threads that sleep until there are some |
//! | `report` | the bridge, for people |
//! | `rebinds` | contents that are replaced under connections of the other host |

mod estate;
mod mirrors;
mod rebinds;
mod report;
mod signals;
mod waker;

use super::Agent;
use super::books::chores::{Chore, Owner};
use super::books::request::{Given, Owed, Undo};
use super::books::told::Bridged;
use super::config::Config;
use super::connect::Grants;
use super::far::host::{At, Event, FarHost};
use super::far::local::Local;
use super::far::paged::{Host, NOBODY, Paged};
use super::far::{Carrier, Crossing, Opener, Peering};
use crate::address::random_secret;
use crate::seldom::Seldom;
use rsm_core::access::Permission;
use rsm_core::driver::WindowKind;
use rsm_core::generation::EndCause;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::peer::asks::Wish;
use rsm_core::peer::message::Grant;
use rsm_core::peer::mirror::Mirror;
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::LinkChange;
use rsm_core::{Code, Error, Result, crash_point};
use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Instant;
use waker::Waker;

/// How often a connect is heard again whose segment was republished meanwhile.
const MOST_TRIES: u32 = 16;

/// Most events of one pass, whatever the other host says meanwhile.
const MOST_EVENTS: usize = 256;

/// What a host says whose cluster ends in order.
const ENDED: &str = "its cluster has ended";

type Far = FarHost<Box<dyn Crossing>, Asking>;

/// A connect that the other host was asked for.
#[derive(Debug)]
struct Asking {
    owed: Owed,
    mirror: SegmentName,
    /// The publication that it was judged by.
    version: u64,
    controller: u32,
    permission: Permission,
    has_bells: bool,
}

/// The other host, and the rows of what it has.
pub(super) struct Across {
    /// Away for as long as something is done with it.
    host: Option<Far>,
    waker: Waker,
    rows: BTreeMap<SegmentName, u32>,
    /// What it has published and the tables have no room for, by node and id.
    left_out: BTreeMap<(u32, u32), SegmentName>,
    /// Who has rebound a segment of this host and waits for the other, and until when.
    rebinding: BTreeMap<SegmentName, (Owed, Instant)>,
    /// Why each does not know what the other has, as it was told last.
    trouble: Option<String>,
    warned: Seldom,
    /// Segments that the window has no room for, and that were too many, are told of in the log.
    too_large: Seldom,
    beyond: Seldom,
    told: Bridged,
    /// The device, as it was given.
    device: String,
    /// Name of the other agent's cluster, while it is there.
    peer: Option<String>,
}

impl Across {
    /// Opens the bridge that a cluster is configured with.
    ///
    /// # Errors
    /// BAD_CONF, saying which bridges there are; INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub(super) fn open(config: &Config, told: Bridged) -> Result<Option<Across>> {
        let Some(bridge) = &config.bridge else { return Ok(None) };
        let device = &bridge.device;
        let nodes = config.here.unwrap_or(Nodes::up_to(config.node_count));
        let host = Host { name: config.name.clone(), node_count: config.node_count, nodes };
        let seed = random_secret()?.iter().fold(0, |seed: u64, &byte| seed.rotate_left(8) ^ u64::from(byte));
        // More than it can have is not believed.
        let most = usize::try_from(config.geometry.segments).unwrap_or(usize::MAX);
        let host = FarHost::new(open(device, host, config.opener)?, most, seed).with_patience(config.patience);
        let trouble = Some(NOBODY.to_owned());
        told.tell(trouble.clone());
        let (rows, left_out, rebinding) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (waker, device) = (Waker::start()?, device.clone());
        let [warned, too_large, beyond] = [(); 3].map(|()| Seldom::default());
        Ok(Some(Across {
            host: Some(host),
            waker,
            rows,
            left_out,
            rebinding,
            trouble,
            warned,
            too_large,
            beyond,
            told,
            device,
            peer: None,
        }))
    }

    /// What to look at when it is readable; `None` while it is looked at.
    pub(super) fn events(&self) -> Option<[BorrowedFd<'_>; 2]> {
        Some([self.host.as_ref()?.bridge().events(), self.waker.due()])
    }

    /// When to look at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        let late = self.rebinding.values().map(|(_, at)| *at).min();
        let host = self.host.as_ref().map(Far::next);
        host.into_iter().chain(late).min()
    }
}

/// Opens a bridge: one of this machine, or of a kind that the opener knows.
fn open(device: &str, host: Host, opener: Option<Opener>) -> Result<Box<dyn Crossing>> {
    if let Some(name) = device.strip_prefix("local:") {
        return Ok(Box::new(Paged::new(Local::new(name)?, host)?));
    }
    let other = opener.and_then(|opener| opener(device, host));
    let unknown = || {
        let more = if opener.is_some() { ", or vfio:ADDRESS for a PCI function such as vfio:0000:01:00.0" } else { "" };
        let text = format!("{device:?} is no bridge: give local:NAME, which joins two agents of one machine{more}");
        Error::with(Code::BadConf, text)
    };
    other.ok_or_else(unknown)?
}

impl Agent {
    /// Does something with the other host, which looks at this one meanwhile.
    fn with_host<R>(&mut self, deed: impl FnOnce(&mut Far, &mut Agent) -> R) -> Option<R> {
        let mut host = self.across.as_mut()?.host.take()?;
        let result = deed(&mut host, self);
        if let Some(across) = &mut self.across {
            across.host = Some(host);
        }
        Some(result)
    }

    fn mirror(&self) -> Option<&Mirror> {
        self.across.as_ref()?.host.as_ref()?.mirror()
    }

    /// Hears what the other host says, and tells it what there is to tell.
    pub(super) fn look_across(&mut self) {
        if self.across.is_none() {
            return;
        }
        self.relay_what_is_due();
        for _ in 0..MOST_EVENTS {
            let Some(event) = self.with_host(|host, agent| host.take(agent)).flatten() else { break };
            self.changed = true;
            self.happened_across(event);
        }
        self.late_rebinds();
        let Some(across) = &mut self.across else { return };
        let trouble = across.host.as_ref().and_then(|host| host.bridge().trouble());
        if across.trouble != trouble {
            match (&trouble, &across.trouble) {
                // Who knocks at the bridge can make it another one as often as he likes.
                (Some(trouble), Some(_)) => {
                    if let Some(unsaid) = across.warned.now(Instant::now()) {
                        tracing::warn!(trouble, unsaid, "the bridge");
                    }
                }
                // That it is gone was said.
                (Some(trouble), None) => tracing::info!(trouble, "the bridge"),
                (None, _) => tracing::info!("the bridge is open"),
            }
            across.told.tell(trouble.clone());
            across.trouble = trouble;
        }
    }

    fn happened_across(&mut self, event: Event<Asking>) {
        match event {
            Event::Mirror(change) => self.heard_across(change),
            Event::Ended(why) => {
                crash_point!(AcrossGone);
                if why.ends_with(ENDED) {
                    tracing::info!(why, "the other host is gone");
                } else {
                    tracing::warn!(why, "the other host is gone");
                }
                self.met_across(None);
                self.forget_across();
            }
            Event::Met(hello, _) => {
                crash_point!(AcrossMet);
                tracing::info!(cluster = hello.name, "the other host is there");
                self.met_across(Some(hello.name));
                self.suspend_again();
            }
            Event::Open => {
                crash_point!(AcrossOpened);
                tracing::debug!("each host knows what the other has");
            }
            Event::Granted { by, number, grant } => self.answer_granted(&by, number, &grant),
            Event::Refused { by, error } => self.answer_refused(&by, error),
            // Their mirror goes next, or all of them do.
            Event::Cut(_) => {}
            Event::ImporterGone(number) => {
                if let Some(row) = self.row_across(At::Export, number) {
                    self.drop_holder(row, 0, EndCause::Disconnected);
                }
            }
            Event::Rebound(segment, number) => self.rebound_there(segment, number),
            Event::Resumed(segment) => self.resumed_across(segment),
            Event::Signalled { end, number, counts } => self.signalled_across(end, number, counts),
            Event::Looked(party) => self.books.chores.add(Owner::Party(party), Chore::Again(party)),
            Event::Unlooked((party, number), error) => self.answer_late(Owed { party, number }, error),
            Event::Answers => {
                // Who waits until it can connect may try again.
                Nodes::up_to(self.node_count).minus(self.here).iter().for_each(|node| self.something_reachable(node));
            }
            Event::LinkSet(link, change, count) => {
                if self.with_host(|host, _| host.link_heard(link, change, count)) == Some(true) {
                    self.link_set_across(link, change);
                }
            }
            Event::Free(segment) => self.books.withdrawals.look_at(segment.row, Some(Instant::now())),
        }
    }

    fn met_across(&mut self, peer: Option<String>) {
        if let Some(across) = &mut self.across {
            across.peer = peer;
        }
    }

    /// The cluster ends on this host.
    pub(super) fn close_across(&mut self) {
        self.relay();
        self.with_host(|host, agent| host.close(agent, ENDED));
        if self.across.is_some() {
            crash_point!(AcrossEnding);
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
        let (owed, version) = (Owed { party, number }, wish.version);
        let by = Asking { owed, mirror, version, controller, permission: wish.permission, has_bells };
        let gone = || Error::with(Code::RemoteNodeUnreachable, "there is no other host");
        self.with_host(|host, _| host.ask(wish, by)).ok_or_else(gone)??;
        crash_point!(AcrossAsked);
        self.owe(party, number);
        Ok(())
    }

    /// Has a connect heard again that was refused by what is known of another host: what is there now may be more, which its
    /// asker may have been told by others. `false` where that is not so.
    pub(super) fn look_first(&mut self, party: u64, number: u64, node: u32) -> bool {
        node >= 1
            && node <= self.node_count
            && !self.here.has(node)
            && self.with_host(|host, _| host.look((party, number))).unwrap_or(false)
    }

    /// A connect waits no longer.
    fn answer_late(&mut self, owed: Owed, error: Error) {
        if let Some(member) = self.books.members.get_mut(&owed.party) {
            member.put_off = None;
            self.pay(owed, Err(error));
        }
    }

    fn answer_granted(&mut self, by: &Asking, number: u64, grant: &Grant) {
        crash_point!(AcrossGranted);
        let given = self.granted_across(by, number, grant).inspect_err(|_| self.give_back_across(number));
        if let Some(member) = self.books.members.get_mut(&by.owed.party) {
            member.put_off = None;
            if let Ok((Answer::Connected(connected), _)) = &given {
                member.last = Some((by.owed.number, Undo::Connect(connected.connection.row)));
            }
        }
        self.pay(by.owed, given);
    }

    /// Refused by another version of the publication than the one that the asker was judged by: by that it is judged now.
    fn answer_refused(&mut self, by: &Asking, error: Error) {
        let now = self.books.segment(by.mirror).ok().map(|segment| segment.publication.1);
        let is_other = now != Some(by.version) && error.code() == Code::SegNotPublished;
        let Some(member) = self.books.members.get_mut(&by.owed.party) else { return };
        if is_other && member.put_off.as_ref().is_some_and(|put_off| put_off.tries < MOST_TRIES) {
            self.books.chores.add(Owner::Party(by.owed.party), Chore::Again(by.owed.party));
            return;
        }
        member.put_off = None;
        self.pay(by.owed, Err(error));
    }

    /// What the asker is given.
    fn granted_across(&mut self, by: &Asking, number: u64, grant: &Grant) -> Result<Given> {
        let importer = self.books.node_of(by.owed.party)?;
        let segment = self.books.segment(by.mirror)?;
        let (length, exporter) = (segment.length, segment.node);
        // The link may have been taken down while the other host was asked.
        self.check_path(by.controller, importer, exporter)?;
        let host = self.across.as_ref().and_then(|across| across.host.as_ref());
        let bridge = host.ok_or(Error::new(Code::RemoteNodeUnreachable))?.bridge();
        let memory = (by.permission != Permission::None)
            .then(|| bridge.reach(grant.offset, length, by.permission))
            .transpose()?;
        let (memory, offset) = memory.map_or((None, 0), |reach| (Some(reach.memory), reach.offset));
        let seals = bridge.seals()?;
        let (seals_at, device) = (seals.offset, seals.device);
        let window = WindowKind::Posted { slot: grant.slot, seal: grant.seal, seals_at, device };
        let way = Grants {
            window,
            memory,
            seals: Some(seals.memory),
            sentinel: bridge.sentinel()?,
            across: Some(number),
            offset,
        };
        self.grant(by.owed.party, by.controller, importer, by.mirror.row, by.permission, by.has_bells, way)
    }

    /// A connection of this host to the other is over.
    pub(super) fn give_back_across(&mut self, number: u64) {
        self.with_host(|host, _| host.give_back(number));
        crash_point!(AcrossGivenBack);
    }

    /// The row of a connection by its number at the other host.
    fn row_across(&self, end: At, number: u64) -> Option<u32> {
        self.books.crossing.get(&(end == At::Import, number)).copied()
    }

    /// Processes of a node have come or gone.
    pub(super) fn tell_of_node(&mut self, node: u32) {
        self.with_host(|host, _| host.node_changed(node));
    }

    /// A segment was published or republished.
    pub(super) fn tell_of_segment(&mut self, name: SegmentName) {
        self.with_host(|host, _| host.segment_changed(name));
    }

    /// A segment is published no more.
    pub(super) fn withdraw_across(&mut self, name: SegmentName) {
        if self.books.segments.get(&name.row).is_some_and(|segment| segment.far.is_none()) {
            // What was signalled until now came in time.
            self.relay_of(name.row);
            self.with_host(|host, agent| host.withdraw(agent, name));
        }
    }

    /// Whether nothing of a segment is reached by the other host any more.
    pub(super) fn is_free_across(&self, row: u32) -> bool {
        let host = self.across.as_ref().and_then(|across| across.host.as_ref());
        let name = self.books.segments.get(&row).map(|segment| SegmentName { row, incarnation: segment.incarnation });
        host.zip(name).is_none_or(|(host, name)| host.is_free(name))
    }

    /// A link between the hosts was changed here: the other one changes it too.
    pub(super) fn tell_of_link(&mut self, controller: u32, from: u32, to: u32, change: LinkChange) {
        if Some(controller) == self.bridge && self.here.has(from) != self.here.has(to) {
            crash_point!(AcrossRelinked);
            self.with_host(|host, _| host.link_changed((from, to), change));
        }
    }

    /// Whether a node is one of this host.
    ///
    /// # Errors
    /// As `code` says, saying where it is and that `what` is to be done there.
    pub(super) fn check_here(&self, node: u32, code: Code, what: &str) -> Result<()> {
        if self.here.has(node) || self.across.is_none() {
            return Ok(());
        }
        let text = format!("node {node} is one of the other host, this one has {}: {what}", self.here);
        Err(Error::with(code, text))
    }
}
