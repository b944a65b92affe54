//! The imports of a process, and the memory mapped for them.
//!
//! Everything here happens under the lock of the membership's state, and none of it on the data path. A connection
//! enters before its generation is compared, and a mapping is made and compared under the lock, so a sweep either
//! finds it or comes before it, and then the comparison finds the cut.
#![allow(unsafe_code)]

use super::flags::{FlagWord, Flags};
use super::way::never;
use crate::memory::region::Region;
use crate::memory::trash;
use rsm_core::access::Permission;
use rsm_core::crash_point;
use rsm_core::message::ConnectionName;
use rsm_core::registry::Registry;
use rsm_core::sync::{AtomicU64, acquire};
use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

/// The imports of a process, by generation: rows are used again while an old import of one still stands.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<u64, Entry>,
    /// Somebody watches transfers.
    watched: bool,
    /// Somebody notes them, and orders and the ends of spans too.
    noted: bool,
}

/// What of a connection makes it plain or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Switch {
    pub(super) flags: NonNull<FlagWord>,
    /// What the end of a span is compared with.
    pub(super) generation: NonNull<AtomicPtr<AtomicU64>>,
    /// What it is to be compared with where it is plain.
    pub(super) truth: NonNull<AtomicU64>,
    /// It goes to plain memory, and nobody watched from the beginning.
    pub(super) plain: bool,
}

#[derive(Debug)]
struct Entry {
    name: ConnectionName,
    /// Those of the connection, which takes its entry out before it goes.
    switch: Switch,
    /// Trash pages lie under the mapped parts already.
    cut: bool,
    parts: Vec<(Arc<Region>, Permission)>,
}

// SAFETY: all that a switch leads to are atomics, alive as long as the entry.
unsafe impl Send for Entry {}

impl Entry {
    fn flags(&self) -> &FlagWord {
        // SAFETY: by the promise of `Table::enter`.
        unsafe { self.switch.flags.as_ref() }
    }

    /// Has everything that is done with it noted, or no more.
    fn note(&self, on: bool) {
        let Switch { generation, truth, plain, .. } = self.switch;
        if !plain {
            return;
        }
        // SAFETY: by the promise of `Table::enter`.
        let generation = unsafe { generation.as_ref() };
        // Whoever compares with what never matches looks again at the truth, whatever the flags say by then.
        generation.store(if on { never() } else { truth.as_ptr() }, Relaxed);
        if on { self.flags().set(Flags::DIVERTED) } else { self.flags().clear(Flags::DIVERTED) }
    }

    fn is_aborted(&self, registry: &Registry<'_>) -> bool {
        let row = registry.connections.get(self.name.row as usize);
        row.is_none_or(|r| acquire(r.generation()) != self.name.generation)
    }

    /// Cuts it off if its connection was withdrawn. `false`: that is still to be done.
    #[must_use]
    fn sweep(&mut self, registry: &Registry<'_>) -> bool {
        self.cut || !self.is_aborted(registry) || self.cut()
    }

    /// Puts trash pages under every mapped part. Where that fails (no address space or memory left for a split) the part
    /// stays, and the next sweep tries again.
    #[must_use]
    fn cut(&mut self) -> bool {
        self.cut = true;
        for (part, permission) in &self.parts {
            let covered = trash::cover(part, *permission);
            crash_point!(LookCovered);
            if let Err(error) = covered {
                tracing::warn!(%error, "import not cut off");
                self.cut = false;
            }
        }
        self.cut
    }
}

impl Table {
    /// Enters a connection with the part that covers it whole. `false` when it was withdrawn and cannot be cut off, which
    /// nobody would do later: it is to be taken out again.
    ///
    /// # Safety
    /// What the switch leads to must stay until the connection is taken out again.
    pub(super) unsafe fn enter(
        &mut self,
        registry: &Registry<'_>,
        name: ConnectionName,
        switch: Switch,
        whole: Arc<Region>,
        p: Permission,
    ) -> bool {
        let mut entry = Entry { name, switch, cut: false, parts: vec![(whole, p)] };
        if self.watched {
            entry.flags().set(Flags::WATCHED);
        }
        if self.noted {
            entry.note(true);
        }
        // Withdrawn between the agent's answer and now: the sweep may have passed already.
        let swept = entry.sweep(registry);
        self.entries.insert(name.generation, entry);
        swept
    }

    /// Takes a connection out; its parts go with what is returned.
    pub(super) fn remove(&mut self, name: ConnectionName) -> Vec<Arc<Region>> {
        let entry = self.entries.remove(&name.generation);
        entry.map_or_else(Vec::new, |e| e.parts.into_iter().map(|(part, _)| part).collect())
    }

    /// Maps part of a connection's memory once more, with no more rights, at `place` if one is named, or over what is
    /// reserved.
    ///
    /// # Safety
    /// The caller owns the range of addresses at `place`.
    pub(super) unsafe fn add_part(
        &mut self,
        registry: &Registry<'_>,
        name: ConnectionName,
        range: (usize, usize),
        permission: Permission,
        place: Option<*mut u8>,
        reserved: Option<Region>,
    ) -> Result<Arc<Region>> {
        let entry = self.entries.get_mut(&name.generation).ok_or(Error::new(Code::BadSegHndl))?;
        if entry.is_aborted(registry) {
            return Err(Error::new(Code::ConnAborted));
        }
        let (whole, _) = entry.parts.first().ok_or(Error::new(Code::InternalError))?;
        let place = place.or(reserved.as_ref().map(Region::as_ptr));
        // SAFETY: the caller's promise, or reserved for this.
        let part = Arc::new(unsafe { whole.duplicate(range.0, range.1, permission, place) }?);
        // The part lies over what was reserved, and owns the addresses from here on.
        std::mem::forget(reserved);
        crash_point!(PartMade);
        entry.parts.push((Arc::clone(&part), permission));
        crash_point!(PartKnown);
        // Withdrawn meanwhile, perhaps looked at too: nobody would cut it off later.
        if entry.is_aborted(registry) && !entry.cut() {
            entry.parts.pop();
            return Err(Error::new(Code::ConnAborted));
        }
        Ok(part)
    }

    /// Forgets a part that [`add_part`](Self::add_part) made.
    pub(super) fn remove_part(&mut self, name: ConnectionName, part: &Arc<Region>) {
        if let Some(entry) = self.entries.get_mut(&name.generation) {
            entry.parts.retain(|(w, _)| !Arc::ptr_eq(w, part));
        }
    }

    /// The part that covers a connection whole.
    pub(super) fn whole(&self, name: ConnectionName) -> Option<Arc<Region>> {
        self.entries.get(&name.generation).and_then(|e| e.parts.first()).map(|(whole, _)| Arc::clone(whole))
    }

    /// Cuts off every connection whose generation moved. `false`: one could not be now.
    pub(super) fn sweep(&mut self, registry: &Registry<'_>) -> bool {
        let left = self.entries.values_mut().filter_map(|entry| (!entry.sweep(registry)).then_some(())).count();
        left == 0
    }

    /// Makes transfers tell who watches, or plain again.
    pub(super) fn watch(&mut self, on: bool) {
        if std::mem::replace(&mut self.watched, on) != on {
            for entry in self.entries.values() {
                if on { entry.flags().set(Flags::WATCHED) } else { entry.flags().clear(Flags::WATCHED) }
            }
        }
    }

    /// Makes everything that is done with imports go by where it is noted, or as it went.
    pub(super) fn note(&mut self, on: bool) {
        if std::mem::replace(&mut self.noted, on) != on {
            self.entries.values().for_each(|entry| entry.note(on));
        }
    }

    /// In a forked child: the agent does not know it as a holder of any connection yet.
    pub(super) fn mark_inherited(&self) {
        for entry in self.entries.values() {
            entry.flags().set(Flags::INHERITED);
        }
    }

    /// The connections by name.
    pub(super) fn names(&self) -> Vec<ConnectionName> {
        self.entries.values().map(|e| e.name).collect()
    }
}
