//! Order and completion: `shmem_fence`, `shmem_quiet`, and what is said where the latter cannot be vouched for.

use crate::context::{self, Context, Handle};
use crate::end;
use crate::job::{Job, job};
use crate::{Call, wait};
use rsm_core::Error;
use rsm_shm::memory::fence;
use std::sync::atomic::Ordering::Release;

/// `shmem_fence`.
pub(crate) fn fence(ctx: Handle, call: &'static Call) {
    let Some(context) = context::unless_invalid(call, ctx) else { return };
    let job = job(call);
    // Release: what is put after this is stored, relaxed, and whoever sees it with acquire sees what was put before. Copies past
    // the cache end with a store fence of their own.
    std::sync::atomic::fence(Release);
    if job.is_lensed {
        for target in &context.targets {
            target.order();
        }
    }
}

/// Waits until what was put has arrived, and judges. Whether anything was, the end of which is a full fence.
pub(crate) fn complete(context: &Context, call: &'static Call) -> bool {
    let job = job(call);
    let mut closed = false;
    for target in &context.targets {
        closed |= target.close(job, call);
    }
    closed
}

/// `shmem_quiet`.
pub(crate) fn quiet_of(ctx: Handle, call: &'static Call) {
    if let Some(context) = context::unless_invalid(call, ctx) {
        quiet(context, call);
    }
}

/// The same, of a context.
pub(crate) fn quiet(context: &Context, call: &'static Call) {
    if !complete(context, call) {
        // As the end of a span does: what this PE stored is visible to others before what it loads after.
        fence::full();
    }
}

/// The end of the job: what was put cannot be vouched for.
#[cold]
pub(crate) fn lost(job: &Job, call: &Call, pe: usize, error: &Error) -> ! {
    end::follow(job);
    end::fail(call, format_args!("what was put to PE {pe} may be lost: {}", in_words(job, pe, error)))
}

/// The end of the job: a PE is reached no more.
#[cold]
pub(crate) fn cut(job: &Job, call: &Call, pe: usize) -> ! {
    end::follow(job);
    end::fail(call, format_args!("PE {pe} is gone: {}", wait::why_cut(job, pe)))
}

/// What rsm says, which counts nodes from 1.
pub(crate) fn in_words(job: &Job, pe: usize, error: &Error) -> String {
    format!("{error} (PE {pe} is node {}, this is node {})", pe + 1, job.me + 1)
}
