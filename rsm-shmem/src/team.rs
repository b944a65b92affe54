//! Which team a handle is, and what a team is asked about itself.

use crate::job::job;
use crate::job::team::{Handle, INVALID, Team};
use crate::local::Local;
use crate::{Call, end};
use std::ffi::{c_int, c_long};
use std::sync::Arc;

/// SHMEM_TEAM_NUM_CONTEXTS.
pub(crate) const NUM_CONTEXTS: c_long = 1;

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
