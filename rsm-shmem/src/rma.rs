//! put and get.

use crate::context::Context;
use crate::job::{Job, job};
use crate::local::{Local, Sym};
use crate::place::Place;
use crate::scalar::Scalar;
use crate::target::Spot;
use crate::{Call, end};
use rsm_core::Result;
use rsm_shm::membership::connection::Connection;
use rsm_shm::memory::copy::Word;
use std::ffi::c_int;

/// What elements of so many bytes have to be aligned to.
pub(crate) const fn alignment(width: usize) -> usize {
    if width < 8 { width } else { 8 }
}

/// What is said of strides.
fn check_strides(call: &Call, (dst, sst): (isize, isize)) {
    for (name, stride) in [("dst", dst), ("sst", sst)] {
        if stride < 1 {
            end::fail(call, format_args!("{name} is {stride}, and must be at least 1"));
        }
    }
}

/// The bytes of elements that lie some elements apart, or the end of the job.
pub(crate) fn bytes_of(call: &Call, name: &str, nelems: usize, stride: usize, width: usize) -> usize {
    let whole = nelems.saturating_sub(1).checked_mul(stride).and_then(|last| last.checked_add(nelems.min(1)));
    match whole.and_then(|elements| elements.checked_mul(width)) {
        Some(bytes) => bytes,
        None => end::fail(call, format_args!("{name} is {nelems}: more than memory can hold")),
    }
}

/// Stores one element of the caller with one access, if it is as wide as one.
#[inline(always)]
fn store_element<const W: usize>(place: Place, source: Local) -> bool {
    match W {
        1 => place.store(source.read::<u8>(0)),
        2 => place.store(source.read::<u16>(0)),
        4 => place.store(source.read::<u32>(0)),
        8 => place.store(source.read::<u64>(0)),
        _ => return false,
    }
    true
}

/// Loads one element for the caller with one access, if it is as wide as one.
#[inline(always)]
fn load_element<const W: usize>(place: Place, dest: Local) -> bool {
    match W {
        1 => dest.write(0, place.load::<u8>()),
        2 => dest.write(0, place.load::<u16>()),
        4 => dest.write(0, place.load::<u32>()),
        8 => dest.write(0, place.load::<u64>()),
        _ => return false,
    }
    true
}

/// Copies elements to a PE.
#[inline(always)]
pub(crate) fn put<const W: usize>(
    context: &Context,
    call: &'static Call,
    dest: Sym,
    source: Local,
    nelems: usize,
    pe: c_int,
) {
    let bytes = nelems.wrapping_mul(W);
    let is_right =
        nelems <= isize::MAX as usize / W && !source.is_null() && dest.address().is_multiple_of(alignment(W));
    if is_right && let Some(spot) = context.target(call, pe).spot_to_put(job(call), dest, bytes) {
        if nelems != 1 || !store_element::<W>(spot.place, source) {
            spot.place.copy_from(source, bytes);
        }
        spot.tell(bytes);
        return;
    }
    put_otherwise(context, call, W, dest, source, nelems, pe);
}

/// The first put since a quiet, through a lens, or one that something is wrong with.
#[cold]
#[inline(never)]
fn put_otherwise(
    context: &Context,
    call: &'static Call,
    width: usize,
    dest: Sym,
    source: Local,
    nelems: usize,
    pe: c_int,
) {
    let job = job(call);
    let bytes = bytes_of(call, "nelems", nelems, 1, width);
    context.target(call, pe);
    if bytes == 0 {
        return;
    }
    if source.is_null() {
        end::fail(call, "source is NULL");
    }
    let spot = context.spot((job, call), "dest", (dest, bytes, alignment(width)), pe);
    spot.open();
    store(job, call, &spot, source, bytes, width);
    spot.tell(bytes);
}

/// Stores bytes the way that the connection has; as one piece where they are one element.
pub(crate) fn store(job: &Job, call: &'static Call, spot: &Spot<'_>, source: Local, bytes: usize, width: usize) {
    let one = bytes == width;
    let Some(connection) = spot.connection().filter(|connection| connection.is_diverted()) else {
        let stored = one
            && match width {
                1 => store_element::<1>(spot.place, source),
                2 => store_element::<2>(spot.place, source),
                4 => store_element::<4>(spot.place, source),
                8 => store_element::<8>(spot.place, source),
                _ => false,
            };
        if !stored {
            spot.place.copy_from(source, bytes);
        }
        return;
    };
    let offset = spot.in_segment(job);
    let put = match width {
        2 if one => connection.put_word(offset, source.read::<u16>(0)),
        4 if one => connection.put_word(offset, source.read::<u32>(0)),
        8 if one => connection.put_word(offset, source.read::<u64>(0)),
        _ => connection.put(offset, source.bytes(bytes)),
    };
    expect(job, call, spot, put);
}

/// What a transfer that goes no plain way was told.
fn expect(job: &Job, call: &'static Call, spot: &Spot<'_>, told: Result<()>) {
    if let Err(error) = told {
        crate::order::lost(job, call, spot.target.peer.pe, &error);
    }
}

/// Stores one element.
#[inline(always)]
pub(crate) fn p<T: Scalar>(context: &Context, call: &'static Call, dest: Sym, value: T, pe: c_int) {
    if dest.address().is_multiple_of(size_of::<T>())
        && let Some(spot) = context.target(call, pe).spot_to_put(job(call), dest, size_of::<T>())
    {
        spot.place.store(value.word());
        spot.tell(size_of::<T>());
        return;
    }
    p_otherwise(context, call, dest, value.word(), pe);
}

#[cold]
#[inline(never)]
fn p_otherwise<W: Word>(context: &Context, call: &'static Call, dest: Sym, word: W, pe: c_int) {
    let job = job(call);
    let spot = context.spot((job, call), "dest", (dest, size_of::<W>(), size_of::<W>()), pe);
    spot.open();
    put_word(job, call, &spot, word);
    spot.tell(size_of::<W>());
}

/// Stores a word the way that the connection has.
pub(crate) fn put_word<W: Word>(job: &Job, call: &'static Call, spot: &Spot<'_>, word: W) {
    match spot.connection().filter(|connection| connection.is_diverted()) {
        None => spot.place.store(word),
        Some(connection) => expect(job, call, spot, connection.put_word(spot.in_segment(job), word)),
    }
}

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

/// Copies elements from a PE.
#[inline(always)]
pub(crate) fn get<const W: usize>(
    context: &Context,
    call: &'static Call,
    dest: Local,
    source: Sym,
    nelems: usize,
    pe: c_int,
) {
    let bytes = nelems.wrapping_mul(W);
    let is_right =
        nelems <= isize::MAX as usize / W && !dest.is_null() && source.address().is_multiple_of(alignment(W));
    let job = job(call);
    if is_right && let Some(spot) = context.target(call, pe).spot_to_get(job, source, bytes) {
        if nelems != 1 || !load_element::<W>(spot.place, dest) {
            spot.place.copy_to(dest, bytes);
        }
        spot.check(job, call);
        return;
    }
    get_otherwise(context, call, W, dest, source, nelems, pe);
}

#[cold]
#[inline(never)]
fn get_otherwise(
    context: &Context,
    call: &'static Call,
    width: usize,
    dest: Local,
    source: Sym,
    nelems: usize,
    pe: c_int,
) {
    let job = job(call);
    let bytes = bytes_of(call, "nelems", nelems, 1, width);
    context.target(call, pe);
    if bytes == 0 {
        return;
    }
    if dest.is_null() {
        end::fail(call, "dest is NULL");
    }
    let spot = context.spot((job, call), "source", (source, bytes, alignment(width)), pe);
    load(job, call, &spot, dest, bytes, width);
    spot.check(job, call);
}

/// Loads bytes the way that the connection has; as one piece where they are one element.
fn load(job: &Job, call: &'static Call, spot: &Spot<'_>, dest: Local, bytes: usize, width: usize) {
    let one = bytes == width;
    let Some(connection) = spot.connection().filter(|connection| connection.is_diverted()) else {
        let loaded = one
            && match width {
                1 => load_element::<1>(spot.place, dest),
                2 => load_element::<2>(spot.place, dest),
                4 => load_element::<4>(spot.place, dest),
                8 => load_element::<8>(spot.place, dest),
                _ => false,
            };
        if !loaded {
            spot.place.copy_to(dest, bytes);
        }
        return;
    };
    let offset = spot.in_segment(job);
    let got = match width {
        2 if one => connection.get_word::<u16>(offset).map(|word| dest.write(0, word)),
        4 if one => connection.get_word::<u32>(offset).map(|word| dest.write(0, word)),
        8 if one => connection.get_word::<u64>(offset).map(|word| dest.write(0, word)),
        _ => connection.get(offset, dest.bytes_mut(bytes)),
    };
    expect(job, call, spot, got);
}

/// Loads one element.
#[inline(always)]
pub(crate) fn g<T: Scalar>(context: &Context, call: &'static Call, source: Sym, pe: c_int) -> T {
    let job = job(call);
    if source.address().is_multiple_of(size_of::<T>())
        && let Some(spot) = context.target(call, pe).spot_to_get(job, source, size_of::<T>())
    {
        let word = spot.place.load();
        spot.check(job, call);
        return T::of_word(word);
    }
    T::of_word(g_otherwise(context, call, source, pe))
}

#[cold]
#[inline(never)]
fn g_otherwise<W: Word>(context: &Context, call: &'static Call, source: Sym, pe: c_int) -> W {
    let job = job(call);
    let spot = context.spot((job, call), "source", (source, size_of::<W>(), size_of::<W>()), pe);
    let diverted = spot.connection().filter(|connection: &&Connection| connection.is_diverted());
    let word = match diverted.map(|connection| connection.get_word(spot.in_segment(job))) {
        None => spot.place.load(),
        Some(Ok(word)) => word,
        Some(Err(error)) => crate::order::lost(job, call, spot.target.peer.pe, &error),
    };
    spot.check(job, call);
    word
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
    whole.check(job, call);
}
