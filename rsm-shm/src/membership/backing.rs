//! Where the memory of an export lies: pages of our own, or a range of the application's that was adopted.
//!
//! An adopted range stays where it is; what lies there becomes the segment's memory object. The same range may be
//! exported more than once: all exports of it share one object (D-80). Ranges that overlap without being equal are
//! refused, because one address cannot be in two objects.
#![allow(unsafe_code)]

use super::{fork, lock};
use crate::memory::adopt::{self, Protection};
use crate::memory::huge::Pages;
use crate::memory::inspect;
use crate::memory::region::Region;
use crate::private_table;
use rsm_core::crash_point;
use rsm_core::message::SegmentName;
use rsm_core::{Code, Error, Result};
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

/// The memory of an export.
#[derive(Debug)]
pub(super) enum Backing {
    /// Mapped by us, unmapped when the export goes.
    Own(Region),
    /// The application's.
    Adopted(Adopted),
}

impl Backing {
    pub(super) fn start(&self) -> *mut u8 {
        match self {
            Backing::Own(region) => region.as_ptr(),
            Backing::Adopted(adopted) => std::ptr::with_exposed_provenance_mut(adopted.start),
        }
    }
}

/// An export's share in a range of the application's memory. The last one gives it back.
#[derive(Debug)]
pub(super) struct Adopted {
    start: usize,
    name: SegmentName,
    /// [`fork::count`] of the process that adopted it.
    process: u32,
    /// Let go of already.
    gone: bool,
}

/// A range of the application's memory that is segments' for now.
#[derive(Debug)]
struct Range {
    start: usize,
    length: usize,
    /// Device and inode of the memory object: the application may have mapped something else there meanwhile.
    object: (u64, u64),
    membership: usize,
    process: u32,
    /// The exports of it. None while it is being adopted or given back: then it is its thread's alone.
    names: Vec<SegmentName>,
}

/// Ranges adopted by this process. Locked under [`fork::hold`] only.
static RANGES: Mutex<Vec<Range>> = Mutex::new(Vec::new());

/// What is known of a range that is to be exported.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing of it is exported; it is reserved for who asked.
    Fresh(Reservation),
    /// The very same range is, among others as this segment.
    Shared(SegmentName),
    /// The very same range is just becoming a segment's memory, or ceasing to be.
    Busy,
}

/// A range that nobody else adopts meanwhile.
#[derive(Debug)]
pub(super) struct Reservation {
    start: usize,
    length: usize,
}

/// Looks whether a range may be adopted, and reserves it.
///
/// # Errors
/// BAD_ADDR when part of it is not mapped, maps a file shared, or overlaps a range that is exported; PERM_DENIED when
/// part of it may not be read or written.
pub(super) fn look(start: usize, length: usize, membership: usize) -> Result<Known> {
    let Some(end) = start.checked_add(length) else {
        return Err(Error::with(Code::BadAddr, "the range goes beyond the last address"));
    };
    let reservation = {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        for range in ranges.iter().filter(|range| range.process == fork::count()) {
            let same = range.start == start && range.length == length && range.membership == membership;
            match range.names.last() {
                Some(name) if same => return Ok(Known::Shared(*name)),
                None if same => return Ok(Known::Busy),
                _ => {}
            }
            if start < range.start + range.length && range.start < end {
                return Err(Error::with(Code::BadAddr, "the range overlaps memory that is exported already"));
            }
        }
        ranges.push(Range { start, length, object: (0, 0), membership, process: fork::count(), names: Vec::new() });
        Reservation { start, length }
    };
    inspect::check_exportable(start, length)?;
    crash_point!(RangeReserved);
    Ok(Known::Fresh(reservation))
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        ranges.retain(|r| r.start != self.start || r.process != fork::count() || !r.names.is_empty());
    }
}

/// Gives another export a share in a range that is exported; `None` when it is no more, or maps another object than
/// the one this export was given: then it was given back and adopted anew in between.
pub(super) fn share(start: usize, name: SegmentName, object: (u64, u64)) -> Option<Adopted> {
    let _hold = fork::hold();
    let mut ranges = lock(&RANGES);
    let range = ranges.iter_mut().find(|range| range.start == start && range.process == fork::count())?;
    if range.names.is_empty() || range.object != object {
        return None;
    }
    range.names.push(name);
    Some(Adopted { start, name, process: fork::count(), gone: false })
}

impl Reservation {
    /// Makes the range the memory of a segment.
    ///
    /// # Errors
    /// Those of [`adopt::adopt`]; the range is then as it was.
    ///
    /// # Safety
    /// The range must be the caller's to give: mapped readable and writable, and not unmapped or mapped over while the
    /// segment exists.
    pub(super) unsafe fn adopt(&self, object: BorrowedFd<'_>, name: SegmentName) -> Result<Adopted> {
        let identity = inspect::identity(object)?;
        let _moving = fork::hold_for_move();
        let start = std::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the caller's promise.
        let protection = unsafe { adopt::adopt(start, self.length, object, 0) }?;
        if protection == Protection::None {
            tracing::warn!("memory was adopted without protection: stores of other threads meanwhile may be lost");
        }
        Pages::AsWished.make(start, self.length)?;
        crash_point!(RangeAdopted);
        let process = fork::count();
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let reserved = ranges.iter_mut().find(|range| range.start == self.start && range.process == process);
        let range = reserved.ok_or(Error::new(Code::InternalError))?;
        range.object = identity;
        range.names.push(name);
        Ok(Adopted { start: self.start, name, process, gone: false })
    }
}

/// Whether the range at `start` still maps the segment's object; the application may have mapped something else there
/// (D-79).
pub(super) fn is_in_place(start: usize) -> bool {
    let found = {
        let _hold = fork::hold();
        let ranges = lock(&RANGES);
        ranges.iter().find(|r| r.start == start && r.process == fork::count()).map(|r| (r.length, r.object))
    };
    found.is_some_and(|(length, (device, inode))| inspect::maps_object(start, length, device, inode).unwrap_or(true))
}

/// Notes that the range at `start` maps another object now.
pub(super) fn moved(start: usize, object: (u64, u64)) {
    let _hold = fork::hold();
    if let Some(range) = lock(&RANGES).iter_mut().find(|r| r.start == start && r.process == fork::count()) {
        range.object = object;
    }
}

/// Who may give a range back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharers {
    /// Whoever lets go last.
    Last,
    /// Only who never shared it.
    None,
}

impl Adopted {
    /// Another export of the range.
    pub(super) fn sharer(&self) -> Option<SegmentName> {
        let _hold = fork::hold();
        let ranges = lock(&RANGES);
        let range = ranges.iter().find(|r| r.start == self.start && r.process == self.process)?;
        range.names.iter().copied().find(|name| *name != self.name)
    }

    /// Gives the range back now.
    ///
    /// # Errors
    /// BAD_ADDR when another export shares it; what [`adopt::give_back`] says. The share then stands as before.
    pub(super) fn give_back(&mut self) -> Result<()> {
        self.let_go(Sharers::None)
    }

    /// Lets go of the share; the last one gives the application ordinary private memory with the same contents. A range
    /// that maps something else by now is left alone (D-79), as is everything in a forked child.
    fn let_go(&mut self, sharers: Sharers) -> Result<()> {
        if self.gone || self.process != fork::count() {
            return Ok(());
        }
        let _moving = fork::hold_for_move();
        let (start, length, (device, inode)) = {
            let _hold = fork::hold();
            let mut ranges = lock(&RANGES);
            let Some(range) = ranges.iter_mut().find(|r| r.start == self.start && r.process == self.process) else {
                return Ok(());
            };
            if range.names.len() > 1 {
                if sharers == Sharers::None {
                    return Err(Error::with(Code::BadAddr, "the segment shares its memory with another export"));
                }
                range.names.retain(|name| *name != self.name);
                self.gone = true;
                return Ok(());
            }
            // Busy from here on: nobody shares or adopts it.
            range.names.clear();
            (range.start, range.length, range.object)
        };
        crash_point!(RangeReturning);
        let give = move || -> Result<()> {
            if inspect::maps_object(start, length, device, inode)? {
                // SAFETY: the range maps our object, which the application made a segment's, and nobody else's memory.
                unsafe { adopt::give_back(std::ptr::with_exposed_provenance_mut(start), length) }?;
            }
            Ok(())
        };
        let given = match give() {
            // The process has no descriptors left for it; a thread with a table of its own has.
            Err(error) if error.code() == Code::InsufficientResources => private_table::aside(give),
            other => other,
        };
        match given {
            Ok(()) => {
                crash_point!(RangeReturned);
                self.gone = true;
                drop(Reservation { start, length });
                Ok(())
            }
            Err(error) => {
                let _hold = fork::hold();
                let mut ranges = lock(&RANGES);
                let range = ranges.iter_mut().find(|r| r.start == self.start && r.process == self.process);
                if let Some(range) = range {
                    range.names.push(self.name);
                }
                Err(error)
            }
        }
    }
}

impl Drop for Adopted {
    fn drop(&mut self) {
        if let Err(error) = self.let_go(Sharers::Last) {
            tracing::error!(%error, "memory stays the segment's: it could not be given back");
        }
    }
}
