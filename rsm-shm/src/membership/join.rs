//! Joining: one round trip.

use super::calls::Calls;
use super::control::{Control, unexpected};
use super::fork::{self, Hold};
use super::race::{Racing, outside};
use super::spin::Budget;
use super::table::Table;
use super::taps::{Tap, Taps};
use super::trace::Tracing;
use super::way::Posting;
use super::{Shared, State, Tie, events, lock};
use crate::address::Address;
use crate::error::from_errno;
use crate::guest::Guest;
use crate::memory::races::RaceMap;
use crate::memory::tables::{Bells, RecordMap, RegistryMap};
use crate::parking::Parking;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask, Claim, PROTOCOL, Secret};
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// How long a node waits for the agent to take it in, and an observer to be let look.
pub(super) const MEMBER_PATIENCE: Duration = Duration::from_secs(30);
pub(super) const OBSERVER_PATIENCE: Duration = Duration::from_secs(2);

/// A membership that the agent has agreed to, before its events thread runs.
pub(super) struct Joined {
    control: Control,
    membership: u64,
    token: Secret,
    events: Guest,
    registry: Guest,
    bells: Option<Guest>,
    record: Option<Guest>,
    races: Option<Guest>,
    ring: Option<Guest>,
}

/// A join that the agent was asked for.
pub(super) struct Asked {
    control: Control,
    number: u64,
}

/// How long one waits to be taken in.
pub(super) fn patience(claim: Option<Claim>) -> Duration {
    if claim.is_some() { MEMBER_PATIENCE } else { OBSERVER_PATIENCE }
}

/// Connects to the agent and asks it to be taken in.
pub(super) fn ask(address: &Address, claim: Option<Claim>) -> Result<Asked> {
    #[cfg(rsm_crash_points)]
    crate::crash::from_environment();
    crate::log::from_environment();
    let mut control = Control::open(address)?;
    // Where the kernel cannot name the process at the other end of a socket, the agent needs a descriptor of it.
    let process = describe_process(control.names_its_peer(address)?)?;
    let descriptors: Vec<_> = process.iter().map(AsFd::as_fd).collect();
    let number = control.join(address, Ask::Join { protocol: PROTOCOL, claim }, &descriptors)?;
    crash_point!(JoinSent);
    Ok(Asked { control, number })
}

impl Asked {
    /// Waits until there is an answer; without `patience` as long as there is an agent. Nothing is held: the process may
    /// fork meanwhile.
    ///
    /// # Errors
    /// TIMEOUT.
    pub(super) fn wait(&self, address: &Address, patience: Option<Duration>) -> Result<()> {
        self.control.await_answer(address, patience)
    }

    /// Takes the answer that is there.
    ///
    /// Forks are held off: a child that inherited the events socket would hide the end of this process from the agent.
    pub(super) fn receive(self, _hold: &Hold, address: &Address) -> Result<Joined> {
        let Asked { mut control, number } = self;
        let (answer, descriptors) = control.join_answer(address, number)?;
        crash_point!(JoinAnswered);
        Joined::of(control, answer, descriptors)
    }
}

impl Joined {
    fn of(control: Control, answer: Answer, descriptors: Vec<Guest>) -> Result<Joined> {
        let Answer::Joined { membership, token, ring } = answer else { return Err(unexpected(&answer)) };
        let mut descriptors = descriptors.into_iter();
        let ring = if ring { descriptors.next_back() } else { None };
        let incomplete = || Error::with(Code::InternalError, "the agent's answer is incomplete");
        let registry = descriptors.next().ok_or_else(incomplete)?;
        let events = descriptors.next().ok_or_else(incomplete)?;
        let (bells, record, races) = (descriptors.next(), descriptors.next(), descriptors.next());
        Ok(Joined { control, membership, token, events, registry, bells, record, races, ring })
    }
}

/// A descriptor of this process, where the kernel did not name the peer by one; `None` also where it cannot be had.
pub(super) fn describe_process(is_named: bool) -> Result<Option<Guest>> {
    if is_named {
        return Ok(None);
    }
    let own = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    match own.and_then(Guest::new) {
        Ok(process) => Ok(Some(process)),
        // Refused for good, by a filter or a tool that the program runs under. The agent says whether it does without.
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(None),
        Err(error) => Err(from_errno(error, "cannot open a process descriptor")),
    }
}

/// Joins and builds a membership around it.
pub(super) fn join(hold: &Hold, asked: Asked, address: &Address, claim: Option<Claim>) -> Result<Arc<Shared>> {
    let joined = asked.receive(hold, address)?;
    let map = RegistryMap::open(&joined.registry)?;
    let bells = joined.bells.as_ref().map(Bells::open).transpose()?;
    let nodes = map.registry().nodes.len();
    let lens = map.registry().header.lens()?;
    let tracing = claim.map(|_| Arc::new(Tracing::new(lens.and_then(|lens| lens.trace))));
    let posting = claim.zip(lens).map(|(claim, lens)| Posting::new(lens, claim.node, tracing.clone()));
    if let (Some(posting), Some(record)) = (&posting, &joined.record) {
        posting.record_in(RecordMap::open(record)?);
    }
    let calls = claim.and(lens).and_then(|lens| lens.gate).map(Calls::new);
    let mut taps = Taps::default();
    taps.tracing = tracing;
    if let Some(tracing) = &taps.tracing
        && let Some(ring) = joined.ring_to_note_in(tracing.is_lasting())
    {
        tracing.note_in(RecordMap::open(ring)?);
        taps.set(Tap::Trace, tracing.is_lasting());
    }
    if let (Some(races), Some(claim), true) = (&joined.races, claim, lens.is_some_and(|lens| lens.race)) {
        let pages = lens.is_some_and(|lens| lens.race_pages);
        let no_atomics = lens.and_then(|lens| lens.profile).is_some_and(|profile| profile.row().no_atomics);
        let how = (pages, no_atomics);
        let racing = Racing::begin(RaceMap::open(races)?, claim.node, joined.membership, how);
        outside::joins(racing, lens.is_some_and(|lens| lens.race_outside));
        taps.racing = Some(racing);
        taps.set(Tap::Race, true);
    }
    if let (Some(calls), Some(record)) = (&calls, &joined.record) {
        calls.note_in(RecordMap::open(record)?);
        taps.set(Tap::Calls, true);
    }
    let agent = joined.control.agent;
    let (tie, events) = joined.into_tie(Arc::default());
    let shared = Arc::new(Shared {
        address: address.clone(),
        claim,
        map,
        bells,
        peers: (0..nodes).map(|_| OnceLock::new()).collect(),
        agent,
        taps,
        posting,
        calls,
        spinning: Budget::default(),
        state: Mutex::new(State { tie: Arc::clone(&tie), table: Table::default(), tallies: Vec::new(), revival: None }),
    });
    if shared.posting.as_ref().is_some_and(|posting| posting.pace().is_some()) {
        shared.taps.set(Tap::Pace, true);
    }
    crash_point!(JoinMapped);
    shared.turn_tracing(&mut lock(&shared.state));
    events::start(events, Arc::clone(&shared), Arc::clone(&tie.parking))?;
    crash_point!(JoinListening);
    Ok(shared)
}

impl Joined {
    /// What brings a ring along: the ring of a trace that came later, or in a cluster whose lens traces the record, which has
    /// none in others.
    fn ring_to_note_in(&self, lens_traces: bool) -> Option<&Guest> {
        self.ring.as_ref().or(self.record.as_ref().filter(|_| lens_traces))
    }

    fn into_tie(self, parking: Arc<Parking>) -> (Arc<Tie>, Guest) {
        let tie = Tie {
            process: fork::count(),
            pid: rustix::process::getpid(),
            membership: self.membership,
            token: self.token,
            control: Mutex::new(self.control),
            parking,
        };
        (Arc::new(tie), self.events)
    }

    /// Starts the events thread for a membership that exists already: in a forked child.
    pub(super) fn start_events(self, _hold: &Hold, shared: &Arc<Shared>, parking: Arc<Parking>) -> Result<Arc<Tie>> {
        // Held: not by way of `with`.
        if let (Some(posting), Some(record)) = (&shared.posting, &self.record) {
            posting.record_in(RecordMap::open(record)?);
        }
        if let (Some(calls), Some(record)) = (&shared.calls, &self.record) {
            calls.note_in(RecordMap::open(record)?);
        }
        if let Some(tracing) = &shared.taps.tracing
            && let Some(ring) = self.ring_to_note_in(tracing.is_lasting())
        {
            tracing.note_in(RecordMap::open(ring)?);
        }
        if let Some(racing) = shared.taps.racing {
            racing.join_again(self.membership);
        }
        {
            // Whether anybody watches or traces is inherited as it was when the parent forked. Who is gone by now the agent does
            // not tell this process of.
            let mut state = lock(&shared.state);
            shared.turn_tracing(&mut state);
            shared.turn_tallying(&mut state);
        }
        let (tie, events) = self.into_tie(parking);
        events::start(events, Arc::clone(shared), Arc::clone(&tie.parking))?;
        Ok(tie)
    }
}
