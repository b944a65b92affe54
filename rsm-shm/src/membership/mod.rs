//! A process's membership of a cluster.
//!
//! An object, never a hidden global: several nodes can live in one process. It is joined in one round trip and holds a
//! map of the registry, the bells of its node, a control socket for requests, and an events thread that cuts off
//! imports whose connections were withdrawn.
//!
//! | file | what |
//! |---|---|
//! | `join` | one round trip, and what comes of it |
//! | `control` | numbered requests and their replies |
//! | [`glance`](glance()) | a look at many clusters at once |
//! | `events` | the thread that looks when the agent says so |
//! | `table` | the imports of the process and the memory mapped for them |
//! | `connect` | connecting, at once or when there is something to connect to |
//! | `common` | segments of the cluster, which no node owns |
//! | [`connection`] | one import: the data path |
//! | [`flags`] | what its one word of flags says |
//! | [`way`] | how transfers go that do not go to plain memory: the door |
//! | [`part`] | parts of an import's memory, mapped |
//! | [`ready`] | poll descriptors |
//! | [`polled`] | where a handle has its own |
//! | `backing` | the memory of an export, its own or the application's |
//! | [`segment`] | one export |
//! | `room` | how much memory there is |
//! | [`importers`] | who imports it: who comes, who goes |
//! | [`attendance`] | that something of it changed, and that nobody is left |
//! | `turn` | operations that must not meet in the middle |
//! | `take` | taking signals |
//! | [`wait`] | the same, by threads that may be cancelled |
//! | `watch` | seeing that something changed, and who is there |
//! | `steer` | what an observer may ask |
//! | `taps` | who watches what it does |
//! | `event` | what they are told of |
//! | `tally` | the first of them: counting |
//! | [`rings`] | where calls are noted for who comes later |
//! | [`race`] | looking for accesses that nothing orders |
//! | `faults` | requests that go wrong through a lens |
//! | `told` | what failed, in words |
//! | `calls` | counting them, and dying before one |
//! | `fork` | what a forked child does with all this |
//! | `revival` | how it becomes a process of the node |
//! | [`default`] | the membership of a process that did not choose one |

pub mod attendance;
mod backing;
pub mod calls;
mod common;
mod connect;
pub mod connection;
mod control;
pub mod default;
mod event;
mod events;
mod faults;
pub mod flags;
mod fork;
mod glance;
pub mod importers;
mod join;
mod looks;
pub mod part;
pub mod polled;
pub mod race;
pub mod ready;
mod revival;
pub mod rings;
mod room;
pub mod segment;
mod spin;
mod steer;
mod table;
mod take;
mod tally;
mod taps;
mod told;
mod trace;
mod turn;
pub mod wait;
mod watch;
pub mod way;

pub use glance::glance;

use crate::address::Address;
use crate::guest::Guest;
use crate::memory::tables::{Bells, RegistryMap, TallyMap};
use crate::parking::Parking;
use control::Control;
use rsm_core::message::{Ask, Claim};
use rsm_core::registry::{CLUSTER, NodeRow, Registry};
use rsm_core::{Code, Error, Result};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use table::Table;
use taps::Tap;

/// A membership: of a node, or of an observer.
#[derive(Debug)]
pub struct Membership {
    shared: Arc<Shared>,
}

/// What the membership and its events thread share.
#[derive(Debug)]
struct Shared {
    address: Address,
    claim: Option<Claim>,
    map: RegistryMap,
    /// The bells of the own node; none for an observer.
    bells: Option<Bells>,
    /// The bells of other nodes, mapped when the first connection to one is made.
    peers: Box<[OnceLock<Bells>]>,
    /// Process id of the agent in this process's PID namespace; 0 where it is not to be seen there.
    agent: u32,
    taps: taps::Taps,
    /// What is on its way, in a cluster with a lens.
    posting: Option<Arc<way::Posting>>,
    /// What is called, in a cluster with a gate.
    calls: Option<Arc<calls::Calls>>,
    spinning: spin::Budget,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tie: Arc<Tie>,
    table: Table,
    /// Tallies of this process and, after a fork, of those it came from, by [`fork::count`].
    tallies: Vec<(u32, TallyMap)>,
    /// How this process, or the one it was forked from, became one of the node.
    revival: Option<Arc<revival::Revival>>,
}

/// What ties one process to the agent; a forked child makes its own.
#[derive(Debug)]
struct Tie {
    /// [`fork::count`] of the process that made it.
    process: u32,
    /// Its id.
    pid: rustix::process::Pid,
    membership: u64,
    token: rsm_core::message::Secret,
    control: Mutex<Control>,
    parking: Arc<Parking>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves nothing half-done behind these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While the answer lives no thread of the process forks through libc: for locks that a child must not inherit held.
/// Not to be asked for twice by one thread, nor around a call of this crate.
pub fn without_forks() -> impl Drop {
    fork::hold()
}

impl Membership {
    /// Joins the cluster at `address`: as a process of the claimed node, or without a claim to look.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is no such cluster or node; PERM_DENIED with a wrong key, or when the agent is not
    /// the user that the address names; BAD_LIBRARY_VERSION when library and agent do not fit.
    pub fn join(address: &Address, claim: Option<Claim>) -> Result<Arc<Membership>> {
        fork::check()?;
        let asked = join::ask(address, claim)?;
        asked.wait(address, Some(join::patience(claim)))?;
        let hold = fork::hold();
        let shared = join::join(&hold, asked, address, claim)?;
        fork::enlist(&hold, &shared);
        Ok(Arc::new(Membership { shared }))
    }

    /// The node this is a membership of.
    ///
    /// # Errors
    /// PERM_DENIED for an observer.
    pub fn node(&self) -> Result<u32> {
        let claim = self.shared.claim.as_ref();
        claim.map(|c| c.node).ok_or_else(|| Error::with(Code::PermDenied, "an observer is no node of the cluster"))
    }

    /// Where the agent is.
    pub fn address(&self) -> &Address {
        &self.shared.address
    }

    /// The registry.
    pub fn registry(&self) -> Registry<'_> {
        self.shared.map.registry()
    }

    /// Whether the cluster has ended, as far as this process has noticed.
    pub fn is_gone(&self) -> bool {
        lock(&self.shared.state).tie.parking.is_gone()
    }

    /// The row of a node id that is valid in this cluster, or of the cluster itself.
    fn node_row(&self, node: u32) -> Option<&NodeRow> {
        let registry = self.registry();
        if (CLUSTER..=registry.header.node_count()).contains(&node) { registry.nodes.get(node as usize) } else { None }
    }

    /// In a cluster with a lens: this process ends or gives back what it had, and its last checks are about what is there,
    /// not about when.
    fn delay_no_more(&self) {
        if let Some(posting) = &self.shared.posting {
            posting.quiet();
        }
    }

    /// Delivers signals that are on their way, due or not: for tests of what otherwise only time would bring.
    pub fn deliver_signals(&self) {
        if let Some(posting) = &self.shared.posting {
            posting.deliver_signals();
        }
    }

    /// There is something new to delay.
    fn delay_again(&self) {
        if let Some(posting) = &self.shared.posting {
            posting.loud();
        }
    }

    /// Asks the agent.
    fn ask(&self, ask: Ask) -> Result<control::Given> {
        self.called_to_ask(&ask);
        let tie = self.tie()?;
        let noted = self.begin_note().and_then(|began| Some((began, self.what_is_asked(&ask)?)));
        let race = self.race_asks(&ask);
        let given = tie.ask(&self.shared.address, ask);
        self.linger();
        self.race_answered(race, given.is_ok());
        if let Some((began, what)) = noted {
            self.note_answer(Some(began), Some(what), &given);
        }
        Membership::noted(given)
    }

    /// Asks for something whose answer is `Done`.
    fn ask_done(&self, ask: Ask) -> Result<()> {
        match self.ask(ask)? {
            (rsm_core::message::Answer::Done, _) => Ok(()),
            (other, _) => Err(control::unexpected(&other)),
        }
    }

    /// Asks when the agent is asked for something next: what gives something back and could not be asked now.
    fn ask_later(&self, ask: Ask) {
        if let Ok(tie) = self.tie() {
            tie.ask_later(ask);
        }
    }

    /// The bells of a node, mapping them from `descriptor` if this process has not yet.
    fn bells_of(&self, node: u32, descriptor: Option<Guest>) -> Result<&Bells> {
        if let (Some(own), Ok(me)) = (&self.shared.bells, self.node())
            && node == me
        {
            return Ok(own);
        }
        let slot = self.shared.peers.get(node as usize).ok_or(Error::new(Code::InternalError))?;
        if let Some(bells) = slot.get() {
            return Ok(bells);
        }
        let descriptor = descriptor.ok_or_else(|| Error::with(Code::InternalError, "bells did not come along"))?;
        let bells = Bells::open(descriptor)?;
        Ok(slot.get_or_init(|| bells))
    }

    fn has_bells_of(&self, node: u32) -> bool {
        self.node() == Ok(node) || self.shared.peers.get(node as usize).is_some_and(|slot| slot.get().is_some())
    }

    /// Sleeps until `word`, in the registry, no longer holds `seen`.
    fn sleep(&self, word: &rsm_core::sync::AtomicU32, seen: u32, deadline: Option<std::time::Instant>) -> Result<()> {
        use rsm_core::bell::Wake;
        match self.parking(deadline)?.sleep(word, seen, deadline) {
            Wake::Woken => Ok(()),
            Wake::TimedOut => Err(Error::new(Code::Timeout)),
            Wake::Interrupted => Err(Error::new(Code::Interrupted)),
            Wake::Gone => Err(gone(&self.shared.address)),
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if fork::is_unannounced() {
            return; // the membership is the parent's
        }
        let tie = Arc::clone(&lock(&self.shared.state).tie);
        if tie.process != fork::count() {
            std::mem::forget(tie); // as in `tie`; the membership is the parent's
            return;
        }
        // The agent ends the events socket, which ends the events thread.
        tie.leave(&self.shared.address);
        if let Some(racing) = self.shared.taps.racing {
            racing.end();
        }
    }
}

impl Shared {
    /// Tallies or stops, as the registry says.
    fn turn_tallying(&self, state: &mut State) {
        let on = self.map.registry().header.is_tallied();
        let own = state.tallies.last().filter(|(process, _)| on && *process == fork::count()).map(|(_, map)| map);
        // Who finds a row finds the flags set: transfers take their cold path before the row is told, and a while
        // longer than there is one.
        if own.is_some() {
            self.taps.set(Tap::Tally, true);
            state.table.watch(true);
            self.taps.tallying.turn(own);
        } else {
            self.taps.tallying.turn(None);
            self.taps.set(Tap::Tally, false);
            state.table.watch(self.taps.is_any());
        }
    }

    /// Cuts off every import whose connection was withdrawn; returns the revision that was seen before looking, or none
    /// when something could not be cut off.
    fn sweep(&self) -> Option<u64> {
        let registry = self.map.registry();
        let mut done = false;
        let seen = registry.header.look(|| {
            let mut state = lock(&self.state);
            // First: others wait for it.
            done = state.table.sweep(&registry);
            self.turn_tracing(&mut state);
            self.turn_tallying(&mut state);
        });
        done.then_some(seen)
    }
}

/// The error for a cluster whose agent is gone.
fn gone(address: &Address) -> Error {
    Error::with(Code::CtlrNotPresent, format!("the cluster {:?} has ended", address.name()))
}

/// Makes room for a deadline from a timeout; too far away is never.
fn deadline(timeout: Option<std::time::Duration>) -> Option<std::time::Instant> {
    timeout.and_then(|t| std::time::Instant::now().checked_add(t))
}
