//! Order and completion: `shmem_fence`, `shmem_quiet`, and what is said where the latter cannot be vouched for.

use crate::job::context::Context;
use crate::job::ctx::Handle;
use crate::job::target::{Spot, Target};
use crate::job::{Job, job};
use crate::{Call, context, end, exit};
use rsm_core::registry::LinkWord;
use rsm_core::verdict::{BarrierType, Snapshot};
use rsm_core::{Code, Error};
use rsm_shm::membership::connection::Connection;
use rsm_shm::memory::fence;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// `shmem_fence`.
pub(crate) fn fence(ctx: Handle, call: &'static Call) {
    let Some(context) = context::unless_invalid(call, ctx) else { return };
    let job = job(call);
    // Release: what is put after this is stored, relaxed, and whoever sees it with acquire sees what was put before. Copies past
    // the cache have store fences of their own, before and after.
    std::sync::atomic::fence(Release);
    if job.is_lensed {
        for target in &context.targets {
            target.order();
        }
    }
}

impl Target {
    /// Waits until what was put has arrived, and judges. Whether there was a span to close, the end of which is a full fence.
    pub(crate) fn close(&self, job: &Job, call: &Call) -> bool {
        let mut any = false;
        for (side, peer) in self.peer.sides.iter().enumerate() {
            let Some(connection) = peer.connection else { continue };
            // What another thread is about to store at this very moment through the same context may be in no span: nobody then
            // learns of a link that fails just now. Through a lens, where it may be late although its span is closed already,
            // every close waits for it; and where races are looked for every close is told, or that store would never have arrived
            // for who looks.
            // Looked at before it is asked whether a span is open, or an error of one that opens just now would be in it.
            let unopened = job.closes_all.then(|| connection.snapshot());
            let snapshot = if self.is_open(side) {
                let word = self.noted[side].load(Relaxed);
                // Release: pairs with the Acquire in `is_open`, after which another thread may note another word: not before it was
                // read here.
                self.aside[side].store(false, Release);
                self.puts[side].store(std::ptr::null_mut(), Release);
                noted(connection, word)
            } else if let Some(unopened) = unopened {
                unopened
            } else {
                continue;
            };
            any = true;
            if let Err(error) = connection.close_span(snapshot, BarrierType::Segment) {
                lost(job, call, self.peer.pe, &connection.told(error));
            }
        }
        self.ordered.store(false, Relaxed);
        any
    }

    /// Before an atomic operation, which is never late: what was ordered before it has to be there.
    pub(crate) fn settle_for_atomic(&self, job: &Job, call: &Call) {
        if self.ordered.load(Relaxed) {
            self.close(job, call);
        }
    }
}

/// What a put noted when it opened a span.
fn noted(connection: &Connection, word: u64) -> Snapshot {
    connection.opened_with(LinkWord::from_word(word))
}

impl Spot<'_> {
    /// Ends the job if what was loaded came from nowhere.
    #[inline(always)]
    pub(crate) fn check(&self, call: &'static Call) {
        if !self.is_there() {
            cut_off(call, self.target.peer.pe);
        }
    }
}

/// The end of the job for what was loaded.
#[cold]
#[inline(never)]
extern "C" fn cut_off(call: &'static Call, pe: usize) -> ! {
    cut(job(call), call, pe)
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
    exit::follow(job);
    end::fail(call, format_args!("what was put to PE {pe} may be lost: {}", in_words(job, pe, error)))
}

/// The end of the job: a PE is reached no more.
#[cold]
pub(crate) fn cut(job: &Job, call: &Call, pe: usize) -> ! {
    exit::follow(job);
    end::fail(call, format_args!("PE {pe} is gone: {}", why_cut(job, pe)))
}

/// Why a PE is reached no more.
fn why_cut(job: &Job, pe: usize) -> String {
    let cut = job.peers[pe].sides.iter().filter_map(|side| side.connection).find(|connection| connection.is_aborted());
    cut.map_or_else(String::new, |connection| in_words(job, pe, &connection.told(Error::new(Code::ConnAborted))))
}

/// What rsm says, which counts nodes from 1.
pub(crate) fn in_words(job: &Job, pe: usize, error: &Error) -> String {
    format!("{error} (PE {pe} is node {}, this is node {})", pe + 1, job.me + 1)
}
