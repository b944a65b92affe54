//! Records: what a process says of what it has seen through a lens, so that it can be told when the process has died.
//!
//! The agent makes one for each process that joins a cluster with a lens, in memory of its own; the process writes it and
//! nobody but the agent reads it. It is what that process says of itself, to be shown and not to be believed.
//!
//! # Crash
//!
//! A process that dies leaves its record as it was; the last overtaking, if it died while it wrote it, is not shown.

use super::inject::{Injected, Last};
use super::log::{Delivered, Overtaking, Target};
use crate::seq;
use crate::sync::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

/// The words of one process.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct RecordRow {
    pieces: AtomicU64,
    out_of_order: AtomicU64,
    /// Odd while the words below change.
    sequence: AtomicU64,
    /// Node and id, offset, length of who came too early and of who was posted before; a length of 0 is a bell.
    last: [AtomicU64; 6],
    faults: AtomicU64,
    /// [`Last::word`]; 0: none.
    last_fault: AtomicU64,
    /// Nanoseconds.
    modelled: AtomicU64,
    reserved: [AtomicU64; 4],
}

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<RecordRow>() == 128);

/// A place in words.
fn words((node, id, target): (u32, u32, Target)) -> [u64; 3] {
    let (offset, length) = match target {
        Target::Bytes { offset, length } => (offset, length),
        Target::Bell => (0, 0),
    };
    [u64::from(node) << 32 | u64::from(id), offset, length]
}

/// And back.
fn place([place, offset, length]: [u64; 3]) -> (u32, u32, Target) {
    let target = if length == 0 { Target::Bell } else { Target::Bytes { offset, length } };
    ((place >> 32) as u32, place as u32, target)
}

impl RecordRow {
    /// The record of a process that did nothing: what fresh memory holds.
    pub fn new() -> RecordRow {
        let zero = || AtomicU64::new(0);
        RecordRow {
            pieces: zero(),
            out_of_order: zero(),
            sequence: zero(),
            last: std::array::from_fn(|_| zero()),
            faults: zero(),
            last_fault: zero(),
            modelled: zero(),
            reserved: std::array::from_fn(|_| zero()),
        }
    }

    /// Writes what has become of what was posted. One thread at a time.
    pub fn write(&self, delivered: &Delivered) {
        self.pieces.store(delivered.pieces, Relaxed);
        if self.out_of_order.load(Relaxed) == delivered.out_of_order {
            return;
        }
        self.out_of_order.store(delivered.out_of_order, Relaxed);
        let Some(Overtaking { early, late }) = delivered.last else { return };
        let [a, b, c] = words(early);
        let [d, e, f] = words(late);
        seq::write(&self.sequence, || {
            for (word, value) in self.last.iter().zip([a, b, c, d, e, f]) {
                word.store(value, Relaxed);
            }
        });
    }

    /// Writes which faults were injected. One thread at a time.
    pub fn write_faults(&self, injected: &Injected) {
        self.faults.store(injected.count, Relaxed);
        self.last_fault.store(injected.last.map_or(0, Last::word), Relaxed);
    }

    /// Writes how long calls would have taken, in nanoseconds.
    pub fn write_modelled(&self, time: u64) {
        self.modelled.fetch_max(time, Relaxed);
    }

    /// Reads how long that is.
    pub fn read_modelled(&self) -> Duration {
        Duration::from_nanos(self.modelled.load(Relaxed))
    }

    /// Reads which they were.
    pub fn read_faults(&self) -> Injected {
        let last = Last::from_word(self.last_fault.load(Relaxed));
        Injected { count: self.faults.load(Relaxed), last }
    }

    /// Reads what has become of what was posted.
    pub fn read(&self) -> Delivered {
        // Relaxed: that it was written stays so.
        let was_written = self.sequence.load(Relaxed) != 0;
        let last = || std::array::from_fn(|i| self.last[i].load(Relaxed));
        let last = if was_written { seq::read(&self.sequence, last) } else { None };
        Delivered {
            pieces: self.pieces.load(Relaxed),
            out_of_order: self.out_of_order.load(Relaxed),
            last: last.map(|[a, b, c, d, e, f]| Overtaking { early: place([a, b, c]), late: place([d, e, f]) }),
        }
    }
}

impl Default for RecordRow {
    fn default() -> RecordRow {
        RecordRow::new()
    }
}

impl std::fmt::Display for Overtaking {
    /// Which store arrived before which, and what would have kept them in order.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ((node, id, early), (_, late_id, late)) = (self.early, self.late);
        let place = |target| match target {
            Target::Bytes { offset, length } => format!("[{offset},+{length})"),
            Target::Bell => "a signal".to_owned(),
        };
        write!(f, "to {id:#x} of node {node}: {} before {}", place(early), place(late))?;
        match early {
            _ if id != late_id => {
                write!(f, " of {late_id:#x}; an order barrier of one import orders no other: close it first")
            }
            Target::Bell => f.write_str("; the span was not closed before it was posted"),
            Target::Bytes { .. } => f.write_str("; no order barrier between"),
        }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::lens::fault::Fault;
    use crate::lens::inject::Call;

    #[test]
    fn what_was_written_is_read() {
        let (row, mut delivered) = (RecordRow::new(), Delivered::default());
        assert_eq!(row.read(), delivered);
        delivered.pieces = 3;
        row.write(&delivered);
        assert_eq!(row.read(), delivered);
        let bytes = |offset, length| Target::Bytes { offset, length };
        for (early, late, says) in [
            (
                (2, 7, bytes(4096, 8)),
                (2, 7, bytes(0, 64)),
                "to 0x7 of node 2: [4096,+8) before [0,+64); no order barrier between",
            ),
            (
                (2, 7, Target::Bell),
                (2, 7, bytes(0, 64)),
                "to 0x7 of node 2: a signal before [0,+64); the span was not closed",
            ),
            ((2, 7, bytes(0, 8)), (2, 8, bytes(0, 64)), "before [0,+64) of 0x8; an order barrier of one import"),
        ] {
            delivered.out_of_order += 1;
            delivered.last = Some(Overtaking { early, late });
            row.write(&delivered);
            assert_eq!(row.read(), delivered);
            assert!(delivered.last.unwrap().to_string().contains(says), "{}", delivered.last.unwrap());
        }
        let last = Last { fault: Fault::Error, call: Call::Close, node: 2, id: 7 };
        for injected in [Injected::default(), Injected { count: 3, last: Some(last) }] {
            row.write_faults(&injected);
            assert_eq!(row.read_faults(), injected);
        }
        row.write_modelled(7);
        assert_eq!(row.read_modelled(), Duration::from_nanos(7));
        // As a process leaves it that dies while it writes.
        row.sequence.store(7, Relaxed);
        assert_eq!(row.read(), Delivered { last: None, ..delivered });
    }
}
