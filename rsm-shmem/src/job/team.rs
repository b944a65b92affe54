//! Teams.

use super::ctx;
use crate::control::MOST;
use crate::mutex::lock;
use std::ffi::c_int;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

/// `shmem_team_t`: 0 for none, 1 and 2 for the predefined ones, otherwise generation and slot.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub(crate) usize);

/// SHMEM_TEAM_INVALID.
pub(crate) const INVALID: Handle = Handle(0);
/// SHMEM_TEAM_WORLD, whose slot is 0.
const WORLD: Handle = Handle(1);
/// SHMEM_TEAM_SHARED, whose slot is 1.
const SHARED: Handle = Handle(2);
/// Bits of a handle for its slot; what is above them is never 0 for a team that was split.
const SLOT_BITS: usize = 8;

/// `shmem_team_config_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    pub(crate) num_contexts: c_int,
}

/// How often each was nudged, and has nudged, by this PE's account.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) sent: Vec<AtomicU64>,
    pub(crate) seen: Vec<AtomicU64>,
}

impl Counts {
    pub(crate) fn new(members: usize) -> Counts {
        let zeros = || (0..members).map(|_| AtomicU64::new(0)).collect();
        Counts { sent: zeros(), seen: zeros() }
    }
}

/// A team, as a PE of it sees it.
pub(crate) struct Team {
    pub(crate) handle: Handle,
    /// Its PEs, by their numbers in the world.
    pub(crate) members: Vec<usize>,
    /// Which of them this PE is.
    pub(crate) me: usize,
    pub(crate) slot: usize,
    pub(crate) counts: Counts,
    /// Short exchanges that there were, and shortest.
    pub(crate) short: AtomicU64,
    pub(crate) tiny: AtomicU64,
    pub(crate) config: Config,
    /// Contexts that were made for it.
    pub(crate) contexts: Mutex<Vec<ctx::Handle>>,
}

/// The teams that this PE is in.
pub(crate) struct Table {
    slots: Mutex<Slots>,
    generation: AtomicUsize,
}

/// Slots of this PE.
struct Slots {
    teams: [Option<Arc<Team>>; MOST],
    /// Those that a team has, or one that is being made: a bit each.
    taken: u64,
}

impl Team {
    fn new(handle: Handle, slot: usize, members: Vec<usize>, me: usize, config: Config) -> Team {
        let counts = Counts::new(members.len());
        let contexts = Mutex::default();
        let (short, tiny) = (AtomicU64::new(0), AtomicU64::new(0));
        Team { handle, members, me, slot, counts, short, tiny, config, contexts }
    }

    /// SHMEM_TEAM_WORLD and SHMEM_TEAM_SHARED: everybody.
    pub(crate) fn predefined(count: usize, me: usize) -> [Arc<Team>; 2] {
        [(WORLD, 0), (SHARED, 1)]
            .map(|(handle, slot)| Arc::new(Team::new(handle, slot, (0..count).collect(), me, Config::default())))
    }
}

impl Table {
    pub(crate) fn new(predefined: [Arc<Team>; 2]) -> Table {
        let mut slots = Slots { teams: [const { None }; MOST], taken: 0 };
        for (slot, team) in predefined.into_iter().enumerate() {
            slots.teams[slot] = Some(team);
            slots.taken |= 1 << slot;
        }
        Table { slots: Mutex::new(slots), generation: AtomicUsize::new(1) }
    }

    /// Slots that this PE uses for nothing, a bit each.
    pub(crate) fn free(&self) -> u64 {
        !lock(&self.slots).taken
    }

    /// Takes a slot for a team that is being made, if no other thread has: each may split a team of its own.
    pub(crate) fn reserve(&self, slot: usize) -> bool {
        let mut slots = lock(&self.slots);
        let is_free = slots.taken & 1 << slot == 0;
        slots.taken |= 1 << slot;
        is_free
    }

    pub(crate) fn find(&self, handle: Handle) -> Option<Arc<Team>> {
        let slot = match handle {
            WORLD => 0,
            SHARED => 1,
            Handle(other) => other & ((1 << SLOT_BITS) - 1),
        };
        let slots = lock(&self.slots);
        slots.teams.get(slot)?.as_ref().filter(|team| team.handle == handle).map(Arc::clone)
    }

    /// Puts a team into the slot that was reserved for it.
    pub(crate) fn enter(&self, slot: usize, members: Vec<usize>, me: usize, config: Config) -> Handle {
        // Relaxed: only to be another number each time.
        let handle = Handle(self.generation.fetch_add(1, Relaxed) << SLOT_BITS | slot);
        lock(&self.slots).teams[slot] = Some(Arc::new(Team::new(handle, slot, members, me, config)));
        handle
    }

    /// Gives a slot back.
    pub(crate) fn leave(&self, slot: usize) {
        let mut slots = lock(&self.slots);
        slots.teams[slot] = None;
        slots.taken &= !(1 << slot);
    }
}
