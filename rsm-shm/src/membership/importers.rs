//! Who imports an export: who comes, who goes and why, and whether anybody is left who could signal.
//!
//! Everything is derived from the registry. What the agent does to the connections of a segment it does in this order:
//! a connection that comes enters the chain, is counted, and the word [`SegmentRow::comings`] steps; one that goes is
//! cut, with the cause in its generation, leaves the chain, is counted off, and the word steps. So who reads the word
//! before looking, and sleeps on what it read, misses nothing; and who misses a connection in the chain finds the cause
//! in its row, which is used again as late as possible.

use super::ready::{self, Served, pumps};
use super::segment::Segment;
use super::{Membership, deadline, fork, gone, lock};
use crate::error::from_errno;
use crate::futex;
use crate::guest::Guest;
use rsm_core::generation::EndCause;
use rsm_core::message::SegmentName;
use rsm_core::registry::{ConnectionFields, SegmentRow, walk_connections};
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long to wait for the agent to end what it is writing.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A connection to an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Importer {
    /// The importing node.
    pub node: u32,
    /// The process that connected, as the kernel named it to the agent when it joined. A forked child of it may use the
    /// connection as well.
    pub pid: u32,
    /// Number of the connection; no other connection of the cluster ever has it.
    pub connection: u64,
}

/// Something that happened to the connections of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImporterEvent {
    /// It connected.
    Connected(Importer),
    /// The connection is no more, and why. `None` when so many connections of the cluster have come since that the reason
    /// is forgotten.
    Left(Importer, Option<EndCause>),
}

/// When the descriptor is readable.
#[derive(Debug)]
enum Tells {
    /// While nobody is left who could signal.
    Desertion,
    /// While [`SegmentRow::comings`] is not what was looked at last.
    Changes(AtomicU32),
}

/// A descriptor that tells of the connections of an export.
#[derive(Debug)]
pub struct Attendance {
    membership: Arc<Membership>,
    name: SegmentName,
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

    fn new(segment: &Segment, tells: Tells) -> Result<Arc<Attendance>> {
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

    fn row(&self) -> Result<&SegmentRow> {
        self.membership.registry_row(self.name.row)
    }

    fn is_deserted(&self) -> bool {
        self.row().is_ok_and(|row| row.is_deserted(self.name.incarnation))
    }

    /// Makes the pipe follow what it tells of; returns the value of [`SegmentRow::comings`] that this is true of.
    fn follow(&self) -> u32 {
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
    fn sleep(&self, seen: u32, complete: bool, deadline: Option<Instant>) -> Result<()> {
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
    fn look(&self) -> Result<u32> {
        let _full = lock(&self.full);
        let seen = acquire32(self.row()?.comings());
        if let Tells::Changes(looked) = &self.tells {
            looked.store(seen, Relaxed);
        }
        Ok(seen)
    }

    /// Makes the descriptor say that there is something to look at.
    fn look_again(&self, seen: u32) {
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
    fn registry_row(&self, row: u32) -> Result<&SegmentRow> {
        self.shared.map.registry().segments.get(row as usize).ok_or(Error::new(Code::InternalError))
    }
}

/// What happens to the connections of an export, in order.
#[derive(Debug)]
pub struct Importers {
    attendance: Arc<Attendance>,
    known: BTreeMap<u64, Known>,
    /// What was found and not yet asked for.
    queue: VecDeque<ImporterEvent>,
    /// Connections that came before the first look, and those told or given up since.
    accounted: u32,
    /// Serial numbers up to this one are accounted for; of later ones, those that left.
    floor: u64,
    left: BTreeSet<u64>,
}

/// A connection that was told of and has not left.
#[derive(Clone, Copy, Debug)]
struct Known {
    row: u32,
    importer: Importer,
}

fn importer(fields: &ConnectionFields) -> Importer {
    Importer { node: fields.importer, pid: fields.pid, connection: fields.generation.serial() }
}

impl Importers {
    /// From now on; who is connected already comes first.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or room for a thread.
    pub fn new(segment: &Segment) -> Result<Importers> {
        // Not looked at yet: as if the word had just stepped.
        let seen = segment.membership().registry_row(segment.name().row).map_or(0, |row| acquire32(row.comings()));
        let attendance = Attendance::new(segment, Tells::Changes(AtomicU32::new(seen.wrapping_sub(1))))?;
        let mut importers = Importers {
            attendance,
            known: BTreeMap::new(),
            queue: VecDeque::new(),
            accounted: 0,
            floor: 0,
            left: BTreeSet::new(),
        };
        importers.look(true)?;
        importers.attendance.follow();
        Ok(importers)
    }

    /// What to poll: readable when there is something to ask for, and at times when there is not.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.attendance.descriptor()
    }

    /// The next event; waits for at most `timeout`.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED; BAD_SEG_HNDL once the export is gone and everything was told; CTLR_NOT_PRESENT when the
    /// cluster has ended.
    pub fn next(&mut self, timeout: Option<Duration>) -> Result<ImporterEvent> {
        let deadline = deadline(timeout);
        loop {
            if self.queue.is_empty() {
                let (seen, complete) = self.look(false)?;
                if self.queue.is_empty() {
                    self.attendance.follow();
                    self.check_alive()?;
                    self.attendance.sleep(seen, complete, deadline)?;
                    continue;
                }
            }
            if let Some(event) = self.queue.pop_front() {
                if self.queue.is_empty() {
                    self.attendance.follow();
                } else {
                    // Something is left to ask for, whether or not something happens.
                    self.attendance.look_again(acquire32(self.attendance.row()?.comings()));
                    self.attendance.follow();
                }
                return Ok(event);
            }
        }
    }

    fn check_alive(&self) -> Result<()> {
        let membership = &self.attendance.membership;
        let fields = self.attendance.row()?.fields();
        if membership.is_gone() {
            return Err(gone(membership.address()));
        }
        match fields {
            Some(fields) if fields.incarnation != self.attendance.name.incarnation || fields.is_free() => {
                Err(Error::with(Code::BadSegHndl, "the export is gone, and so are its importers"))
            }
            _ => Ok(()),
        }
    }

    /// Compares what there is with what was told, and queues the difference; returns what the word was before, and whether
    /// everything was seen.
    fn look(&mut self, first: bool) -> Result<(u32, bool)> {
        let attendance = Arc::clone(&self.attendance);
        let (row, name) = (attendance.row()?, attendance.name);
        let registry = attendance.membership.registry();
        if first {
            self.floor = self.rows_of_segment().map(|(_, importer)| importer.connection).max().unwrap_or(0);
        }
        let seen = attendance.look()?;
        let arrivals = row.arrivals();
        let mut there: Vec<(u64, u32)> = Vec::new();
        let complete = walk_connections(&registry, name.row, name.incarnation, &mut u64::MAX.clone(), |link| {
            there.push((link.generation.serial(), link.row));
        });
        let serials: BTreeSet<u64> = there.iter().map(|&(serial, _)| serial).collect();
        if complete {
            let gone: Vec<u64> = self.known.keys().copied().filter(|serial| !serials.contains(serial)).collect();
            for serial in gone {
                self.tell_left(serial);
            }
        } else {
            // The agent kept writing; what was met is there, the rest is found out next time.
            attendance.look_again(seen);
        }
        for &(serial, row) in there.iter().rev() {
            let fields = registry.connections.get(row as usize).and_then(|row| row.fields());
            // One that has left meanwhile, and whose row is another's already, is among those that were missed.
            if let Some(fields) = fields.filter(|fields| fields.generation.serial() == serial)
                && !self.known.contains_key(&serial)
            {
                self.tell_connected(row, importer(&fields));
            }
        }
        if first {
            // Those that came and went before are not asked for. One that came after the count was read is in both
            // numbers, and makes the next look a thorough one.
            self.accounted = arrivals;
        }
        if complete {
            self.account(arrivals);
        }
        Ok((seen, complete))
    }

    fn tell_connected(&mut self, row: u32, importer: Importer) {
        self.accounted = self.accounted.wrapping_add(1);
        self.known.insert(importer.connection, Known { row, importer });
        self.queue.push_back(ImporterEvent::Connected(importer));
    }

    fn tell_left(&mut self, serial: u64) {
        let Some(Known { row, importer }) = self.known.remove(&serial) else { return };
        let registry = self.attendance.membership.registry();
        let generation = registry.connections.get(row as usize).map(rsm_core::registry::ConnectionRow::ended);
        let cause = generation.filter(|g| g.serial() == serial).and_then(|g| g.cause());
        self.left.insert(serial);
        self.queue.push_back(ImporterEvent::Left(importer, cause));
    }

    /// The rows that say that they are, or were, connections to the segment.
    fn rows_of_segment(&self) -> impl Iterator<Item = (u32, Importer)> {
        let (registry, name) = (self.attendance.membership.registry(), self.attendance.name);
        (0..registry.header.connection_high()).filter_map(move |row| {
            let fields = registry.connections.get(row as usize)?.fields()?;
            let ours = fields.segment == name.row && fields.segment_incarnation == name.incarnation;
            ours.then(|| (row, importer(&fields)))
        })
    }

    /// Looks for connections that came and went between two looks, if the count says that there were any.
    fn account(&mut self, arrivals: u32) {
        let missed = arrivals.wrapping_sub(self.accounted).cast_signed();
        if missed > 0 {
            let membership = Arc::clone(&self.attendance.membership);
            let registry = membership.registry();
            let is_new =
                |serial| serial > self.floor && !self.known.contains_key(&serial) && !self.left.contains(&serial);
            let mut found: Vec<(u32, Importer)> =
                self.rows_of_segment().filter(|(_, importer)| is_new(importer.connection)).collect();
            found.sort_unstable_by_key(|(_, importer)| importer.connection);
            for (row, importer) in found {
                self.tell_connected(row, importer);
                // One that is there still has come just now, and is in the chain at the next look.
                if registry.connections[row as usize].ended().is_aborted() {
                    self.tell_left(importer.connection);
                }
            }
            // The rows of others are others' by now.
            if arrivals.wrapping_sub(self.accounted).cast_signed() > 0 {
                self.accounted = arrivals;
            }
        }
        if self.accounted == arrivals {
            let last = self.known.last_key_value().map(|(serial, _)| *serial).max(self.left.last().copied());
            self.floor = self.floor.max(last.unwrap_or(0));
            self.left.clear();
        }
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
    let deadline = deadline(timeout);
    let take = || {
        let taken = membership.take(segment.bell());
        ready.follow();
        taken
    };
    loop {
        if take() {
            return Ok(());
        }
        desertion.follow();
        if desertion.is_deserted() {
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
