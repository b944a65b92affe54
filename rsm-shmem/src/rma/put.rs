//! put.

use super::{alignment, bytes_of, expect};
use crate::job::ctx::Handle;
use crate::job::target::Spot;
use crate::job::{Job, job};
use crate::local::{Local, Sym};
use crate::place::Place;
use crate::scalar::Scalar;
use crate::{Call, context, end};
use rsm_shm::membership::flags::Flags;
use rsm_shm::membership::race::layer::Touch;
use rsm_shm::memory::copy::Word;
use std::ffi::c_int;

/// Copies elements to a PE.
#[inline(always)]
pub(crate) fn put<const W: usize>(
    ctx: Handle,
    call: &'static Call,
    dest: Sym,
    source: Local,
    nelems: usize,
    pe: c_int,
) {
    // One word, as often: nothing is asked that its width answers.
    if nelems == 1 && W <= 8 {
        return put_word_of::<W, W>(ctx, call, dest, source, 1, pe);
    }
    if W == 1 && nelems == 8 && dest.address().is_multiple_of(8) {
        return put_word_of::<8, 1>(ctx, call, dest, source, 8, pe);
    }
    let bytes = nelems.wrapping_mul(W);
    let is_right =
        nelems <= isize::MAX as usize / W && !source.is_null() && dest.address().is_multiple_of(alignment(W));
    if is_right
        && let Some(context) = context::find(ctx)
        && let Some(target) = context.targets.get(pe as usize)
        && let Some(spot) = target.spot_to_put(&context.regions, dest, bytes)
    {
        spot.place.copy_from(source, bytes);
        spot.tell(bytes);
        return;
    }
    put_otherwise(ctx, call, W, dest, source, nelems, pe);
}

/// Stores `B` bytes, a word that is aligned if elements of `W` bytes are; as one piece.
#[inline(always)]
fn put_word_of<const B: usize, const W: usize>(
    ctx: Handle,
    call: &'static Call,
    dest: Sym,
    source: Local,
    nelems: usize,
    pe: c_int,
) {
    if !source.is_null()
        && dest.address().is_multiple_of(B)
        && let Some(context) = context::find(ctx)
        && let Some(target) = context.targets.get(pe as usize)
        && let Some(spot) = target.spot_to_put(&context.regions, dest, B)
    {
        store_element::<B>(spot.place, source);
        spot.tell(B);
        return;
    }
    put_otherwise(ctx, call, W, dest, source, nelems, pe);
}

/// The first put since a quiet, through a lens, or one that something is wrong with.
#[cold]
#[inline(never)]
extern "C" fn put_otherwise(
    ctx: Handle,
    call: &'static Call,
    width: usize,
    dest: Sym,
    source: Local,
    nelems: usize,
    pe: c_int,
) {
    let (job, context) = (job(call), context::of(call, ctx));
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
pub(super) fn store(job: &Job, call: &'static Call, spot: &Spot<'_>, source: Local, bytes: usize, width: usize) {
    let one = bytes == width;
    let Some(connection) = spot.connection().filter(|connection| connection.flags().now().has_any(Flags::NOT_PLAIN))
    else {
        spot.touches(job, bytes, source.word(one, bytes).map_or(Touch::Write, Touch::Store));
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
    let offset = spot.in_segment(&job.regions);
    let put = match width {
        2 if one => connection.put_word(offset, source.read::<u16>(0)),
        4 if one => connection.put_word(offset, source.read::<u32>(0)),
        8 if one => connection.put_word(offset, source.read::<u64>(0)),
        _ => connection.put(offset, source.bytes(bytes)),
    };
    expect(job, call, spot, put);
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

/// Stores one element.
#[inline(always)]
pub(crate) fn p<T: Scalar>(ctx: Handle, call: &'static Call, dest: Sym, value: T, pe: c_int) {
    if dest.address().is_multiple_of(size_of::<T>())
        && let Some(context) = context::find(ctx)
        && let Some(target) = context.targets.get(pe as usize)
        && let Some(spot) = target.spot_to_put(&context.regions, dest, size_of::<T>())
    {
        spot.place.store(value.word());
        spot.tell(size_of::<T>());
        return;
    }
    p_otherwise(ctx, call, dest, value.word(), pe);
}

#[cold]
#[inline(never)]
extern "C" fn p_otherwise<W: Word + Into<u64>>(ctx: Handle, call: &'static Call, dest: Sym, word: W, pe: c_int) {
    let (job, context) = (job(call), context::of(call, ctx));
    let spot = context.spot((job, call), "dest", (dest, size_of::<W>(), size_of::<W>()), pe);
    spot.open();
    put_word(job, call, &spot, word);
    spot.tell(size_of::<W>());
}

/// Stores a word the way that the connection has.
pub(crate) fn put_word<W: Word + Into<u64>>(job: &Job, call: &'static Call, spot: &Spot<'_>, word: W) {
    match spot.connection().filter(|connection| connection.flags().now().has_any(Flags::NOT_PLAIN)) {
        None => {
            spot.touches(job, size_of::<W>(), Touch::Store(word.into()));
            spot.place.store(word);
        }
        Some(connection) => expect(job, call, spot, connection.put_word(spot.in_segment(&job.regions), word)),
    }
}
