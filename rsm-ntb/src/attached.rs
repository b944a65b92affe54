//! What a bridge has attached: the books of it, without the device.

use crate::job::Job;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeMap;

/// What a bridge can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of each side's window: how much of the other host's memory can be reached at a time.
    pub window: u64,
    /// What offsets and lengths of attached memory are multiples of, in bytes: this host's page size.
    pub granule: u64,
}

/// A piece of memory beside the control pages.
#[derive(Debug)]
struct Piece {
    length: u64,
    /// The job that is to attach it, and once that is asked for the one that is to detach it; `None` in between.
    job: Option<Job>,
    ending: bool,
}

/// Pieces of memory, by their offsets in bytes.
#[derive(Debug, Default)]
pub(crate) struct Attached {
    /// Offsets and lengths of control pages, which come and go with the whole bridge.
    pub(crate) control: Vec<(u64, u64)>,
    pieces: BTreeMap<u64, Piece>,
}

impl Attached {
    /// Whether memory can be attached so.
    ///
    /// # Errors
    /// BAD_PERMS, BAD_LENGTH, INSUFFICIENT_RESOURCES, as [`attach`](crate::Epf::attach) says.
    pub(crate) fn check(&self, limits: Limits, at: u64, length: u64, permission: Permission) -> Result<()> {
        let Limits { window, granule } = limits;
        if !permission.reads() {
            return Err(Error::with(Code::BadPerms, "memory is attached to a bridge for reading, or for both"));
        }
        let whole = length > 0 && length.is_multiple_of(granule) && at.is_multiple_of(granule);
        let end = at.checked_add(length).filter(|end| whole && *end <= window);
        let Some(end) = end else {
            let text = format!(
                "{length} bytes at offset {at:#x} do not fit a bridge: it has {window} bytes, in pages of {granule}"
            );
            return Err(Error::with(Code::BadLength, text));
        };
        let pieces = self.pieces.iter().map(|(other, piece)| (*other, piece.length));
        if self.control.iter().copied().chain(pieces).any(|(other, length)| other < end && at < other + length) {
            let text = format!("at offset {at:#x} of a bridge other memory is attached");
            return Err(Error::with(Code::InsufficientResources, text));
        }
        Ok(())
    }

    /// A job has been begun that attaches a piece.
    pub(crate) fn attaching(&mut self, at: u64, length: u64, job: Job) {
        self.pieces.insert(at, Piece { length, job: Some(job), ending: false });
    }

    /// The length of what can be detached at an offset.
    ///
    /// # Errors
    /// BAD_ADDR where there is nothing.
    pub(crate) fn detachable(&self, at: u64) -> Result<u64> {
        let piece = self.pieces.get(&at).filter(|piece| !piece.ending);
        let nothing = || Error::with(Code::BadAddr, format!("nothing at offset {at:#x} of a bridge can be detached"));
        piece.map(|piece| piece.length).ok_or_else(nothing)
    }

    /// A job has been begun that detaches it.
    pub(crate) fn detaching(&mut self, at: u64, job: Job) {
        if let Some(piece) = self.pieces.get_mut(&at) {
            (piece.job, piece.ending) = (Some(job), true);
        }
    }

    /// A job has ended, well or not.
    pub(crate) fn ended(&mut self, job: Job, well: bool) {
        let Some((&at, piece)) = self.pieces.iter_mut().find(|(_, piece)| piece.job == Some(job)) else { return };
        match (piece.ending, well) {
            (false, true) => piece.job = None,
            // Never there, or not any more.
            (false, false) | (true, true) => drop(self.pieces.remove(&at)),
            (true, false) => (piece.job, piece.ending) = (None, false),
        }
    }

    /// How many pieces there are beside control pages, those that come and go included.
    pub(crate) fn count(&self) -> usize {
        self.pieces.len()
    }
}
