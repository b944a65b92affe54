//! get.

use super::{alignment, bytes_of, expect};
use crate::job::ctx::Handle;
use crate::job::target::Spot;
use crate::job::{Job, job};
use crate::local::{Local, Sym};
use crate::place::Place;
use crate::scalar::Scalar;
use crate::{Call, context, end};
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::race::layer::Touch;
use rsm_shm::memory::copy::Word;
use std::ffi::c_int;

/// Copies elements from a PE.
#[inline(always)]
pub(crate) fn get<const W: usize>(
    ctx: Handle,
    call: &'static Call,
    dest: Local,
    source: Sym,
    nelems: usize,
    pe: c_int,
) {
    // As with put.
    if nelems == 1 && W <= 8 {
        return get_word_of::<W, W>(ctx, call, dest, source, 1, pe);
    }
    if W == 1 && nelems == 8 && source.address().is_multiple_of(8) {
        return get_word_of::<8, 1>(ctx, call, dest, source, 8, pe);
    }
    let bytes = nelems.wrapping_mul(W);
    let is_right =
        nelems <= isize::MAX as usize / W && !dest.is_null() && source.address().is_multiple_of(alignment(W));
    if is_right
        && let Some(context) = context::find(ctx)
        && let Some(target) = context.targets.get(pe as usize)
        && let Some(spot) = target.spot_to_get(&context.regions, source, bytes)
    {
        spot.place.copy_to(dest, bytes);
        spot.check(call);
        return;
    }
    get_otherwise(ctx, call, W, dest, source, nelems, pe);
}

/// Loads `B` bytes, a word that is aligned if elements of `W` bytes are; as one piece.
#[inline(always)]
fn get_word_of<const B: usize, const W: usize>(
    ctx: Handle,
    call: &'static Call,
    dest: Local,
    source: Sym,
    nelems: usize,
    pe: c_int,
) {
    if !dest.is_null()
        && source.address().is_multiple_of(B)
        && let Some(context) = context::find(ctx)
        && let Some(target) = context.targets.get(pe as usize)
        && let Some(spot) = target.spot_to_get(&context.regions, source, B)
    {
        load_element::<B>(spot.place, dest);
        spot.check(call);
        return;
    }
    get_otherwise(ctx, call, W, dest, source, nelems, pe);
}

#[cold]
#[inline(never)]
extern "C" fn get_otherwise(
    ctx: Handle,
    call: &'static Call,
    width: usize,
    dest: Local,
    source: Sym,
    nelems: usize,
    pe: c_int,
) {
    let (job, context) = (job(call), context::of(call, ctx));
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
    spot.check(call);
}

/// Loads bytes the way that the connection has; as one piece where they are one element.
pub(super) fn load(job: &Job, call: &'static Call, spot: &Spot<'_>, dest: Local, bytes: usize, width: usize) {
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
        spot.touches(job, bytes, dest.word(one, bytes).map_or(Touch::Read, |word| Touch::Load(Some(word))));
        return;
    };
    let offset = spot.in_segment(&job.regions);
    let got = match width {
        2 if one => connection.get_word::<u16>(offset).map(|word| dest.write(0, word)),
        4 if one => connection.get_word::<u32>(offset).map(|word| dest.write(0, word)),
        8 if one => connection.get_word::<u64>(offset).map(|word| dest.write(0, word)),
        _ => connection.get(offset, dest.bytes_mut(bytes)),
    };
    expect(job, call, spot, got);
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

/// Loads one element.
#[inline(always)]
pub(crate) fn g<T: Scalar>(ctx: Handle, call: &'static Call, source: Sym, pe: c_int) -> T {
    if source.address().is_multiple_of(size_of::<T>())
        && let Some(context) = context::find(ctx)
        && let Some(target) = context.targets.get(pe as usize)
        && let Some(spot) = target.spot_to_get(&context.regions, source, size_of::<T>())
    {
        let word = spot.place.load();
        spot.check(call);
        return T::of_word(word);
    }
    T::of_word(g_otherwise(ctx, call, source, pe))
}

#[cold]
#[inline(never)]
extern "C" fn g_otherwise<W: Word + Into<u64>>(ctx: Handle, call: &'static Call, source: Sym, pe: c_int) -> W {
    let (job, context) = (job(call), context::of(call, ctx));
    let spot = context.spot((job, call), "source", (source, size_of::<W>(), size_of::<W>()), pe);
    let diverted = spot.connection().filter(|connection: &&Connection| connection.is_diverted());
    let word = match diverted.map(|connection| connection.get_word(spot.in_segment(&job.regions))) {
        None => {
            let word: W = spot.place.load();
            spot.touches(job, size_of::<W>(), Touch::Load(Some(word.into())));
            word
        }
        Some(Ok(word)) => word,
        Some(Err(error)) => crate::order::lost(job, call, spot.target.peer.pe, &error),
    };
    spot.check(call);
    word
}
