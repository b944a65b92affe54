//! The mailbox: a bounded queue of messages from every node to every node. Both of its ends sleep.

use crate::Team;
use crate::board::{Board, Watch, node};
use crate::layout::Pipe;
use rsm::{Code, Error, Result};
use std::time::Duration;

/// Bytes before those of a message: how many there are.
const HEAD: usize = 8;

impl Team {
    /// Bytes that a message may have at most. So many, with eight for each message, are under way at a time to one
    /// rank.
    pub fn longest_message(&self) -> usize {
        self.board.layout.ring() as usize - HEAD
    }

    /// Sends a message to a rank, once there is room for all of it: waits for at most `timeout`, for ever with `None`,
    /// not at all with zero. Messages of one node arrive in order, and whole.
    ///
    /// # Errors
    /// TIMEOUT, and nothing was sent; BAD_LENGTH for more than [`longest_message`](Self::longest_message); BAD_ADDR for
    /// a rank that there is not; CONN_ABORTED when the other node has ended, or left; BARRIER_FAILURE, with the name of the
    /// node, when the link to it has failed for ten seconds: the message arrives with the next one at the latest, and once.
    pub fn send(&self, rank: usize, bytes: &[u8], timeout: Option<Duration>) -> Result<()> {
        self.check(rank)?;
        if bytes.len() > self.longest_message() {
            let (length, most) = (bytes.len(), self.longest_message());
            return Err(Error::with(Code::BadLength, format!("a message of {length} bytes, above {most}")));
        }
        let (ends, whole) = (&self.ends[rank], HEAD + bytes.len());
        let what = || format!("node {} has not made room for {whole} bytes", node(rank));
        self.board.until(Watch::One(rank), timeout, what, || {
            Ok((self.board.room(ends, Pipe::Mail, rank)? >= whole).then_some(()))
        })?;
        let mut message = (bytes.len() as u64).to_ne_bytes().to_vec();
        message.extend_from_slice(bytes);
        self.board.push(ends, Pipe::Mail, rank, &message)
    }

    /// The next message of a rank; waits for at most `timeout`, for ever with `None`, not at all with zero. What a node
    /// has sent before its end is received.
    ///
    /// # Errors
    /// TIMEOUT; CONN_ABORTED when the other node has ended, or left, and has sent nothing more; BAD_ADDR for a rank
    /// that there is not; CTLR_NOT_PRESENT when the cluster has ended; BARRIER_FAILURE, with the name of the node, when the link
    /// to it has failed for ten seconds, so that it cannot be told of the room: the next call has the message.
    pub fn receive(&self, rank: usize, timeout: Option<Duration>) -> Result<Vec<u8>> {
        self.check(rank)?;
        let ends = &self.ends[rank];
        if ends.untold.borrow().is_some() {
            // The sender may wait for the room.
            return self.deliver(rank);
        }
        let what = || format!("node {} has sent nothing", node(rank));
        let length = self.board.until(Watch::One(rank), timeout, what, || {
            let there = self.board.waiting(ends, Pipe::Mail, rank)?;
            if there == 0 {
                return Ok(None);
            }
            // A sender counts whole messages only, and may be somebody who does not.
            let mut head = [0; HEAD];
            if there < HEAD {
                return Err(Board::nonsense(rank, "a part of a message"));
            }
            self.board.peek(ends, Pipe::Mail, rank, &mut head)?;
            let length = usize::try_from(u64::from_ne_bytes(head)).ok().filter(|&length| length <= there - HEAD);
            length.map(Some).ok_or_else(|| Board::nonsense(rank, "a message that is longer than what it sent"))
        })?;
        let mut message = vec![0; HEAD + length];
        self.board.take(ends, Pipe::Mail, rank, &mut message)?;
        *ends.untold.borrow_mut() = Some(message.split_off(HEAD));
        self.deliver(rank)
    }

    /// Tells a rank of the room, and gives the message away that has made it; where that cannot be told it stays for the next call.
    fn deliver(&self, rank: usize) -> Result<Vec<u8>> {
        let ends = &self.ends[rank];
        self.board.tell_taken(ends, Pipe::Mail, rank)?;
        let taken = ends.untold.take();
        taken.ok_or_else(|| Error::with(Code::InternalError, "a message that was just taken"))
    }
}
