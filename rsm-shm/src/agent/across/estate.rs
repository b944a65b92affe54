//! What the other host may come to know and reach of this one.

use super::Agent;
use crate::agent::books::segment::Segment;
use crate::agent::far::host::Estate;
use rsm_core::access::AccessEntry;
use rsm_core::message::SegmentName;
use rsm_core::peer::asks::Wish;
use rsm_core::peer::message::{Processes, Publication};
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::outbox::Facts;
use rsm_core::registry::ControllerKind;
use rsm_core::{Code, Error, Result};
use std::os::fd::{AsFd, BorrowedFd};

impl Agent {
    /// A segment of this host by the name that the other one has it by.
    fn near(&self, name: SegmentName) -> Option<&Segment> {
        self.books.segments.get(&name.row).filter(|s| s.incarnation == name.incarnation && s.far.is_none())
    }
}

impl Facts for Agent {
    fn processes(&self, node: u32) -> Processes {
        let fields = self.map.registry().nodes[node as usize].fields();
        Processes { count: fields.processes, pid: fields.pid, uid: fields.uid }
    }

    fn publication(&self, name: SegmentName) -> Option<Publication> {
        let segment = self.near(name)?;
        let id = segment.id?;
        // What the loopback controller exports is published, and to nobody there.
        let reached = segment.kind == ControllerKind::Shared;
        let theirs = if reached { Nodes::up_to(self.node_count).minus(self.here) } else { Nodes::NONE };
        let mode = |node| Some(AccessEntry { node, mode: segment.access().mode_for(node, segment.default_mode).ok()? });
        let (number, version) = segment.publication;
        Some(Publication {
            segment: name,
            node: segment.node,
            id,
            length: segment.length,
            level: segment.level,
            uid: segment.owner.uid,
            gid: segment.owner.gid,
            number,
            modes: theirs.iter().filter_map(mode).collect(),
            version,
        })
    }
}

impl Estate for Agent {
    fn nodes(&self) -> Nodes {
        self.here
    }

    fn segments(&self) -> Vec<SegmentName> {
        let name = |(&row, segment): (&u32, &Segment)| SegmentName { row, incarnation: segment.incarnation };
        self.books.segments.iter().filter(|(_, s)| s.id.is_some() && s.far.is_none()).map(name).collect()
    }

    fn admit(&mut self, number: u64, wish: &Wish) -> Result<u64> {
        let &Wish { segment: name, version, node, pid, permission, .. } = wish;
        let gone = || Error::with(Code::SegNotPublished, "there is no such publication any more");
        let publication = self.publication(name).filter(|p| p.version == version).ok_or_else(gone)?;
        if self.books.is_orphan(name.row) {
            return Err(gone());
        }
        if !publication.modes.iter().any(|entry| entry.node == node) {
            return Err(Error::with(Code::SegNotPublishedToNode, format!("it is not published to node {node}")));
        }
        if !publication.level.admits(permission) {
            return Err(Error::with(Code::PermDenied, format!("it is sealed: it can only be read, not {permission}")));
        }
        self.check_path(self.bridge.ok_or(Error::new(Code::InternalError))?, node, publication.node)?;
        self.connect_from_across(number, node, pid, (name.row, permission))?;
        Ok(publication.length)
    }

    fn memory(&self, name: SegmentName) -> Result<(BorrowedFd<'_>, u64)> {
        let gone = || Error::with(Code::SegNotPublished, "there is no such segment any more");
        let segment = self.near(name).ok_or_else(gone)?;
        Ok((segment.memory().object().as_fd(), segment.length))
    }
}
