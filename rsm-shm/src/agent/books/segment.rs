//! What the agent knows of an export, and all of them.

use super::memory::Memory;
use rsm_core::access::{AccessList, Level, Owner};
use rsm_core::message::SegmentName;
use rsm_core::registry::ControllerKind;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

/// What the agent knows of an export.
#[derive(Debug)]
pub(in crate::agent) struct Segment {
    /// The membership that created it; no other may change it.
    pub(in crate::agent) member: u64,
    pub(in crate::agent) node: u32,
    pub(in crate::agent) kind: ControllerKind,
    pub(in crate::agent) incarnation: u64,
    /// Shared with other segments over the same addresses (D-80).
    memory: Rc<Memory>,
    pub(in crate::agent) length: u64,
    pub(in crate::agent) owner: Owner,
    pub(in crate::agent) default_mode: u32,
    pub(in crate::agent) level: Level,
    access: AccessList,
    /// The publication of another host that this mirrors.
    pub(in crate::agent) far: Option<SegmentName>,
    /// Number of the publication, and version of its access list, while published.
    pub(in crate::agent) publication: (u64, u64),
    /// Its id while published.
    pub(in crate::agent) id: Option<u32>,
    pub(in crate::agent) bell: u32,
    /// Epoch that importers post with.
    pub(in crate::agent) epoch: u32,
    /// A grant was given that may still reach the memory.
    pub(in crate::agent) granted: bool,
    /// A rebind is putting other contents into the memory.
    pub(in crate::agent) rebinding: bool,
    /// It was withdrawn from outside, or could not be moved away from everybody, and the exporter has neither
    /// unpublished nor published it since.
    pub(in crate::agent) revoked: bool,
    /// Members whose connections were cut from outside, or that had not answered when a withdrawal ended, and the
    /// revision they must have seen: the next withdrawal waits for them as well.
    pub(in crate::agent) told: BTreeMap<u64, u64>,
    /// Rows of its live connections by serial number: newest last.
    pub(in crate::agent) connections: BTreeMap<u64, u32>,
    /// The segment before it in its bucket of the registry.
    pub(in crate::agent) newer_in_bucket: Option<u32>,
}

/// What a segment is to be.
pub(in crate::agent) struct Wanted {
    pub(in crate::agent) node: u32,
    pub(in crate::agent) kind: ControllerKind,
    pub(in crate::agent) controller: u32,
    pub(in crate::agent) length: u64,
    pub(in crate::agent) default_mode: u32,
    pub(in crate::agent) level: Level,
}

/// All segments by row. Each is known to its memory.
#[derive(Debug, Default)]
pub(in crate::agent) struct Segments(BTreeMap<u32, Segment>);

impl Deref for Segments {
    type Target = BTreeMap<u32, Segment>;
    fn deref(&self) -> &BTreeMap<u32, Segment> {
        &self.0
    }
}

impl Segments {
    pub(in crate::agent) fn get_mut(&mut self, row: &u32) -> Option<&mut Segment> {
        self.0.get_mut(row)
    }

    pub(in crate::agent) fn insert(&mut self, row: u32, segment: Segment) {
        segment.memory.shared_by(row, true);
        self.0.insert(row, segment);
    }

    pub(in crate::agent) fn remove(&mut self, row: u32) -> Option<Segment> {
        let segment = self.0.remove(&row)?;
        segment.memory.shared_by(row, false);
        Some(segment)
    }

    /// Gives a segment other memory.
    pub(in crate::agent) fn set_memory(&mut self, row: u32, memory: Rc<Memory>) -> Option<&mut Segment> {
        let segment = self.0.get_mut(&row)?;
        memory.shared_by(row, true);
        std::mem::replace(&mut segment.memory, memory).shared_by(row, false);
        Some(segment)
    }
}

impl Segment {
    /// A segment that nobody has published, with its memory and its bell.
    pub(in crate::agent) fn new(
        (member, owner): (u64, Owner),
        incarnation: u64,
        wanted: &Wanted,
        memory: Rc<Memory>,
        (bell, epoch): (u32, u32),
    ) -> Segment {
        let &Wanted { node, kind, controller: _, length, default_mode, level } = wanted;
        Segment {
            member,
            node,
            kind,
            incarnation,
            memory,
            length,
            owner,
            default_mode,
            level,
            access: AccessList::default_permissions(),
            far: None,
            publication: (0, 0),
            id: None,
            bell,
            epoch,
            granted: false,
            rebinding: false,
            revoked: false,
            told: BTreeMap::new(),
            connections: BTreeMap::new(),
            newer_in_bucket: None,
        }
    }

    pub(in crate::agent) fn access(&self) -> &AccessList {
        &self.access
    }

    /// Its memory.
    pub(in crate::agent) fn memory(&self) -> &Rc<Memory> {
        &self.memory
    }

    /// Whether it is no longer published and connections to it are still to be cut.
    pub(in crate::agent) fn is_being_cut(&self) -> bool {
        self.id.is_none() && !self.connections.is_empty()
    }

    pub(in crate::agent) fn check_access(&self, access: &AccessList, nodes: u32) -> Result<()> {
        access.check(self.kind == ControllerKind::Loopback, self.node, nodes)?;
        access.check_level(self.level)
    }

    /// Whether a membership created it.
    ///
    /// # Errors
    /// NOT_CREATOR when another one did.
    pub(in crate::agent) fn check_creator(&self, party: u64) -> Result<()> {
        if self.member == party { Ok(()) } else { Err(Error::new(Code::NotCreator)) }
    }

    /// Replaces the access list; returns the one before.
    pub(in crate::agent) fn set_access(&mut self, access: AccessList) -> AccessList {
        std::mem::replace(&mut self.access, access)
    }
}

/// The error for a segment that is no more.
pub(in crate::agent) fn gone() -> Error {
    Error::with(Code::BadSegHndl, "the segment does not exist any more")
}
