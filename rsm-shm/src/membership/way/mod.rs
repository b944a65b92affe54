//! Ways: how transfers go that do not go to plain memory. The one door.
//!
//! The plain path knows nothing of them. A connection that is *diverted* has a flag among those that send a transfer to
//! its cold path, and a word in place of its generation that never matches, which sends the end of every span to its cold
//! branch (`rsm_core::verdict`). Behind both is this: a closed set, one file for each way. Of each is asked
//!
//! * how a transfer is carried out whose checks have passed (`Way::carry`),
//! * that everything stored so far is where it goes (`Diverted::close`): before a verdict, and before the end,
//! * what an order is (`Diverted::order`), and a signal (`Diverted::post`).
//!
//! Which way a connection goes is said by the [`WindowKind`] of its grant.
#![allow(unsafe_code)]

mod lensed;
mod posted;
mod watched;

use crate::memory::carry::Move;
use crate::memory::pages::SealPages;
use crate::memory::shadow::Shadow;
use lensed::Lensed;
pub(super) use lensed::{Began, Disturb, Pace, Posting, now, pause_until};
pub(super) use posted::Posted;
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::driver::WindowKind;
use rsm_core::generation::Generation;
use rsm_core::sync::AtomicU64;
use rsm_core::verdict::BarrierType;
use rsm_core::{Code, Error, Result};
use std::ptr::NonNull;
use std::sync::Arc;
use watched::Watched;

/// Stands in for the generation of a diverted connection.
static NEVER: AtomicU64 = AtomicU64::new(Generation::NEVER.word());

/// Where that is; nobody stores to it.
pub(super) fn never() -> *mut AtomicU64 {
    std::ptr::from_ref(&NEVER).cast_mut()
}

/// What a connection has that does not reach plain memory.
#[derive(Debug)]
pub(super) enum Diverted {
    /// Stores and signals are late.
    Lensed(Box<Lensed>),
    /// Nothing is: its calls are noted.
    Watched(Watched),
    /// The memory is another host's.
    Posted(Box<Posted>),
}

/// Which way one transfer goes.
#[derive(Debug)]
pub enum Way<'a> {
    /// To this place, as if it were plain.
    Here(*mut u8),
    /// Through the lens.
    Lensed(Passage<'a>),
    /// To this place, which is memory of a device.
    Device(*mut u8),
}

/// A transfer through the lens.
#[derive(Debug)]
pub struct Passage<'a>(&'a Lensed);

impl Diverted {
    /// What a connection to plain memory has while somebody traces who came later than the cluster.
    pub(super) fn watched() -> Diverted {
        Diverted::Watched(Watched)
    }

    /// What the grant of a connection says of its way; `None` for plain memory, unless somebody `watches` all of it.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without room for a thread; INTERNAL_ERROR when the agent grants what the cluster has not.
    ///
    /// # Safety
    /// The whole segment is mapped at `base` until this is dropped, or has settled with nobody left who could put.
    pub(super) unsafe fn of(
        kind: WindowKind,
        posting: Option<&Arc<Posting>>,
        base: *mut u8,
        node: u32,
        id: u32,
        seals: Option<SealPages>,
        watches: bool,
    ) -> Result<Option<Diverted>> {
        match (kind, posting) {
            (WindowKind::Posted { slot, seal, .. }, _) => {
                let none = || Error::with(Code::InternalError, "the seals of the other host did not come along");
                Ok(Some(Diverted::Posted(Box::new(Posted::new(seals.ok_or_else(none)?, slot, seal, watches)?))))
            }
            (WindowKind::Coherent, _) => Ok(watches.then_some(Diverted::Watched(Watched))),
            (WindowKind::Lensed, Some(posting)) => {
                // SAFETY: the caller's promise.
                Ok(Some(Diverted::Lensed(Box::new(unsafe { Lensed::new(posting, base, node, id) }?))))
            }
            (WindowKind::Lensed, None) => Err(Error::with(
                Code::InternalError,
                "the agent granted a window through a lens that the cluster has not",
            )),
        }
    }

    /// Whether what is put in explicit mode is posted, and delivered later.
    pub(super) fn posts_late(&self) -> bool {
        matches!(self, Diverted::Lensed(window) if window.is_late())
    }

    /// What tells whether stores to another host's memory came.
    pub(super) fn posted(&self) -> Option<&Posted> {
        match self {
            Diverted::Posted(window) => Some(window),
            Diverted::Lensed(_) | Diverted::Watched(_) => None,
        }
    }

    /// The way of a transfer whose checks have passed, and which would go to `place` if it were plain.
    pub(super) fn way(&self, place: *mut u8) -> Way<'_> {
        match self {
            Diverted::Posted(window) => window.way(place),
            Diverted::Watched(watched) => watched.way(place),
            Diverted::Lensed(window) => Way::Lensed(Passage(window)),
        }
    }

    /// Returns when every store that a barrier of this type waits for is where it goes, whichever thread made it, or has
    /// nowhere to go. `false`: some have been lost, and the span cannot be vouched for, whatever its verdict.
    pub(super) fn close(&self, kind: BarrierType, is_cut: impl Fn() -> bool, disturb: Disturb<'_>) -> bool {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => true,
            Diverted::Lensed(window) => window.close(kind, is_cut, disturb),
        }
    }

    /// Whether an entry of a vector put is where it stops.
    pub(super) fn stops(&self) -> bool {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => false,
            Diverted::Lensed(window) => window.stops(),
        }
    }

    /// Whether a mapping is refused. The caller holds forks off.
    pub(super) fn refuses_map(&self) -> bool {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => false,
            Diverted::Lensed(window) => window.refuses_map(),
        }
    }

    /// A mapping comes or goes through which the program stores to the segment itself.
    pub(super) fn map_directly(&self, comes: bool) {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => {}
            Diverted::Lensed(window) => window.spans().map_directly(comes),
        }
    }

    /// The same at the end of the connection.
    pub(super) fn finish(&self, is_cut: impl Fn() -> bool) {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => {}
            Diverted::Lensed(window) => {
                window.quiet();
                window.settle(BarrierType::Segment, is_cut);
            }
        }
    }

    /// Whether the program is to be given memory of its own in place of a mapping.
    pub(super) fn shadows(&self) -> bool {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => false,
            Diverted::Lensed(window) => window.shadows(),
        }
    }

    /// Takes in such memory, for the part of the segment from `offset` on. The caller holds forks off.
    ///
    /// # Safety
    /// The part lies inside of the segment, and is given back by [`unshadow`](Self::unshadow) before the connection ends.
    pub(super) unsafe fn shadow(&self, offset: u64, shadow: Shadow) {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => drop(shadow),
            // SAFETY: the caller's promise.
            Diverted::Lensed(window) => unsafe { window.shadow(offset, shadow) },
        }
    }

    /// Before such memory is mapped over others: what is known of these is brought up to date. The caller holds forks off.
    pub(super) fn map_over(&self, start: *mut u8, length: usize) {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => {}
            Diverted::Lensed(window) => window.map_over(start, length),
        }
    }

    /// Takes such memory away.
    pub(super) fn unshadow(&self, start: *mut u8) {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => {}
            Diverted::Lensed(window) => window.unshadow(start),
        }
    }

    /// What is stored from now on comes after what has been, as far as a barrier of this type reaches.
    pub(super) fn order(&self, kind: BarrierType) {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => {}
            Diverted::Lensed(window) => window.order(kind),
        }
    }

    /// Posts a signal; `false`: it is the caller's to post.
    ///
    /// # Safety
    /// The bell stays mapped for as long as the connection is there.
    pub(super) unsafe fn post(&self, bell: NonNull<Bell>, epoch: u32, accumulate: Accumulate) -> bool {
        match self {
            Diverted::Watched(_) | Diverted::Posted(_) => false,
            Diverted::Lensed(window) => {
                let posts = window.posts();
                if posts {
                    window.post(bell, epoch, accumulate);
                }
                posts
            }
        }
    }
}

impl Way<'_> {
    /// Moves the data of a transfer whose checks have passed; it begins at `offset` of the segment. `explicit`: somebody
    /// will ask for its verdict later. `disturb` asks the agent for what goes wrong with it. `None`: it has stopped, as all-ones came,
    /// and what they were loaded from did not `stand`.
    ///
    /// # Safety
    /// [`Here`](Way::Here) and [`Device`](Way::Device): as [`Move::whole`]. Otherwise the transfer lies inside of the segment, aligned, and the
    /// connection has the permission that it needs.
    pub(super) unsafe fn carry<M: Move>(
        self,
        offset: u64,
        moved: M,
        explicit: bool,
        disturb: Disturb<'_>,
        stands: &dyn Fn() -> bool,
    ) -> Option<M::Loaded> {
        match self {
            // SAFETY: the caller's promise.
            Way::Here(place) => Some(unsafe { moved.whole(place) }),
            // SAFETY: as above.
            Way::Lensed(Passage(window)) => Some(unsafe { window.carry(offset, moved, explicit, disturb) }),
            // SAFETY: as above.
            Way::Device(place) => unsafe { posted::carry(place, moved, stands) },
        }
    }
}
