//! What the agent knows of who connects: strangers, members, and how a membership ends.

use super::owes::Owes;
use super::request::{PutOff, Undo};
use super::tracing::KeptRings;
use crate::memory::tables::TallyMap;
use rsm_core::access::Credentials;
use rsm_core::lens::event::LateTrace;
use rsm_core::message::Secret;
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// A connection that has not said what it wants.
pub(in crate::agent) struct Stranger {
    pub(in crate::agent) socket: OwnedFd,
    pub(in crate::agent) since: Instant,
    /// Who, by the kernel's word.
    pub(in crate::agent) uid: u32,
    pub(in crate::agent) pid: u32,
}

/// A member, or an observer.
pub(in crate::agent) struct Member {
    /// Its node; `None` for an observer.
    pub(in crate::agent) node: Option<u32>,
    pub(in crate::agent) credentials: Credentials,
    pub(in crate::agent) pid: u32,
    pub(in crate::agent) control: Option<OwnedFd>,
    pub(in crate::agent) events: OwnedFd,
    /// Watched, and what the process is signalled by. On old kernels the member has copies of it. None of the agent's own
    /// process, where there is no other way to get one: the two end together.
    pub(in crate::agent) process: Option<OwnedFd>,
    pub(in crate::agent) token: Secret,
    /// Revision it reported last.
    pub(in crate::agent) seen: u64,
    /// A look is on its way or being worked on.
    pub(in crate::agent) looking: bool,
    /// The system had no memory for a look; the epoll set watches for room as well.
    pub(in crate::agent) look_unsent: bool,
    /// A reply it has no room for; until it has, it is not read from. Never with descriptors: what would bring some
    /// is undone then.
    pub(in crate::agent) unsent: Option<Vec<u8>>,
    /// The epoll set watches for room instead of requests.
    pub(in crate::agent) waits_for_room: bool,
    /// The request answered last, and how to undo it.
    pub(in crate::agent) last: Option<(u64, Undo)>,
    /// Node and id of the segment that it asked for last and was refused.
    pub(in crate::agent) wants: Option<(u32, u32)>,
    /// What it says it did, once somebody watched.
    pub(in crate::agent) tally: Option<TallyMap>,
    /// Whether its last look told it to tally.
    pub(in crate::agent) told_to_tally: bool,
    /// Where it notes its calls, once somebody traced.
    pub(in crate::agent) rings: KeptRings,
    /// The trace for which its last look told it to note them.
    pub(in crate::agent) told_to_note: Option<LateTrace>,
    /// Its last request is answered later; until then no other is read.
    pub(in crate::agent) owed: bool,
    /// Its last request, which asks again when a member that departs is forgotten.
    pub(in crate::agent) put_off: Option<PutOff>,
    /// What it has yet to look at.
    pub(in crate::agent) owes: Owes,
    /// Its process was killed from outside, through the agent.
    pub(in crate::agent) killed: bool,
    pub(in crate::agent) segments: BTreeSet<u32>,
    pub(in crate::agent) connections: BTreeSet<u32>,
}

/// How a membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Ending {
    /// It was given up in order.
    Left,
    /// The events socket ended, which the kernel does with the process or its exec.
    EventsEnded,
    /// The process did.
    ProcessEnded,
}

impl Ending {
    pub(in crate::agent) fn why(self) -> &'static str {
        match self {
            Ending::Left => "it left",
            Ending::EventsEnded => "its events socket ended",
            Ending::ProcessEnded => "its process ended",
        }
    }
}
