//! Mirrors: what the other host says that it has.
//!
//! Nodes and publications as they were told last: allegations that hold together. It is bounded, and it ends with the
//! life of the link in which it was told.

use super::message::{Message, Processes, Publication};
use crate::error::{Code, Error, Result};
use crate::message::SegmentName;
use std::collections::BTreeMap;

/// What changed with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Processes of a node.
    Node(u32),
    /// A segment is published.
    Published(SegmentName),
    /// Its modes are others.
    Republished(SegmentName),
    /// It is not any more; this is what it was.
    Withdrawn(Publication),
    /// Something of a segment that there were [too many](Mirror::beyond) for.
    Beyond,
}

/// Nodes and segments of the other host.
#[derive(Debug)]
pub struct Mirror {
    most: usize,
    beyond: u64,
    nodes: BTreeMap<u32, Processes>,
    segments: BTreeMap<SegmentName, Publication>,
    /// By node and id.
    published: BTreeMap<(u32, u32), SegmentName>,
}

impl Mirror {
    /// Of a host that has said nothing. More than `most` segments are not taken in, but counted: a host whose tables are larger
    /// may have them.
    pub fn new(most: usize) -> Mirror {
        Mirror { most, beyond: 0, nodes: BTreeMap::new(), segments: BTreeMap::new(), published: BTreeMap::new() }
    }

    /// Takes in a message about state that passed [`Message::check`]; `None` for any other.
    ///
    /// # Errors
    /// BAD_ARGS_ERRORS for what does not go together with what was said before. Nothing has changed.
    pub fn hear(&mut self, message: &Message) -> Result<Option<Change>> {
        let bad = |text: String| Err(Error::with(Code::BadArgsErrors, format!("the other host {text}")));
        Ok(Some(match message {
            Message::Node { node, processes } => {
                self.nodes.insert(*node, *processes);
                Change::Node(*node)
            }
            Message::Published(publication) => {
                let (name, place) = (publication.segment, (publication.node, publication.id));
                if self.segments.contains_key(&name) || self.published.contains_key(&place) {
                    return bad(format!("published segment {:#x} of node {} twice", place.1, place.0));
                }
                if self.segments.len() >= self.most {
                    self.beyond += 1;
                    return Ok(Some(Change::Beyond));
                }
                self.published.insert(place, name);
                self.segments.insert(name, publication.clone());
                Change::Published(name)
            }
            Message::Republished { segment, modes, version } => match self.segments.get_mut(segment) {
                Some(publication) if publication.version < *version => {
                    publication.modes.clone_from(modes);
                    publication.version = *version;
                    Change::Republished(*segment)
                }
                None if self.beyond > 0 => Change::Beyond,
                _ => return bad("republished a segment that it has not, or as it was".to_owned()),
            },
            Message::Withdrawn { segment } => match self.segments.remove(segment) {
                Some(publication) => {
                    self.published.remove(&(publication.node, publication.id));
                    Change::Withdrawn(publication)
                }
                None if self.beyond > 0 => {
                    self.beyond -= 1;
                    Change::Beyond
                }
                None => return bad("withdrew a segment that it has not".to_owned()),
            },
            _ => return Ok(None),
        }))
    }

    /// Segments that it has beside those that were taken in.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Processes of a node.
    pub fn processes(&self, node: u32) -> Processes {
        self.nodes.get(&node).copied().unwrap_or_default()
    }

    /// A segment.
    pub fn segment(&self, name: SegmentName) -> Option<&Publication> {
        self.segments.get(&name)
    }

    /// The segment that a node has published under an id.
    pub fn find(&self, node: u32, id: u32) -> Option<&Publication> {
        self.segments.get(self.published.get(&(node, id))?)
    }

    /// All segments.
    pub fn segments(&self) -> impl Iterator<Item = &Publication> {
        self.segments.values()
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::access::Level;

    fn publication(row: u32, id: u32) -> Publication {
        let segment = SegmentName { row, incarnation: 1 };
        let (length, level, uid, gid, modes) = (4096, Level::Guarded, 0, 0, Vec::new());
        Publication { segment, node: 3, id, length, level, uid, gid, number: 1, modes, version: 1 }
    }

    #[test]
    fn what_does_not_go_together_changes_nothing() {
        let mut mirror = Mirror::new(2);
        let first = publication(1, 7);
        let name = first.segment;
        assert_eq!(mirror.hear(&Message::Published(first.clone())), Ok(Some(Change::Published(name))));
        let refused = |mirror: &mut Mirror, message: Message, text: &str| {
            let error = mirror.hear(&message).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        };
        refused(&mut mirror, Message::Published(first.clone()), "segment 0x7 of node 3 twice");
        refused(&mut mirror, Message::Published(publication(2, 7)), "segment 0x7 of node 3 twice");
        mirror.hear(&Message::Published(publication(2, 8))).unwrap();
        let nobodys = SegmentName { row: 9, incarnation: 1 };
        refused(&mut mirror, Message::Withdrawn { segment: nobodys }, "that it has not");
        let again = |version| Message::Republished { segment: name, modes: Vec::new(), version };
        refused(&mut mirror, again(1), "as it was");
        assert_eq!(mirror.hear(&again(2)), Ok(Some(Change::Republished(name))));
        assert_eq!(mirror.find(3, 7).unwrap().version, 2);
        let gone = mirror.hear(&Message::Withdrawn { segment: name }).unwrap();
        assert_eq!(gone, Some(Change::Withdrawn(Publication { version: 2, ..first })));
        assert_eq!((mirror.find(3, 7), mirror.segments().count()), (None, 1));
        assert_eq!(mirror.hear(&Message::Synced), Ok(None));
        assert_eq!(mirror.processes(3), Processes::default());
    }

    /// A host with larger tables says nothing that makes no sense.
    #[test]
    fn segments_that_are_too_many_are_counted() {
        let mut mirror = Mirror::new(1);
        let all = [1, 2, 3].map(|row| publication(row, row));
        let beyond =
            |mirror: &mut Mirror, message: Message| assert_eq!(mirror.hear(&message), Ok(Some(Change::Beyond)));
        mirror.hear(&Message::Published(all[0].clone())).unwrap();
        for publication in &all[1..] {
            beyond(&mut mirror, Message::Published(publication.clone()));
        }
        let [first, second, third] = all.map(|publication| publication.segment);
        beyond(&mut mirror, Message::Republished { segment: second, modes: Vec::new(), version: 2 });
        for (segment, left) in [(third, 1), (second, 0)] {
            beyond(&mut mirror, Message::Withdrawn { segment });
            assert_eq!(mirror.beyond(), left);
        }
        assert!(mirror.hear(&Message::Withdrawn { segment: second }).is_err());
        assert_eq!(mirror.segments().map(|publication| publication.segment).collect::<Vec<_>>(), [first]);
    }
}
