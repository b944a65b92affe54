//! Pipes: bytes in order, from one node to one other.
//!
//! A ring on the receiver's board and two counters that only grow: *sent*, which the sender stores beside the ring, and
//! *taken*, which the receiver stores on the sender's board. The sender writes only where *taken* says that the bytes
//! were read, the receiver reads only where *sent* says that there are some; both are compared with what can be before
//! they are believed.
//!
//! ```text
//!          taken          sent
//!            ▼              ▼
//!   ├────────┼██████████████┼───────────┤   the sender fills from `sent` on, once around at most
//! ```
//!
//! # Failure
//! What nobody vouches for in time may have arrived, counter and all, so its place in the ring is its own: the sender keeps the
//! bytes, and the next ones go together with them. None are ever missing between others, and none come twice.
//!
//! # Crash
//! Of a sender: bytes that *sent* does not count are not there. Of a receiver: nothing; its ring is gone with it.

use crate::board::Board;
use crate::layout::{Pipe, Row};
use rsm::{Code, Result};
use std::cell::{Cell, RefCell};

/// How far this node is in the pipes to and from another one.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    sent: [Cell<u64>; 2],
    taken: [Cell<u64>; 2],
    /// The last of what was sent, where nobody has vouched for it.
    owed: [RefCell<Vec<u8>>; 2],
    /// A message that was taken out of the ring by a call that has not told of the room.
    pub(crate) untold: RefCell<Option<Vec<u8>>>,
}

impl Ends {
    fn sent(&self, pipe: Pipe) -> &Cell<u64> {
        &self.sent[usize::from(pipe == Pipe::Mail)]
    }

    fn taken(&self, pipe: Pipe) -> &Cell<u64> {
        &self.taken[usize::from(pipe == Pipe::Mail)]
    }

    fn owed(&self, pipe: Pipe) -> &RefCell<Vec<u8>> {
        &self.owed[usize::from(pipe == Pipe::Mail)]
    }
}

impl Board {
    /// How many bytes can be put into the pipe to `rank` now.
    pub(crate) fn room(&self, ends: &Ends, pipe: Pipe, rank: usize) -> Result<usize> {
        let under_way = ends.sent(pipe).get().wrapping_sub(self.told(rank, Row::Taken(pipe))?);
        let room = self.layout.ring().checked_sub(under_way);
        room.map(|room| room as usize).ok_or_else(|| Board::nonsense(rank, "it has taken what was not sent"))
    }

    /// Puts bytes into the pipe to `rank`, all of them at once; there must be [room](Board::room).
    pub(crate) fn push(&self, ends: &Ends, pipe: Pipe, rank: usize, bytes: &[u8]) -> Result<()> {
        let (sent, ring) = (ends.sent(pipe).get(), self.layout.ring());
        let mut owed = ends.owed(pipe).borrow_mut();
        if !owed.is_empty() {
            // What was taken has arrived, and its place may be that of something else.
            let under_way = sent.wrapping_sub(self.told(rank, Row::Taken(pipe))?);
            let arrived = owed.len() - owed.len().min(usize::try_from(under_way).unwrap_or(usize::MAX));
            owed.drain(..arrived);
        }
        let at = sent.wrapping_sub(owed.len() as u64) % ring;
        owed.extend_from_slice(bytes);
        let next = sent.wrapping_add(bytes.len() as u64);
        // Before the store: what may have arrived of it is not sent again as something else.
        ends.sent(pipe).set(next);
        let start = self.layout.ring_of(self.rank, pipe);
        let (straight, around) = owed.split_at(owed.len().min((ring - at) as usize));
        let pieces = [(start + at, straight), (start, around)];
        let pieces = if around.is_empty() { &pieces[..1] } else { &pieces[..] };
        self.place(rank, pieces, self.layout.row(self.rank, Row::Sent(pipe)), next)?;
        owed.clear();
        self.ring(rank)
    }

    /// How many bytes there are to take out of the pipe from `rank`.
    pub(crate) fn waiting(&self, ends: &Ends, pipe: Pipe, rank: usize) -> Result<usize> {
        let there = self.told(rank, Row::Sent(pipe))?.wrapping_sub(ends.taken(pipe).get());
        if there > self.layout.ring() {
            return Err(Board::nonsense(rank, "it has sent more than there is room for"));
        }
        Ok(there as usize)
    }

    /// Copies the next bytes out of the pipe from `rank`, and leaves them there; so many must be
    /// [waiting](Board::waiting).
    pub(crate) fn peek(&self, ends: &Ends, pipe: Pipe, rank: usize, into: &mut [u8]) -> Result<()> {
        let ring = self.layout.ring();
        let start = self.layout.ring_of(rank, pipe);
        let at = ends.taken(pipe).get() % ring;
        let straight = into.len().min((ring - at) as usize);
        let (straight, around) = into.split_at_mut(straight);
        let memory = self.own.memory();
        memory.read(start + at, straight)?;
        memory.read(start, around)
    }

    /// Takes the next bytes out of the pipe from `rank`, and tells it of the room. Bytes that were taken from one who
    /// is gone are there all the same.
    pub(crate) fn pull(&self, ends: &Ends, pipe: Pipe, rank: usize, into: &mut [u8]) -> Result<()> {
        self.take(ends, pipe, rank, into)?;
        self.tell_taken(ends, pipe, rank)
    }

    /// The first half of [`pull`](Self::pull).
    pub(crate) fn take(&self, ends: &Ends, pipe: Pipe, rank: usize, into: &mut [u8]) -> Result<()> {
        self.peek(ends, pipe, rank, into)?;
        ends.taken(pipe).set(ends.taken(pipe).get().wrapping_add(into.len() as u64));
        Ok(())
    }

    /// The second half: tells `rank` of all the room that there is, again if need be.
    ///
    /// # Errors
    /// Those of the link, and of who attends: it may know of the room or not, so the bytes are not in the ring any more.
    pub(crate) fn tell_taken(&self, ends: &Ends, pipe: Pipe, rank: usize) -> Result<()> {
        let lost = |error: &rsm::Error| matches!(error.code(), Code::ConnAborted | Code::BarrierFailure);
        match self.tell(rank, Row::Taken(pipe), ends.taken(pipe).get()) {
            // Not what who attends has said.
            Err(error) if lost(&error) && self.all[rank].is_aborted() => Ok(()),
            told => told,
        }
    }
}
