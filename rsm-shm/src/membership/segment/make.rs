//! Making exports: of memory of our own, and of a range of the application's.
#![allow(unsafe_code)]

use super::super::backing::{self, Backing, Known};
use super::super::control::unexpected;
use super::super::turn::{Turns, Wait};
use super::super::{Membership, fork, room};
use super::{Ending, Segment};
use crate::guest::Guest;
use crate::memory::huge::Pages;
use crate::memory::inspect;
use crate::memory::kin;
use crate::memory::memfd;
use crate::memory::page_size;
use crate::memory::region::Region;
use crate::memory::resident;
use rsm_core::access::{Level, MAX_MODE, Permission};
use rsm_core::crash_point;
use rsm_core::lens::inject::{Call, Place};
use rsm_core::message::{Answer, Ask, SegmentName};
use rsm_core::registry::ControllerKind;
use rsm_core::{Code, Error, Result};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr};
use std::sync::{Arc, Mutex};

impl Membership {
    /// Creates a segment of `length` zeroed bytes, all of them present.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_create`, reference 1.6; when pages must be huge, those of
    /// [`collapse`](crate::memory::huge::collapse).
    pub fn create(self: &Arc<Membership>, controller: u32, length: u64, level: Level, pages: Pages) -> Result<Segment> {
        self.check_length(controller, length)?;
        self.check_refused(Place::own(Call::Create), Code::InsufficientMem)?;
        self.check_room(|| room::check(length))?;
        let (name, bell, memory) = self.create_remote(controller, length, level, None)?;
        self.finish(name, bell, false, pages, length, || {
            let bytes = usize::try_from(length).map_err(|_| Error::new(Code::BadLength))?;
            kin::watch()?;
            let region = Region::map(&memory, 0, bytes, Permission::ReadWrite)?;
            // Before small pages are there, which would be made in vain.
            pages.make(region.as_ptr(), bytes)?;
            region.populate(0, bytes, Permission::ReadWrite)?;
            Ok(Backing::Own(region, inspect::identity(&memory)?))
        })
    }

    /// Exports a range of the application's memory in place. Its contents, and what other threads store meanwhile,
    /// stay; the memory goes on being used at the same addresses.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_create`, reference 1.6.
    ///
    /// # Safety
    /// The range must be the caller's to give: ordinary memory that is not unmapped, mapped over or protected while the
    /// segment exists, and to which no Rust reference exists that promises that nobody else writes.
    pub unsafe fn adopt(
        self: &Arc<Membership>,
        controller: u32,
        start: *mut u8,
        length: usize,
        rebindable: bool,
    ) -> Result<Segment> {
        self.check_range(controller, start, length, Code::BadMemAlignment)?;
        self.check_refused(Place::own(Call::Create), Code::InsufficientMem)?;
        let start = start.expose_provenance();
        let known = self.look_at_range(start, length)?;
        // Nobody moves the range, gives it back or takes one of its exports back before this one is among them.
        let (turn, share) = match known {
            Known::Fresh(turn) => (turn, None),
            Known::Shared(turn, other) => (turn, Some(other)),
            Known::Busy => return Err(Error::new(Code::InternalError)),
        };
        if share.is_none() {
            // What is there already moves chunk by chunk, and needs no room for both.
            self.check_room(|| room::check(length as u64).or_else(|_| room::check(resident::absent(start, length))))?;
        }
        let (name, bell, memory) = self.create_remote(controller, length as u64, Level::Guarded, share)?;
        self.finish(name, bell, rebindable, Pages::AsWished, length as u64, || {
            if share.is_none() {
                // SAFETY: the caller's promise.
                let adopted = unsafe { turn.adopt(memory.as_fd(), name) };
                return adopted.inspect_err(|_| turn.leave(memory.as_fd(), name)).map(Backing::Adopted);
            }
            let shared = turn.share(name, inspect::identity(memory.as_fd())?);
            let other = || Error::with(Code::InternalError, "the agent sent other memory than that of the range");
            shared.map(Backing::Adopted).ok_or_else(other)
        })
    }

    /// Looks at a range when nobody else is about something with it.
    pub(super) fn look_at_range(&self, start: usize, length: usize) -> Result<Known> {
        let membership = Arc::as_ptr(&self.shared).addr();
        Wait::Interruptible(self).until(|| {
            let known = backing::look(start, length, membership)?;
            Ok((!matches!(known, Known::Busy)).then_some(known))
        })
    }

    /// The checks of an address and a length that come before any look at what lies there.
    fn check_range(&self, controller: u32, start: *mut u8, length: usize, misaligned: Code) -> Result<()> {
        if start.is_null() {
            return Err(Error::with(Code::BadAddr, "memory at address 0"));
        }
        if length == 0 {
            return Err(Error::with(Code::BadLength, "a segment needs at least one page"));
        }
        if !start.addr().is_multiple_of(page_size()) {
            return Err(Error::with(misaligned, format!("address {start:p} is no multiple of the page size")));
        }
        self.check_length(controller, length as u64)
    }

    fn create_remote(
        &self,
        controller: u32,
        length: u64,
        level: Level,
        share: Option<SegmentName>,
    ) -> Result<(SegmentName, u32, Guest)> {
        let ask = Ask::Create { controller, length, default_mode: default_mode()?, level, share };
        match self.ask(ask)? {
            (Answer::Created { segment, bell }, mut descriptors) if !descriptors.is_empty() => {
                crash_point!(ExportGiven);
                let memory = descriptors.swap_remove(0);
                if let Err(error) = memfd::check_solid(&memory, length) {
                    let _ = self.ask(Ask::Destroy { segment, insist: true });
                    return Err(error);
                }
                Ok((segment, bell, memory))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    /// Builds the export around its memory; one that cannot be built is taken back.
    fn finish(
        self: &Arc<Membership>,
        name: SegmentName,
        bell: u32,
        rebindable: bool,
        pages: Pages,
        length: u64,
        back: impl FnOnce() -> Result<Backing>,
    ) -> Result<Segment> {
        let build = || {
            let bells = self.bells_of(self.node()?, None)?;
            let bell = NonNull::from(bells.bell(bell)?);
            let backing = back()?;
            crash_point!(ExportBacked);
            Ok(Segment {
                start: AtomicPtr::new(backing.start()),
                length: usize::try_from(length).map_err(|_| Error::new(Code::BadLength))?,
                rebindable,
                turns: Turns::default(),
                suspended: AtomicBool::new(false),
                nowhere: AtomicBool::new(false),
                backing: Mutex::new(Some(backing)),
                strays: Mutex::default(),
                pages,
                bell: AtomicPtr::new(bell.as_ptr()),
                membership: Arc::clone(self),
                name,
                process: fork::count(),
                unfinished: Mutex::new(None),
                ending: Mutex::new(Ending::Alive),
            })
        };
        let built = build();
        if built.is_err() {
            let _ = self.ask(Ask::Destroy { segment: name, insist: true });
        }
        built
    }

    /// The agent's checks of a length, which come before the question whether there is so much memory.
    pub(in crate::membership) fn check_length(&self, controller: u32, length: u64) -> Result<()> {
        let row = self.registry().controllers.get(controller as usize);
        let row = row.ok_or(Error::new(Code::CtlrNotPresent))?;
        let (mut largest, _, _) = row.limits();
        if row.kind() == Some(ControllerKind::Loopback) {
            largest = u64::MAX; // it knows no limit but what memory there is (D-07)
        }
        rsm_core::attr::check_export_length(length, crate::memory::page_size() as u64, largest)
    }
}

/// 0666 without the umask of this process.
pub(in crate::membership) fn default_mode() -> Result<u32> {
    Ok(MAX_MODE & !crate::umask::current()?)
}
