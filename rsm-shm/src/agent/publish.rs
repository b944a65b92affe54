//! Create, publish, republish.

use super::Agent;
use super::books::memory::{MAX_SHARERS, Memory};
use super::books::request::Given;
use super::books::segment::{Segment, Wanted, gone};
use rsm_core::access::{AccessList, Level, MAX_MODE, Owner};
use rsm_core::attr::check_export_length;
use rsm_core::crash_point;
use rsm_core::driver::Driver;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::registry::{ControllerKind, SegmentFields};
use rsm_core::segment_id::SegmentId;
use rsm_core::{Code, Error, Result};
use std::rc::Rc;

impl Agent {
    /// The kind of a controller.
    pub(super) fn controller_kind(&self, controller: u32) -> Result<ControllerKind> {
        let row = self.map.registry().controllers.get(controller as usize);
        row.and_then(rsm_core::registry::ControllerRow::kind)
            .ok_or_else(|| Error::with(Code::CtlrNotPresent, format!("there is no controller {controller}")))
    }

    /// The name of a controller.
    pub(super) fn controller_name(&self, controller: u32) -> String {
        let row = self.map.registry().controllers.get(controller as usize);
        row.map_or_else(String::new, rsm_core::registry::ControllerRow::name)
    }

    pub(super) fn create(
        &mut self,
        party: u64,
        controller: u32,
        length: u64,
        default_mode: u32,
        level: Level,
        share: Option<SegmentName>,
    ) -> Result<Given> {
        let node = self.books.node_of(party)?;
        let kind = self.controller_kind(controller)?;
        let (largest, _, _) = self.map.registry().controllers[controller as usize].limits();
        // Loopback knows no limit but what memory there is (D-07).
        let largest = if kind == ControllerKind::Loopback { u64::MAX } else { largest };
        check_export_length(length, crate::memory::page_size() as u64, largest)?;
        let shared = match share {
            None => None,
            Some(name) => {
                let other = self.books.own_segment(party, name)?;
                if other.length != length {
                    return Err(Error::with(Code::BadLength, "shared memory has another length"));
                }
                if other.level != level {
                    return Err(Error::with(Code::PermDenied, "the memory is that of a segment of another level"));
                }
                if other.memory().sharers().len() >= MAX_SHARERS {
                    let text = format!("the range is exported {MAX_SHARERS} times already");
                    return Err(Error::with(Code::InsufficientResources, text));
                }
                Some(Rc::clone(other.memory()))
            }
        };
        let row = self.books.segment_rows.take(node)?;
        let wanted = Wanted { node, kind, controller, length, default_mode: default_mode & MAX_MODE, level };
        self.fill_row(party, row, &wanted, shared).inspect_err(|_| self.books.segment_rows.give(row))
    }

    /// Allocates memory that one more descriptor may be held for.
    pub(super) fn allocate(&mut self, length: u64, level: Level) -> Result<Rc<Memory>> {
        let mut held = self.books.held();
        held.memories += 1;
        self.books.limits.check(held, self.books.kept())?;
        Ok(Memory::new(self.driver.allocate(length, level)?, length, &self.books.ledger))
    }

    fn fill_row(&mut self, party: u64, row: u32, wanted: &Wanted, shared: Option<Rc<Memory>>) -> Result<Given> {
        let &Wanted { node, controller, length, level, .. } = wanted;
        let memory = shared.map_or_else(|| self.allocate(length, level), Ok)?;
        let given = memory.duplicate()?;
        crash_point!(AgentAllocated);
        let (bell, epoch) = self.take_bell(node, node)?;
        let incarnation = self.books.take_serial();
        let member = self.books.members.get_mut(&party).ok_or(Error::new(Code::InternalError))?;
        member.segments.insert(row);
        let owner = Owner { uid: member.credentials.uid, gid: member.credentials.gid };
        let fields = SegmentFields::bound(incarnation, length, node, controller, (member.pid, owner.uid), bell);
        self.writer().add_segment(row, &fields);
        if let Some(held) = &self.held {
            held.add((node, row), incarnation, memory.object());
        }
        crash_point!(AgentCreated);
        self.books.segments.insert(row, Segment::new((party, owner), incarnation, wanted, memory, (bell, epoch)));
        Ok((Answer::Created { segment: SegmentName { row, incarnation }, bell }, vec![given]))
    }

    /// Publishes, with the checks in the order of reference 1.9. When a former importer may still reach the memory, a
    /// withdrawal begins that the exporter waits for, and moves the memory if need be, before it asks again.
    pub(super) fn publish(&mut self, party: u64, name: SegmentName, id: u32, access: AccessList) -> Result<Answer> {
        let nodes = u32::try_from(self.map.registry().nodes.len()).unwrap_or(u32::MAX);
        let withdrawing = self.books.is_withdrawing(name.row);
        let abandoned = self.books.abandoned(name.row);
        let segment = self.books.segment(name)?;
        if let Some(id) = segment.id {
            return Err(Error::with(Code::SegAlreadyPublished, format!("the segment is published as {id:#x} already")));
        }
        if withdrawing && abandoned.is_none() || segment.memory().is_moving() {
            return Err(Error::with(Code::SegAlreadyPublished, "the segment is still being taken back"));
        }
        SegmentId::new(id).check_publishable()?;
        segment.check_creator(party)?;
        segment.check_access(&access, nodes)?;
        let node = segment.node;
        // What its exporter left behind makes room.
        if let Some(&other) = self.books.published.get(&(node, id))
            && self.books.is_orphan(other)
        {
            self.unlist(other);
        }
        if self.books.published.contains_key(&(node, id)) {
            return Err(Error::with(Code::SegidInUse, format!("node {node} publishes a segment {id:#x} already")));
        }
        // What a call left behind that was interrupted is waited for, and nothing of it is told.
        if let Some(number) = abandoned {
            return Ok(Answer::Withdrawing { number });
        }
        if !self.is_memory_free(name.row) {
            return Ok(Answer::Withdrawing { number: self.begin(name.row, false) });
        }
        let (memory, level) =
            self.books.segments.get(&name.row).map(|s| (Rc::clone(s.memory()), s.level)).ok_or_else(gone)?;
        self.driver.enforce(memory.object(), level)?;
        let id = if id == 0 { self.books.nodes[node as usize].automatic_ids.take()?.get() } else { id };
        let older = self.writer().publish(name.row, id);
        self.attended.insert(name.row);
        crash_point!(AgentPublished);
        self.books.published.insert((node, id), name.row);
        if let Some(older) = older.and_then(|row| self.books.segments.get_mut(&row)) {
            older.newer_in_bucket = Some(name.row);
        }
        let serial = self.books.take_serial();
        let segment = self.books.segment(name)?;
        segment.id = Some(id);
        segment.publication = (serial, serial);
        segment.set_access(access);
        segment.revoked = false;
        crash_point!(AgentReadvertised);
        self.something_reachable(node);
        self.tell_of_segment(name);
        Ok(Answer::Published { id })
    }

    /// Replaces the access list; returns the one before.
    pub(super) fn republish(&mut self, party: u64, name: SegmentName, access: AccessList) -> Result<AccessList> {
        let nodes = u32::try_from(self.map.registry().nodes.len()).unwrap_or(u32::MAX);
        let segment = self.books.segment(name)?;
        if segment.id.is_none() {
            return Err(Error::new(Code::SegNotPublished));
        }
        segment.check_creator(party)?;
        segment.check_access(&access, nodes)?;
        let node = segment.node;
        let before = segment.set_access(access);
        let version = self.books.take_serial();
        self.books.segment(name)?.publication.1 = version;
        self.tell_of_segment(name);
        crash_point!(AgentRepublished);
        // Somebody may wait for a list that names its node.
        self.something_reachable(node);
        Ok(before)
    }

    /// Whether nobody reaches the memory any more to whom the segment was granted: it may not have been taken back from
    /// all of them.
    fn is_memory_free(&mut self, row: u32) -> bool {
        let Some(segment) = self.books.segments.get_mut(&row) else { return true };
        if segment.is_being_cut() {
            return false;
        }
        // Where the kernel cannot tell, the withdrawal finds that out.
        if segment.granted && self.driver.all_returned(segment.memory().object()).unwrap_or(false) {
            segment.granted = false;
        }
        !segment.granted
    }

    /// Gives an exporter fresh memory to move to; the segment's own stays what it is until [`settle`](Self::settle).
    pub(super) fn replace(&mut self, party: u64, name: SegmentName) -> Result<Given> {
        let withdrawing = self.books.is_withdrawing(name.row);
        let segment = self.books.own_segment(party, name)?;
        if segment.id.is_some() || withdrawing {
            return Err(Error::new(Code::SegAlreadyPublished));
        }
        let (length, level, old) = (segment.length, segment.level, Rc::clone(segment.memory()));
        if old.sharers().iter().filter_map(|row| self.books.segments.get(row)).any(|s| s.id.is_some()) {
            let text = "the memory is also that of a published segment, whose importers would be left behind";
            return Err(Error::with(Code::InsufficientResources, text));
        }
        // Asked for again, what was given before goes; until this has settled it is one descriptor more.
        drop(old.take_move());
        let memory = self.allocate(length, level)?;
        let given = memory.duplicate()?;
        // All segments over the same addresses wait for the outcome: none may be published meanwhile.
        old.move_to(memory);
        crash_point!(AgentReplaced);
        Ok((Answer::Memory, vec![given]))
    }

    /// Lets go of the old memory, which whoever still reaches it may keep; or of the new, when the move failed.
    pub(super) fn settle(&mut self, party: u64, name: SegmentName, moved: bool) -> Result<()> {
        let old = Rc::clone(self.books.own_segment(party, name)?.memory());
        let memory = old.take_move();
        // The exporter has one set of pages at these addresses: its segments move together.
        if let Some(memory) = memory.filter(|_| moved) {
            let rows = old.sharers().clone();
            for row in rows {
                if let Some(segment) = self.books.segments.set_memory(row, Rc::clone(&memory)) {
                    segment.granted = false;
                    if let Some(held) = &self.held {
                        held.add((segment.node, row), segment.incarnation, memory.object());
                    }
                }
            }
            self.books.own_segment(party, name)?.revoked = false;
        }
        crash_point!(AgentSettled);
        Ok(())
    }

    /// Forgets a segment that is not published and has no connections any more.
    pub(super) fn remove_segment(&mut self, row: u32) {
        let Some(segment) = self.books.segments.remove(row) else { return };
        debug_assert!(segment.id.is_none() && segment.connections.is_empty(), "withdrawn before");
        self.writer().remove_segment(row);
        self.attended.insert(row);
        crash_point!(AgentRemoved);
        if let Some(held) = &self.held {
            held.gone(segment.incarnation);
        }
        self.give_bell(segment.node, segment.bell);
        self.books.segment_rows.give(row);
        if let Some(member) = self.books.members.get_mut(&segment.member) {
            member.segments.remove(&row);
        }
    }
}
