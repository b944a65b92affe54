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
    /// The exports of it.
    names: Vec<SegmentName>,
}

/// Ranges adopted by this process. Locked under [`fork::hold`] only.
static RANGES: Mutex<Vec<Range>> = Mutex::new(Vec::new());

/// What is known of a range that is to be exported.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing of it is exported.
    Fresh,
    /// The very same range is, among others as this segment.
    Shared(SegmentName),
}

/// Looks whether a range may be adopted.
///
/// # Errors
/// BAD_ADDR when part of it is not mapped, maps a file shared, or overlaps a range that is exported; PERM_DENIED when
/// part of it may not be read or written.
pub(super) fn look(start: usize, length: usize, membership: usize) -> Result<Known> {
    {
        let _hold = fork::hold();
        for range in lock(&RANGES).iter().filter(|range| range.process == fork::count()) {
            if range.start == start && range.length == length && range.membership == membership {
                let name = range.names.last().ok_or(Error::new(Code::InternalError))?;
                return Ok(Known::Shared(*name));
            }
            if start < range.start + range.length && range.start < start + length {
                return Err(Error::with(Code::BadAddr, "the range overlaps memory that is exported already"));
            }
        }
    }
    inspect::check_exportable(start, length)?;
    Ok(Known::Fresh)
}

/// Gives another export a share in a range that is exported; `None` when it is no more.
pub(super) fn share(start: usize, name: SegmentName) -> Option<Adopted> {
    let _hold = fork::hold();
    let mut ranges = lock(&RANGES);
    let range = ranges.iter_mut().find(|range| range.start == start && range.process == fork::count())?;
    range.names.push(name);
    Some(Adopted { start, name, process: fork::count() })
}

/// Makes a range the memory of a segment.
///
/// # Errors
/// Those of [`adopt::adopt`]; the range is then as it was.
///
/// # Safety
/// The range must be the caller's to give: mapped readable and writable, and not unmapped or mapped over while the
/// segment exists.
pub(super) unsafe fn adopt_range(
    range: (usize, usize),
    object: BorrowedFd<'_>,
    name: SegmentName,
    membership: usize,
) -> Result<Adopted> {
    let (start, length) = range;
    let identity = inspect::identity(object)?;
    // A child forked half-way would have part of the range as the segment's and part as its own.
    let _hold = fork::hold();
    // SAFETY: the caller's promise.
    let protection = unsafe { adopt::adopt(std::ptr::with_exposed_provenance_mut(start), length, object, 0) }?;
    if protection == Protection::None {
        tracing::warn!("memory was adopted without protection: stores of other threads meanwhile may be lost");
    }
    let process = fork::count();
    lock(&RANGES).push(Range { start, length, object: identity, membership, process, names: vec![name] });
    Ok(Adopted { start, name, process })
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
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let found = ranges.iter().position(|r| r.start == self.start && r.process == self.process);
        let Some(at) = found else { return };
        ranges[at].names.retain(|name| *name != self.name);
        if !ranges[at].names.is_empty() {
            return;
        }
        let range = ranges.swap_remove(at);
        drop(ranges);
        let (device, inode) = range.object;
        if inspect::maps_object(range.start, range.length, device, inode).unwrap_or(false) {
            // SAFETY: the range maps our object, which the application made a segment's, and nobody else's memory.
            let given = unsafe { adopt::give_back(std::ptr::with_exposed_provenance_mut(range.start), range.length) };
            if let Err(error) = given {
                tracing::error!(%error, "memory stays the segment's: it could not be given back");
            }
        }
    }
}
