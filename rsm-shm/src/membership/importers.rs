//! Who imports an export: who comes, who goes and why.
//!
//! Everything is derived from the registry. What the agent does to the connections of a segment it does in this order:
//! a connection that comes enters the chain, is counted, and the word [`SegmentRow::comings`](rsm_core::registry::SegmentRow::comings) steps; one that goes is
//! cut, with the cause in its generation, leaves the chain, is counted off, and the word steps. So who reads the word
//! before looking, and sleeps on what it read, misses nothing; and who misses a connection in the chain finds the cause
//! in its row, which is used again as late as possible.

use super::attendance::{Attendance, Tells};
use super::segment::Segment;
use super::{deadline, gone};
use rsm_core::generation::EndCause;
use rsm_core::registry::{ConnectionFields, walk_connections};
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

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

/// Events of the connections of an export, in order.
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

    /// Descriptor to poll: readable when there is something to ask for, and at times when there is not.
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
                if matches!(event, ImporterEvent::Left(..)) {
                    // What the program stores from here on is seen by no load of the one that left and is vouched for.
                    rsm_core::verdict::begin_owning();
                    self.attendance.membership.race_takes_back();
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
