//! One export.
//!
//! | file | what |
//! |---|---|
//! | `make` | how it comes to be |
//! | `life` | published, taken back, destroyed |
//! | `looked` | looked at by its owner while it is published |
//! | `moving` | away from somebody who does not let go |
//! | `rebind` | how it gets other memory |
#![allow(unsafe_code)]

mod life;
mod looked;
mod make;
mod moving;
mod rebind;

use super::backing::Backing;
use super::event::Event;
use super::turn::Turns;
use super::{Membership, fork};
use crate::memory::huge::Pages;
use crate::memory::inspect::Identity;
use crate::memory::view::Memory;
use crate::parking::Poster;
use life::Ending;
pub(super) use make::default_mode;
use rsm_core::access::Permission;
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::lens::event::Kind;
use rsm_core::lens::gate;
use rsm_core::message::{Answer, Ask, SegmentName};
use rsm_core::registry::{SegmentRow, SegmentState, walk_connections};
use rsm_core::{Code, Error, Result};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An export segment with memory of its own. It is withdrawn and gone when this is dropped.
#[derive(Debug)]
pub struct Segment {
    membership: Arc<Membership>,
    name: SegmentName,
    /// Start of the memory; moves only with a rebind.
    start: AtomicPtr<u8>,
    length: usize,
    rebindable: bool,
    /// Publish, unpublish and rebind, one at a time. Who has the turn of the range as well took this one first.
    turns: Turns,
    /// A rebind is over, and the agent does not know. Changes in the export's turn.
    suspended: AtomicBool,
    /// What importers put would arrive nowhere, and the agent does not know. Changes in the export's turn.
    nowhere: AtomicBool,
    /// `None` for ever when the memory could not be moved back into its object half-way through a rebind.
    backing: Mutex<Option<Backing>>,
    /// Objects that part of the memory maps since a move failed that could not be undone. Until all is in one object
    /// again nobody may import the segment. Locked after `backing`.
    strays: Mutex<Vec<Identity>>,
    pages: Pages,
    /// In the node's bells; [`nobodys_bell`] when the segment is gone and its memory is not given back yet.
    bell: AtomicPtr<Bell>,
    /// [`fork::count`] of the creating process; no other may change the segment.
    process: u32,
    /// A withdrawal whose wait was interrupted.
    unfinished: Mutex<Option<u32>>,
    ending: Mutex<Ending>,
}

impl Segment {
    /// Its memory.
    pub fn memory(&self) -> Memory<'_> {
        // SAFETY: memory of our own stays mapped until the segment is destroyed, after which the caller asks for no view
        // nor uses one; for the application's it has promised that, and a rebind, which moves the start, leaves what lay
        // there mapped.
        unsafe { Memory::new(self.start.load(Ordering::Relaxed), self.length, Permission::ReadWrite) }
    }

    /// Whether it is published now, as the registry says.
    pub fn is_published(&self) -> bool {
        let registry = self.membership.registry();
        let fields = registry.segments.get(self.name.row as usize).and_then(SegmentRow::fields);
        fields.is_some_and(|f| f.incarnation == self.name.incarnation && f.state == SegmentState::Published)
    }

    /// The name the agent knows it by.
    pub(super) fn name(&self) -> SegmentName {
        self.name
    }

    /// The object that it maps, if that is one.
    pub(super) fn object(&self) -> Option<Identity> {
        super::lock(&self.backing).as_ref().and_then(Backing::object)
    }

    /// Its row, while it is this segment's.
    fn row(&self) -> Option<&SegmentRow> {
        let row = self.membership.shared.map.registry().segments.get(self.name.row as usize)?;
        row.fields().is_some_and(|fields| fields.incarnation == self.name.incarnation).then_some(row)
    }

    /// The id that it is published under, as the registry says.
    pub fn id(&self) -> Option<u32> {
        let fields = self.row().and_then(SegmentRow::fields)?;
        (fields.state == SegmentState::Published).then_some(fields.id)
    }

    /// Connections to it now.
    pub fn importer_count(&self) -> u32 {
        let count = self.row().map_or(0, SegmentRow::importers);
        self.membership.race_hears();
        count
    }

    /// The bell that importers post to, for who waits on many.
    #[inline]
    pub fn bell(&self) -> &Bell {
        // Relaxed: both bells were there before the segment was.
        // SAFETY: in the node's bells, which `membership` keeps mapped, or one that lives for ever.
        unsafe { &*self.bell.load(Ordering::Relaxed) }
    }

    /// The membership it was made through.
    #[inline]
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// Whether this process created it, and is no child that was forked since.
    pub fn is_creator(&self) -> bool {
        self.process == fork::count()
    }

    /// Asks for a change. The agent makes all the checks, that for the creator in its place among them (3.10).
    fn request(&self, ask: Ask) -> Result<Answer> {
        match self.membership.ask(ask) {
            Ok((answer, _)) => Ok(answer),
            // The creator is gone, and the segment with it; this process was forked from it.
            Err(error) if error.code() == Code::BadSegHndl && !self.is_creator() => Err(Error::new(Code::NotCreator)),
            Err(error) => Err(error),
        }
    }

    /// Posts a signal to every import there is now.
    ///
    /// # Errors
    /// None while the cluster runs; a segment without importers is posted to without effect.
    pub fn post(&self, accumulate: Accumulate) -> Result<()> {
        let mut arrival = 0;
        if self.membership.shared.taps.is_any() {
            self.membership.called(gate::Call::Post, self.membership.node()?, self.name.row);
            self.membership.tell(Event::Posted);
            let began = self.membership.begin_note();
            let adds = u64::from(accumulate == Accumulate::Yes);
            let what = (Kind::PostAll, self.membership.node()?, self.name.row, 0, adds);
            self.membership.look_at_own();
            self.membership.note_number(began, what, 0);
            self.membership.race_posts_to_all();
            arrival = self.membership.arrival();
        }
        let registry = self.membership.registry();
        let bells = self.membership.bells_of(self.membership.node()?, None)?;
        let mut below = u64::MAX;
        let complete = walk_connections(&registry, self.name.row, self.name.incarnation, &mut below, |connection| {
            if let Ok(bell) = bells.bell(connection.bell) {
                if arrival > 0 {
                    bell.arrives(arrival);
                }
                // An import that was cut meanwhile tells its own waiter.
                let _ = bell.post(connection.epoch, accumulate, &Poster);
            }
        });
        if complete {
            return Ok(());
        }
        let accumulate = accumulate == Accumulate::Yes;
        self.membership.ask_done(Ask::PostImporters { segment: self.name, below, accumulate })
    }

    /// Takes one signal that importers posted; waits for at most `timeout`.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.membership.wait_on(self.bell(), timeout)
    }
}

/// What waits on a segment that is gone listen to.
fn nobodys_bell() -> NonNull<Bell> {
    static BELL: std::sync::OnceLock<Bell> = std::sync::OnceLock::new();
    let bell = BELL.get_or_init(|| {
        let bell = Bell::new();
        bell.abort(&Poster);
        bell
    });
    NonNull::from(bell)
}
