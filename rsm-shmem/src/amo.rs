//! Atomic memory operations. They are never late: also through a lens they reach the memory itself, when what was ordered before
//! them is there.

use crate::job::ctx::Handle;
use crate::job::job;
use crate::local::{Local, Sym};
use crate::place::Place;
use crate::scalar::Scalar;
use crate::{Call, context, end};
use rsm_shm::memory::copy::Word;
use std::ffi::c_int;
use std::sync::atomic::Ordering::SeqCst;

/// A word that atomic operations are made on. Every one is sequentially consistent, with the others and with fences: a program
/// may build whatever it likes of them.
pub(crate) trait Atom: Word {
    fn exchange(place: Place, value: Self) -> Self;
    fn compare_exchange(place: Place, expected: Self, value: Self) -> Self;
    fn add(place: Place, value: Self) -> Self;
    fn and(place: Place, value: Self) -> Self;
    fn or(place: Place, value: Self) -> Self;
    fn xor(place: Place, value: Self) -> Self;
    fn read(place: Place) -> Self;
    fn write(place: Place, value: Self);
}

macro_rules! atoms {
    ($($word:ty, $at:ident;)*) => {$(
        impl Atom for $word {
            #[inline(always)]
            fn exchange(place: Place, value: $word) -> $word {
                place.$at().swap(value, SeqCst)
            }
            #[inline(always)]
            fn compare_exchange(place: Place, expected: $word, value: $word) -> $word {
                match place.$at().compare_exchange(expected, value, SeqCst, SeqCst) {
                    Ok(before) | Err(before) => before,
                }
            }
            #[inline(always)]
            fn add(place: Place, value: $word) -> $word {
                place.$at().fetch_add(value, SeqCst)
            }
            #[inline(always)]
            fn and(place: Place, value: $word) -> $word {
                place.$at().fetch_and(value, SeqCst)
            }
            #[inline(always)]
            fn or(place: Place, value: $word) -> $word {
                place.$at().fetch_or(value, SeqCst)
            }
            #[inline(always)]
            fn xor(place: Place, value: $word) -> $word {
                place.$at().fetch_xor(value, SeqCst)
            }
            #[inline(always)]
            fn read(place: Place) -> $word {
                place.$at().load(SeqCst)
            }
            #[inline(always)]
            fn write(place: Place, value: $word) {
                place.$at().store(value, SeqCst);
            }
        }
    )*};
}

atoms! { u32, word32; u64, word64; }

/// A number that there are atomic operations for.
pub(crate) trait Atomic: Scalar<Word: Atom> {}
impl<T: Scalar<Word: Atom>> Atomic for T {}

/// Makes an operation on a word of a PE.
#[inline(always)]
fn on<T: Atomic, R>(
    (ctx, call): (Handle, &'static Call),
    argument: &'static str,
    sym: Sym,
    pe: c_int,
    changes: bool,
    operation: impl FnOnce(Place) -> R,
) -> R {
    let bytes = size_of::<T>();
    let at_once = sym.address().is_multiple_of(bytes).then(|| context::find(ctx)).flatten();
    let at_once =
        at_once.and_then(|context| context.targets.get(pe as usize)?.spot_to_get(&context.regions, sym, bytes));
    let spot = match at_once {
        Some(spot) => spot,
        None => {
            let (job, context) = (job(call), context::of(call, ctx));
            let spot = context.spot((job, call), argument, (sym, bytes, bytes), pe);
            spot.target.settle_for_atomic(job, call);
            spot.is_updated(job, bytes, changes);
            let result = operation(spot.place);
            spot.was_updated(job, bytes);
            spot.check(call);
            spot.tell(bytes);
            return result;
        }
    };
    let result = operation(spot.place);
    spot.check(call);
    spot.tell(bytes);
    result
}

pub(crate) fn fetch<T: Atomic>(ctx: Handle, call: &'static Call, source: Sym, pe: c_int) -> T {
    T::of_word(on::<T, _>((ctx, call), "source", source, pe, false, T::Word::read))
}

pub(crate) fn set<T: Atomic>(ctx: Handle, call: &'static Call, dest: Sym, value: T, pe: c_int) {
    on::<T, _>((ctx, call), "dest", dest, pe, true, |place| T::Word::write(place, value.word()));
}

pub(crate) fn compare_swap<T: Atomic>(ctx: Handle, call: &'static Call, dest: Sym, cond: T, value: T, pe: c_int) -> T {
    let operation = |place| T::Word::compare_exchange(place, cond.word(), value.word());
    T::of_word(on::<T, _>((ctx, call), "dest", dest, pe, true, operation))
}

macro_rules! operations {
    ($($name:ident $operation:ident;)*) => {$(
        pub(crate) fn $name<T: Atomic>(ctx: Handle, call: &'static Call, dest: Sym, value: T, pe: c_int) -> T {
            let operation = |place| T::Word::$operation(place, value.word());
            T::of_word(on::<T, _>((ctx, call), "dest", dest, pe, true, operation))
        }
    )*};
}

operations! {
    swap exchange;
    fetch_add add;
    fetch_and and;
    fetch_or or;
    fetch_xor xor;
}

/// Makes an operation and gives its result to where the caller wants it.
pub(crate) fn into<T: Atomic>(call: &'static Call, fetch: Local, operation: impl FnOnce() -> T) {
    if fetch.is_null() {
        end::fail(call, "fetch is NULL");
    }
    fetch.write(0, operation());
}
