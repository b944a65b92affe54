//! Create, publish, republish.

use super::Agent;
use super::memory::{MAX_SHARERS, Memory};
use super::requests::Given;
use rsm_core::access::{AccessList, Level, MAX_MODE, Owner};
use rsm_core::attr::check_export_length;
use rsm_core::crash_point;
use rsm_core::driver::Driver;
use rsm_core::message::{Answer, SegmentName};
use rsm_core::registry::{ControllerKind, SegmentFields};
use rsm_core::segment_id::SegmentId;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

/// What the agent knows of an export.
#[derive(Debug)]
pub(super) struct Segment {
    /// The membership that created it; no other may steer it.
    pub(super) member: u64,
    pub(super) node: u32,
    pub(super) kind: ControllerKind,
    pub(super) incarnation: u64,
    /// Shared with other segments over the same addresses (D-80).
    memory: Rc<Memory>,
    pub(super) length: u64,
    pub(super) owner: Owner,
    pub(super) default_mode: u32,
    pub(super) level: Level,
    access: AccessList,
    /// Its id while published.
    pub(super) id: Option<u32>,
    pub(super) bell: u32,
    /// Epoch that importers post with.
    pub(super) epoch: u32,
    /// A grant was given that may still reach the memory.
    pub(super) granted: bool,
    /// A rebind is putting other contents into the memory.
    pub(super) rebinding: bool,
    /// It was withdrawn from outside, or could not be moved away from everybody, and the exporter has neither
    /// unpublished nor published it since.
    pub(super) revoked: bool,
    /// Members whose connections were cut from outside, or that had not answered when a withdrawal ended, and the
    /// revision they must have seen: the next withdrawal waits for them as well.
    pub(super) told: BTreeMap<u64, u64>,
    /// Rows of its live connections by serial number: newest last.
    pub(super) connections: BTreeMap<u64, u32>,
    /// The segment before it in its bucket of the registry.
    pub(super) newer_in_bucket: Option<u32>,
}

/// All segments by row. Each is known to its memory.
#[derive(Debug, Default)]
pub(super) struct Segments(BTreeMap<u32, Segment>);

impl Deref for Segments {
    type Target = BTreeMap<u32, Segment>;
    fn deref(&self) -> &BTreeMap<u32, Segment> {
        &self.0
    }
}

impl Segments {
    pub(super) fn get_mut(&mut self, row: &u32) -> Option<&mut Segment> {
        self.0.get_mut(row)
    }

    fn insert(&mut self, row: u32, segment: Segment) {
        segment.memory.shared_by(row, true);
        self.0.insert(row, segment);
    }

    fn remove(&mut self, row: u32) -> Option<Segment> {
        let segment = self.0.remove(&row)?;
        segment.memory.shared_by(row, false);
        Some(segment)
    }

    /// Gives a segment other memory.
    fn set_memory(&mut self, row: u32, memory: Rc<Memory>) -> Option<&mut Segment> {
        let segment = self.0.get_mut(&row)?;
        memory.shared_by(row, true);
        std::mem::replace(&mut segment.memory, memory).shared_by(row, false);
        Some(segment)
    }
}

/// What a segment is to be.
struct Wanted {
    node: u32,
    kind: ControllerKind,
    controller: u32,
    length: u64,
    default_mode: u32,
    level: Level,
}

impl Segment {
    pub(super) fn access(&self) -> &AccessList {
        &self.access
    }

    /// Its memory.
    pub(super) fn memory(&self) -> &Rc<Memory> {
        &self.memory
    }

    /// Whether it is no longer published and connections to it are still to be cut.
    pub(super) fn is_being_cut(&self) -> bool {
        self.id.is_none() && !self.connections.is_empty()
    }

    fn check_access(&self, access: &AccessList, nodes: u32) -> Result<()> {
        access.check(self.kind == ControllerKind::Loopback, self.node, nodes)?;
        access.check_level(self.level)
    }
}

fn gone() -> Error {
    Error::with(Code::BadSegHndl, "the segment does not exist any more")
}

pub(super) fn set_access(segment: &mut Segment, access: AccessList) -> AccessList {
    std::mem::replace(&mut segment.access, access)
}

impl Agent {
    /// The node a member is a process of.
    pub(super) fn node_of(&self, party: u64) -> Result<u32> {
        let node = self.members.get(&party).and_then(|m| m.node);
        node.ok_or_else(|| Error::with(Code::PermDenied, "an observer is no node of the cluster"))
    }

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

    /// The segment of that name.
    pub(super) fn segment(&mut self, name: SegmentName) -> Result<&mut Segment> {
        let segment = self.segments.get_mut(&name.row).filter(|s| s.incarnation == name.incarnation);
        segment.ok_or_else(gone)
    }

    fn check_creator(segment: &Segment, party: u64) -> Result<()> {
        if segment.member == party { Ok(()) } else { Err(Error::new(Code::NotCreator)) }
    }

    /// The segment of that name, if `party` created it.
    pub(super) fn own_segment(&mut self, party: u64, name: SegmentName) -> Result<&mut Segment> {
        let segment = self.segment(name)?;
        Self::check_creator(segment, party)?;
        Ok(segment)
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
        let node = self.node_of(party)?;
        let kind = self.controller_kind(controller)?;
        let (largest, _, _) = self.map.registry().controllers[controller as usize].limits();
        // Loopback knows no limit but what memory there is (D-07).
        let largest = if kind == ControllerKind::Loopback { u64::MAX } else { largest };
        check_export_length(length, crate::memory::page_size() as u64, largest)?;
        let shared = match share {
            None => None,
            Some(name) => {
                let other = self.own_segment(party, name)?;
                if other.length != length {
                    return Err(Error::with(Code::BadLength, "shared memory has another length"));
                }
                if other.level != level {
                    return Err(Error::with(Code::PermDenied, "the memory is that of a segment of another level"));
                }
                if other.memory.sharers().len() >= MAX_SHARERS {
                    let text = format!("the range is exported {MAX_SHARERS} times already");
                    return Err(Error::with(Code::InsufficientResources, text));
                }
                Some(Rc::clone(&other.memory))
            }
        };
        let row = self.segment_rows.take(node)?;
        let wanted = Wanted { node, kind, controller, length, default_mode: default_mode & MAX_MODE, level };
        self.fill_row(party, row, &wanted, shared).inspect_err(|_| self.segment_rows.give(row))
    }

    /// Allocates memory that one more descriptor may be held for.
    fn allocate(&mut self, length: u64, level: Level) -> Result<Rc<Memory>> {
        let mut held = self.held();
        held.memories += 1;
        self.limits.check(held, self.kept())?;
        Ok(Memory::new(self.driver.allocate(length, level)?, length, &self.ledger))
    }

    fn fill_row(&mut self, party: u64, row: u32, wanted: &Wanted, shared: Option<Rc<Memory>>) -> Result<Given> {
        let &Wanted { node, kind, controller, length, default_mode, level } = wanted;
        let memory = shared.map_or_else(|| self.allocate(length, level), Ok)?;
        let given = memory.duplicate()?;
        crash_point!(AgentAllocated);
        let (bell, epoch) = self.take_bell(node, node)?;
        let incarnation = self.take_serial();
        let member = self.members.get_mut(&party).ok_or(Error::new(Code::InternalError))?;
        member.segments.insert(row);
        let owner = Owner { uid: member.credentials.uid, gid: member.credentials.gid };
        let fields = SegmentFields::bound(incarnation, length, node, controller, (member.pid, owner.uid), bell);
        self.writer().add_segment(row, &fields);
        crash_point!(AgentCreated);
        self.segments.insert(
            row,
            Segment {
                member: party,
                node,
                kind,
                incarnation,
                memory,
                length,
                owner,
                default_mode,
                level,
                access: AccessList::default_permissions(),
                id: None,
                bell,
                epoch,
                granted: false,
                rebinding: false,
                revoked: false,
                told: BTreeMap::new(),
                connections: BTreeMap::new(),
                newer_in_bucket: None,
            },
        );
        Ok((Answer::Created { segment: SegmentName { row, incarnation }, bell }, vec![given]))
    }

    /// Publishes, with the checks in the order of reference 1.9. When a former importer may still reach the memory, a
    /// withdrawal begins that the exporter waits for, and moves the memory if need be, before it asks again.
    pub(super) fn publish(&mut self, party: u64, name: SegmentName, id: u32, access: AccessList) -> Result<Answer> {
        let nodes = u32::try_from(self.map.registry().nodes.len()).unwrap_or(u32::MAX);
        let withdrawing = self.is_withdrawing(name.row);
        let abandoned = self.abandoned(name.row);
        let segment = self.segment(name)?;
        if let Some(id) = segment.id {
            return Err(Error::with(Code::SegAlreadyPublished, format!("the segment is published as {id:#x} already")));
        }
        if withdrawing && abandoned.is_none() || segment.memory.is_moving() {
            return Err(Error::with(Code::SegAlreadyPublished, "the segment is still being taken back"));
        }
        SegmentId::new(id).check_publishable()?;
        Self::check_creator(segment, party)?;
        segment.check_access(&access, nodes)?;
        let node = segment.node;
        // What its exporter left behind makes room.
        if let Some(&other) = self.published.get(&(node, id))
            && self.is_orphan(other)
        {
            self.unlist(other);
        }
        if self.published.contains_key(&(node, id)) {
            return Err(Error::with(Code::SegidInUse, format!("node {node} publishes a segment {id:#x} already")));
        }
        // What a call left behind that was interrupted is waited for, and nothing of it is told.
        if let Some(number) = abandoned {
            return Ok(Answer::Withdrawing { number });
        }
        if !self.is_memory_free(name.row) {
            return Ok(Answer::Withdrawing { number: self.begin(name.row, false) });
        }
        let (memory, level) = self.segments.get(&name.row).map(|s| (Rc::clone(&s.memory), s.level)).ok_or_else(gone)?;
        self.driver.enforce(memory.object(), level)?;
        let id = if id == 0 { self.nodes[node as usize].automatic_ids.take()?.get() } else { id };
        let older = self.writer().publish(name.row, id);
        self.attended.insert(name.row);
        crash_point!(AgentPublished);
        self.published.insert((node, id), name.row);
        if let Some(older) = older.and_then(|row| self.segments.get_mut(&row)) {
            older.newer_in_bucket = Some(name.row);
        }
        let segment = self.segment(name)?;
        segment.id = Some(id);
        segment.access = access;
        segment.revoked = false;
        crash_point!(AgentReadvertised);
        self.something_reachable(node);
        Ok(Answer::Published { id })
    }

    /// Replaces the access list; returns the one before.
    pub(super) fn republish(&mut self, party: u64, name: SegmentName, access: AccessList) -> Result<AccessList> {
        let nodes = u32::try_from(self.map.registry().nodes.len()).unwrap_or(u32::MAX);
        let segment = self.segment(name)?;
        if segment.id.is_none() {
            return Err(Error::new(Code::SegNotPublished));
        }
        Self::check_creator(segment, party)?;
        segment.check_access(&access, nodes)?;
        let node = segment.node;
        let before = set_access(segment, access);
        crash_point!(AgentRepublished);
        // Somebody may wait for a list that names its node.
        self.something_reachable(node);
        Ok(before)
    }

    /// Whether nobody reaches the memory any more to whom the segment was granted: it may not have been taken back from
    /// all of them.
    fn is_memory_free(&mut self, row: u32) -> bool {
        let Some(segment) = self.segments.get_mut(&row) else { return true };
        if segment.is_being_cut() {
            return false;
        }
        // Where the kernel cannot tell, the withdrawal finds that out.
        if segment.granted && self.driver.all_returned(segment.memory.object()).unwrap_or(false) {
            segment.granted = false;
        }
        !segment.granted
    }

    /// Gives an exporter fresh memory to move to; the segment's own stays what it is until [`settle`](Self::settle).
    pub(super) fn replace(&mut self, party: u64, name: SegmentName) -> Result<Given> {
        let given = self.replacement(party, name);
        if given.is_err() {
            self.let_take_back_again(party, name);
        }
        given
    }

    /// What cannot be moved away now can be taken back once more, although it is not published.
    fn let_take_back_again(&mut self, party: u64, name: SegmentName) {
        if let Ok(segment) = self.own_segment(party, name) {
            segment.revoked = segment.id.is_none();
        }
    }

    fn replacement(&mut self, party: u64, name: SegmentName) -> Result<Given> {
        let withdrawing = self.is_withdrawing(name.row);
        let segment = self.own_segment(party, name)?;
        if segment.id.is_some() || withdrawing {
            return Err(Error::new(Code::SegAlreadyPublished));
        }
        let (length, level, old) = (segment.length, segment.level, Rc::clone(&segment.memory));
        if old.sharers().iter().filter_map(|row| self.segments.get(row)).any(|s| s.id.is_some()) {
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
        let old = Rc::clone(&self.own_segment(party, name)?.memory);
        let memory = old.take_move();
        let was_moving = memory.is_some();
        // The exporter has one set of pages at these addresses: its segments move together.
        if let Some(memory) = memory.filter(|_| moved) {
            let rows = old.sharers().clone();
            for row in rows {
                if let Some(segment) = self.segments.set_memory(row, Rc::clone(&memory)) {
                    segment.granted = false;
                }
            }
        }
        crash_point!(AgentSettled);
        if was_moving && !moved {
            self.let_take_back_again(party, name);
        }
        Ok(())
    }

    /// Forgets a segment that is not published and has no connections any more.
    pub(super) fn remove_segment(&mut self, row: u32) {
        let Some(segment) = self.segments.remove(row) else { return };
        debug_assert!(segment.id.is_none() && segment.connections.is_empty(), "withdrawn before");
        self.writer().remove_segment(row);
        self.attended.insert(row);
        crash_point!(AgentRemoved);
        self.give_bell(segment.node, segment.bell);
        self.segment_rows.give(row);
        if let Some(member) = self.members.get_mut(&segment.member) {
            member.segments.remove(&row);
        }
    }
}
