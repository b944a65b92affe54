//! Giving an export other memory of the application's.
#![allow(unsafe_code)]

use super::super::backing::{self, Backing, Known};
use super::super::control::unexpected;
use super::super::turn::Wait;
use super::super::{lock, room};
use super::Segment;
use crate::guest::Guest;
use crate::memory::inspect;
use crate::memory::memfd;
use crate::memory::page_size;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask};
use rsm_core::{Code, Error, Result};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

impl Segment {
    /// Replaces the memory by another range of the application's: its contents are what importers see afterwards, and
    /// the old range is ordinary memory with its last contents.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_rebind`, reference 1.8, in its order.
    ///
    /// # Safety
    /// As [`Membership::adopt`](super::super::Membership::adopt), for the new range; views of the old one from [`memory`](Self::memory) must be gone.
    pub unsafe fn rebind(&self, start: *mut u8, length: usize) -> Result<()> {
        if start.is_null() {
            return Err(Error::with(Code::BadAddr, "memory at address 0"));
        }
        if !self.rebindable {
            return Err(Error::new(Code::RebindNotAllowed));
        }
        if !self.is_creator() {
            return Err(Error::new(Code::NotCreator));
        }
        if length != self.length {
            let text = format!("rebind of {length} bytes to a segment of {} bytes", self.length);
            return Err(Error::with(Code::BadLength, text));
        }
        let wait = Wait::Interruptible(&self.membership);
        let _own = self.take_turn(wait)?;
        if self.start.load(Ordering::Relaxed) == start {
            return Ok(());
        }
        if !start.addr().is_multiple_of(page_size()) {
            return Err(Error::with(Code::BadAddr, format!("address {start:p} is no multiple of the page size")));
        }
        // Whoever has the turn of an exported range waits for no other range: so this ends.
        let Known::Fresh(fresh) = self.membership.look_at_range(start.expose_provenance(), length)? else {
            return Err(Error::with(Code::BadAddr, "the range is exported already"));
        };
        let range = self.take_range(wait)?;
        self.race_rebinds();
        let _looks = self.looks_unsettled();
        self.gather()?;
        // The old range gets memory of its own, the new one what the segment has.
        self.membership.check_room(|| room::check(length as u64))?;
        let memory = match self.membership.ask(Ask::BeginRebind { segment: self.name })? {
            (Answer::Memory, mut descriptors) if !descriptors.is_empty() => descriptors.swap_remove(0),
            (other, _) => return Err(unexpected(&other)),
        };
        // The agent has suspended the verdicts of all importers.
        rsm_core::verdict::begin_owning();
        self.membership.race_takes_back();
        crash_point!(RebindGiven);
        // SAFETY: the caller's promise.
        let exchanged = unsafe { self.exchange(range.as_ref(), &fresh, start, &memory) };
        // Whatever came of it, from here on what is put stays.
        self.suspended.store(true, Ordering::Relaxed);
        if exchanged.is_ok() {
            self.looks_begin();
        }
        let ended = self.resume();
        crash_point!(RebindEnded);
        match ended {
            // The memory is what it is; that the cluster has ended is told by whatever is asked next.
            Err(error) if error.code() == Code::CtlrNotPresent => exchanged,
            ended => exchanged.and(ended),
        }
    }

    /// Gives the old range back and makes the fresh one the segment's, while no importer is vouched for.
    ///
    /// # Safety
    /// As [`rebind`](Self::rebind).
    unsafe fn exchange(
        &self,
        old: Option<&backing::Turn>,
        fresh: &backing::Turn,
        start: *mut u8,
        memory: &Guest,
    ) -> Result<()> {
        memfd::check_solid(memory, self.length as u64)?;
        let mut backing = lock(&self.backing);
        // The old range first: it gets copies of its bytes before the object gets the new ones.
        if let (Some(Backing::Adopted(adopted)), Some(old)) = (&mut *backing, old)
            && let Err(error) = adopted.give_back(old)
        {
            // Memory may have run out for the way back as well.
            if !self.maps(self.start.load(Ordering::Relaxed), memory, |bytes| bytes == self.length) {
                self.let_nobody_put();
            }
            return Err(error);
        }
        *backing = None;
        crash_point!(RebindReturned);
        // SAFETY: the caller's promise; the object is this segment's.
        match unsafe { fresh.adopt(memory.as_fd(), self.name) } {
            Ok(adopted) => {
                crash_point!(RebindDone);
                *backing = Some(Backing::Adopted(adopted));
                self.start.store(start, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => {
                // Unless part of the new range maps the object for good, which then holds what is there.
                if let Some(old) = old
                    && self.maps(start, memory, |bytes| bytes == 0)
                {
                    // SAFETY: the old range is the application's memory, ordinary again since a moment ago, and still
                    // nobody else's to export.
                    let back = unsafe { old.adopt(memory.as_fd(), self.name) };
                    *backing = back.ok().map(Backing::Adopted);
                }
                if backing.is_none() {
                    self.let_nobody_put();
                }
                Err(error)
            }
        }
    }

    /// Whether it is so of the bytes that map an object at these addresses; `false` also where nobody can tell.
    pub(super) fn maps(&self, start: *mut u8, object: &Guest, so: impl FnOnce(usize) -> bool) -> bool {
        let Ok(object) = inspect::identity(object) else { return false };
        let pieces = inspect::present(start.addr(), self.length);
        pieces.is_ok_and(|pieces| so(pieces.iter().filter(|p| p.is_of(object)).map(inspect::Piece::bytes).sum()))
    }

    /// Cuts the importers off when what they put would go where nobody looks: none is left to be told that it arrived.
    fn let_nobody_put(&self) {
        self.nowhere.store(true, Ordering::Relaxed);
        let _ = self.cut_if_nowhere();
    }

    /// Does what [`let_nobody_put`](Self::let_nobody_put) could not: until then nobody is vouched for.
    pub(super) fn cut_if_nowhere(&self) -> Result<()> {
        if self.nowhere.load(Ordering::Relaxed) {
            match self.request(Ask::Unpublish { segment: self.name }) {
                Err(error) if error.code() != Code::SegNotPublished => return Err(error),
                _ => self.nowhere.store(false, Ordering::Relaxed),
            }
        }
        Ok(())
    }
}
