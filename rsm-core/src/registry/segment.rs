//! Segment rows: exports, published or not, each heading the chain of its connections.

use crate::seq;
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, acquire32, mutated};

/// Stage of an export's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// The row is not used.
    Free = 0,
    /// Created, not published.
    Bound = 1,
    /// Importable under its id.
    Published = 2,
}

/// How a withdrawal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// No importer reaches the memory any more.
    Free,
    /// One that did not let go may: the exporter has to move the memory.
    Held,
}

/// Progress of the latest withdrawal (unpublish, destroy) of a row's segment; the word that any thread of the
/// exporter waits on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal(u32);

impl Withdrawal {
    const PENDING: u32 = 0;
    const FREE: u32 = 1;
    const HELD: u32 = 2;

    /// The word of a withdrawal under way.
    pub const fn pending(number: u32) -> Withdrawal {
        Withdrawal(number << 2 | Self::PENDING)
    }

    /// The word as found in memory.
    pub const fn from_word(word: u32) -> Withdrawal {
        Withdrawal(word)
    }

    /// The word as stored in memory, and as the futex compares it.
    pub const fn word(self) -> u32 {
        self.0
    }

    /// Number of the withdrawal: counts those of the row.
    pub const fn number(self) -> u32 {
        self.0 >> 2
    }

    /// The same withdrawal, ended.
    #[must_use]
    pub const fn ended(self, how: Withdrawn) -> Withdrawal {
        let state = match how {
            Withdrawn::Free => Self::FREE,
            Withdrawn::Held => Self::HELD,
        };
        Withdrawal(self.0 & !3 | state)
    }

    /// Outcome for the one who holds the ticket `number`: `None` to go on waiting.
    /// A later number means that this one ended long ago, and well, or the row could not have gone on.
    pub fn outcome(self, number: u32) -> Option<Withdrawn> {
        if self.number() != number && !mutated("withdrawal_any_number") {
            return Some(Withdrawn::Free);
        }
        match self.0 & 3 {
            Self::PENDING => None,
            Self::FREE => Some(Withdrawn::Free),
            _ => Some(Withdrawn::Held),
        }
    }
}

/// A segment.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct SegmentRow {
    pub(super) seq: AtomicU64,
    pub(super) incarnation: AtomicU64,
    pub(super) length: AtomicU64,
    pub(super) id: AtomicU32,
    pub(super) node: AtomicU32,
    pub(super) state: AtomicU32,
    pub(super) controller: AtomicU32,
    pub(super) pid: AtomicU32,
    pub(super) uid: AtomicU32,
    pub(super) bell: AtomicU32,
    pub(super) next_in_bucket: AtomicU32,
    pub(super) withdrawal: AtomicU32,
    /// Steps with every connection that comes or goes and whenever the segment is published or withdrawn, and is a futex.
    pub(super) comings: AtomicU32,
    /// Newest connection; read without the sequence number, see [`super::walk_connections`].
    pub(super) first_connection: AtomicU32,
    pub(super) importers: AtomicU32,
    /// Connections that came since the segment was created, and how many of them before it was last published.
    pub(super) arrivals: AtomicU32,
    pub(super) earlier: AtomicU32,
    reserved: [AtomicU64; 5],
}

#[cfg(not(rsm_loom))]
const _: () = {
    assert!(size_of::<SegmentRow>() == 128);
    assert!(core::mem::offset_of!(SegmentRow, first_connection) == 64);
};

/// Fields of a segment row, as of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFields {
    /// Number of this use of the row; never the same for two segments of a cluster.
    pub incarnation: u64,
    /// Length in bytes.
    pub length: u64,
    /// Segment id while published, else 0.
    pub id: u32,
    /// The exporting node.
    pub node: u32,
    /// Stage of the segment's life.
    pub state: SegmentState,
    /// Index of the controller it was created on.
    pub controller: u32,
    /// The process that created it.
    pub pid: u32,
    /// Owner's effective user id at create.
    pub uid: u32,
    /// Number of its bell in the exporting node's bell memory.
    pub bell: u32,
    pub(super) next_in_bucket: u32,
}

impl SegmentFields {
    /// Whether the row is nobody's.
    pub fn is_free(&self) -> bool {
        self.state == SegmentState::Free
    }

    /// A segment that is not published; `creator` is process id and user id.
    pub fn bound(
        incarnation: u64,
        length: u64,
        node: u32,
        controller: u32,
        creator: (u32, u32),
        bell: u32,
    ) -> SegmentFields {
        let (pid, uid) = creator;
        let state = SegmentState::Bound;
        SegmentFields { incarnation, length, id: 0, node, state, controller, pid, uid, bell, next_in_bucket: 0 }
    }
}

impl SegmentRow {
    pub(super) fn new() -> SegmentRow {
        let zero = || AtomicU32::new(0);
        SegmentRow {
            seq: AtomicU64::new(0),
            incarnation: AtomicU64::new(0),
            length: AtomicU64::new(0),
            id: zero(),
            node: zero(),
            state: zero(),
            controller: zero(),
            pid: zero(),
            uid: zero(),
            bell: zero(),
            next_in_bucket: zero(),
            withdrawal: zero(),
            comings: zero(),
            first_connection: zero(),
            importers: zero(),
            arrivals: zero(),
            earlier: zero(),
            reserved: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Everything the row says; `None` when the agent kept writing, or died writing.
    pub fn fields(&self) -> Option<SegmentFields> {
        seq::read(&self.seq, || SegmentFields {
            incarnation: self.incarnation.load(Relaxed),
            length: self.length.load(Relaxed),
            id: self.id.load(Relaxed),
            node: self.node.load(Relaxed),
            state: match self.state.load(Relaxed) {
                1 => SegmentState::Bound,
                2 => SegmentState::Published,
                _ => SegmentState::Free,
            },
            controller: self.controller.load(Relaxed),
            pid: self.pid.load(Relaxed),
            uid: self.uid.load(Relaxed),
            bell: self.bell.load(Relaxed),
            next_in_bucket: self.next_in_bucket.load(Relaxed),
        })
    }

    /// The word that tells how far a withdrawal has come; the agent wakes who sleeps on it.
    pub fn withdrawal(&self) -> &AtomicU32 {
        &self.withdrawal
    }

    /// Connections to the segment now; for display.
    pub fn importers(&self) -> u32 {
        self.importers.load(Relaxed)
    }

    /// The word that steps when a connection comes or goes, and when the segment is published or withdrawn. Read before
    /// looking; the agent wakes who sleeps on it.
    pub fn comings(&self) -> &AtomicU32 {
        &self.comings
    }

    /// Connections that the segment ever had; wraps around.
    pub fn arrivals(&self) -> u32 {
        // Acquire: pairs with the Release of `Writer::link_connection`; the connections that are counted are found.
        acquire32(&self.arrivals)
    }

    /// Whether nobody is left who could signal the export of this incarnation: it was imported since it was last
    /// published, or is not published, and no connection to it is left. What those who left had signalled is visible to
    /// who is told so.
    pub fn is_deserted(&self, incarnation: u64) -> bool {
        // The count of those that came before the count of those that are there: one that is coming is in the second when
        // it is in the first. Acquire: pairs with the Release of `Writer::link_connection`.
        let came = acquire32(&self.arrivals) != self.earlier.load(Relaxed);
        // Acquire: pairs with the Release of `Writer::unlink_connection`. The agent knows of an importer's last post by
        // having learned of its end.
        let nobody = acquire32(&self.importers) == 0;
        nobody
            && self.fields().is_some_and(|fields| {
                fields.incarnation != incarnation || came || fields.state != SegmentState::Published
            })
    }
}

impl Default for SegmentRow {
    fn default() -> SegmentRow {
        SegmentRow::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_learns_its_own_outcome() {
        let first = Withdrawal::pending(5);
        assert_eq!(first.outcome(5), None);
        for how in [Withdrawn::Free, Withdrawn::Held] {
            assert_eq!(first.ended(how).outcome(5), Some(how));
        }
        assert_eq!(Withdrawal::pending(6).outcome(5), Some(Withdrawn::Free), "a later one has begun");
        assert_eq!(Withdrawal::from_word(first.word()), first);
    }

    proptest::proptest! {
        #[test]
        fn withdrawals_round_trip(number in 0..=u32::MAX >> 2, free: bool) {
            let how = if free { Withdrawn::Free } else { Withdrawn::Held };
            let pending = Withdrawal::pending(number);
            assert_eq!((pending.number(), pending.outcome(number)), (number, None));
            assert_eq!(Withdrawal::from_word(pending.ended(how).word()).outcome(number), Some(how));
            assert_eq!(pending.ended(how).number(), number);
        }
    }
}
