//! Elements that lie apart.

use super::get::load;
use super::put::store;
use super::{alignment, bytes_of};
use crate::job::context::Context;
use crate::job::job;
use crate::job::target::Spot;
use crate::local::{Local, Sym};
use crate::{Call, end};
use std::ffi::c_int;

/// Copies elements that lie apart to a PE.
pub(crate) fn iput<const W: usize>(
    context: &Context,
    call: &'static Call,
    dest: Sym,
    source: Local,
    strides: (isize, isize),
    nelems: usize,
    pe: c_int,
) {
    check_strides(call, strides);
    let (job, dst) = (job(call), strides.0 as usize);
    let bytes = bytes_of(call, "nelems", nelems, dst, W);
    context.target(call, pe);
    if bytes == 0 {
        return;
    }
    if source.is_null() {
        end::fail(call, "source is NULL");
    }
    let whole = context.spot((job, call), "dest", (dest, bytes, alignment(W)), pe);
    whole.open();
    for i in 0..nelems {
        let further = i * dst * W;
        let spot = Spot { offset: whole.offset + further, place: whole.place.at(further), ..whole };
        store(job, call, &spot, source.at(i as isize * strides.1 * W as isize), W, W);
    }
    whole.tell(bytes);
}

/// Copies elements that lie apart from a PE.
pub(crate) fn iget<const W: usize>(
    context: &Context,
    call: &'static Call,
    dest: Local,
    source: Sym,
    strides: (isize, isize),
    nelems: usize,
    pe: c_int,
) {
    check_strides(call, strides);
    let (job, sst) = (job(call), strides.1 as usize);
    let bytes = bytes_of(call, "nelems", nelems, sst, W);
    context.target(call, pe);
    if bytes == 0 {
        return;
    }
    if dest.is_null() {
        end::fail(call, "dest is NULL");
    }
    let whole = context.spot((job, call), "source", (source, bytes, alignment(W)), pe);
    for i in 0..nelems {
        let further = i * sst * W;
        let spot = Spot { offset: whole.offset + further, place: whole.place.at(further), ..whole };
        load(job, call, &spot, dest.at(i as isize * strides.0 * W as isize), W, W);
    }
    whole.check(call);
}

/// What is said of strides.
fn check_strides(call: &Call, (dst, sst): (isize, isize)) {
    for (name, stride) in [("dst", dst), ("sst", sst)] {
        if stride < 1 {
            end::fail(call, format_args!("{name} is {stride}, and must be at least 1"));
        }
    }
}
