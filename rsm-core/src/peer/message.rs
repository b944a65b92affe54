//! What the agents of two hosts say to each other.
//!
//! *State* (nodes, publications, links) is said whenever it changes, and all of it when the link opens. *Requests* are about a
//! connection, which has the number that the importing agent gave it. A message that was decoded is in form;
//! [`check`](Message::check) compares it with what both hosts agreed on in their hellos, and only that of which the peer may
//! speak passes. What it says of its own nodes stays an allegation.

use super::control;
use super::hello::{Hello, beginning, legible};
use super::nodes::Nodes;
use super::place;
use super::ring::MOST_BYTES;
use crate::access::{AccessEntry, Level, MAX_MODE, Permission};
use crate::error::{Code, Error, Result};
use crate::message::SegmentName;
use crate::registry::LinkChange;
use crate::seal::Seal;
use serde::{Deserialize, Serialize};

/// Most bytes of a segment: no memory object has more.
const MOST_LENGTH: u64 = i64::MAX.cast_unsigned();

/// Longest text of a message, in bytes.
pub const MAX_TEXT: usize = 256;

/// A segment that can be connected to, as its exporter's agent tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    /// Its name on the exporting host.
    pub segment: SegmentName,
    /// The exporting node.
    pub node: u32,
    /// Its id.
    pub id: u32,
    /// Its bytes.
    pub length: u64,
    /// What importers cannot do, whoever they are.
    pub level: Level,
    /// User of its owner.
    pub uid: u32,
    /// Group of its owner.
    pub gid: u32,
    /// Number of the publication: another one each time that the segment is published.
    pub number: u64,
    /// Who of the other host's nodes may connect, and with which mode.
    pub modes: Vec<AccessEntry>,
    /// Grows with each change of the modes.
    pub version: u64,
}

/// A way to memory of the other host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Offset in bytes from the beginning of the window.
    pub offset: u64,
    /// Slot of the seal.
    pub slot: u32,
    /// The seal's word.
    pub seal: u64,
    /// Lane for the connection's signals, both ways.
    pub lane: u32,
    /// What the exporter has sent by it before, whose later counts are this connection's: one that had the lane may have been
    /// signalled when it was over for its importer already.
    pub sent: u64,
}

/// Processes of a node, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Processes {
    /// How many.
    pub count: u32,
    /// Process id of one of them.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// State: processes of a node of the sender.
    Node {
        /// Which node.
        node: u32,
        /// Its processes.
        processes: Processes,
    },
    /// State: a segment is published.
    Published(Publication),
    /// State: other nodes may connect from now on. Connections stay.
    Republished {
        /// Which.
        segment: SegmentName,
        /// As in [`Publication`].
        modes: Vec<AccessEntry>,
        /// As in [`Publication`].
        version: u64,
    },
    /// State: it is published no more, and nobody's grant of it holds.
    Withdrawn {
        /// Which.
        segment: SegmentName,
    },
    /// State: all of it has been said once.
    Synced,
    /// Connects a node of the sender to a segment of the receiver. Answered by `Granted` or `Refused`.
    Connect {
        /// Number of the connection: never used twice in a life of the link.
        number: u64,
        /// Which segment.
        segment: SegmentName,
        /// The publication that the sender knows.
        version: u64,
        /// The importing node.
        node: u32,
        /// The importing process, for people.
        pid: u32,
        /// The wanted rights.
        permission: Permission,
    },
    /// The connection stands.
    Granted {
        /// Which.
        number: u64,
        /// How its memory is reached.
        grant: Grant,
    },
    /// There is no connection.
    Refused {
        /// Which.
        number: u64,
        /// Why.
        code: Code,
        /// The same, for people.
        text: String,
    },
    /// The importer has given the connection back, or has ended.
    Disconnect {
        /// Which.
        number: u64,
    },
    /// The link between two nodes of different hosts was changed from outside.
    LinkSet {
        /// Importing node.
        from: u32,
        /// Exporting node.
        to: u32,
        /// What was done.
        change: LinkChange,
        /// How much it [counts](super::links).
        count: u64,
    },
    /// Tells all state that changed until now, and then says so: what the sender knows may be older than what its asker does.
    Look {
        /// Repeated in the answer.
        number: u64,
    },
    /// All state that had changed when `Look` came was told before.
    Looked {
        /// Of the question.
        number: u64,
    },
    /// Other contents are in place in a segment of the sender: no span that is open now is to be vouched for. Answered by
    /// `Stepped`; until then the seals of its grants stay suspended.
    Rebound {
        /// Which.
        segment: SegmentName,
        /// Repeated in the answer.
        number: u64,
    },
    /// The path words of all connections to it are others.
    Stepped {
        /// Of the question.
        number: u64,
    },
    /// The sender closes the link.
    Closed {
        /// Why, for people.
        text: String,
    },
}

/// What two hosts have agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Number of this host, 1 or 2.
    pub host: u32,
    /// Nodes of this host.
    pub ours: Nodes,
    /// Nodes of the other.
    pub theirs: Nodes,
    /// Bytes of the window through which this host reaches the other.
    pub window: u64,
    /// What offsets in windows are multiples of.
    pub granule: u64,
}

impl Terms {
    /// What follows from two hellos that fit.
    pub fn of(ours: &Hello, theirs: &Hello) -> Terms {
        Terms {
            host: ours.host(theirs),
            ours: ours.nodes,
            theirs: theirs.nodes,
            window: ours.window,
            granule: ours.page.max(theirs.page),
        }
    }

    /// Most bytes of a segment of the other host that can be reached.
    pub const fn room(&self) -> u64 {
        place::room(self.window, self.granule)
    }

    /// Number of the other host.
    pub const fn other(&self) -> u32 {
        3 - self.host
    }

    /// Whether the exporting host with this number gives out this lane: host 1 those with even numbers.
    pub const fn gives_lane(host: u32, lane: u32) -> bool {
        lane < control::SLOTS && lane % 2 == host - 1
    }
}

impl Grant {
    /// The seal.
    pub const fn seal(&self) -> Option<Seal> {
        Seal::from_word(self.seal)
    }

    /// Whether a grant of the other host for memory of this length can be one.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE with what is wrong.
    pub fn check(&self, length: u64, terms: &Terms) -> Result<()> {
        let bad =
            |text: String| Err(Error::with(Code::RemoteNodeUnreachable, format!("the other host granted {text}")));
        let end = self.offset.checked_add(length);
        if self.offset < control::CONTROL_BYTES || end.is_none_or(|end| end > terms.window) {
            let (offset, window) = (self.offset, terms.window);
            return bad(format!("{length} bytes at {offset} of a window with {window} bytes"));
        }
        if !self.offset.is_multiple_of(terms.granule) {
            return bad(format!("memory at {}, which is no multiple of {}", self.offset, terms.granule));
        }
        if self.slot >= control::SLOTS || self.seal().is_none() {
            return bad(format!("slot {} with the seal {:#x}, which cannot be", self.slot, self.seal));
        }
        if !Terms::gives_lane(terms.other(), self.lane) {
            return bad(format!("lane {}, which is not its to give", self.lane));
        }
        Ok(())
    }
}

impl Message {
    /// Encodes it; texts are cut to [`MAX_TEXT`].
    ///
    /// # Errors
    /// BAD_LENGTH when it would be longer than a ring takes, which no message is that passes [`check`](Self::check).
    pub fn encode(&self) -> Result<Vec<u8>> {
        let cut;
        let message = match self {
            Message::Refused { number, code, text } if text.len() > MAX_TEXT => {
                cut = Message::Refused { number: *number, code: *code, text: beginning(text, MAX_TEXT).to_owned() };
                &cut
            }
            Message::Closed { text } if text.len() > MAX_TEXT => {
                cut = Message::Closed { text: beginning(text, MAX_TEXT).to_owned() };
                &cut
            }
            message => message,
        };
        let bytes = crate::message::encode(message)?;
        if bytes.len() > MOST_BYTES {
            let text =
                format!("a message of {} bytes to the other host, at most {MOST_BYTES} are allowed", bytes.len());
            return Err(Error::with(Code::BadLength, text));
        }
        Ok(bytes)
    }

    /// Decodes one; every byte must belong to it.
    ///
    /// # Errors
    /// BAD_ARGS_ERRORS, saying what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Message> {
        let mut message = crate::message::decode(bytes)?;
        if let Message::Refused { text, .. } | Message::Closed { text } = &mut message {
            if text.len() > MAX_TEXT {
                return Err(refused(format!("a text of {} bytes", text.len())));
            }
            *text = legible(text.as_bytes());
        }
        Ok(message)
    }

    /// Whether the peer may say this, of what it says it.
    ///
    /// # Errors
    /// BAD_ARGS_ERRORS, saying what is wrong.
    pub fn check(&self, terms: &Terms) -> Result<()> {
        let theirs = |node: u32| {
            if terms.theirs.has(node) {
                return Ok(());
            }
            Err(refused(format!("node {node}, the other host has {}", terms.theirs)))
        };
        match self {
            Message::Node { node, .. } => theirs(*node),
            Message::Published(publication) => {
                theirs(publication.node)?;
                // One that is larger than the window is for nodes of the other host itself: who connects is told so.
                if publication.id == 0 || publication.length == 0 || publication.length > MOST_LENGTH {
                    return Err(refused(format!("segment {:#x} of {} bytes", publication.id, publication.length)));
                }
                check_modes(&publication.modes, terms)
            }
            Message::Republished { modes, .. } => check_modes(modes, terms),
            Message::Connect { node, .. } => theirs(*node),
            Message::LinkSet { from, to, .. } => {
                let across = |one: u32, other: u32| terms.ours.has(one) && terms.theirs.has(other);
                if across(*from, *to) || across(*to, *from) {
                    return Ok(());
                }
                Err(refused(format!("the link from node {from} to node {to}, which does not join the two hosts")))
            }
            // What is right of these follows from what was asked.
            Message::Granted { .. } | Message::Refused { .. } | Message::Disconnect { .. } => Ok(()),
            Message::Look { .. } | Message::Looked { .. } => Ok(()),
            Message::Rebound { .. } | Message::Stepped { .. } => Ok(()),
            Message::Withdrawn { .. } | Message::Synced | Message::Closed { .. } => Ok(()),
        }
    }
}

/// Modes of nodes of this host, each at most once.
fn check_modes(modes: &[AccessEntry], terms: &Terms) -> Result<()> {
    let mut named = Nodes::NONE;
    for entry in modes {
        if !terms.ours.has(entry.node) || named.has(entry.node) || entry.mode > MAX_MODE {
            return Err(refused(format!("mode {:#o} for node {}", entry.mode, entry.node)));
        }
        named = named.with(entry.node);
    }
    Ok(())
}

fn refused(what: String) -> Error {
    Error::with(Code::BadArgsErrors, format!("the other host named {what}"))
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: SegmentName = SegmentName { row: u32::MAX, incarnation: u64::MAX };

    fn terms() -> Terms {
        Terms {
            host: 1,
            ours: Nodes::parse("1-2").unwrap(),
            theirs: Nodes::parse("3-4").unwrap(),
            window: 64 << 20,
            granule: 4096,
        }
    }

    fn publication() -> Publication {
        let modes = [1, 2].map(|node| AccessEntry { node, mode: 0o644 }).to_vec();
        Publication {
            segment: NAME,
            node: 3,
            id: 7,
            length: 8192,
            level: Level::Guarded,
            uid: 1,
            gid: 2,
            number: 1,
            modes,
            version: 1,
        }
    }

    #[test]
    fn the_largest_messages_fit() {
        let modes = vec![AccessEntry { node: u32::MAX, mode: u32::MAX }; 63];
        let largest = Publication {
            node: u32::MAX,
            id: u32::MAX,
            length: u64::MAX,
            level: Level::Sealed,
            uid: u32::MAX,
            gid: u32::MAX,
            number: u64::MAX,
            modes: modes.clone(),
            version: u64::MAX,
            segment: NAME,
        };
        let text = "é".repeat(200);
        for message in [
            Message::Published(largest),
            Message::Republished { segment: NAME, modes, version: u64::MAX },
            Message::Refused { number: u64::MAX, code: Code::PermDenied, text: text.clone() },
            Message::Closed { text },
        ] {
            let bytes = message.encode().unwrap();
            let again = Message::decode(&bytes).unwrap();
            match (&message, &again) {
                (Message::Refused { text, .. }, Message::Refused { text: cut, .. })
                | (Message::Closed { text }, Message::Closed { text: cut }) => {
                    assert!(text.starts_with(cut) && cut.len() == MAX_TEXT);
                }
                _ => assert_eq!(message, again),
            }
        }
    }

    #[test]
    fn a_peer_speaks_of_its_own_nodes_only() {
        let says = |message: Message, text: &str| match message.check(&terms()) {
            Err(error) if !text.is_empty() => assert!(error.to_string().contains(text), "{error}"),
            result => assert_eq!((result, text), (Ok(()), ""), "{message:?}"),
        };
        let node = |node| Message::Node { node, processes: Processes { count: 1, pid: 7, uid: 0 } };
        says(node(3), "");
        says(node(2), "node 2, the other host has 3-4");
        says(node(0), "node 0");
        says(node(5), "node 5");
        let published = |change: fn(&mut Publication)| {
            let mut publication = publication();
            change(&mut publication);
            Message::Published(publication)
        };
        says(published(|_| {}), "");
        says(published(|p| p.modes.clear()), "");
        says(published(|p| p.node = 1), "node 1");
        says(published(|p| p.id = 0), "segment 0x0");
        says(published(|p| p.length = 0), "of 0 bytes");
        says(published(|p| p.length = 64 << 20), "");
        says(published(|p| p.length = u64::MAX), "of 18446744073709551615 bytes");
        says(published(|p| p.modes[0].node = 3), "mode 0o644 for node 3");
        says(published(|p| p.modes[0].node = 2), "for node 2");
        says(published(|p| p.modes[1].mode = 0o777), "mode 0o777");
        let link = |from, to| Message::LinkSet { from, to, change: LinkChange::Down, count: 1 };
        says(link(1, 3), "");
        says(link(4, 2), "");
        says(link(3, 4), "does not join");
        says(link(1, 2), "does not join");
        says(link(1, 9), "does not join");
        let connect = |node| Message::Connect {
            number: 1,
            segment: NAME,
            version: 1,
            node,
            pid: 1,
            permission: Permission::Read,
        };
        says(connect(4), "");
        says(connect(1), "node 1");
    }

    #[test]
    fn a_grant_lies_in_the_window() {
        let good = Grant { offset: control::CONTROL_BYTES, slot: 1, seal: 9, lane: 1, sent: 0 };
        assert_eq!(good.check(4096, &terms()), Ok(()));
        let says = |change: fn(&mut Grant), length: u64, text: &str| {
            let mut grant = good;
            change(&mut grant);
            let error = grant.check(length, &terms()).unwrap_err();
            assert_eq!(error.code(), Code::RemoteNodeUnreachable);
            assert!(error.to_string().contains(text), "{error}");
        };
        says(|g| g.offset = 0, 4096, "4096 bytes at 0");
        says(|_| {}, 64 << 20, "of a window with 67108864 bytes");
        says(|g| g.offset = u64::MAX - 4095, 4096, "of a window");
        says(|g| g.offset += 512, 4096, "no multiple of 4096");
        says(|g| g.slot = control::SLOTS, 4096, "slot 8192");
        says(|g| g.seal = 0, 4096, "the seal 0x0");
        says(|g| g.seal = u64::MAX, 4096, "the seal 0xffffffffffffffff");
        says(|g| g.lane = 2, 4096, "lane 2");
        says(|g| g.lane = control::SLOTS + 1, 4096, "lane 8193");
    }

    #[test]
    fn texts_are_fit_to_be_shown() {
        let said = Message::Closed { text: "bye\x1b[31m\nnow".to_owned() };
        let heard = Message::decode(&said.encode().unwrap()).unwrap();
        assert_eq!(heard, Message::Closed { text: "bye?[31m?now".to_owned() });
        let long = crate::message::encode(&Message::Closed { text: "x".repeat(MAX_TEXT + 1) }).unwrap();
        assert!(Message::decode(&long).unwrap_err().to_string().contains("a text of 257 bytes"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Message::decode(&bytes) {
                let _ = message.check(&terms());
                let again = message.encode().unwrap();
                prop_assert_eq!(Message::decode(&again).unwrap(), message);
            }
        }

        #[test]
        fn a_damaged_message_is_refused_or_another(at in 0usize..100, bit in 0u8..8) {
            let mut bytes = Message::Published(publication()).encode().unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(message) = Message::decode(&bytes) {
                let _ = message.check(&terms());
                prop_assert_ne!(message, Message::Published(publication()));
            }
        }
    }
}
