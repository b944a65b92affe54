//! Ways: how transfers go that do not go to plain memory. The one door.
//!
//! The plain path knows nothing of them. A connection that is *diverted* has a flag among those that send a transfer to
//! its cold path, and a word in place of its generation that never matches, which sends the end of every span to its cold
//! branch (`rsm_core::verdict`). Behind both is this: a closed set, one file for each way. Of each is asked
//!
//! * how a transfer is carried out whose checks have passed (`Way::carry`),
//! * that everything stored so far is where it goes (`Diverted::settle`): before a verdict, an order, a signal, the end,
//! * whether its memory can be mapped (`Diverted::check_mappable`).
//!
//! Which way a connection goes is said by the [`WindowKind`] of its grant.
#![allow(unsafe_code)]

mod delaying;

use crate::memory::carry::Move;
use delaying::Delaying;
use rsm_core::Result;
use rsm_core::driver::WindowKind;
use rsm_core::generation::Generation;
use rsm_core::sync::AtomicU64;

/// Stands in for the generation of a diverted connection.
pub(super) static NEVER: AtomicU64 = AtomicU64::new(Generation::NEVER.word());

/// What a connection has that does not reach plain memory.
#[derive(Debug)]
pub(super) enum Diverted {
    /// Holds puts back.
    Delaying(Box<Delaying>),
}

/// Which way one transfer goes.
#[derive(Debug)]
pub enum Way<'a> {
    /// To this place, as if it were plain.
    Here(*mut u8),
    /// Through a window that delays it.
    Delayed(Delayed<'a>),
}

/// A transfer through a window that delays it.
#[derive(Debug)]
pub struct Delayed<'a>(&'a Delaying);

impl Diverted {
    /// What the grant of a connection says of its way; `None` for plain memory. `number` tells segments
    /// apart: what is drawn for one depends on nothing else in the cluster.
    ///
    /// # Safety
    /// The whole segment is mapped at `base` until this is dropped, or has settled with nobody left who could put.
    pub(super) unsafe fn of(kind: WindowKind, base: *mut u8, number: u64) -> Option<Diverted> {
        match kind {
            WindowKind::Coherent => None,
            WindowKind::Delaying { seed, mappable } => {
                // SAFETY: the caller's promise.
                Some(Diverted::Delaying(Box::new(unsafe { Delaying::new(base, seed, number, mappable) })))
            }
        }
    }

    /// The way of a transfer whose checks have passed, and which plain memory would have at `place`.
    pub(super) fn way(&self, place: *mut u8) -> Way<'_> {
        match self {
            Diverted::Delaying(window) if window.holds() => Way::Delayed(Delayed(window)),
            Diverted::Delaying(_) => Way::Here(place),
        }
    }

    /// Returns when every store made through the connection so far has been executed, whichever thread made it.
    pub(super) fn settle(&self) {
        match self {
            Diverted::Delaying(window) => window.settle(),
        }
    }

    /// Whether the program may have mappings of it.
    ///
    /// # Errors
    /// MAP_FAILED.
    pub(super) fn check_mappable(&self) -> Result<()> {
        match self {
            Diverted::Delaying(window) => window.check_mappable(),
        }
    }
}

impl Way<'_> {
    /// Moves the data of a transfer whose checks have passed; it begins at `offset` of the segment.
    ///
    /// # Safety
    /// [`Here`](Way::Here): as [`Move::whole`]. Otherwise the transfer lies inside of the segment, aligned, and the
    /// connection has the permission that it needs.
    pub(super) unsafe fn carry<M: Move>(self, offset: u64, moved: M) -> M::Loaded {
        match self {
            // SAFETY: the caller's promise.
            Way::Here(place) => unsafe { moved.whole(place) },
            // SAFETY: as above.
            Way::Delayed(Delayed(window)) => unsafe { window.carry(offset, moved) },
        }
    }
}
