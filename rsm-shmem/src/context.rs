//! Which context a handle is, and what a transfer through it is about.

use crate::job::context::Context;
use crate::job::ctx::{DEFAULT, Handle, INVALID};
use crate::job::target::Spot;
use crate::job::{self, Job, job};
use crate::local::Sym;
use crate::{Call, end};
use std::ffi::c_int;

impl Context {
    /// A spot, looked up with all that can be wrong with it.
    pub(crate) fn spot(
        &self,
        (job, call): (&Job, &Call),
        argument: &str,
        (sym, bytes, align): (Sym, usize, usize),
        pe: c_int,
    ) -> Spot<'_> {
        let target = self.target(call, pe);
        let (place, side, offset) = job.on(call, argument, sym, bytes, align, target.peer.pe);
        Spot { target, side, offset, place }
    }
}

/// The context of a handle, if it is one: for the short way of transfers, which leaves what is wrong to the other one.
#[inline(always)]
pub(crate) fn find(handle: Handle) -> Option<&'static Context> {
    let job = job::current()?;
    if handle == DEFAULT { Some(&job.default) } else { job.contexts.find(handle) }
}

/// The default context.
#[inline(always)]
pub(crate) fn default(call: &'static Call) -> &'static Context {
    &job(call).default
}

/// The context of a handle, or the end of the job.
#[inline(always)]
pub(crate) fn of(call: &'static Call, handle: Handle) -> &'static Context {
    let job = job(call);
    if handle == DEFAULT {
        return &job.default;
    }
    match job.contexts.find(handle) {
        Some(context) => context,
        None => fail_handle(call, handle),
    }
}

/// The same, where SHMEM_CTX_INVALID asks for nothing.
#[inline(always)]
pub(crate) fn unless_invalid(call: &'static Call, handle: Handle) -> Option<&'static Context> {
    if handle == INVALID {
        job(call);
        return None;
    }
    Some(of(call, handle))
}

#[cold]
#[inline(never)]
extern "C" fn fail_handle(call: &Call, handle: Handle) -> ! {
    if handle == INVALID {
        end::fail(call, "ctx is SHMEM_CTX_INVALID");
    }
    end::fail(call, format_args!("ctx {:#x} is no context, or one that was destroyed", handle.0))
}
