//! Point-to-point synchronization: waiting for variables of the own PE, and testing them.

use crate::job::sleepers::On;
use crate::job::{Job, job};
use crate::local::{Local, Sym};
use crate::place::Place;
use crate::scalar::Scalar;
use crate::{Call, end, rma, wait};
use rsm_shm::membership::race::layer::Touch;
use std::ffi::c_int;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicUsize, fence};

/// SHMEM_CMP_EQ to SHMEM_CMP_GE.
pub(crate) const EQ: c_int = 1;
pub(crate) const NE: c_int = 2;
pub(crate) const GT: c_int = 3;
pub(crate) const LE: c_int = 4;
pub(crate) const LT: c_int = 5;
pub(crate) const GE: c_int = 6;

/// What is compared with.
#[derive(Clone, Copy)]
pub(crate) enum Values<T> {
    /// The same value with every element.
    One(T),
    /// A value with each.
    Each(Local),
}

impl<T: Copy> Values<T> {
    fn of(&self, index: usize) -> T {
        match self {
            Values::One(value) => *value,
            Values::Each(values) => values.read(index),
        }
    }
}

/// What a comparison says, or the end of the job where there is no such comparison.
fn holds<T: PartialOrd>(call: &Call, cmp: c_int) -> fn(&T, &T) -> bool {
    match cmp {
        EQ => T::eq,
        NE => T::ne,
        GT => T::gt,
        LE => T::le,
        LT => T::lt,
        GE => T::ge,
        _ => end::fail(call, format_args!("cmp is {cmp}, and must be SHMEM_CMP_EQ, _NE, _GT, _GE, _LT or _LE")),
    }
}

/// An array of variables, and what is asked of it.
struct Array<T> {
    job: &'static Job,
    call: &'static Call,
    /// None of no elements.
    place: Option<Place>,
    on: On,
    nelems: usize,
    status: Local,
    holds: fn(&T, &T) -> bool,
    values: Values<T>,
}

impl<T: Scalar> Array<T> {
    fn new(
        call: &'static Call,
        argument: &str,
        (sym, nelems): (Sym, usize),
        status: Local,
        cmp: c_int,
        values: Values<T>,
    ) -> Array<T> {
        let job = job(call);
        let bytes = rma::bytes_of(call, "nelems", nelems, 1, size_of::<T>());
        let holds = holds(call, cmp);
        if let Values::Each(values) = values
            && values.is_null()
            && nelems > 0
        {
            end::fail(call, "cmp_values is NULL");
        }
        // Of no elements nothing is looked at, wherever they are.
        let found = (nelems > 0).then(|| job.own(call, argument, sym, bytes, size_of::<T>()));
        let on = found.map_or(On::Nudges, |(_, side, first)| On::Bytes { side, first, end: first + bytes });
        Array { job, call, place: found.map(|found| found.0), on, nelems, status, holds, values }
    }

    fn is_asked_for(&self, index: usize) -> bool {
        self.status.is_null() || self.status.read::<c_int>(index) == 0
    }

    /// The value of an element, if it compares so.
    fn matches(&self, index: usize) -> Option<T> {
        let value = T::of_word(self.place?.at(index * size_of::<T>()).load());
        (self.holds)(&value, &self.values.of(index)).then_some(value)
    }

    /// Whether all that are asked for do.
    fn all(&self) -> bool {
        (0..self.nelems).all(|index| !self.is_asked_for(index) || self.matches(index).is_some())
    }

    /// One that does, each in its turn.
    fn any(&self) -> Option<usize> {
        // Relaxed: where to begin is of no consequence.
        static TURN: AtomicUsize = AtomicUsize::new(0);
        let first = TURN.fetch_add(1, Relaxed);
        let all = (0..self.nelems).map(|index| (first.wrapping_add(index)) % self.nelems);
        all.into_iter().find(|&index| self.is_asked_for(index) && self.matches(index).is_some())
    }

    /// How many do; which, for the caller.
    fn some(&self, indices: Local) -> usize {
        let mut count = 0;
        for index in (0..self.nelems).filter(|&index| self.is_asked_for(index) && self.matches(index).is_some()) {
            indices.write(count, index);
            count += 1;
        }
        count
    }

    fn asks_for_none(&self) -> bool {
        !(0..self.nelems).any(|index| self.is_asked_for(index))
    }

    fn until<R>(&self, look: impl FnMut() -> Option<R>) -> R {
        let found = wait::until(self.job, self.call, self.on, look);
        self.after();
        found
    }

    /// What the other PE put before is there now.
    fn after(&self) {
        // Acquire: pairs with the Release of a fence, or of a signal, of who stored what was seen.
        fence(Acquire);
        if self.job.tells {
            self.tell();
        }
    }

    /// Tells what was looked at; not what was found, of which there may have been more than one.
    #[cold]
    #[inline(never)]
    fn tell(&self) {
        let bytes = size_of::<T>();
        let all = self.place.iter().flat_map(|place| (0..self.nelems).map(move |index| place.at(index * bytes)));
        all.for_each(|element| self.job.touches(element, bytes, Touch::Load(None)));
    }
}

/// Waits until a variable compares so, and gives its value.
pub(crate) fn wait_for<T: Scalar>(call: &'static Call, argument: &str, sym: Sym, cmp: c_int, value: T) -> T {
    let array = Array::new(call, argument, (sym, 1), Local::none(), cmp, Values::One(value));
    array.until(|| array.matches(0))
}

pub(crate) fn wait_until<T: Scalar>(call: &'static Call, ivar: Sym, cmp: c_int, value: T) {
    wait_for(call, "ivar", ivar, cmp, value);
}

pub(crate) fn wait_until_all<T: Scalar>(
    call: &'static Call,
    ivars: Sym,
    nelems: usize,
    status: Local,
    cmp: c_int,
    values: Values<T>,
) {
    let array = Array::new(call, "ivars", (ivars, nelems), status, cmp, values);
    array.until(|| array.all().then_some(()));
}

pub(crate) fn wait_until_any<T: Scalar>(
    call: &'static Call,
    ivars: Sym,
    nelems: usize,
    status: Local,
    cmp: c_int,
    values: Values<T>,
) -> usize {
    let array = Array::new(call, "ivars", (ivars, nelems), status, cmp, values);
    if array.asks_for_none() {
        return usize::MAX;
    }
    array.until(|| array.any())
}

pub(crate) fn wait_until_some<T: Scalar>(
    call: &'static Call,
    ivars: Sym,
    nelems: usize,
    indices: Local,
    status: Local,
    cmp: c_int,
    values: Values<T>,
) -> usize {
    let array = Array::new(call, "ivars", (ivars, nelems), status, cmp, values);
    if array.asks_for_none() {
        return 0;
    }
    check_indices(call, indices);
    array.until(|| Some(array.some(indices)).filter(|&count| count > 0))
}

fn check_indices(call: &Call, indices: Local) {
    if indices.is_null() {
        end::fail(call, "indices is NULL");
    }
}

pub(crate) fn test<T: Scalar>(call: &'static Call, ivar: Sym, cmp: c_int, value: T) -> c_int {
    let array = Array::new(call, "ivar", (ivar, 1), Local::none(), cmp, Values::One(value));
    let found = array.all();
    array.after();
    found.into()
}

pub(crate) fn test_all<T: Scalar>(
    call: &'static Call,
    ivars: Sym,
    nelems: usize,
    status: Local,
    cmp: c_int,
    values: Values<T>,
) -> c_int {
    let array = Array::new(call, "ivars", (ivars, nelems), status, cmp, values);
    let found = array.all();
    array.after();
    found.into()
}

pub(crate) fn test_any<T: Scalar>(
    call: &'static Call,
    ivars: Sym,
    nelems: usize,
    status: Local,
    cmp: c_int,
    values: Values<T>,
) -> usize {
    let array = Array::new(call, "ivars", (ivars, nelems), status, cmp, values);
    let found = array.any();
    array.after();
    found.unwrap_or(usize::MAX)
}

pub(crate) fn test_some<T: Scalar>(
    call: &'static Call,
    ivars: Sym,
    nelems: usize,
    indices: Local,
    status: Local,
    cmp: c_int,
    values: Values<T>,
) -> usize {
    let array = Array::new(call, "ivars", (ivars, nelems), status, cmp, values);
    if nelems > 0 {
        check_indices(call, indices);
    }
    let found = array.some(indices);
    array.after();
    found
}
