//! Segments of the cluster: memory that no node owns.
//!
//! They are segments of node 0, which is the cluster itself. Any process of a node may ask for one; the first that asks makes it,
//! and it stays, whoever comes and goes, until the cluster ends. Nobody withdraws or revokes it, so no connection to it is cut
//! but by its importer. There is no exporter whom a signal could reach, and none that could send one: its bells are aborted from
//! the start.
//!
//! # Crash
//! Of who asks: the segment is made or it is not, and the next one who asks finds that out. There is nothing to take back.

use super::Agent;
use super::books::segment::{Segment, Wanted};
use rsm_core::access::{AccessList, Level, MAX_MODE, Owner};
use rsm_core::attr::check_export_length;
use rsm_core::crash_point;
use rsm_core::registry::{CLUSTER, ControllerKind, SegmentFields};
use rsm_core::segment_id::SegmentId;
use rsm_core::{Code, Error, Result};

/// Most of them. None ever goes, so that a program which makes one after the other must not take what all nodes share.
const MOST: usize = 256;
/// Their member: none, as memberships count from 1.
const NOBODY: u64 = 0;

impl Agent {
    /// Makes a segment of the cluster, unless it is there: whether it was made.
    ///
    /// # Errors
    /// PERM_DENIED for an observer; CTLR_NOT_PRESENT for loopback; those of `rsm_memseg_export_create` and
    /// `rsm_memseg_export_publish` for length, id and list; BAD_LENGTH for one that is there and as long as something else;
    /// INSUFFICIENT_RESOURCES.
    pub(super) fn make_common(
        &mut self,
        (party, controller): (u64, u32),
        id: u32,
        (length, default_mode): (u64, u32),
        access: AccessList,
    ) -> Result<bool> {
        self.books.node_of(party)?;
        let kind = self.controller_kind(controller)?;
        if kind == ControllerKind::Loopback {
            return Err(Error::with(Code::CtlrNotPresent, "loopback reaches nothing that the cluster owns"));
        }
        if self.across.is_some() {
            let text =
                "memory that no node owns is one host's, and this cluster has nodes on two: let a node export it";
            return Err(Error::with(Code::RemoteNodeUnreachable, text));
        }
        let (largest, _, _) = self.map.registry().controllers[controller as usize].limits();
        check_export_length(length, crate::memory::page_size() as u64, largest)?;
        if SegmentId::new(id).is_any() {
            return Err(Error::with(
                Code::ReservedSegid,
                "a segment of the cluster has an id that all of its users know, not 0",
            ));
        }
        SegmentId::new(id).check_publishable()?;
        let nodes = u32::try_from(self.map.registry().nodes.len()).unwrap_or(u32::MAX);
        access.check(false, CLUSTER, nodes)?;
        if let Some(segment) = self.books.published.get(&(CLUSTER, id)).and_then(|row| self.books.segments.get(row)) {
            if segment.length != length {
                let text =
                    format!("segment {id:#x} of the cluster is there and has {} bytes, not {length}", segment.length);
                return Err(Error::with(Code::BadLength, text));
            }
            return Ok(false);
        }
        if self.books.published.range((CLUSTER, 0)..=(CLUSTER, u32::MAX)).count() >= MOST {
            let text = format!("the cluster has {MOST} segments of its own, and they stay until it ends");
            return Err(Error::with(Code::InsufficientResources, text));
        }
        let wanted = Wanted {
            node: CLUSTER,
            kind,
            controller,
            length,
            default_mode: default_mode & MAX_MODE,
            level: Level::Guarded,
        };
        let row = self.books.segment_rows.take(CLUSTER)?;
        self.fill_common(party, (row, id), &wanted, access).inspect_err(|_| self.books.segment_rows.give(row))?;
        self.something_reachable(CLUSTER);
        Ok(true)
    }

    fn fill_common(&mut self, party: u64, (row, id): (u32, u32), wanted: &Wanted, access: AccessList) -> Result<()> {
        let member = self.books.members.get(&party).ok_or(Error::new(Code::InternalError))?;
        let owner = Owner { uid: member.credentials.uid, gid: member.credentials.gid };
        let creator = (member.pid, owner.uid);
        let memory = self.allocate(wanted.length, wanted.level)?;
        let (bell, epoch) = self.take_bell(CLUSTER, CLUSTER)?;
        self.silence(bell);
        let incarnation = self.books.take_serial();
        let fields = SegmentFields::bound(incarnation, wanted.length, CLUSTER, wanted.controller, creator, bell);
        self.writer().add_segment(row, &fields);
        if let Some(held) = &self.held {
            held.add((CLUSTER, row), incarnation, memory.object());
        }
        let mut segment = Segment::new((NOBODY, owner), incarnation, wanted, memory, (bell, epoch));
        segment.id = Some(id);
        segment.set_access(access);
        self.books.segments.insert(row, segment);
        let older = self.writer().publish(row, id);
        self.attended.insert(row);
        self.books.published.insert((CLUSTER, id), row);
        if let Some(older) = older.and_then(|row| self.books.segments.get_mut(&row)) {
            older.newer_in_bucket = Some(row);
        }
        crash_point!(AgentCommonMade);
        Ok(())
    }

    /// Nobody posts to or waits on a bell of the cluster's.
    pub(super) fn silence(&self, number: u32) {
        if let Some(bell) = self.books.bell(CLUSTER, number) {
            bell.abort(&self.wakes);
        }
    }
}
