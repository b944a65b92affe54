//! Teams come and go.

use crate::control::MOST;
use crate::group::Group;
use crate::job::team::{Config, Handle, INVALID, Team};
use crate::job::{Job, job};
use crate::local::Local;
use crate::mutex::lock;
use crate::team::{NUM_CONTEXTS, of};
use crate::{Call, contexts, end};
use rsm_core::exchange::Told;
use std::ffi::{c_int, c_long};
use std::sync::atomic::Ordering::Relaxed;

/// Slots between where the splits of one parent begin to look for one and those of the next; odd, so that no two are the same.
const SPREAD: usize = 21;

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
            words.tiny.iter().flatten().for_each(Told::begin);
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
    let contexts = std::mem::take(&mut *lock(&team.contexts));
    for context in contexts {
        contexts::end(call, context);
    }
    let job = job(call);
    // Nudges of before have been taken when all have come.
    team.group(job, call).sync();
    job.teams.leave(team.slot);
}
