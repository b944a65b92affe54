//! What a library and an agent say to each other on the control socket.
//!
//! One message is one packet of at most [`MAX_MESSAGE`] bytes: a request with a number, or the reply to it. The agent
//! answers every request at once. What has to wait for other processes (taking a segment back) is answered with the
//! number of a withdrawal, whose end is a word in the registry. Descriptors travel beside the packet, in the order
//! given with each message.
//!
//! A request is an allegation: decoding checks its form, the agent its content.

use crate::access::{AccessList, Level, Permission};
use crate::driver::WindowKind;
use crate::error::{Code, Error, Result};
use crate::lens::event::Trace;
use crate::lens::fault::Fault;
use crate::link::LinkChange;
use crate::report::Report;
use crate::tally::Tally;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Version of the protocol; an agent refuses another one.
pub const PROTOCOL: u32 = 9;
/// Longest packet in either direction.
pub const MAX_MESSAGE: usize = 4096;
/// Most connections one [`Ask::Inherit`] may name.
pub const MAX_INHERIT: usize = 128;
/// Most processes one [`Answer::Tallies`] tells of.
pub const MAX_TALLIES: usize = 48;

/// Most waits one [`Answer::Waits`] tells of.
pub const MAX_WAITS: usize = 96;

/// Most processes one [`Answer::Processes`] names.
pub const MAX_PROCESSES: usize = 128;

/// What a look on an events socket consists of: a byte, and beside it memory for a tally, or none.
pub const LOOK: u8 = 1;
/// One that brings memory for a ring.
pub const LOOK_WITH_RING: u8 = 2;

/// Secret of 128 bits: a node's key, or the token of a membership.
pub type Secret = [u8; 16];

/// A request and its number, which the reply repeats. Numbers of one membership only grow.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Number.
    pub number: u64,
    /// The request itself.
    pub ask: Ask,
}

/// The reply to a request.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Number of the request; 0 when the packet had none that could be read.
    pub number: u64,
    /// The answer, or the error.
    pub outcome: std::result::Result<Answer, Error>,
}

/// A process's claim to be part of a node.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Node id.
    pub node: u32,
    /// The node's key.
    pub key: Secret,
}

/// Without the key.
impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Claim").field("node", &self.node).finish_non_exhaustive()
    }
}

/// An export, named so that a name that outlived it does not hit another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentName {
    /// Row in the registry.
    pub row: u32,
    /// Which use of the row.
    pub incarnation: u64,
}

/// A connection, named likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionName {
    /// Row in the registry.
    pub row: u32,
    /// Generation word it was granted with.
    pub generation: u64,
}

/// Signal that the processes of a node are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeSignal {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Cont,
}

/// Something that an interconnect does to an import now and then, and that only the agent can do here: asked for by the
/// importing process itself, where the cluster's [lens](crate::lens) has that fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disturbance {
    /// Its link has an error.
    Error,
    /// Its link goes down, in both directions, and comes back.
    Abort,
    /// Its segment is revoked.
    Revoke,
}

impl Disturbance {
    /// All of them, in the order in which they are drawn.
    pub const ALL: [Disturbance; 3] = [Disturbance::Error, Disturbance::Abort, Disturbance::Revoke];

    /// The fault that it is.
    pub const fn fault(self) -> Fault {
        match self {
            Disturbance::Error => Fault::Error,
            Disturbance::Abort => Fault::Abort,
            Disturbance::Revoke => Fault::Revoke,
        }
    }
}

/// Request of a process.
///
/// The last four steer the cluster. Only an observer may ask them: a peer that was let in by its user or group, and is
/// no process of a node.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Become a member, or an observer without a claim. Descriptor: where the kernel cannot name the peer (before
    /// 6.5), a pidfd of the process. Must be the first message of a membership.
    Join {
        /// [`PROTOCOL`] of the library.
        protocol: u32,
        /// Which node; `None` to look only.
        claim: Option<Claim>,
    },
    /// Go on with a membership over a new control socket, whose credentials count from now on.
    Attach {
        /// Number of the membership.
        membership: u64,
        /// Its token.
        token: Secret,
    },
    /// Create an export segment. Answer [`Answer::Created`] with its memory.
    Create {
        /// Controller index.
        controller: u32,
        /// Bytes, a multiple of the page size.
        length: u64,
        /// 0666 without the umask.
        default_mode: u32,
        /// What the kernel is to enforce.
        level: Level,
        /// Another segment of the same process and length whose memory this one shares: the same addresses exported
        /// twice (D-80).
        share: Option<SegmentName>,
    },
    /// The memory of an export once more, to put other contents there: no span of its importers that is open until
    /// [`Ask::EndRebind`] is vouched for. Answer [`Answer::Memory`].
    BeginRebind {
        /// Which.
        segment: SegmentName,
    },
    /// The memory that [`Ask::BeginRebind`] gave stands again, as it was or with other contents.
    EndRebind {
        /// Which.
        segment: SegmentName,
    },
    /// Fresh memory for an export that is not published and whose old memory somebody still reaches: the exporter
    /// moves its contents. Answer [`Answer::Memory`].
    Replace {
        /// Which.
        segment: SegmentName,
    },
    /// What came of the memory that `Replace` gave: from now on the segment's, or of no use.
    Settle {
        /// Which.
        segment: SegmentName,
        /// The contents are in it.
        moved: bool,
    },
    /// Make it importable.
    Publish {
        /// Which.
        segment: SegmentName,
        /// Its id, 0 for an automatic one.
        id: u32,
        /// Who may connect.
        access: AccessList,
    },
    /// Replace the access list.
    Republish {
        /// Which.
        segment: SegmentName,
        /// Who may connect from now on.
        access: AccessList,
    },
    /// Withdraw it. Answer [`Answer::Done`], or [`Answer::Withdrawing`] when importers must let go first.
    Unpublish {
        /// Which.
        segment: SegmentName,
    },
    /// Withdraw it if published, and forget it. Answered like `Unpublish`. Where the withdrawal ends *not freed*, which
    /// happens only while another export has the memory on, the segment stands, unpublished.
    Destroy {
        /// Which.
        segment: SegmentName,
        /// Forget it at once if it is not published, whoever still reaches memory that another export has on.
        insist: bool,
    },
    /// Connect to a published segment. Answer [`Answer::Connected`] with its memory and, unless `has_bells`, the
    /// bell memory of the exporting node.
    Connect {
        /// Controller index.
        controller: u32,
        /// Exporting node.
        node: u32,
        /// Segment id.
        id: u32,
        /// Wanted rights.
        permission: Permission,
        /// The asker maps the exporting node's bells already.
        has_bells: bool,
    },
    /// Give a connection back.
    Disconnect {
        /// Which.
        connection: ConnectionName,
    },
    /// A forked process names the connections it shares with its parent.
    Inherit {
        /// Which; at most [`MAX_INHERIT`].
        connections: Vec<ConnectionName>,
    },
    /// Post to the importers of an export whose serial number is below `below`: what a poster asks for that could not
    /// finish its walk.
    PostImporters {
        /// Which export.
        segment: SegmentName,
        /// Serial numbers from here on were posted to.
        below: u64,
        /// Add to what is pending.
        accumulate: bool,
    },
    /// The processes of all nodes, by membership. Answer [`Answer::Processes`]. Changes nothing.
    Processes {
        /// Memberships up to this number are known already; 0 at first.
        after: u64,
    },
    /// Give up the membership and everything it holds. No reply: the events socket ends.
    Leave,
    /// The caller of an earlier request is gone: undo what it did. No reply.
    Abandon {
        /// Number of that request.
        number: u64,
    },
    /// Change the link of imports of `from` from `to`. Answer [`Answer::Affected`] with the imports that were cut.
    SetLink {
        /// Controller index.
        controller: u32,
        /// Importing node.
        from: u32,
        /// Exporting node.
        to: u32,
        /// The other direction as well.
        both: bool,
        /// What is done.
        change: LinkChange,
    },
    /// Send a signal to every process of a node. Answer [`Answer::Affected`] with the processes.
    SignalNode {
        /// Which node.
        node: u32,
        /// Which signal.
        signal: NodeSignal,
    },
    /// Withdraw a segment against its exporter. Answer [`Answer::Affected`] with the imports that were cut.
    Revoke {
        /// Exporting node.
        node: u32,
        /// Segment id.
        id: u32,
    },
    /// What makes a process part of a node. Answer [`Answer::Key`].
    NodeKey {
        /// Which node.
        node: u32,
    },
    /// For observers: what the processes of all nodes did since somebody first asked, and from the first time on let
    /// them tally it, until this membership ends. Answer [`Answer::Tallies`].
    Tallies {
        /// Tell of memberships with a higher number.
        after: u64,
    },
    /// For observers, one at a time: where processes note their calls, and from the first time on let them note these, until
    /// this membership ends. Answer [`Answer::Ring`].
    NextRing {
        /// Numbers up to this one are known already; 0 at first.
        after: u64,
        /// What these are to note; each time the same.
        trace: Trace,
    },
    /// For observers: what processes wait for. Answer [`Answer::Waits`].
    Waits {
        /// Where to go on: 0, or what the answer before said.
        from: u64,
    },
    /// Memory of segments that are gone whose pages the agent is still giving back. Answer [`Answer::Closing`]. Changes
    /// nothing.
    Closing,
    /// The bridge to another host. Answer [`Answer::Bridge`]. Changes nothing.
    Bridge,
    /// Make a segment of the cluster itself, which no node owns, unless it is there. Answer [`Answer::Common`].
    MakeCommon {
        /// Controller index.
        controller: u32,
        /// Its id.
        id: u32,
        /// Bytes, a multiple of the page size.
        length: u64,
        /// 0666 without the umask.
        default_mode: u32,
        /// Who may connect, if it is made.
        access: AccessList,
    },
    /// Let this happen to a connection that the asker holds, in a cluster whose lens has that fault. Answer
    /// [`Answer::Affected`] with the imports that were cut.
    Disturb {
        /// Which.
        connection: ConnectionName,
        /// What.
        how: Disturbance,
    },
}

/// Answer of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// A member. Descriptors: the registry; its end of the events socket; for nodes, the node's bell memory, and what its lens
    /// brings along.
    Joined {
        /// Number of the membership.
        membership: u64,
        /// Its token, for [`Ask::Attach`].
        token: Secret,
        /// The last descriptor is a ring: somebody traces a cluster that began without a trace.
        ring: bool,
    },
    /// A segment. Descriptor: its memory.
    Created {
        /// Name of the segment from now on.
        segment: SegmentName,
        /// Its bell, in the own node's bell memory.
        bell: u32,
    },
    /// Memory of a segment. Descriptor: the memory.
    Memory,
    /// The id it was published under.
    Published {
        /// Id.
        id: u32,
    },
    /// Wait for this withdrawal of the segment's row to end.
    Withdrawing {
        /// Number of the withdrawal.
        number: u32,
    },
    /// Processes of nodes, in the order of their memberships; fewer than [`MAX_PROCESSES`] means that these were the last.
    Processes(Vec<Process>),
    /// What processes did, by membership, and whether there are more after the last of them.
    Tallies {
        /// At most [`MAX_TALLIES`].
        processes: Vec<ProcessTally>,
        /// Ask again after the last one.
        more: bool,
    },
    /// Where a process notes its calls; none: there is no further one now. Descriptor: the ring, to be read.
    Ring(Option<RingOf>),
    /// What processes wait for.
    Waits {
        /// At most [`MAX_WAITS`], and maybe none although there are more.
        waits: Vec<Wait>,
        /// Where to go on, unless this was all.
        next: Option<u64>,
    },
    /// A connection. Descriptors: the segment's memory, the exporting node's bells unless the asker has them, and for a
    /// posted window the seals of the other host.
    Connected(Connected),
    /// What a steering request did.
    Affected {
        /// How many of what it is about.
        count: u32,
    },
    /// The key of a node.
    Key {
        /// The key.
        key: Secret,
    },
    /// A segment of the cluster is there.
    Common {
        /// It was not before.
        made: bool,
    },
    /// Memory that is being given back.
    Closing {
        /// How many objects.
        objects: u64,
    },
    /// The bridge to another host; nothing in a cluster of one host.
    Bridge(Option<Box<Report>>),
}

/// A process that is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Number of its membership; never used twice.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id, as the kernel named it when the process joined.
    pub pid: u32,
    /// Effective user id at that time, or when it last attached.
    pub uid: u32,
}

/// Whose ring it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingOf {
    /// Grows from ring to ring, for [`Ask::NextRing`].
    pub number: u64,
    /// Number of the process's membership.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id, as the kernel named it when the process joined.
    pub pid: u32,
    /// How far it was written when the trace began: what stands there before was for another.
    pub from: u64,
}

/// Tally of one process, as the process itself says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTally {
    /// Number of its membership.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id.
    pub pid: u32,
    /// The tally.
    pub tally: Tally,
}

/// A process that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Number of its membership.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id; 0 when the process has just ended.
    pub pid: u32,
    /// For what.
    pub on: WaitFor,
}

/// Event that a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WaitFor {
    /// A signal to its export.
    Export {
        /// Its id while published.
        id: Option<u32>,
        /// Signals that came and were not taken yet.
        pending: u32,
        /// Connections to it.
        importers: u32,
    },
    /// A signal to its import.
    Import {
        /// The exporting node.
        node: u32,
        /// Id of the segment while it is published and the connection stands.
        id: Option<u32>,
        /// Signals that came and were not taken yet.
        pending: u32,
    },
    /// A segment, which it asked for last and was refused.
    Segment {
        /// The exporting node.
        node: u32,
        /// The id asked for.
        id: u32,
    },
}

/// A granted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// Name of the connection from now on.
    pub connection: ConnectionName,
    /// Way in which the memory is reached.
    pub window: WindowKind,
    /// Bytes of the segment.
    pub length: u64,
    /// Offset in bytes at which the segment starts in the memory that came along.
    pub data_offset: u64,
    /// The export's bell, to post to.
    pub export_bell: u32,
    /// Epoch to post with.
    pub export_epoch: u32,
    /// The connection's own bell, to wait on.
    pub import_bell: u32,
}

/// Encodes a message for sending.
///
/// # Errors
/// BAD_LENGTH when it would be longer than [`MAX_MESSAGE`].
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>> {
    let bytes = postcard::to_stdvec(message)
        .map_err(|e| Error::with(Code::InternalError, format!("message cannot be encoded: {e}")))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(Error::with(
            Code::BadLength,
            format!("message of {} bytes, at most {MAX_MESSAGE} are allowed", bytes.len()),
        ));
    }
    Ok(bytes)
}

/// Decodes a packet; every byte of it must belong to the message.
///
/// # Errors
/// BAD_ARGS_ERRORS, saying what is wrong.
pub fn decode<T: DeserializeOwned>(packet: &[u8]) -> Result<T> {
    let bad = |text: String| Error::with(Code::BadArgsErrors, text);
    if packet.len() > MAX_MESSAGE {
        return Err(bad(format!("packet of more than {MAX_MESSAGE} bytes")));
    }
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(bad(format!("packet has {} bytes too many", rest.len()))),
        Err(e) => Err(bad(format!("packet of {} bytes is no message: {e}", packet.len()))),
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn largest_publish() -> Request {
        let access = (0..64).fold(AccessList::new(), |l, _| l.node(u32::MAX, u32::MAX));
        let segment = SegmentName { row: u32::MAX, incarnation: u64::MAX };
        Request { number: u64::MAX, ask: Ask::Publish { segment, id: u32::MAX, access } }
    }

    #[test]
    fn the_largest_messages_fit() {
        let request = largest_publish();
        assert_eq!(decode::<Request>(&encode(&request).unwrap()).unwrap(), request);
        let name = ConnectionName { row: u32::MAX, generation: u64::MAX };
        encode(&Request { number: u64::MAX, ask: Ask::Inherit { connections: vec![name; MAX_INHERIT] } }).unwrap();
        let most = u64::MAX;
        let tally = Tally { puts: most, gets: most, put_bytes: most, got_bytes: most, posts: most, waits: most };
        let process = ProcessTally { membership: most, node: u32::MAX, pid: u32::MAX, tally };
        let answer = Answer::Tallies { processes: vec![process; MAX_TALLIES], more: true };
        encode(&Reply { number: most, outcome: Ok(answer) }).unwrap();
        let on = WaitFor::Export { id: Some(u32::MAX), pending: u32::MAX, importers: u32::MAX };
        let wait = Wait { membership: most, node: u32::MAX, pid: u32::MAX, on };
        let answer = Answer::Waits { waits: vec![wait; MAX_WAITS], next: Some(most) };
        encode(&Reply { number: most, outcome: Ok(answer) }).unwrap();
    }

    #[test]
    fn a_full_list_of_processes_fits() {
        let process = Process { membership: u64::MAX, node: u32::MAX, pid: u32::MAX, uid: u32::MAX };
        let outcome = Ok(Answer::Processes(vec![process; MAX_PROCESSES]));
        encode(&Reply { number: u64::MAX, outcome }).unwrap();
    }

    #[test]
    fn trailing_bytes_bad_permissions_and_unknown_codes_are_refused() {
        let mut packet = encode(&Request { number: 1, ask: Ask::Abandon { number: 7 } }).unwrap();
        packet.push(0);
        assert!(decode::<Request>(&packet).unwrap_err().to_string().contains("1 bytes too many"));
        assert!(postcard::from_bytes::<Permission>(&postcard::to_stdvec(&0o700u32).unwrap()).is_err());
        assert!(postcard::from_bytes::<Code>(&postcard::to_stdvec(&46i32).unwrap()).is_err());
        assert!(decode::<Request>(&[0; MAX_MESSAGE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn no_packet_makes_decoding_panic(packet in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode::<Request>(&packet);
            let _ = decode::<Reply>(&packet);
        }

        #[test]
        fn damaged_requests_are_refused_or_read_as_requests(at in 0usize..400, bit in 0u8..8) {
            let mut packet = encode(&largest_publish()).unwrap();
            let at = at % packet.len();
            packet[at] ^= 1 << bit;
            let _ = decode::<Request>(&packet);
        }
    }
}
