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
use std::sync::{Arc, Mutex, Weak};

/// The memory of an export.
#[derive(Debug)]
pub(super) enum Backing {
    /// Mapped by us, unmapped when the export goes.
    Own(Region),
    /// The application's.
    Adopted(Arc<Adopted>),
}

impl Backing {
    pub(super) fn start(&self) -> *mut u8 {
        match self {
            Backing::Own(region) => region.as_ptr(),
            Backing::Adopted(range) => range.start(),
        }
    }
}

/// A range of the application's memory that is a segment's for now.
#[derive(Debug)]
pub(super) struct Adopted {
    start: usize,
    length: usize,
    /// Device and inode of the memory object: the application may have mapped something else there meanwhile.
    object: Mutex<(u64, u64)>,
    /// The first export of the range, and the membership it was made through.
    name: SegmentName,
    membership: usize,
    /// [`fork::count`] of the process that adopted it.
    process: u32,
}

/// Ranges adopted by this process. Locked under [`fork::hold`] only.
static RANGES: Mutex<Vec<Weak<Adopted>>> = Mutex::new(Vec::new());

/// What is known of a range that is to be exported.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing of it is exported.
    Fresh,
    /// The very same range is.
    Shared(Arc<Adopted>),
}

/// Looks whether a range may be adopted.
///
/// # Errors
/// BAD_ADDR when part of it is not mapped, maps a file shared, or overlaps a range that is exported; PERM_DENIED when
/// part of it may not be read or written.
pub(super) fn look(start: usize, length: usize, membership: usize) -> Result<Known> {
    // Let go before what was found is: the last holder of a range gives it back, with forks held off.
    let exported: Vec<Arc<Adopted>> = {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        ranges.retain(|range| range.strong_count() > 0);
        ranges.iter().filter_map(Weak::upgrade).filter(|range| range.process == fork::count()).collect()
    };
    for range in exported {
        if range.start == start && range.length == length && range.membership == membership {
            return Ok(Known::Shared(range));
        }
        if start < range.start + range.length && range.start < start + length {
            return Err(Error::with(Code::BadAddr, "the range overlaps memory that is exported already"));
        }
    }
    inspect::check_exportable(start, length)?;
    Ok(Known::Fresh)
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
) -> Result<Arc<Adopted>> {
    let (start, length) = range;
    let identity = inspect::identity(object)?;
    // A child forked half-way would have part of the range as the segment's and part as its own.
    let _hold = fork::hold();
    // SAFETY: the caller's promise.
    let protection = unsafe { adopt::adopt(std::ptr::with_exposed_provenance_mut(start), length, object, 0) }?;
    if protection == Protection::None {
        tracing::warn!("memory was adopted without protection: stores of other threads meanwhile may be lost");
    }
    let adopted = Adopted { start, length, object: Mutex::new(identity), name, membership, process: fork::count() };
    let adopted = Arc::new(adopted);
    lock(&RANGES).push(Arc::downgrade(&adopted));
    Ok(adopted)
}

impl Adopted {
    pub(super) fn start(&self) -> *mut u8 {
        std::ptr::with_exposed_provenance_mut(self.start)
    }

    /// The export whose memory this is.
    pub(super) fn name(&self) -> SegmentName {
        self.name
    }

    /// Notes that the range maps another object now.
    pub(super) fn moved_to(&self, object: (u64, u64)) {
        *lock(&self.object) = object;
    }
}

impl Drop for Adopted {
    /// Gives the application ordinary private memory with the same contents. A range that maps something else by now
    /// is left alone (D-79), as is everything in a forked child.
    fn drop(&mut self) {
        let (device, inode) = *lock(&self.object);
        let ours = self.process == fork::count()
            && inspect::maps_object(self.start, self.length, device, inode).unwrap_or(false);
        if ours {
            let _hold = fork::hold();
            // SAFETY: the range maps our object, which the application made a segment's, and nobody else's memory.
            let given = unsafe { adopt::give_back(self.start(), self.length) };
            if let Err(error) = given {
                tracing::error!(%error, "memory stays the segment's: it could not be given back");
            }
        }
    }
}
