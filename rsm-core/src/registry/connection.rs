//! Connection rows.

use crate::seq;
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, acquire};

/// A connection of an importing node to a segment.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ConnectionRow {
    /// See [`crate::generation`]; transfers, barriers and posts compare it.
    pub(super) generation: AtomicU64,
    pub(super) seq: AtomicU64,
    pub(super) segment_incarnation: AtomicU64,
    pub(super) segment: AtomicU32,
    pub(super) next: AtomicU32,
    pub(super) bell: AtomicU32,
    pub(super) epoch: AtomicU32,
    pub(super) importer: AtomicU32,
    pub(super) pid: AtomicU32,
    pub(super) controller: AtomicU32,
    pub(super) permission: AtomicU32,
    /// The exporting node while the importer holds the connection, cut or not; [`NONE`](super::NONE) when it gave it back.
    pub(super) exporter: AtomicU32,
    pub(super) id: AtomicU32,
}

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<ConnectionRow>() == 64);

/// Fields of a connection row, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionFields {
    /// Which use of the row this is, and whether the connection was cut.
    pub generation: crate::generation::Generation,
    /// Row of the segment; meaningful while its incarnation is `segment_incarnation`.
    pub segment: u32,
    /// Incarnation of the segment.
    pub segment_incarnation: u64,
    /// Next older connection of the segment.
    pub next: u32,
    /// The connection's bell in the exporting node's bell memory.
    pub bell: u32,
    /// Epoch the exporter posts with.
    pub epoch: u32,
    /// The importing node.
    pub importer: u32,
    /// The process that connected.
    pub pid: u32,
    /// The controller it goes through.
    pub controller: u32,
    /// Permission bits it was granted.
    pub permission: u32,
    /// The exporting node; [`NONE`](super::NONE) when the importer has given the connection back.
    pub exporter: u32,
    /// The id it connected to, which the segment may have lost since.
    pub id: u32,
}

/// Half of a connection row: the fields that a walk along a segment's connections needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLink {
    /// Which row it stands in.
    pub row: u32,
    /// As in [`ConnectionFields`], and so the others.
    pub generation: crate::generation::Generation,
    pub(super) segment: u32,
    pub(super) segment_incarnation: u64,
    pub(super) next: u32,
    /// The connection's bell in the exporting node's bell memory.
    pub bell: u32,
    /// Epoch the exporter posts with.
    pub epoch: u32,
}

impl ConnectionRow {
    pub(super) fn new() -> ConnectionRow {
        let zero = || AtomicU32::new(0);
        ConnectionRow {
            generation: AtomicU64::new(0),
            seq: AtomicU64::new(0),
            segment_incarnation: AtomicU64::new(0),
            segment: zero(),
            next: zero(),
            bell: zero(),
            epoch: zero(),
            importer: zero(),
            pid: zero(),
            controller: zero(),
            permission: zero(),
            exporter: zero(),
            id: zero(),
        }
    }

    /// The word that transfers, barriers and posts compare with what they were granted.
    pub fn generation(&self) -> &AtomicU64 {
        &self.generation
    }

    /// Which use of the row this is or was, and why it ended if it has.
    pub fn ended(&self) -> crate::generation::Generation {
        crate::generation::Generation::from_word(acquire(&self.generation))
    }

    /// What a walk needs, as [`fields`](Self::fields) reads it. In registers: a walk that called for all of it spent half of
    /// its time on handing it over.
    #[inline(always)]
    pub(super) fn link(&self, row: u32) -> Option<ConnectionLink> {
        seq::read(&self.seq, || ConnectionLink {
            row,
            generation: crate::generation::Generation::from_word(self.generation.load(Relaxed)),
            segment: self.segment.load(Relaxed),
            segment_incarnation: self.segment_incarnation.load(Relaxed),
            next: self.next.load(Relaxed),
            bell: self.bell.load(Relaxed),
            epoch: self.epoch.load(Relaxed),
        })
    }

    /// Everything the row says; `None` when the agent kept writing, or died writing.
    pub fn fields(&self) -> Option<ConnectionFields> {
        seq::read(&self.seq, || ConnectionFields {
            generation: crate::generation::Generation::from_word(self.generation.load(Relaxed)),
            segment: self.segment.load(Relaxed),
            segment_incarnation: self.segment_incarnation.load(Relaxed),
            next: self.next.load(Relaxed),
            bell: self.bell.load(Relaxed),
            epoch: self.epoch.load(Relaxed),
            importer: self.importer.load(Relaxed),
            pid: self.pid.load(Relaxed),
            controller: self.controller.load(Relaxed),
            permission: self.permission.load(Relaxed),
            exporter: self.exporter.load(Relaxed),
            id: self.id.load(Relaxed),
        })
    }
}

impl Default for ConnectionRow {
    fn default() -> ConnectionRow {
        ConnectionRow::new()
    }
}
