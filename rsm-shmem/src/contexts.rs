//! Contexts come and go.

use crate::context::of;
use crate::job::ctx::{DEFAULT, Handle, INVALID};
use crate::job::team::Team;
use crate::job::{self, job};
use crate::local::Local;
use crate::mutex::lock;
use crate::{Call, end, order, team};
use std::ffi::{c_int, c_long};
use std::sync::Arc;

/// SHMEM_CTX_SERIALIZED, SHMEM_CTX_PRIVATE and SHMEM_CTX_NOSTORE.
const OPTIONS: c_long = 1 | 2 | 4;

/// `shmem_ctx_create`.
pub(crate) fn create(call: &'static Call, options: c_long, ctx: Local) -> c_int {
    make(call, &Arc::clone(&job(call).world), options, ctx)
}

/// `shmem_team_create_ctx`.
pub(crate) fn create_for(call: &'static Call, team: job::team::Handle, options: c_long, ctx: Local) -> c_int {
    match team::of(call, "team", team) {
        Some(team) => make(call, &team, options, ctx),
        None => {
            give(call, ctx, INVALID);
            -1
        }
    }
}

fn make(call: &'static Call, team: &Arc<Team>, options: c_long, ctx: Local) -> c_int {
    if options & !OPTIONS != 0 {
        end::fail(call, format_args!("options {options:#x} are none of SHMEM_CTX_SERIALIZED, _PRIVATE and _NOSTORE"));
    }
    let job = job(call);
    match job.contexts.enter((&job.peers, job.regions), team) {
        Some(handle) => {
            lock(&team.contexts).push(handle);
            give(call, ctx, handle);
            0
        }
        None => {
            give(call, ctx, INVALID);
            -1
        }
    }
}

fn give(call: &Call, ctx: Local, handle: Handle) {
    if ctx.is_null() {
        end::fail(call, "ctx is NULL");
    }
    ctx.write(0, handle);
}

/// `shmem_ctx_destroy`.
pub(crate) fn destroy(call: &'static Call, handle: Handle) {
    if handle == INVALID {
        return;
    }
    if handle == DEFAULT {
        end::fail(call, "ctx is SHMEM_CTX_DEFAULT, which cannot be destroyed");
    }
    let context = of(call, handle);
    lock(&context.team.contexts).retain(|other| *other != handle);
    end(call, handle);
}

/// Completes what was begun through a context, and ends it.
pub(crate) fn end(call: &'static Call, handle: Handle) {
    order::quiet(of(call, handle), call);
    job(call).contexts.leave(handle);
}

/// `shmem_ctx_get_team`.
pub(crate) fn get_team(call: &'static Call, handle: Handle, team: Local) -> c_int {
    if team.is_null() {
        end::fail(call, "team is NULL");
    }
    if handle == INVALID {
        team.write(0, job::team::INVALID);
        return -1;
    }
    team.write(0, of(call, handle).team.handle);
    0
}
