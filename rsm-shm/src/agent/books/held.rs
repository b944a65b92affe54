//! Memory of segments that somebody looks at who started the agent: in a cluster whose lens notes bytes, so that a trace knows
//! what owners store, and importers through mappings.

use crate::memory::tables::SegmentView;
use rsm_core::Result;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most segments that are looked at: those that come while there are so many are not.
const MOST_HELD: usize = 4096;

/// The segments of a cluster, to be looked at from another thread.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Held(Arc<Mutex<Vec<HeldSegment>>>);

/// A segment whose memory can be looked at.
#[derive(Clone, Debug)]
pub struct HeldSegment {
    /// The exporting node.
    pub node: u32,
    /// The segment's row, and which of those that had it.
    pub row: u32,
    /// A number that no two segments have.
    pub incarnation: u64,
    /// Its memory.
    pub view: Arc<SegmentView>,
    /// It is gone, and its memory stays as it is: it is not given out again.
    pub gone: bool,
}

impl Held {
    fn all(&self) -> MutexGuard<'_, Vec<HeldSegment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A segment was created, or has other memory.
    pub(in crate::agent) fn add(&self, (node, row): (u32, u32), incarnation: u64, memory: impl AsFd) {
        let view: Result<SegmentView> = SegmentView::open(memory);
        let mut all = self.all();
        all.retain(|held| held.incarnation != incarnation);
        match view {
            Ok(view) if all.len() < MOST_HELD => {
                all.push(HeldSegment { node, row, incarnation, view: Arc::new(view), gone: false });
            }
            Ok(_) => tracing::warn!(node, row, "too many segments to look at"),
            Err(error) => tracing::warn!(%error, node, row, "cannot look at a segment"),
        }
    }

    /// It was destroyed.
    pub(in crate::agent) fn gone(&self, incarnation: u64) {
        if let Some(held) = self.all().iter_mut().find(|held| held.incarnation == incarnation) {
            held.gone = true;
        }
    }

    /// Those that are there, and, once, those that are gone.
    pub(in crate::agent) fn list(&self) -> Vec<HeldSegment> {
        let mut all = self.all();
        let list = all.clone();
        all.retain(|held| !held.gone);
        list
    }
}
