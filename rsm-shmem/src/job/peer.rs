//! A PE, and where its memory is for this one.
#![allow(unsafe_code)] // addresses that threads share

use crate::control::Control;
use rsm_shm::membership::connection::Connection;

/// A region of another PE.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    /// What corresponds to the region's first byte; NULL where that PE has no such region.
    pub(crate) base: *mut u8,
    /// None for the own PE.
    pub(crate) connection: Option<&'static Connection>,
}

/// A PE.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) pe: usize,
    pub(crate) control: &'static Control,
    pub(crate) sides: [Side; 2],
    /// The own PE, of whose memory it is told what is done with it: nothing goes there straight away.
    pub(crate) is_told_of: bool,
}

// SAFETY: the pointers lead to memory that is made for concurrent use and mapped to the end of the process.
unsafe impl Send for Peer {}
// SAFETY: as above.
unsafe impl Sync for Peer {}

impl Peer {
    /// Whether it can be reached no more.
    pub(crate) fn is_cut(&self) -> bool {
        self.sides.iter().any(|side| side.connection.is_some_and(Connection::is_aborted))
    }
}
