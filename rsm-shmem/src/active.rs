//! Collective operations over active sets, as 1.4 has them.

use crate::folding::Folding;
use crate::group::{Group, SYNC_SIZE};
use crate::job::job;
use crate::local::Sym;
use crate::{Call, collective, end, order};
use std::ffi::c_int;

/// PE_start, logPE_stride, PE_size and pSync.
pub(crate) type Set = (c_int, c_int, c_int, Sym);

/// The group of an active set that the calling PE is in, or the end of the job. Everybody is the world, which has words of its own.
fn group(call: &'static Call, (start, log_stride, size, sync): Set) -> Group<'static> {
    let job = job(call);
    let count = job.count();
    let number = |name: &str, value: c_int, most: usize, least: usize| match usize::try_from(value)
        .ok()
        .filter(|value| (least..=most).contains(value))
    {
        Some(value) => value,
        None => end::fail(call, format_args!("{name} is {value}, and must be {least} to {most}")),
    };
    let start = number("PE_start", start, count - 1, 0);
    let log_stride = number("logPE_stride", log_stride, 30, 0);
    let size = number("PE_size", size, count, 1);
    let stride = 1usize << log_stride;
    let last = start + (size - 1) * stride;
    if last >= count {
        end::fail(call, format_args!("the active set reaches to PE {last}: the last one is {}", count - 1));
    }
    let me = job.me.checked_sub(start).filter(|from| from.is_multiple_of(stride) && from / stride < size);
    let Some(from) = me else {
        end::fail(call, format_args!("this PE is not in the active set: {size} PEs from {start} on, {stride} apart"))
    };
    job.own(call, "pSync", sync, SYNC_SIZE * 8, 8);
    if size == count && (stride == 1 || count == 1) {
        return job.world.group(job, call);
    }
    Group::strided((job, call), (start, stride, size), from / stride, sync)
}

pub(crate) fn barrier(call: &'static Call, set: Set) {
    order::complete(&job(call).default, call);
    group(call, set).sync();
}

pub(crate) fn sync(call: &'static Call, set: Set) {
    group(call, set).sync();
}

pub(crate) fn broadcast(
    call: &'static Call,
    dest: Sym,
    source: Sym,
    nelems: usize,
    width: usize,
    root: c_int,
    set: Set,
) {
    collective::broadcast_in(&group(call, set), dest, source, (nelems, width), root, false);
}

pub(crate) fn collect(call: &'static Call, dest: Sym, source: Sym, nelems: usize, width: usize, set: Set) {
    collective::collect_in(&group(call, set), dest, source, nelems, width);
}

pub(crate) fn fcollect(call: &'static Call, dest: Sym, source: Sym, nelems: usize, width: usize, set: Set) {
    let group = group(call, set);
    if group.is_team() {
        collective::fcollect_of(&group.job.world, &group, dest, source, nelems, width);
    } else {
        collective::fcollect_in(&group, dest, source, nelems, width);
    }
}

pub(crate) fn alltoall(
    call: &'static Call,
    dest: Sym,
    source: Sym,
    strides: (isize, isize),
    nelems: usize,
    width: usize,
    set: Set,
) {
    collective::alltoall_in(&group(call, set), dest, source, strides, nelems, width);
}

pub(crate) fn reduce(
    call: &'static Call,
    dest: Sym,
    source: Sym,
    nreduce: c_int,
    folding: Folding,
    set: Set,
    work: Sym,
) {
    let group = group(call, set);
    let Ok(nreduce) = usize::try_from(nreduce) else {
        end::fail(call, format_args!("nreduce is {nreduce}, and must not be negative"));
    };
    // One element is the least that the header lets a program have there.
    group.on("pWrk", work, folding.width, folding.align, group.me);
    if group.is_team() {
        collective::reduce_of(&group.job.world, &group, dest, source, nreduce, folding);
    } else {
        collective::reduce_in(&group, dest, source, nreduce, folding);
    }
}
