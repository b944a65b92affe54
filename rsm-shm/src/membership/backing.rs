//! Where the memory of an export lies: pages of our own, or a range of the application's that was adopted.
//!
//! An adopted range stays where it is; what lies there becomes the segment's memory object. The same range may be
//! exported more than once: all exports of it share one object (D-80). Ranges that overlap without being equal are
//! refused, because one address cannot be in two objects.
//!
//! Whoever changes what a range is, or which of its exports are published, has its [`Turn`]: no other thread of the
//! process is in the middle of the like.
#![allow(unsafe_code)]

use super::turn::{self, Wait};
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
    /// The exports of it. None while it is being adopted or given back.
    names: Vec<SegmentName>,
    /// Somebody has a [`Turn`].
    busy: bool,
}

/// Ranges adopted by this process. Locked under [`fork::hold`] only.
static RANGES: Mutex<Vec<Range>> = Mutex::new(Vec::new());

/// What is known of a range that is to be exported.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing of it is exported; it is reserved for who asked.
    Fresh(Turn),
    /// The very same range is, among others as this segment.
    Shared(Turn, SegmentName),
    /// Somebody else is about something with the very same range, or makes one that overlaps a segment's memory, or ordinary
    /// memory again.
    Busy,
}

/// A range that no other thread exports, moves or gives back meanwhile. One that nobody exports is free when it ends.
#[derive(Debug)]
pub(super) struct Turn {
    start: usize,
    length: usize,
}

/// Waits for the turn of a range that is exported; `None` when it is not.
///
/// # Errors
/// As [`Wait::until`].
pub(super) fn take(start: usize, wait: Wait<'_>) -> Result<Option<Turn>> {
    wait.until(|| {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let Some(range) = ranges.iter_mut().find(|r| r.start == start && r.process == fork::count()) else {
            return Ok(Some(None));
        };
        let taken = std::mem::replace(&mut range.busy, true);
        let length = range.length;
        // Only then is there a turn, whose end would be seen.
        Ok((!taken).then(|| Some(Turn { start, length })))
    })
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
    let turn = {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        for range in ranges.iter_mut().filter(|range| range.process == fork::count()) {
            if end <= range.start || range.start + range.length <= start {
                continue;
            }
            let same = range.start == start && range.length == length && range.membership == membership;
            match range.names.last() {
                // What becomes of it is not known yet.
                None => return Ok(Known::Busy),
                Some(_) if same && range.busy => return Ok(Known::Busy),
                Some(name) if same => {
                    range.busy = true;
                    return Ok(Known::Shared(Turn { start, length }, *name));
                }
                Some(_) => {
                    return Err(Error::with(Code::BadAddr, "the range overlaps memory that is exported already"));
                }
            }
        }
        let (process, names) = (fork::count(), Vec::new());
        ranges.push(Range { start, length, object: (0, 0), membership, process, names, busy: true });
        Turn { start, length }
    };
    inspect::check_exportable(start, length)?;
    crash_point!(RangeReserved);
    Ok(Known::Fresh(turn))
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let _hold = fork::hold();
            let mut ranges = lock(&RANGES);
            let at = ranges.iter().position(|r| r.start == self.start && r.process == fork::count());
            match at {
                Some(at) if ranges[at].names.is_empty() => drop(ranges.swap_remove(at)),
                Some(at) => ranges[at].busy = false,
                None => {}
            }
        }
        turn::over();
    }
}

impl Turn {
    /// Gives another export a share in the range, which is exported; `None` when it maps another object than the one
    /// this export was given.
    pub(super) fn share(&self, name: SegmentName, object: (u64, u64)) -> Option<Adopted> {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let range = ranges.iter_mut().find(|range| range.start == self.start && range.process == fork::count())?;
        if range.names.is_empty() || range.object != object {
            return None;
        }
        range.names.push(name);
        Some(Adopted { start: self.start, name, process: fork::count(), gone: false })
    }

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

impl Turn {
    /// Whether the range still maps the segment's object; the application may have mapped something else there (D-79).
    pub(super) fn is_in_place(&self) -> bool {
        let found = {
            let _hold = fork::hold();
            let ranges = lock(&RANGES);
            ranges.iter().find(|r| r.start == self.start && r.process == fork::count()).map(|r| (r.length, r.object))
        };
        found.is_some_and(|(length, (device, inode))| {
            inspect::maps_object(self.start, length, device, inode).unwrap_or(true)
        })
    }

    /// Notes that the range maps another object now.
    pub(super) fn moved(&self, object: (u64, u64)) {
        let _hold = fork::hold();
        if let Some(range) = lock(&RANGES).iter_mut().find(|r| r.start == self.start && r.process == fork::count()) {
            range.object = object;
        }
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
    /// Gives the range back now, for a rebind.
    ///
    /// # Errors
    /// BAD_ADDR when another export shares it; what [`adopt::give_back`] says. The share then stands as before.
    pub(super) fn give_back(&mut self, turn: &Turn) -> Result<()> {
        self.let_go(Sharers::None, turn)
    }

    /// Lets go of the share, for good. The last one gives the range back.
    ///
    /// # Errors
    /// What [`adopt::give_back`] says. The share then stands as before.
    pub(super) fn end(&mut self, turn: &Turn) -> Result<()> {
        self.let_go(Sharers::Last, turn)
    }

    /// Lets go of the share; the last one gives the application ordinary private memory with the same contents. A range
    /// that maps something else by now is left alone (D-79), as is everything in a forked child.
    fn let_go(&mut self, sharers: Sharers, turn: &Turn) -> Result<()> {
        debug_assert_eq!(turn.start, self.start, "has the range's turn");
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
        if self.gone || self.process != fork::count() {
            return;
        }
        let ended = take(self.start, Wait::Through).and_then(|turn| turn.map_or(Ok(()), |turn| self.end(&turn)));
        if let Err(error) = ended {
            tracing::error!(%error, "memory stays the segment's: it could not be given back");
        }
    }
}
