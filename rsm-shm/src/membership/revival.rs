//! How a forked child becomes a process of the node that its parent is of.
//!
//! What it inherited is valid without the agent: data and signals say by the registry what became of a connection. The
//! agent must learn of it so that it is told when a connection is cut, and so that the connection lives on when the
//! parent gives it back. So the first transfer, or wait, starts a thread that joins, and waits for it a moment; where
//! the agent is stopped it goes on, and the thread waits alone. Requests wait for the thread as a join does.

use super::join::{self, MEMBER_PATIENCE};
use super::{Membership, Shared, Tie, fork, gone, lock};
use crate::futex;
use crate::parking::Parking;
use crate::private_table::spawn_quiet;
use rsm_core::crash_point;
use rsm_core::message::{Ask, ConnectionName, MAX_INHERIT};
use rsm_core::sync::AtomicU32;
use rsm_core::sync::Ordering::{Acquire, Release};
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long data, signals and waits are held up for an agent that does not take the child in.
const A_MOMENT: Duration = Duration::from_secs(1);
/// Between two attempts that nobody waits for any more.
const PAUSE: Duration = Duration::from_secs(1);

const UNDER_WAY: u32 = 0;
const DONE: u32 = 1;
const FAILED: u32 = 2;

/// A child that joins.
#[derive(Debug)]
pub(super) struct Revival {
    /// [`fork::count`] of the child.
    process: u32,
    began: Instant,
    /// Where the child's threads sleep, before it has joined and after.
    parking: Arc<Parking>,
    state: AtomicU32,
    error: OnceLock<Error>,
}

/// What a process has of its cluster.
enum Tied {
    Joined(Arc<Tie>),
    /// Nothing yet: it is a child that joins.
    Joining(Arc<Revival>),
}

impl Revival {
    fn state(&self) -> u32 {
        // Acquire: pairs with the Release of `end`; the error and the tie are there.
        self.state.load(Acquire)
    }

    fn end(&self, state: u32) {
        self.state.store(state, Release);
        futex::wake(&self.state, i32::MAX);
    }

    /// Waits for the end, until then at most.
    fn wait(&self, until: Instant) -> u32 {
        while self.state() == UNDER_WAY && Instant::now() < until {
            // Signal handlers that run meanwhile change nothing.
            futex::sleep(&self.state, UNDER_WAY, Some(until));
        }
        self.state()
    }
}

impl Membership {
    /// The tie of *this* process: a forked child makes its own here, the first time it needs one.
    ///
    /// # Errors
    /// TIMEOUT when the agent does not take the child in; otherwise as a join.
    pub(super) fn tie(&self) -> Result<Arc<Tie>> {
        match self.shared.tie(|_| Instant::now() + MEMBER_PATIENCE)? {
            Tied::Joined(tie) => Ok(tie),
            Tied::Joining(_) => Err(super::control::silent(&self.shared.address, MEMBER_PATIENCE)),
        }
    }

    /// As [`tie`](Self::tie), for what goes on without: `None` when the agent did not take the child in within a
    /// moment.
    pub(super) fn tie_in_a_moment(&self) -> Result<Option<Arc<Tie>>> {
        self.shared.tie(|revival| revival.began + A_MOMENT).map(|tied| match tied {
            Tied::Joined(tie) => Some(tie),
            Tied::Joining(_) => None,
        })
    }

    /// Where a thread of this process sleeps, at most until `deadline`.
    pub(super) fn parking(&self, deadline: Option<Instant>) -> Result<Arc<Parking>> {
        let patience = |revival: &Revival| {
            let moment = revival.began + A_MOMENT;
            deadline.map_or(moment, |deadline| deadline.min(moment))
        };
        match self.shared.tie(patience)? {
            Tied::Joined(tie) => Ok(Arc::clone(&tie.parking)),
            Tied::Joining(revival) => Ok(Arc::clone(&revival.parking)),
        }
    }
}

impl Shared {
    /// The tie of this process, or, in a child that has none until then, how it gets one.
    fn tie(self: &Arc<Shared>, until: impl Fn(&Revival) -> Instant) -> Result<Tied> {
        fork::check()?;
        let revival = {
            let state = lock(&self.state);
            if state.tie.process == fork::count() {
                return Ok(Tied::Joined(Arc::clone(&state.tie)));
            }
            drop(state);
            self.revive()?
        };
        match revival.wait(until(&revival)) {
            DONE => Ok(Tied::Joined(Arc::clone(&lock(&self.state).tie))),
            FAILED => Err(revival.error.get().map_or(Error::new(Code::InternalError), Error::clone)),
            _ => Ok(Tied::Joining(revival)),
        }
    }

    /// The revival under way in this process, begun if need be.
    fn revive(self: &Arc<Shared>) -> Result<Arc<Revival>> {
        let _hold = fork::hold();
        let mut state = lock(&self.state);
        let process = fork::count();
        // One that failed is tried again; one of the parent's has no thread here.
        if let Some(revival) = state.revival.as_ref().filter(|r| r.process == process && r.state() != FAILED) {
            return Ok(Arc::clone(revival));
        }
        // What was tallied in is the parent's. The agent sends another if somebody watches.
        self.turn_tallying(&mut state);
        let (parking, error) = (Arc::default(), OnceLock::new());
        let revival =
            Arc::new(Revival { process, began: Instant::now(), parking, state: AtomicU32::new(UNDER_WAY), error });
        let (shared, its) = (Arc::clone(self), Arc::clone(&revival));
        spawn_quiet("rsm-revive", move || shared.run_revival(&its))?;
        state.revival = Some(Arc::clone(&revival));
        Ok(revival)
    }

    /// The thread's part.
    fn run_revival(self: &Arc<Shared>, revival: &Revival) {
        loop {
            let error = match self.join_again(revival) {
                Ok(()) => return revival.end(DONE),
                Err(error) => error,
            };
            let over = error.code() == Code::CtlrNotPresent;
            if over || revival.began.elapsed() < A_MOMENT {
                let _ = revival.error.set(error);
                revival.end(FAILED);
                if over {
                    // Whoever went on without, and sleeps.
                    revival.parking.end();
                }
                return;
            }
            // Somebody may have gone on without, and relies on this.
            std::thread::sleep(PAUSE);
        }
    }

    /// Joins as another process of the node, and takes a share in the connections that were inherited.
    fn join_again(self: &Arc<Shared>, revival: &Revival) -> Result<()> {
        let asked = join::ask(&self.address, self.claim)?;
        asked.wait(&self.address, None)?;
        let (tie, names) = {
            let hold = fork::hold();
            let joined = asked.receive(&hold, &self.address)?;
            let tie = joined.start_events(&hold, self, Arc::clone(&revival.parking))?;
            (tie, lock(&self.state).table.names())
        };
        crash_point!(ReviveJoined);
        for chunk in names.chunks(MAX_INHERIT) {
            tie.ask(&self.address, Ask::Inherit { connections: chunk.to_vec() })?;
        }
        let given_back: Vec<ConnectionName> = {
            let _hold = fork::hold();
            let mut state = lock(&self.state);
            // The parent's: not even dropped, its lock may be held by a thread that this process does not have.
            std::mem::forget(std::mem::replace(&mut state.tie, Arc::clone(&tie)));
            crash_point!(ReviveInherited);
            // What was cut before the agent knew of this process was not told to it. What cannot be cut off now is at the
            // next look.
            let _ = state.table.sweep(&self.map.registry());
            let left: BTreeSet<u64> = state.table.names().iter().map(|name| name.generation).collect();
            names.into_iter().filter(|name| !left.contains(&name.generation)).collect()
        };
        // While the agent did not know of it this process gave nothing back.
        for connection in given_back {
            let _ = tie.ask(&self.address, Ask::Disconnect { connection });
        }
        if tie.parking.is_gone() { Err(gone(&self.address)) } else { Ok(()) }
    }
}
