//! Outboxes: what of this host's state the peer has not been told.
//!
//! What is kept is not messages but the names of what changed, so that it is bounded by the tables, however long a peer does
//! not read. What is said of a row is what is true of it at that moment: changes that nobody was told in between
//! were nobody's business.

use super::message::{Message, Processes, Publication};
use super::nodes::Nodes;
use crate::message::SegmentName;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The state of this host, as it is to be told.
pub trait Facts {
    /// Processes of a node.
    fn processes(&self, node: u32) -> Processes;
    /// A publication; `None` when the segment is not published. One that is to nobody there is told with no modes.
    fn publication(&self, segment: SegmentName) -> Option<Publication>;
}

/// What is still to be told.
#[derive(Debug, Default)]
pub struct Outbox {
    nodes: Nodes,
    /// Of these it is not known yet what there is to tell.
    changed: BTreeSet<SegmentName>,
    /// Publications that have ended. They are told first: another segment may have the id by now.
    gone: BTreeSet<SegmentName>,
    /// Publications that are new, or have changed.
    here: BTreeSet<SegmentName>,
    /// What the peer was told is published: number of the publication, and version.
    told: BTreeMap<SegmentName, (u64, u64)>,
    /// What it is told before anything else.
    first: VecDeque<Message>,
    /// Whether the peer knows that it has been told everything.
    synced: bool,
    /// What is not state, in order. At most one for each request that is under way.
    requests: VecDeque<Message>,
}

impl Outbox {
    /// For a new life of the link: nothing was told yet of these nodes and segments.
    pub fn new(nodes: Nodes, segments: impl IntoIterator<Item = SegmentName>) -> Outbox {
        Outbox { nodes, changed: segments.into_iter().collect(), ..Outbox::default() }
    }

    /// Processes of a node have come or gone.
    pub fn node_changed(&mut self, node: u32) {
        self.nodes = self.nodes.with(node);
    }

    /// A segment was published, republished or withdrawn.
    pub fn segment_changed(&mut self, segment: SegmentName) {
        self.changed.insert(segment);
    }

    /// Something that the peer is to know before it hears of any state. Of a life that has just begun.
    pub fn say_first(&mut self, message: Message) {
        self.first.push_back(message);
    }

    /// Something that is not state. It is said after all state that changed before.
    pub fn say(&mut self, message: Message) {
        self.requests.push_back(message);
    }

    /// How many messages wait that are not state.
    pub fn waiting(&self) -> usize {
        self.requests.len()
    }

    /// Whether nothing is left to be told.
    pub fn is_empty(&self) -> bool {
        let segments = [&self.changed, &self.gone, &self.here];
        self.nodes.is_empty() && segments.iter().all(|set| set.is_empty()) && self.synced && self.requests.is_empty()
    }

    /// What is to be told next; [`told`](Self::told) when it was sent. State comes first: whoever asks about a segment that
    /// was withdrawn is to know it.
    pub fn next(&mut self, facts: &(impl Facts + ?Sized)) -> Option<Message> {
        if let Some(message) = self.first.front() {
            return Some(message.clone());
        }
        if let Some(node) = self.nodes.first() {
            return Some(Message::Node { node, processes: facts.processes(node) });
        }
        self.sort(facts);
        if let Some(&segment) = self.gone.first() {
            return Some(Message::Withdrawn { segment });
        }
        while let Some(&segment) = self.here.first() {
            match (facts.publication(segment), self.told.get(&segment)) {
                (Some(publication), None) => return Some(Message::Published(publication)),
                (Some(Publication { modes, version, .. }), Some(&(_, known))) if version != known => {
                    return Some(Message::Republished { segment, modes, version });
                }
                // It is as it was told.
                _ => self.here.remove(&segment),
            };
        }
        if !self.synced {
            return Some(Message::Synced);
        }
        self.requests.front().cloned()
    }

    /// Finds out what has become of what changed.
    fn sort(&mut self, facts: &(impl Facts + ?Sized)) {
        while let Some(segment) = self.changed.pop_first() {
            let now = facts.publication(segment).map(|publication| publication.number);
            let told = self.told.get(&segment).map(|&(number, _)| number);
            if told.is_some() && told != now {
                self.gone.insert(segment);
            }
            if now.is_some() {
                self.here.insert(segment);
            } else {
                self.here.remove(&segment);
            }
        }
    }

    /// What [`next`](Self::next) gave was sent.
    pub fn told(&mut self, message: &Message) {
        if self.first.pop_front().is_some() {
            return;
        }
        match message {
            Message::Node { node, .. } => self.nodes = self.nodes.without(*node),
            Message::Published(publication) => {
                self.here.remove(&publication.segment);
                self.told.insert(publication.segment, (publication.number, publication.version));
            }
            Message::Republished { segment, version, .. } => {
                self.here.remove(segment);
                if let Some((_, known)) = self.told.get_mut(segment) {
                    *known = *version;
                }
            }
            Message::Withdrawn { segment } => {
                self.gone.remove(segment);
                self.told.remove(segment);
            }
            Message::Synced => self.synced = true,
            _ => {
                self.requests.pop_front();
            }
        }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::access::Level;
    use crate::registry::LinkChange;

    #[derive(Default)]
    struct Host(BTreeMap<SegmentName, (u64, u64)>);

    fn name(row: u32) -> SegmentName {
        SegmentName { row, incarnation: 1 }
    }

    impl Facts for Host {
        fn processes(&self, node: u32) -> Processes {
            Processes { count: node, pid: 0, uid: 0 }
        }
        fn publication(&self, segment: SegmentName) -> Option<Publication> {
            let &(number, version) = self.0.get(&segment)?;
            let (node, id, modes) = (1, segment.row, Vec::new());
            let (length, level, uid, gid) = (4096, Level::Guarded, 0, 0);
            Some(Publication { segment, node, id, length, level, uid, gid, number, modes, version })
        }
    }

    fn next(outbox: &mut Outbox, host: &Host) -> Option<Message> {
        let message = outbox.next(host);
        assert_eq!(outbox.next(host), message, "until it was sent");
        if let Some(message) = &message {
            outbox.told(message);
        }
        message
    }

    #[test]
    fn changes_that_nobody_was_told_are_left_out() {
        let mut host = Host::default();
        host.0.insert(name(1), (1, 1));
        let mut outbox = Outbox::new(Nodes::up_to(1), [name(1)]);
        outbox.say(Message::Disconnect { number: 5 });
        let first = Message::LinkSet { from: 1, to: 3, change: LinkChange::Down, count: 1 };
        outbox.say_first(first.clone());
        outbox.segment_changed(name(2));
        assert_eq!(next(&mut outbox, &host), Some(first));
        assert!(matches!(next(&mut outbox, &host), Some(Message::Node { node: 1, .. })));
        assert!(matches!(next(&mut outbox, &host), Some(Message::Published(p)) if p.segment == name(1)));
        assert_eq!(next(&mut outbox, &host), Some(Message::Synced), "the second segment was never there");
        assert_eq!(next(&mut outbox, &host), Some(Message::Disconnect { number: 5 }));
        assert_eq!(next(&mut outbox, &host), None);
        assert!(outbox.is_empty());
        outbox.segment_changed(name(1));
        assert_eq!(next(&mut outbox, &host), None, "nothing changed");
        for version in [2, 3] {
            host.0.insert(name(1), (1, version));
            outbox.segment_changed(name(1));
        }
        assert!(matches!(next(&mut outbox, &host), Some(Message::Republished { version: 3, .. })));
        // Withdrawn and published anew: whoever was connected is to know.
        host.0.insert(name(1), (2, 4));
        outbox.segment_changed(name(1));
        assert_eq!(next(&mut outbox, &host), Some(Message::Withdrawn { segment: name(1) }));
        assert!(matches!(next(&mut outbox, &host), Some(Message::Published(p)) if p.number == 2));
        // What has ended comes before what is new, whichever has the lower row.
        host.0.clear();
        host.0.insert(name(0), (3, 5));
        outbox.segment_changed(name(0));
        outbox.segment_changed(name(1));
        outbox.say(Message::Disconnect { number: 6 });
        assert_eq!(next(&mut outbox, &host), Some(Message::Withdrawn { segment: name(1) }));
        assert!(matches!(next(&mut outbox, &host), Some(Message::Published(p)) if p.segment == name(0)));
        assert_eq!(next(&mut outbox, &host), Some(Message::Disconnect { number: 6 }));
        assert!(outbox.is_empty());
    }
}
