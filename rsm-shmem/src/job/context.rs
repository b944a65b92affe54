//! Contexts: transfers that are ordered and completed apart from others.
#![allow(unsafe_code)] // who destroys a context promises that nobody uses it

use super::ctx::{DEFAULT, Handle, MOST};
use super::peer::Peer;
use super::target::Target;
use super::team::Team;
use crate::kept::Kept;
use crate::mutex::lock;
use crate::region::Region;
use crate::{Call, end};
use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A context.
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) team: Arc<Team>,
    /// The team's PEs.
    pub(crate) targets: Box<[Target]>,
    /// This PE's symmetric memory, here because every transfer looks at it.
    pub(crate) regions: [Region; 2],
}

/// The contexts that there are.
pub(crate) struct Table {
    slots: Box<[Kept<Context>]>,
    /// For handles that are never given out twice.
    generation: AtomicUsize,
    /// Who makes or ends one.
    turn: Mutex<()>,
}

impl Default for Table {
    fn default() -> Table {
        let slots = (0..MOST).map(|_| Kept::default()).collect();
        Table { slots, generation: AtomicUsize::new(1), turn: Mutex::default() }
    }
}

impl Context {
    pub(crate) fn for_team(
        (peers, regions): (&[Peer], [Region; 2]),
        team: &Arc<Team>,
        handle: Option<Handle>,
    ) -> Context {
        let targets = team.members.iter().map(|&pe| Target::new(peers[pe])).collect();
        Context { handle: handle.unwrap_or(DEFAULT), team: Arc::clone(team), targets, regions }
    }

    /// A PE of it, or the end of the job.
    #[inline(always)]
    pub(crate) fn target(&self, call: &Call, pe: c_int) -> &Target {
        // A negative number is a large one.
        match self.targets.get(pe as usize) {
            Some(target) => target,
            None => self.fail_pe(call, pe),
        }
    }

    #[cold]
    #[inline(never)]
    extern "C" fn fail_pe(&self, call: &Call, pe: c_int) -> ! {
        let (last, whose) =
            (self.targets.len() - 1, if self.handle == DEFAULT { "" } else { " of the context's team" });
        end::fail(call, format_args!("pe {pe} does not exist: PEs{whose} are 0 to {last}"))
    }
}

impl Table {
    pub(crate) fn find(&self, handle: Handle) -> Option<&'static Context> {
        self.slots[handle.slot()].get().filter(|context| context.handle == handle)
    }

    /// A new context; `None` where there are as many as there can be.
    pub(crate) fn enter(&self, of: (&[Peer], [Region; 2]), team: &Arc<Team>) -> Option<Handle> {
        let _turn = lock(&self.turn);
        let free = self.slots.iter().position(|slot| slot.get().is_none())?;
        // Relaxed: only to be another number each time.
        let handle = Handle::new(self.generation.fetch_add(1, Relaxed), free);
        self.slots[free].put(Context::for_team(of, team, Some(handle)));
        Some(handle)
    }

    /// The contexts that there are.
    pub(crate) fn all(&self) -> Vec<Handle> {
        self.slots.iter().filter_map(Kept::get).map(|context| context.handle).collect()
    }

    /// Ends a context. Its handle is of no use from then on, and told if it is used again.
    pub(crate) fn leave(&self, handle: Handle) {
        let _turn = lock(&self.turn);
        if self.find(handle).is_some() {
            // SAFETY: it is an error of the program, by the standard, to use a context that is destroyed at the same time.
            unsafe { self.slots[handle.slot()].remove() };
        }
    }
}
