//! Where the memory of an export lies: pages of our own, or a range of the application's that was adopted.
//!
//! An adopted range stays where it is; what lies there becomes the segment's memory object. The same range may be
//! exported more than once: all exports of it share one object (D-80). Ranges that overlap without being equal are
//! refused, because one address cannot be in two objects.
#![allow(unsafe_code)]

use super::{fork, lock};
use crate::memory::adopt::{self, Protection};
use crate::memory::inspect;
use crate::memory::region::Region;
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
            if start < range.start + range.length && range.start < start + length {
                return Err(Error::with(Code::BadAddr, "the range overlaps memory that is exported already"));
            }
        }
        ranges.push(Range { start, length, object: (0, 0), membership, process: fork::count(), names: Vec::new() });
        Reservation { start, length }
    };
    inspect::check_exportable(start, length)?;
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
    Some(Adopted { start, name, process: fork::count() })
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
        // A child forked half-way would have part of the range as the segment's and part as its own.
        let _hold = fork::hold();
        let start = std::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the caller's promise.
        let protection = unsafe { adopt::adopt(start, self.length, object, 0) }?;
        if protection == Protection::None {
            tracing::warn!("memory was adopted without protection: stores of other threads meanwhile may be lost");
        }
        let process = fork::count();
        let mut ranges = lock(&RANGES);
        let reserved = ranges.iter_mut().find(|range| range.start == self.start && range.process == process);
        let range = reserved.ok_or(Error::new(Code::InternalError))?;
        range.object = identity;
        range.names.push(name);
        Ok(Adopted { start: self.start, name, process })
    }
}

impl Adopted {
    /// Whether other exports share the range.
    pub(super) fn is_shared(&self) -> bool {
        let _hold = fork::hold();
        let ranges = lock(&RANGES);
        let range = ranges.iter().find(|range| range.start == self.start && range.process == self.process);
        range.is_some_and(|range| range.names.len() > 1)
    }
}

/// Notes that the range at `start` maps another object now. The caller holds forks off.
pub(super) fn moved(start: usize, object: (u64, u64)) {
    if let Some(range) = lock(&RANGES).iter_mut().find(|r| r.start == start && r.process == fork::count()) {
        range.object = object;
    }
}

impl Drop for Adopted {
    /// The last share gives the application ordinary private memory with the same contents. A range that maps something
    /// else by now is left alone (D-79), as is everything in a forked child.
    fn drop(&mut self) {
        if self.process != fork::count() {
            return;
        }
        let hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let found = ranges.iter().position(|r| r.start == self.start && r.process == self.process);
        let Some(at) = found else { return };
        ranges[at].names.retain(|name| *name != self.name);
        if !ranges[at].names.is_empty() {
            return;
        }
        let (length, (device, inode)) = (ranges[at].length, ranges[at].object);
        // Nobody else adopts it before it is given back.
        let reservation = Reservation { start: self.start, length };
        drop(ranges);
        if inspect::maps_object(self.start, length, device, inode).unwrap_or(false) {
            // SAFETY: the range maps our object, which the application made a segment's, and nobody else's memory.
            let given = unsafe { adopt::give_back(std::ptr::with_exposed_provenance_mut(self.start), length) };
            if let Err(error) = given {
                tracing::error!(%error, "memory stays the segment's: it could not be given back");
            }
        }
        // The reservation ends with forks held off by itself.
        drop(hold);
        drop(reservation);
    }
}
