//! Whether something happens to the connections of an export: a descriptor that says so, and the wait that ends when
//! nobody is left who could signal.
//!
//! Whatever the agent does to the connections of a segment, it steps the word [`SegmentRow::comings`] afterwards. A pump
//! sleeps on the word, as on bells ([`super::ready`]), and makes the descriptor follow.

use super::ready::{self, Served, pumps};
use super::segment::Segment;
use super::{Membership, deadline, fork, gone, lock};
use crate::error::from_errno;
use crate::futex;
use crate::guest::Guest;
use rsm_core::message::SegmentName;
use rsm_core::registry::SegmentRow;
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long to wait for the agent to end what it is writing.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// When the descriptor is readable.
#[derive(Debug)]
pub(super) enum Tells {
    /// While nobody is left who could signal.
    Desertion,
    /// While [`SegmentRow::comings`] is not what was looked at last.
    Changes(AtomicU32),
}

/// A descriptor that tells of the connections of an export.
#[derive(Debug)]
pub struct Attendance {
    pub(super) membership: Arc<Membership>,
    pub(super) name: SegmentName,
    tells: Tells,
    read: Guest,
    write: Guest,
    full: Mutex<bool>,
    pump: OnceLock<Arc<pumps::Pump>>,
    /// [`fork::count`] of the process whose pump serves it.
    process: u32,
}

impl Attendance {
    /// A descriptor that is readable while nobody is left who could signal the export.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for a thread.
    pub fn desertion(segment: &Segment) -> Result<Arc<Attendance>> {
        Attendance::new(segment, Tells::Desertion)
    }

    pub(super) fn new(segment: &Segment, tells: Tells) -> Result<Arc<Attendance>> {
        let (read, write) = ready::pipe()?;
        let attendance = Arc::new(Attendance {
            membership: Arc::clone(segment.membership()),
            name: segment.name(),
            tells,
            read,
            write,
            full: Mutex::new(false),
            pump: OnceLock::new(),
            process: fork::count(),
        });
        let served: Arc<dyn Served> = Arc::<Attendance>::clone(&attendance);
        let pump = pumps::add(&served)?;
        attendance.pump.get_or_init(|| pump).notice();
        Ok(attendance)
    }

    /// The end of the pipe to poll.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// Whether this process is the one that it was made in, and has not closed it or put a file of its own at its number.
    pub fn is_usable(&self) -> bool {
        self.process == fork::count() && self.read.is_ours() && self.write.is_ours()
    }

    pub(super) fn row(&self) -> Result<&SegmentRow> {
        self.membership.registry_row(self.name.row)
    }

    fn is_deserted(&self) -> bool {
        self.row().is_ok_and(|row| row.is_deserted(self.name.incarnation))
    }

    /// Makes the pipe follow what it tells of; returns the value of [`SegmentRow::comings`] that this is true of.
    pub(super) fn follow(&self) -> u32 {
        // A cluster that has ended is told by whoever is asked because the descriptor can be read.
        let gone = self.membership.is_gone();
        let mut full = lock(&self.full);
        // Acquire: pairs with the Release of `Writer`'s steps. Read before looking, and what the pump sleeps on: what
        // comes later wakes it.
        let seen = self.row().map_or(0, |row| acquire32(row.comings()));
        let readable = gone
            || match &self.tells {
                Tells::Desertion => self.is_deserted(),
                // Relaxed: under the lock.
                Tells::Changes(looked) => looked.load(Relaxed) != seen,
            };
        if readable && !*full {
            *full = ready::fill(&self.write);
        }
        if !readable && *full {
            ready::drain(&self.read);
            *full = false;
        }
        seen
    }

    /// Sleeps until the word is not `seen` any more; where not everything was seen, for a moment only.
    pub(super) fn sleep(&self, seen: u32, complete: bool, deadline: Option<Instant>) -> Result<()> {
        let soon = Instant::now() + LOOK_AGAIN;
        let (until, brief) = match deadline {
            _ if complete => (deadline, false),
            Some(at) if at <= soon => (deadline, false),
            _ => (Some(soon), true),
        };
        match self.membership.sleep(self.row()?.comings(), seen, until) {
            Err(error) if brief && error.code() == Code::Timeout => Ok(()),
            other => other,
        }
    }

    /// Notes what is looked at from here on.
    pub(super) fn look(&self) -> Result<u32> {
        let _full = lock(&self.full);
        let seen = acquire32(self.row()?.comings());
        if let Tells::Changes(looked) = &self.tells {
            looked.store(seen, Relaxed);
        }
        Ok(seen)
    }

    /// Makes the descriptor say that there is something to look at.
    pub(super) fn look_again(&self, seen: u32) {
        if let Tells::Changes(looked) = &self.tells {
            let _full = lock(&self.full);
            looked.store(seen.wrapping_sub(1), Relaxed);
        }
    }
}

impl Served for Attendance {
    fn serve(&self) -> futex::Watched {
        let seen = self.follow();
        match self.row() {
            Ok(row) => futex::Watched::word(row.comings(), seen),
            // Never: the row of a segment that was made is in the table.
            Err(_) => futex::Watched::word(self.membership.registry().header.changes(), self.membership.changes()),
        }
    }

    fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        // The pump keeps alive what it sleeps on.
        if self.process == fork::count()
            && let Some(pump) = self.pump.get()
        {
            pump.notice();
        }
    }
}

impl Membership {
    pub(super) fn registry_row(&self, row: u32) -> Result<&SegmentRow> {
        self.shared.map.registry().segments.get(row as usize).ok_or(Error::new(Code::InternalError))
    }
}

/// Takes one signal of an export, as long as there is somebody who could send one. `ready` is the descriptor of its bell,
/// `desertion` that of its importers.
///
/// # Errors
/// TIMEOUT; INTERRUPTED; SEG_NOT_CONNECTED when nobody is left; CTLR_NOT_PRESENT when the cluster has ended.
pub fn wait_while_imported(
    segment: &Segment,
    ready: &ready::Ready,
    desertion: &Attendance,
    timeout: Option<Duration>,
) -> Result<()> {
    let membership = segment.membership();
    membership.called_to_wait(segment.bell(), timeout);
    let deadline = deadline(timeout);
    let take = || {
        let taken = membership.take_counted(segment.bell());
        ready.follow();
        taken
    };
    loop {
        if take() {
            return Ok(());
        }
        desertion.follow();
        if desertion.is_deserted() {
            // What the program stores from here on is seen by no load of an importer that was cut and is vouched for.
            rsm_core::verdict::begin_owning();
            membership.race_takes_back();
            // What the last one signalled before it went: it is visible to who was told that it went.
            if take() {
                return Ok(());
            }
            return Err(segment.told_of_desertion());
        }
        if membership.is_gone() {
            return if take() { Ok(()) } else { Err(gone(membership.address())) };
        }
        let left = deadline.map(|at| {
            let left = at.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
        });
        let mut fds = [
            PollFd::from_borrowed_fd(ready.descriptor(), PollFlags::IN),
            PollFd::from_borrowed_fd(desertion.descriptor(), PollFlags::IN),
        ];
        let ended = match rustix::event::poll(&mut fds, left.as_ref()) {
            Ok(0) => Error::new(Code::Timeout),
            Ok(_) => continue,
            // poll(2) is never restarted after a handler (D-77).
            Err(Errno::INTR) => Error::new(Code::Interrupted),
            Err(error) => from_errno(error, "cannot wait for a signal or for the last importer to go"),
        };
        // A signal that came with the end of the sleep is not lost to it.
        return if take() { Ok(()) } else { Err(segment.told_of_wait(ended, timeout)) };
    }
}
