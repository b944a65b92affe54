//! What is different between two snapshots.

use super::Snapshot;
use super::rows::{ConnectionInfo, LinkInfo, NodeInfo, ProcessInfo, SegmentInfo};
use serde::Serialize;
use std::collections::BTreeMap;

/// Something that happened in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// The first process of a node joined.
    NodeJoined(NodeInfo),
    /// The last process of a node left or ended.
    NodeLeft {
        /// The node.
        node: u32,
    },
    /// A process became one of its node's.
    ProcessJoined(ProcessInfo),
    /// A process left its node, or ended.
    ProcessEnded(ProcessInfo),
    /// A link has another state than before.
    LinkState {
        /// The state before; none the first time that one looks.
        was: Option<String>,
        /// The link now.
        #[serde(flatten)]
        link: LinkInfo,
    },
    /// A link has had errors.
    LinkError {
        /// How many since the last look.
        new_errors: u64,
        /// The link now.
        #[serde(flatten)]
        link: LinkInfo,
    },
    /// A segment was created.
    SegmentCreated(SegmentInfo),
    /// A segment can be imported under its id.
    SegmentPublished(SegmentInfo),
    /// A segment can no longer be imported; `id` is the one it had.
    SegmentWithdrawn(SegmentInfo),
    /// A segment is gone.
    SegmentDestroyed(SegmentInfo),
    /// A connection was made.
    ConnectionMade(ConnectionInfo),
    /// A connection was cut: the importer holds it, and reaches nothing.
    ConnectionCut(ConnectionInfo),
    /// An importer gave a connection back, or ended.
    ConnectionReleased(ConnectionInfo),
}

impl Snapshot {
    /// Changes since an earlier snapshot of the same cluster, in an order in which it can have happened.
    ///
    /// What came and went in between is not seen, and what changed twice is told once, as it is now: every last state is
    /// told, not every state. Of processes nothing is told where one of the two does not know them: who keeps those known
    /// last in [`processes`](Self::processes) is told later.
    pub fn changes_since(&self, before: &Snapshot) -> Vec<Change> {
        between(before, self)
    }
}

/// Pairs of what was and what is, by what makes it the same thing.
fn paired<'a, K: Ord, T>(
    before: &'a [T],
    now: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> impl Iterator<Item = (Option<&'a T>, Option<&'a T>)> {
    let mut pairs: BTreeMap<K, (Option<&T>, Option<&T>)> = BTreeMap::new();
    for thing in before {
        pairs.entry(key(thing)).or_default().0 = Some(thing);
    }
    for thing in now {
        pairs.entry(key(thing)).or_default().1 = Some(thing);
    }
    pairs.into_values()
}

fn between(before: &Snapshot, now: &Snapshot) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut last = Vec::new();
    nodes(before, now, &mut changes, &mut last);
    links(before, now, &mut changes);
    // What is needed comes before what needs it, and goes after it.
    let mut withdrawn = Vec::new();
    let mut destroyed = Vec::new();
    segments(before, now, &mut changes, &mut withdrawn, &mut destroyed);
    let mut released = Vec::new();
    connections(before, now, &mut changes, &mut released);
    changes.extend(withdrawn);
    changes.extend(released);
    changes.extend(destroyed);
    changes.extend(last);
    changes
}

fn nodes(before: &Snapshot, now: &Snapshot, came: &mut Vec<Change>, went: &mut Vec<Change>) {
    let mut left = Vec::new();
    for (was, is) in paired(&before.nodes, &now.nodes, |n| n.node) {
        let (was, is) = (was.filter(|n| n.joined), is.filter(|n| n.joined));
        let same = was.map(|n| n.incarnation) == is.map(|n| n.incarnation);
        match was {
            // One that came back has gone before it came.
            Some(was) if !same && is.is_some() => came.push(Change::NodeLeft { node: was.node }),
            Some(was) if !same => left.push(Change::NodeLeft { node: was.node }),
            _ => {}
        }
        if let Some(is) = is.filter(|_| !same) {
            came.push(Change::NodeJoined(is.clone()));
        }
    }
    if let (Some(before), Some(now)) = (&before.processes, &now.processes) {
        for pair in paired(before, now, |p| p.membership) {
            match pair {
                (None, Some(is)) => came.push(Change::ProcessJoined(is.clone())),
                (Some(was), None) => went.push(Change::ProcessEnded(was.clone())),
                _ => {}
            }
        }
    }
    went.extend(left);
}

fn links(before: &Snapshot, now: &Snapshot, changes: &mut Vec<Change>) {
    for (was, is) in paired(&before.links, &now.links, |l| (l.controller.as_str(), l.from, l.to)) {
        let Some(is) = is else { continue };
        let new_errors = is.errors.wrapping_sub(was.map_or(0, |was| was.errors));
        if new_errors > 0 {
            changes.push(Change::LinkError { new_errors, link: is.clone() });
        }
        if was.is_none_or(|was| was.state != is.state) {
            changes.push(Change::LinkState { was: was.map(|was| was.state.clone()), link: is.clone() });
        }
    }
}

fn segments(
    before: &Snapshot,
    now: &Snapshot,
    came: &mut Vec<Change>,
    withdrawn: &mut Vec<Change>,
    destroyed: &mut Vec<Change>,
) {
    for (was, is) in paired(&before.segments, &now.segments, |s| s.serial) {
        let (old_id, new_id) = (was.and_then(|s| s.id), is.and_then(|s| s.id));
        if let (None, Some(is)) = (was, is) {
            came.push(Change::SegmentCreated(is.clone()));
        }
        if let Some(was) = was.filter(|_| old_id.is_some() && old_id != new_id) {
            // The id it had: what is there now has none, or another.
            let gone = SegmentInfo { published: false, ..is.unwrap_or(was).clone() };
            let gone = Change::SegmentWithdrawn(SegmentInfo { id: old_id, ..gone });
            if new_id.is_some() { came.push(gone) } else { withdrawn.push(gone) }
        }
        if let Some(is) = is.filter(|_| new_id.is_some() && old_id != new_id) {
            came.push(Change::SegmentPublished(is.clone()));
        }
        if let (Some(was), None) = (was, is) {
            destroyed.push(Change::SegmentDestroyed(was.clone()));
        }
    }
}

fn connections(before: &Snapshot, now: &Snapshot, changes: &mut Vec<Change>, released: &mut Vec<Change>) {
    let mut cut = Vec::new();
    for (was, is) in paired(&before.connections, &now.connections, |c| c.generation) {
        match (was, is) {
            (None, Some(is)) => {
                changes.push(Change::ConnectionMade(ConnectionInfo { state: "connected".to_owned(), ..is.clone() }));
            }
            (Some(was), None) => {
                released
                    .push(Change::ConnectionReleased(ConnectionInfo { state: "released".to_owned(), ..was.clone() }));
            }
            _ => {}
        }
        if let Some(is) = is.filter(|is| is.state == "cut" && was.is_none_or(|was| was.state != "cut")) {
            cut.push(Change::ConnectionCut(is.clone()));
        }
    }
    changes.extend(cut);
}
