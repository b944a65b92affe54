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
use super::{fork, lock, room};
use crate::memory::adopt::{self, Within};
use crate::memory::huge::Pages;
use crate::memory::inspect::{self, Identity};
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
    /// Mapped by us, unmapped when the export goes; and what it maps.
    Own(Region, Identity),
    /// The application's.
    Adopted(Adopted),
}

impl Backing {
    pub(super) fn start(&self) -> *mut u8 {
        match self {
            Backing::Own(region, _) => region.as_ptr(),
            Backing::Adopted(adopted) => std::ptr::with_exposed_provenance_mut(adopted.start),
        }
    }

    /// The object that it maps; `None` when its range is no segment's any more.
    pub(super) fn object(&self) -> Option<Identity> {
        match self {
            Backing::Own(_, object) => Some(*object),
            Backing::Adopted(adopted) => adopted.object(),
        }
    }

    /// Notes that it maps another object now.
    pub(super) fn moved(&mut self, object: Identity) {
        match self {
            Backing::Own(_, before) => *before = object,
            Backing::Adopted(adopted) => adopted.moved(object),
        }
    }

    /// Notes that part of it maps another object: no other export can share it until it [moved](Self::moved).
    pub(super) fn split(&mut self) {
        if let Backing::Adopted(adopted) = self {
            let _ = adopted.with_range(|range| range.split = true);
        }
    }

    /// Lets go of it: the application's becomes its own again, unless another export shares it.
    ///
    /// # Errors
    /// As [`adopt::give_back`]; the memory is then still the segment's, and this can be called again.
    pub(super) fn let_go(&mut self, turn: Option<&Turn>) -> Result<()> {
        match (self, turn) {
            (Backing::Adopted(adopted), Some(turn)) => adopted.let_go(Sharers::Last, turn),
            // Ours; or of a range that is no export's any more.
            _ => Ok(()),
        }
    }
}

/// An export's share in a range of the application's memory. The last one gives it back; where that fails, whoever exports
/// the range next, or asks once more, does.
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
    object: Identity,
    membership: usize,
    process: u32,
    /// The exports of it. None while it is being adopted or given back.
    names: Vec<SegmentName>,
    /// The last export of it, which is gone, while the memory could not be given back: then it is nobody's.
    left_by: Option<SegmentName>,
    /// Somebody has a [`Turn`].
    busy: bool,
    /// Part of it maps another object than the rest.
    split: bool,
}

impl Range {
    fn overlaps(&self, start: usize, end: usize) -> bool {
        self.process == fork::count() && start < self.start + self.length && self.start < end
    }
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
/// part of it may not be read or written; as [`adopt::give_back`] when it is still that of an export which is gone, and
/// cannot be given back now either.
pub(super) fn look(start: usize, length: usize, membership: usize) -> Result<Known> {
    let Some(end) = start.checked_add(length) else {
        return Err(Error::with(Code::BadAddr, "the range goes beyond the last address"));
    };
    give_left_ranges_back(start, end)?;
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
        let (object, process, names) = ((0, 0), fork::count(), Vec::new());
        ranges.push(Range {
            start,
            length,
            object,
            membership,
            process,
            names,
            left_by: None,
            busy: true,
            split: false,
        });
        Turn { start, length }
    };
    inspect::check_exportable(start, length)?;
    crash_point!(RangeReserved);
    Ok(Known::Fresh(turn))
}

/// Gives back what exports that are gone left in a range, because it could not be given back when they went.
fn give_left_ranges_back(start: usize, end: usize) -> Result<()> {
    loop {
        let left = {
            let _hold = fork::hold();
            let mut ranges = lock(&RANGES);
            // One that somebody has the turn of is waited for like any other.
            let left = ranges.iter_mut().find(|r| r.overlaps(start, end) && r.left_by.is_some() && !r.busy);
            left.map(|range| {
                range.busy = true;
                (Turn { start: range.start, length: range.length }, range.left_by)
            })
        };
        let Some((turn, Some(name))) = left else { return Ok(()) };
        let mut share = Adopted { start: turn.start, name, process: fork::count(), gone: false };
        let given = share.let_go(Sharers::Last, &turn);
        share.gone = true; // not tried again when it is dropped
        given?;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let _hold = fork::hold();
            let mut ranges = lock(&RANGES);
            let at = ranges.iter().position(|r| r.start == self.start && r.process == fork::count());
            match at {
                Some(at) if ranges[at].names.is_empty() && ranges[at].left_by.is_none() => {
                    drop(ranges.swap_remove(at));
                }
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
    pub(super) fn share(&self, name: SegmentName, object: Identity) -> Option<Adopted> {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let range = ranges.iter_mut().find(|range| range.start == self.start && range.process == fork::count())?;
        if range.names.is_empty() || range.object != object || range.split {
            return None;
        }
        range.names.push(name);
        Some(Adopted { start: self.start, name, process: fork::count(), gone: false })
    }

    /// Makes the range the memory of a segment.
    ///
    /// # Errors
    /// Those of [`adopt::adopt`]; the range is then as it was, unless it could not be put back: [`leave`](Self::leave).
    ///
    /// # Safety
    /// The range must be the caller's to give: mapped readable and writable, and not unmapped or mapped over while the
    /// segment exists.
    pub(super) unsafe fn adopt(&self, object: BorrowedFd<'_>, name: SegmentName) -> Result<Adopted> {
        let identity = inspect::identity(object)?;
        let _moving = fork::hold_for_move();
        let start = std::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the caller's promise.
        unsafe { adopt::adopt(start, self.length, object) }?;
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
    /// After an [`adopt`](Self::adopt) that failed: memory may have run out for the way back as well. What maps the object
    /// then, which is nobody's any more, is given back by who exports the range next.
    pub(super) fn leave(&self, object: BorrowedFd<'_>, name: SegmentName) {
        let Ok(object) = inspect::identity(object) else { return };
        if inspect::present(self.start, self.length).is_ok_and(|pieces| !pieces.iter().any(|p| p.is_of(object))) {
            return;
        }
        let _hold = fork::hold();
        if let Some(range) = lock(&RANGES).iter_mut().find(|r| r.start == self.start && r.process == fork::count()) {
            range.object = object;
            range.left_by = Some(name);
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
    /// Does something with the range while it is an export's, if it still is this one's.
    fn with_range<T>(&self, work: impl FnOnce(&mut Range) -> T) -> Option<T> {
        let _hold = fork::hold();
        let mut ranges = lock(&RANGES);
        let ours = |r: &&mut Range| r.start == self.start && r.process == self.process && r.names.contains(&self.name);
        ranges.iter_mut().find(ours).map(work)
    }

    fn object(&self) -> Option<Identity> {
        self.with_range(|range| range.object)
    }

    fn moved(&self, object: Identity) {
        let _ = self.with_range(|range| (range.object, range.split) = (object, false));
    }

    /// Gives the range back now, for a rebind.
    ///
    /// # Errors
    /// BAD_ADDR when another export shares it; what [`adopt::give_back`] says. The share then stands as before.
    pub(super) fn give_back(&mut self, turn: &Turn) -> Result<()> {
        self.let_go(Sharers::None, turn)
    }

    /// Lets go of the share; the last one gives the application ordinary private memory with the same contents. What maps
    /// something else by now is left alone (D-79), as is everything in a forked child.
    fn let_go(&mut self, sharers: Sharers, turn: &Turn) -> Result<()> {
        debug_assert_eq!(turn.start, self.start, "has the range's turn");
        if self.gone || self.process != fork::count() {
            return Ok(());
        }
        let _moving = fork::hold_for_move();
        let (start, length, object) = {
            let _hold = fork::hold();
            let mut ranges = lock(&RANGES);
            let ours = |r: &&mut Range| {
                let named = r.names.contains(&self.name) || r.left_by == Some(self.name);
                r.start == self.start && r.process == self.process && named
            };
            let Some(range) = ranges.iter_mut().find(ours) else {
                self.gone = true;
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
            range.left_by = None;
            (range.start, range.length, range.object)
        };
        crash_point!(RangeReturning);
        // The object of a rebind goes on being the segment's.
        let within = if sharers == Sharers::Last { Within::Process } else { Within::Range };
        let give = move || -> Result<()> {
            let at = std::ptr::with_exposed_provenance_mut(start);
            room::check(adopt::room_to_give_back(at, length, object, within)?)?;
            // SAFETY: what maps our object is what the application made a segment's, and nobody else's memory.
            unsafe { adopt::give_back(at, length, object, within) }.map(drop)
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
                match (range, sharers) {
                    (Some(range), Sharers::None) => range.names.push(self.name),
                    (Some(range), Sharers::Last) => range.left_by = Some(self.name),
                    (None, _) => {}
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
        let ended = take(self.start, Wait::Through)
            .and_then(|turn| turn.map_or(Ok(()), |turn| self.let_go(Sharers::Last, &turn)));
        if let Err(error) = ended {
            tracing::error!(%error, "memory stays shared: it is given back when its range is exported again");
        }
    }
}
