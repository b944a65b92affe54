//! What the other host has, in the tables of this one.

use super::Agent;
use crate::agent::books::memory::Memory;
use crate::agent::books::relay::Relay;
use crate::agent::books::segment::{Segment, Wanted};
use rsm_core::access::{AccessList, Owner};
use rsm_core::generation::EndCause;
use rsm_core::message::SegmentName;
use rsm_core::peer::message::{Processes, Publication};
use rsm_core::peer::mirror::{Change, Mirror};
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::{ControllerKind, Found, SegmentFields};
use rsm_core::{Code, Error, Result, crash_point};
use std::time::Instant;

impl Agent {
    pub(super) fn heard_across(&mut self, change: Change) {
        match change {
            Change::Node(node) => {
                let processes = self.mirror().map_or(Processes::default(), |mirror| mirror.processes(node));
                self.set_far_processes(node, processes);
            }
            Change::Published(name) => {
                // It may be gone by now, which is told next.
                if let Some(publication) = self.mirror().and_then(|mirror| mirror.segment(name)).cloned() {
                    self.add_mirror(&publication);
                    self.warn_of_size(&publication);
                }
            }
            Change::Republished(name) => {
                let publication = self.mirror().and_then(|mirror| mirror.segment(name));
                let now = publication.map(|publication| (access_of(publication), publication.version));
                let row = self.across.as_ref().and_then(|across| across.rows.get(&name)).copied();
                if let (Some((access, version)), Some(segment)) =
                    (now, row.and_then(|row| self.books.segments.get_mut(&row)))
                {
                    let node = segment.node;
                    segment.set_access(access);
                    segment.publication.1 = version;
                    crash_point!(AcrossReadvertised);
                    self.something_reachable(node);
                }
            }
            Change::Withdrawn(publication) => {
                if let Some(across) = &mut self.across {
                    across.left_out.remove(&(publication.node, publication.id));
                }
                self.remove_mirror(publication.segment, EndCause::Withdrawn);
            }
            Change::Beyond => {
                let beyond = self.mirror().map_or(0, Mirror::beyond);
                let unsaid = self.across.as_mut().and_then(|across| across.beyond.now(Instant::now()));
                if let Some(unsaid) = unsaid {
                    tracing::warn!(beyond, unsaid, "the other host has more segments than this one takes in");
                }
            }
        }
    }

    /// A segment that the window has no room for is known, and its size is told who connects, and here.
    fn warn_of_size(&mut self, publication: &Publication) {
        let &Publication { node, id, length, .. } = publication;
        let Err(error) = self.check_room(node, id, length) else { return };
        // That of others is nobody's business here.
        let Some(across) = self.across.as_mut().filter(|_| !publication.modes.is_empty()) else { return };
        if let Some(unsaid) = across.too_large.now(Instant::now()) {
            tracing::warn!(%error, unsaid, "a segment of the other host cannot be reached");
        }
    }

    /// Whether the window has room for a segment of the other host.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, with both sizes and what to do.
    pub(in crate::agent) fn check_room(&self, node: u32, id: u32, length: u64) -> Result<()> {
        let room = self.across.as_ref().and_then(|across| across.host.as_ref()?.room());
        match room {
            Some((room, _)) if length > room => {
                let text = format!(
                    "segment {id:#x} of node {node} has {length} bytes, and the window to its host has room for {room}: \
                     it is to be exported in segments of at most that many, or to nodes of its own host only"
                );
                Err(Error::with(Code::InsufficientResources, text))
            }
            _ => Ok(()),
        }
    }

    fn set_far_processes(&mut self, node: u32, processes: Processes) {
        if self.writer().set_processes(node, processes.count, (processes.pid, processes.uid)) {
            self.something_reachable(node);
        }
    }

    /// A segment of the other host: in the tables, published, and without memory. Where they have no room for it, who wants it
    /// is told so.
    fn add_mirror(&mut self, publication: &Publication) {
        let place = (publication.node, publication.id);
        let outcome = self.try_add_mirror(publication);
        if let Err(error) = &outcome {
            tracing::warn!(%error, "a segment of the other host is left out");
        }
        let Some(across) = &mut self.across else { return };
        match outcome {
            Ok(()) => drop(across.left_out.remove(&place)),
            Err(_) => drop(across.left_out.insert(place, publication.segment)),
        }
    }

    fn try_add_mirror(&mut self, publication: &Publication) -> Result<()> {
        let &Publication { segment: far, node, id, length, level, uid, gid, number, version, .. } = publication;
        let controller = self.bridge.ok_or(Error::new(Code::InternalError))?;
        let row = self.books.segment_rows.take(node)?;
        let (bell, epoch) = match self.take_relayed_bell(node, Relay::Mirror(row), node) {
            Ok(bell) => bell,
            Err(error) => {
                self.books.segment_rows.give(row);
                return Err(error);
            }
        };
        let incarnation = self.books.take_serial();
        let fields = SegmentFields::bound(incarnation, length, node, controller, (0, uid), bell);
        self.writer().add_segment(row, &fields);
        let kind = ControllerKind::Shared;
        let wanted = Wanted { node, kind, controller, length, default_mode: 0, level };
        let memory = Memory::elsewhere(length, &self.books.ledger);
        let mut segment = Segment::new((0, Owner { uid, gid }), incarnation, &wanted, memory, (bell, epoch));
        segment.far = Some(far);
        segment.publication = (number, version);
        segment.set_access(access_of(publication));
        segment.id = Some(id);
        self.books.segments.insert(row, segment);
        let older = self.writer().publish(row, id);
        self.books.published.insert((node, id), row);
        if let Some(older) = older.and_then(|row| self.books.segments.get_mut(&row)) {
            older.newer_in_bucket = Some(row);
        }
        if let Some(across) = &mut self.across {
            across.rows.insert(far, row);
        }
        crash_point!(AcrossMirrored);
        self.something_reachable(node);
        Ok(())
    }

    /// A segment of the other host that is not in the tables, though it has said that it is published: tried once more.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, where there is still no room.
    pub(in crate::agent) fn find_left_out(&mut self, node: u32, id: u32) -> Result<()> {
        let left_out = self.across.as_ref().and_then(|across| across.left_out.get(&(node, id))).copied();
        let publication = left_out.and_then(|name| self.mirror()?.segment(name).cloned());
        let Some(publication) = publication else { return Ok(()) };
        self.try_add_mirror(&publication).map_err(|error| {
            let text = format!("segment {id:#x} of node {node} is on the other host, and there is no room: {error}");
            Error::with(Code::InsufficientResources, text)
        })?;
        if let Some(across) = &mut self.across {
            across.left_out.remove(&(node, id));
        }
        Ok(())
    }

    /// There is no such segment, as far as is known here.
    pub(in crate::agent) fn unknown(&self, node: u32, id: u32) -> Error {
        let nothing = Found::nothing(node, id);
        let beyond = self.mirror().filter(|_| !self.here.has(node)).map_or(0, Mirror::beyond);
        if beyond == 0 {
            return nothing;
        }
        let text =
            format!("{}; {beyond} segments of its host are not known here, which has too many", nothing.detail());
        Error::with(nothing.code(), text)
    }

    fn remove_mirror(&mut self, name: SegmentName, cause: EndCause) {
        let Some(row) = self.across.as_mut().and_then(|across| across.rows.remove(&name)) else { return };
        self.cut(row, cause);
        crash_point!(AcrossUnmirrored);
        let Some(segment) = self.books.segments.get(&row) else { return };
        if segment.is_being_cut() || !segment.told.is_empty() {
            // It goes when all of its importers know.
            self.begin(row, true);
        } else {
            self.remove_segment(row);
        }
    }

    /// Nothing of the other host is there any more.
    pub(super) fn forget_across(&mut self) {
        let Some(across) = &mut self.across else { return };
        across.left_out.clear();
        let names: Vec<SegmentName> = across.rows.keys().copied().collect();
        for name in names {
            self.remove_mirror(name, EndCause::LinkDown);
        }
        for node in Nodes::up_to(self.node_count).minus(self.here).iter() {
            self.set_far_processes(node, Processes::default());
        }
    }
}

/// Who of this host may connect. A list without anybody would let in everybody.
fn access_of(publication: &Publication) -> AccessList {
    let nobody = AccessList::new().node(0, 0);
    publication.modes.iter().fold(nobody, |list, entry| list.node(entry.node, entry.mode))
}
