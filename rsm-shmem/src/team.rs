//! Teams.

use crate::context;
use crate::control::MOST;
use crate::group::{Counts, Group};
use crate::job::{self, Job, job};
use crate::local::Local;
use crate::{Call, end};
use std::ffi::{c_int, c_long};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};

/// `shmem_team_t`: 0 for none, 1 and 2 for the predefined ones, otherwise generation and slot.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(usize);

/// SHMEM_TEAM_INVALID.
pub(crate) const INVALID: Handle = Handle(0);
/// SHMEM_TEAM_WORLD, whose slot is 0.
const WORLD: Handle = Handle(1);
/// SHMEM_TEAM_SHARED, whose slot is 1.
const SHARED: Handle = Handle(2);
/// Bits of a handle for its slot; what is above them is never 0 for a team that was split.
const SLOT_BITS: usize = 8;
/// Slots between where the splits of one parent begin to look for one and those of the next; odd, so that no two are the same.
const SPREAD: usize = 21;
/// SHMEM_TEAM_NUM_CONTEXTS.
const NUM_CONTEXTS: c_long = 1;

/// `shmem_team_config_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    num_contexts: c_int,
}

/// What somebody wants of a new team: a configuration, and which of its fields are meant.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    config: Local,
    mask: c_long,
}

impl Wish {
    pub(crate) fn of(config: Local, mask: c_long) -> Wish {
        Wish { config, mask }
    }

    /// The configuration; `None` for a mask of fields that there are not, and for contexts fewer than none.
    fn read(self) -> Option<Config> {
        match self.mask {
            0 => Some(Config::default()),
            NUM_CONTEXTS if !self.config.is_null() => {
                Some(self.config.read::<Config>(0)).filter(|config| config.num_contexts >= 0)
            }
            _ => None,
        }
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
    counts: Counts,
    /// Short exchanges that there were, and shortest.
    pub(crate) short: AtomicU64,
    pub(crate) tiny: AtomicU64,
    config: Config,
    /// Contexts that were made for it.
    pub(crate) contexts: Mutex<Vec<context::Handle>>,
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

    pub(crate) fn group(&self, job: &'static Job, call: &'static Call) -> Group<'_> {
        Group::team((job, call), (&self.members, self.me), self.slot, &self.counts)
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
    fn free(&self) -> u64 {
        !job::lock(&self.slots).taken
    }

    /// Takes a slot for a team that is being made, if no other thread has: each may split a team of its own.
    fn reserve(&self, slot: usize) -> bool {
        let mut slots = job::lock(&self.slots);
        let is_free = slots.taken & 1 << slot == 0;
        slots.taken |= 1 << slot;
        is_free
    }

    fn find(&self, handle: Handle) -> Option<Arc<Team>> {
        let slot = match handle {
            WORLD => 0,
            SHARED => 1,
            Handle(other) => other & ((1 << SLOT_BITS) - 1),
        };
        let slots = job::lock(&self.slots);
        slots.teams.get(slot)?.as_ref().filter(|team| team.handle == handle).map(Arc::clone)
    }

    /// Puts a team into the slot that was reserved for it.
    fn enter(&self, slot: usize, members: Vec<usize>, me: usize, config: Config) -> Handle {
        // Relaxed: only to be another number each time.
        let handle = Handle(self.generation.fetch_add(1, Relaxed) << SLOT_BITS | slot);
        job::lock(&self.slots).teams[slot] = Some(Arc::new(Team::new(handle, slot, members, me, config)));
        handle
    }

    /// Gives a slot back.
    fn leave(&self, slot: usize) {
        let mut slots = job::lock(&self.slots);
        slots.teams[slot] = None;
        slots.taken &= !(1 << slot);
    }
}

/// The team of a handle; `None` for SHMEM_TEAM_INVALID, and the end of the job for what is no team.
pub(crate) fn of(call: &'static Call, argument: &str, handle: Handle) -> Option<Arc<Team>> {
    let job = job(call);
    if handle == INVALID {
        return None;
    }
    match job.teams.find(handle) {
        Some(team) => Some(team),
        None => {
            end::fail(call, format_args!("{argument} {:#x} is no team of this PE, or one that was destroyed", handle.0))
        }
    }
}

pub(crate) fn my_pe(call: &'static Call, team: Handle) -> c_int {
    of(call, "team", team).map_or(-1, |team| team.me as c_int)
}

pub(crate) fn n_pes(call: &'static Call, team: Handle) -> c_int {
    of(call, "team", team).map_or(-1, |team| team.members.len() as c_int)
}

pub(crate) fn get_config(call: &'static Call, team: Handle, mask: c_long, config: Local) -> c_int {
    let Some(team) = of(call, "team", team) else { return -1 };
    match mask {
        0 => 0,
        NUM_CONTEXTS => {
            if config.is_null() {
                end::fail(call, "config is NULL");
            }
            config.write(0, team.config);
            0
        }
        _ => -1,
    }
}

pub(crate) fn translate(call: &'static Call, from: Handle, pe: c_int, to: Handle) -> c_int {
    let (Some(from), Some(to)) = (of(call, "src_team", from), of(call, "dest_team", to)) else { return -1 };
    // A negative number is a large one.
    let Some(pe) = from.members.get(pe as usize) else { return -1 };
    to.members.iter().position(|other| other == pe).map_or(-1, |member| member as c_int)
}

/// A team that is to be made: its PEs, by their numbers in the parent, and its configuration.
struct Plan {
    members: Vec<usize>,
    config: Option<Config>,
}

/// A slot that is free on every PE, and reserved on those that become members; `None` where there is none.
fn agree(parent: &Team, group: &Group<'_>, is_member: bool, is_right: bool) -> Option<usize> {
    let teams = &group.job.teams;
    // Threads that split different parents begin to look at different places, so that they seldom want the same slot.
    let mut first = parent.slot * SPREAD;
    loop {
        // A plan that is none has no free slot, so all learn of it.
        let mut free = if is_right { teams.free() } else { 0 };
        parent.exchange(group, &[free], |words| free &= words[0]);
        if free == 0 {
            return None;
        }
        let slot = (free.rotate_right(first as u32 % 64).trailing_zeros() as usize + first) % 64;
        let has_it = is_member && teams.reserve(slot);
        let mut have_all = u64::from(has_it || !is_member);
        parent.exchange(group, &[have_all], |words| have_all &= words[0]);
        if have_all != 0 {
            return Some(slot);
        }
        // Somewhere another split was faster.
        if has_it {
            teams.leave(slot);
        }
        first += 1;
    }
}

/// Makes a team of some of the parent's PEs; every PE of the parent calls it. `None` where some PE has no slot free for it.
fn split(parent: &Team, (job, call): (&'static Job, &'static Call), plan: &Plan) -> Option<Handle> {
    let group = parent.group(job, call);
    let members: Vec<usize> = plan.members.iter().map(|&member| parent.members[member]).collect();
    let me = members.iter().position(|&pe| pe == job.me);
    let slot = agree(parent, &group, me.is_some(), plan.config.is_some());
    let made = match (slot, me) {
        (Some(slot), Some(me)) => {
            // Relaxed: nobody nudges before the sync.
            let words = &job.control().slots[slot];
            words.nudges.iter().for_each(|line| line.0.store(0, Relaxed));
            words.tiny.iter().flatten().for_each(|tiny| tiny.turn.store(0, Relaxed));
            Some(job.teams.enter(slot, members, me, plan.config.unwrap_or_default()))
        }
        (Some(_), None) => Some(INVALID),
        (None, _) => None,
    };
    group.sync();
    made
}

/// Gives the caller a team, or none.
fn give(call: &Call, argument: &str, new_team: Local, made: Option<Handle>) -> c_int {
    if new_team.is_null() {
        end::fail(call, format_args!("{argument} is NULL"));
    }
    new_team.write(0, made.unwrap_or(INVALID));
    if made.is_some() { 0 } else { -1 }
}

pub(crate) fn split_strided(
    call: &'static Call,
    parent: Handle,
    (start, stride, size): (c_int, c_int, c_int),
    wish: Wish,
    new_team: Local,
) -> c_int {
    let Some(parent) = of(call, "parent_team", parent) else { return give(call, "new_team", new_team, None) };
    let count = parent.members.len();
    let member = |i: c_int| {
        let member = i64::from(start) + i64::from(i) * i64::from(stride);
        usize::try_from(member).ok().filter(|&member| member < count)
    };
    let members: Option<Vec<usize>> = (0..size.clamp(0, MOST as c_int)).map(member).collect();
    let fits = members.filter(|members| members.len() == size as usize && size > 0 && (stride != 0 || size == 1));
    let config = wish.read().filter(|_| fits.is_some());
    let plan = Plan { members: fits.unwrap_or_default(), config };
    give(call, "new_team", new_team, split(&parent, (job(call), call), &plan))
}

pub(crate) fn split_2d(
    call: &'static Call,
    parent: Handle,
    xrange: c_int,
    (x, x_team): (Wish, Local),
    (y, y_team): (Wish, Local),
) -> c_int {
    let Some(parent) = of(call, "parent_team", parent) else {
        give(call, "xaxis_team", x_team, None);
        return give(call, "yaxis_team", y_team, None);
    };
    let (count, me) = (parent.members.len(), parent.me);
    // Wider than the team is one row.
    let range = usize::try_from(xrange).unwrap_or(0).min(count);
    let divisor = range.max(1);
    let with = |same: &dyn Fn(usize) -> bool, wish: Wish| Plan {
        members: (0..count).filter(|&member| same(member)).collect(),
        config: wish.read().filter(|_| range > 0),
    };
    let row = with(&|member| member / divisor == me / divisor, x);
    let column = with(&|member| member % divisor == me % divisor, y);
    let made_row = split(&parent, (job(call), call), &row);
    let made_column = split(&parent, (job(call), call), &column);
    let results = [give(call, "xaxis_team", x_team, made_row), give(call, "yaxis_team", y_team, made_column)];
    results.into_iter().min().unwrap_or(-1)
}

pub(crate) fn destroy(call: &'static Call, handle: Handle) {
    let Some(team) = of(call, "team", handle) else { return };
    if team.slot < 2 {
        end::fail(call, "team is a predefined one, which cannot be destroyed");
    }
    let contexts = std::mem::take(&mut *job::lock(&team.contexts));
    for context in contexts {
        context::end(call, context);
    }
    let job = job(call);
    // Nudges of before have been taken when all have come.
    team.group(job, call).sync();
    job.teams.leave(team.slot);
}
