//! Tallying what this process does while somebody watches.
//!
//! The first of the [taps](super::taps): the events thread turns it on and off, as the registry says.
#![allow(unsafe_code)]

use super::control::unexpected;
use super::event::Event;
use super::{Membership, Shared, fork, lock, watch};
use crate::memory::tables::TallyMap;
use rsm_core::message::{Answer, Ask, ProcessTally};
use rsm_core::tally::{Tally, TallyRow};
use rsm_core::{Code, Result};
use std::os::fd::OwnedFd;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32};

/// Where this process tallies.
#[derive(Debug, Default)]
pub(super) struct Tallying {
    /// Null while nobody watches. It leads into one of the state's maps, which stay as long as the membership.
    row: AtomicPtr<TallyRow>,
    /// [`fork::count`] of the process that the row is of.
    process: AtomicU32,
}

impl Tallying {
    /// The row, while somebody watches. Not in a forked child: the row is its parent's.
    fn row(&self) -> Option<&TallyRow> {
        // Acquire: pairs with the Release of `turn`; with the process goes that the row is none of the parent's.
        if self.process.load(Acquire) != fork::count() {
            return None;
        }
        // Acquire: pairs with the Release of `turn`.
        let row = self.row.load(Acquire);
        // SAFETY: null, or into a mapping that lives as long as the membership.
        unsafe { row.as_ref() }
    }

    /// Counts something.
    pub(super) fn tell(&self, event: Event) {
        let Some(row) = self.row() else { return };
        match event {
            Event::Put(bytes) => row.put(bytes),
            Event::Got(bytes) => row.got(bytes),
            Event::Posted => row.posted(),
            Event::Waited => row.waited(),
        }
    }

    /// Turned on with the process's newest row, or off.
    pub(super) fn turn(&self, map: Option<&TallyMap>) {
        if self.process.load(Relaxed) != fork::count() {
            // A row of the parent's goes before this process has any.
            self.row.store(null_mut(), Relaxed);
            // Release: pairs with the Acquire of `row`.
            self.process.store(fork::count(), Release);
        }
        let row = map.map_or(null_mut(), |map| std::ptr::from_ref(map.row()).cast_mut());
        self.row.store(row, Release);
    }
}

impl Shared {
    /// A look brought the memory of this process's tally along. A process has one, whatever else an agent sends. Gives it
    /// back if there is no room for it now: the agent sends it once.
    pub(super) fn take_tally(&self, fd: OwnedFd) -> Option<OwnedFd> {
        let mut state = lock(&self.state);
        if state.tallies.last().is_some_and(|(process, _)| *process == fork::count()) {
            tracing::warn!("the agent sent this process a second tally");
            return None;
        }
        match TallyMap::open(&fd) {
            Ok(map) => state.tallies.push((fork::count(), map)),
            Err(error) => {
                tracing::warn!(%error, "this process cannot tally what it does");
                return (error.code() != Code::InternalError).then_some(fd);
            }
        }
        None
    }
}

impl Membership {
    /// For an observer: what all processes tallied, which they do from the first call on.
    ///
    /// # Errors
    /// PERM_DENIED for a node; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn watch(&self) -> Result<Vec<ProcessTally>> {
        let mut all: Vec<ProcessTally> = Vec::new();
        loop {
            let after = all.last().map_or(0, |p| p.membership);
            match self.ask(Ask::Tallies { after })? {
                (Answer::Tallies { processes, more }, _) => {
                    watch::check_page(all.len(), after, processes.iter().map(|p| p.membership))?;
                    let done = !more || processes.is_empty();
                    all.extend(processes);
                    if done {
                        return Ok(all);
                    }
                }
                (other, _) => return Err(unexpected(&other)),
            }
        }
    }

    /// What this process tallied so far; `None` while nobody watches.
    pub fn tallied(&self) -> Option<Tally> {
        self.shared.taps.tallying.row().map(TallyRow::read)
    }
}
