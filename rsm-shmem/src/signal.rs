//! Signals: a word that says that data is there.

use crate::job::context::Context;
use crate::job::job;
use crate::job::target::Spot;
use crate::local::{Local, Sym};
use crate::{Call, end, point, rma};
use rsm_shm::membership::race::layer::Touch;
use std::ffi::c_int;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::fence;

/// SHMEM_SIGNAL_SET.
const SET: c_int = 1;
/// SHMEM_SIGNAL_ADD.
const ADD: c_int = 2;

/// Copies elements to a PE, and then updates a signal there.
pub(crate) fn put<const W: usize>(
    context: &Context,
    call: &'static Call,
    dest: Sym,
    source: Local,
    nelems: usize,
    (sig_addr, signal, sig_op): (Sym, u64, c_int),
    pe: c_int,
) {
    let job = job(call);
    if sig_op != SET && sig_op != ADD {
        end::fail(call, format_args!("sig_op is {sig_op}, and must be SHMEM_SIGNAL_SET or SHMEM_SIGNAL_ADD"));
    }
    let spot = context.spot((job, call), "sig_addr", (sig_addr, 8, 8), pe);
    rma::put::<W>(context.handle, call, dest, source, nelems, pe);
    // Release: pairs with the Acquire of who waits for the signal.
    fence(Release);
    if spot.connection().is_some_and(|connection| connection.is_diverted()) {
        spot.target.order();
    }
    update(call, &spot, signal, sig_op);
    spot.tell(8);
}

fn update(call: &'static Call, spot: &Spot<'_>, signal: u64, sig_op: c_int) {
    let job = job(call);
    if sig_op == SET {
        spot.open();
        rma::put_word(job, call, spot, signal);
    } else {
        spot.target.settle_for_atomic(job, call);
        spot.is_updated(job, 8, true);
        spot.place.word64().fetch_add(signal, SeqCst);
        spot.was_updated(job, 8);
    }
}

/// `shmem_signal_fetch`.
pub(crate) fn fetch(call: &'static Call, sig_addr: Sym) -> u64 {
    let job = job(call);
    let (place, ..) = job.own(call, "sig_addr", sig_addr, 8, 8);
    let value = place.load();
    job.touches(place, 8, Touch::Load(Some(value)));
    // Acquire: pairs with the Release of who updated it.
    fence(Acquire);
    value
}

/// `shmem_signal_wait_until`.
pub(crate) fn wait_until(call: &'static Call, sig_addr: Sym, cmp: c_int, value: u64) -> u64 {
    point::wait_for::<u64>(call, "sig_addr", sig_addr, cmp, value)
}
