//! One import.
//!
//! After a connect everything a transfer needs stands in one aligned record: where the memory is mapped, how long it
//! is, the granted generation and where the current one is found. A transfer is a few compares, the access, and in
//! implicit mode a fence and two more compares. It makes no system call, takes no lock, allocates nothing.
//!
//! The memory is mapped whole when the connection is made, and its descriptor closed: an import costs no descriptor,
//! and there is none that the events thread, with its private table, could not close when the import is cut off.
//!
//! | file | what |
//! |---|---|
//! | `transfer` | put and get |
//! | `verdict` | spans, and whether the connection was cut |
//! | `signal` | posting and waiting |
//! | `race` | what is told of it where races are looked for |
//! | `layer` | what a layer above tells of it there |
//! | `child` | how a forked child comes to share it |
//! | `tie` | what holds it at the agent and in the table, and its end |
#![allow(unsafe_code)]

mod child;
mod layer;
mod race;
mod signal;
mod tie;
mod transfer;
mod verdict;

pub use transfer::Straight;

use super::flags::{FlagWord, Flags};
use super::table::Switch;
use super::trace::What;
use super::way::{Diverted, never};
use super::{Membership, lock};
use crate::memory::pages::SealPages;
use crate::memory::region::Region;
use rsm_core::access::Permission;
use rsm_core::bell::Bell;
use rsm_core::generation::Generation;
use rsm_core::lens::event::Kind;
use rsm_core::lens::gate;
use rsm_core::message::{Connected, ConnectionName, Disturbance};
use rsm_core::sync::AtomicU64;
use rsm_core::{Code, Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use tie::Tie;

/// Who vouches for transfers (reference 3.6).
#[doc(alias = "rsm_barrier_mode_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierMode {
    /// The program opens and closes spans; put and get only move data.
    Explicit,
    /// Each put and get is a span of its own, and reports its verdict. The default.
    Implicit,
}

/// An import. It ends, and the exporter is told, when this is dropped.
///
/// What a transfer reads comes first and fills one cache line.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Connection {
    flags: FlagWord,
    export_epoch: u32,
    base: *mut u8,
    length: u64,
    granted: Generation,
    generation: AtomicPtr<AtomicU64>,
    link: NonNull<AtomicU64>,
    export_bell: NonNull<Bell>,
    import_bell: NonNull<Bell>,
    node: u32,
    permission: Permission,
    /// Where the generation stands in any case; `generation` leads to another word while the connection is diverted.
    truth: NonNull<AtomicU64>,
    /// Before the tie, whose end unmaps what it uses.
    diverted: Option<Diverted>,
    /// What it has instead while somebody traces.
    watched: Diverted,
    tie: Tie,
}

/// What a connection is made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) connected: &'a Connected,
    pub(super) whole: Arc<Region>,
    pub(super) generation: &'a AtomicU64,
    pub(super) link: &'a AtomicU64,
    pub(super) export_bell: &'a Bell,
    pub(super) import_bell: &'a Bell,
    pub(super) controller: u32,
    pub(super) node: u32,
    pub(super) id: u32,
    pub(super) permission: Permission,
    /// Of another host.
    pub(super) seals: Option<SealPages>,
}

// SAFETY: the pointers lead into mappings that live as long as the membership and the table's entry, which the tie
// removes; what they lead to is made of atomics or accessed as shared memory.
unsafe impl Send for Connection {}
// SAFETY: as above; the fields that change are atomics, or behind the lock of what is diverted, whose pointer is `base`.
unsafe impl Sync for Connection {}

impl Connection {
    /// Builds an import and enters it in the table.
    ///
    /// # Errors
    /// INTERNAL_ERROR when the agent gave it the name of another, whose memory would go with the entry; CONN_ABORTED when it
    /// was withdrawn already and cannot be cut off.
    pub(super) fn new(membership: &Arc<Membership>, parts: Parts<'_>) -> Result<Arc<Connection>> {
        let connected = parts.connected;
        let base = parts.whole.as_ptr();
        let posting = membership.shared.posting.as_ref();
        let (node, id, watched) = (parts.node, parts.id, membership.is_watched());
        // Before the lock, which comes after that of forks. SAFETY: the table keeps it mapped until the tie takes it out:
        // dropped later, or by `disconnect`, which settles first.
        let diverted = unsafe { Diverted::of(connected.window, posting, base, node, id, parts.seals, watched) }?;
        let mut state = lock(&membership.shared.state);
        let table = &mut state.table;
        if table.whole(connected.connection).is_some() {
            return Err(Error::with(Code::InternalError, "the agent granted the same connection twice"));
        }
        let mut flags = Flags::of_connection(parts.permission);
        let truth = NonNull::from(parts.generation);
        let mut generation = truth.as_ptr();
        let plain = diverted.is_none();
        if !plain {
            flags = flags.and(Flags::DIVERTED);
            generation = never();
        }
        let connection = Arc::new(Connection {
            flags: FlagWord::new(flags),
            export_epoch: connected.export_epoch,
            base,
            length: connected.length,
            granted: Generation::from_word(connected.connection.generation),
            generation: AtomicPtr::new(generation),
            link: NonNull::from(parts.link),
            export_bell: NonNull::from(parts.export_bell),
            import_bell: NonNull::from(parts.import_bell),
            node: parts.node,
            permission: parts.permission,
            truth,
            diverted,
            watched: Diverted::watched(),
            tie: Tie::new(membership, connected.connection, parts.controller, (parts.node, parts.id)),
        });
        let registry = membership.registry();
        let switch = Switch {
            flags: NonNull::from(&connection.flags),
            generation: NonNull::from(&connection.generation),
            truth,
            plain,
        };
        // SAFETY: flags and generation stay where they are until the last owner of the connection drops it; the tie is
        // dropped then, and takes the entry out before anything is freed.
        let entered = unsafe { table.enter(&registry, connected.connection, switch, parts.whole, parts.permission) };
        // What is given up takes the lock.
        drop(state);
        connection.race_begins();
        if entered { Ok(connection) } else { Err(connection.told(Error::new(Code::ConnAborted))) }
    }

    /// The name the agent knows it by.
    pub(super) fn name(&self) -> ConnectionName {
        self.tie.name
    }

    /// Asks the agent to let this happen to it.
    pub(super) fn disturb(&self, how: Disturbance) -> Result<()> {
        self.membership().disturb(self.name(), how)
    }

    /// The flags.
    #[inline(always)]
    pub fn flags(&self) -> &FlagWord {
        &self.flags
    }

    /// Bytes of the segment.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The exporting node.
    pub fn node(&self) -> u32 {
        self.node
    }

    /// The controller that it goes through.
    pub(super) fn controller(&self) -> u32 {
        self.tie.controller
    }

    /// The id that it connected to.
    pub fn id(&self) -> u32 {
        self.tie.id
    }

    /// What was asked for and granted.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Sets who vouches for transfers from the next one on.
    pub fn set_mode(&self, mode: BarrierMode) {
        match mode {
            BarrierMode::Explicit => self.flags.set(Flags::EXPLICIT),
            BarrierMode::Implicit => self.flags.clear(Flags::EXPLICIT),
        }
    }

    /// Who vouches for transfers.
    pub fn mode(&self) -> BarrierMode {
        if self.flags.now().has(Flags::EXPLICIT) { BarrierMode::Explicit } else { BarrierMode::Implicit }
    }

    /// Where the whole segment is mapped.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// The bell that the exporter posts to, for who waits on many.
    pub fn bell(&self) -> &Bell {
        // SAFETY: in the exporting node's bells, which the membership keeps mapped.
        unsafe { self.import_bell.as_ref() }
    }

    /// In a cluster with a lens, where calls may be counted: this one is about to be made.
    fn called(&self, call: gate::Call) {
        self.membership().called(call, self.node, self.tie.id);
    }

    /// What a call of this kind is about, for who notes it.
    pub(super) fn what(&self, kind: Kind, offset: u64, length: u64) -> What {
        (kind, self.node, self.tie.id, offset, length)
    }

    /// What stands between it and plain memory.
    pub(super) fn diverted(&self) -> Option<&Diverted> {
        self.diverted.as_ref()
    }

    /// The same, and what stands there while somebody traces who came later.
    fn diverted_now(&self) -> Option<&Diverted> {
        let watched = || self.flags.now().has(Flags::DIVERTED).then_some(&self.watched);
        self.diverted.as_ref().or_else(watched)
    }

    /// Whether it does not reach plain memory, or somebody notes all that is done with it: what an order does is then more
    /// than a fence.
    pub fn is_diverted(&self) -> bool {
        self.diverted_now().is_some()
    }

    /// Whether it is so for good: not just because somebody traces for a while.
    pub fn is_always_diverted(&self) -> bool {
        self.diverted.is_some()
    }

    /// The membership it was made through.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.tie.membership
    }
}
