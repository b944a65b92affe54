//! Lock-free look-ups: a published segment by (node, id), and the connections of a segment.
//!
//! Both walk chains while the agent changes them, and rows are used again. Neither trusts a link to lead where it led a
//! moment ago: each row read says what it is, and a walk that finds itself elsewhere starts over, a bounded number of
//! times. A caller that gets no answer asks the agent, which has the last word in any case.

use super::{CLUSTER, ConnectionLink, LinkState, LinkWord, NONE, Registry, SegmentFields, SegmentState};
use crate::error::{Code, Error};
use crate::seq::READ_TRIES;
use crate::sync::{acquire32, mutated};

/// Outcome of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Published, in this row, when the look-up passed by.
    Segment(u32, SegmentFields),
    /// Not published at some moment during the look-up.
    Nothing,
    /// The registry kept changing; ask the agent.
    Unsure,
}

impl Found {
    /// The error for a segment that is not published.
    #[cold]
    pub fn nothing(node: u32, id: u32) -> Error {
        let text = match node {
            CLUSTER => format!("nobody has asked for segment {id:#x} of the cluster, so it is not there"),
            _ => format!("node {node} publishes no segment {id:#x}"),
        };
        Error::with(Code::SegNotPublished, text)
    }
}

/// Reason why nothing of a node can be imported now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No process of the node has joined the cluster yet.
    NotJoined,
    /// Every process of the node is gone.
    Left,
    /// The link is down.
    NoLink,
    /// The controller joins these nodes by no link.
    NoPath,
}

impl Absence {
    /// The error of a connect from `importer` to `node` through the controller of that name.
    #[cold]
    pub fn error(self, controller: &str, importer: u32, node: u32) -> Error {
        let text = match self {
            Absence::NotJoined => format!("node {node} has not joined the cluster, so it publishes nothing"),
            Absence::Left => format!("node {node} has left the cluster, so it publishes nothing"),
            Absence::NoLink => format!("the link from node {importer} to node {node} through {controller} is down"),
            Absence::NoPath => format!("there is no path from node {importer} to node {node} through {controller}"),
        };
        let code = match self {
            Absence::NotJoined | Absence::Left => Code::SegNotPublished,
            Absence::NoLink | Absence::NoPath => Code::RemoteNodeUnreachable,
        };
        Error::with(code, text)
    }
}

/// Spreads (node, id) over the buckets.
pub(super) fn bucket(node: u32, id: u32, buckets: usize) -> usize {
    let key = u64::from(node) << 32 | u64::from(id);
    // Fibonacci hashing: the high bits of the product depend on every bit of the key.
    let hash = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as usize & (buckets - 1)
}

impl Registry<'_> {
    /// Reason why node `importer` can import nothing of `node` through `controller`; `None` when it can.
    pub fn absence(&self, controller: u32, importer: u32, node: u32) -> Option<Absence> {
        // Relaxed: what is found at the node is looked up after, and by the agent.
        let state = self.link_now(controller, importer, node).map(LinkWord::state);
        match state {
            Some(LinkState::Active) => None,
            Some(LinkState::Up) if self.nodes[node as usize].fields().incarnation > 0 => Some(Absence::Left),
            Some(LinkState::Up) => Some(Absence::NotJoined),
            Some(LinkState::Down) => Some(Absence::NoLink),
            None => Some(Absence::NoPath),
        }
    }

    /// Looks for the segment that `node` publishes as `id`.
    pub fn find(&self, node: u32, id: u32) -> Found {
        let head = &self.buckets[bucket(node, id, self.buckets.len())];
        'again: for _ in 0..READ_TRIES {
            // Buckets hold row + 1. Acquire: pairs with the Release of `Writer::publish`.
            let mut row = acquire32(head).wrapping_sub(1);
            for _ in 0..=self.segments.len() {
                // A segment that stays published is not missed: a row that was taken out shows it and restarts the
                // walk, one that was put back stands at the head and leads through the whole chain again.
                if row == NONE {
                    return Found::Nothing;
                }
                let Some(fields) = self.segments.get(row as usize).and_then(|r| r.fields()) else {
                    return Found::Unsure;
                };
                let left = fields.state != SegmentState::Published
                    || bucket(fields.node, fields.id, self.buckets.len()) != bucket(node, id, self.buckets.len());
                if left && !mutated("lookup_trusts_links") {
                    continue 'again; // the row left this chain while we came to it
                }
                if fields.node == node && fields.id == id {
                    if mutated("lookup_reads_again") {
                        let again = self.segments[row as usize].fields();
                        return again.map_or(Found::Unsure, |fields| Found::Segment(row, fields));
                    }
                    return Found::Segment(row, fields);
                }
                row = fields.next_in_bucket.wrapping_sub(1);
            }
            return Found::Unsure; // longer than the table: it changed all the time, or is corrupt
        }
        Found::Unsure
    }
}

/// Calls `visit` once for each live connection that the segment in `row` had when the walk began (later ones may be
/// left out), newest first; `false` when the registry kept changing, with the connections not yet visited left out.
///
/// Serial numbers only grow and connections enter at the head, so the chain is in descending order of serials. A walk
/// that must start over skips serials at or above the last one it visited: nobody is visited twice or forgotten.
///
/// `progress` carries that last serial in and out: start with `u64::MAX`.
pub fn walk_connections(
    registry: &Registry<'_>,
    row: u32,
    incarnation: u64,
    progress: &mut u64,
    mut visit: impl FnMut(&ConnectionLink),
) -> bool {
    let Some(segment) = registry.segments.get(row as usize) else { return true };
    for _ in 0..READ_TRIES {
        match walk_once(registry, segment, row, incarnation, progress, &mut visit) {
            Walk::Complete => return true,
            Walk::Disturbed if mutated("walk_gives_up") => return true,
            Walk::Disturbed => {}
        }
    }
    false
}

enum Walk {
    Complete,
    Disturbed,
}

fn walk_once(
    registry: &Registry<'_>,
    segment: &super::SegmentRow,
    row: u32,
    incarnation: u64,
    progress: &mut u64,
    visit: &mut impl FnMut(&ConnectionLink),
) -> Walk {
    // Acquire: pairs with the Release of `Writer::link_connection`. Chains hold row + 1.
    let mut at = acquire32(&segment.first_connection).wrapping_sub(1);
    let mut above = u64::MAX;
    for _ in 0..=registry.connections.len() {
        if at == NONE {
            return Walk::Complete;
        }
        let Some(link) = registry.connections.get(at as usize).and_then(|r| r.link(at)) else {
            return Walk::Disturbed;
        };
        let serial = link.generation.serial();
        let elsewhere = link.segment != row || link.segment_incarnation != incarnation;
        if (elsewhere && !mutated("walk_trusts_links")) || serial >= above {
            return Walk::Disturbed; // the row went to another connection while we came to it
        }
        above = serial;
        if serial < *progress || mutated("walk_ignores_progress") {
            *progress = serial;
            if !link.generation.is_aborted() {
                visit(&link);
            }
        }
        at = link.next.wrapping_sub(1);
    }
    Walk::Disturbed
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::super::heap::{Heap, SMALL};
    use super::super::{ControllerKind, NewConnection, Writer};
    use super::*;
    use crate::sync::Ordering::Relaxed;

    /// The number of the row stays odd: readers come to an end all the same, and know that they know nothing.
    #[test]
    fn a_writer_that_died_leaves_readers_unsure() {
        let heap = Heap::new(SMALL);
        let writer = Writer::open(heap.registry(), SMALL, "test", 2, (1, 2), None);
        writer.add_controller(1, "shm0", ControllerKind::Shared, (1, 1, 1), |_, _| true);
        writer.add_segment(0, &SegmentFields::bound(1, 4096, 1, 1, (9, 0), 0));
        writer.publish(0, 0x40_0000);
        let new = NewConnection {
            serial: 7,
            segment: 0,
            bell: 0,
            epoch: 0,
            importer: 1,
            pid: 3,
            controller: 1,
            permission: 0,
            suspended: false,
        };
        writer.link_connection(0, &new);
        let registry = heap.registry();
        assert!(matches!(registry.find(1, 0x40_0000), Found::Segment(0, _)));
        assert!(walk_connections(&registry, 0, 1, &mut u64::MAX.clone(), |_| {}));

        heap.segments[0].seq.fetch_add(1, Relaxed);
        assert_eq!(registry.find(1, 0x40_0000), Found::Unsure);
        heap.connections[0].seq.fetch_add(1, Relaxed);
        assert!(!walk_connections(&registry, 0, 1, &mut u64::MAX.clone(), |_| panic!("visited a torn row")));
        assert_eq!(heap.connections[0].fields(), None);
    }
}
