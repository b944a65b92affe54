//! put and get.
//!
//! Each has a short way, for a transfer that is right and plain, and a long one, which finds out what it is, says what is wrong
//! with it, and makes it if nothing is.

mod get;
mod put;
mod strided;

use crate::job::Job;
use crate::job::target::Spot;
use crate::{Call, end};
use rsm_core::Result;

pub(crate) use get::{g, get};
pub(crate) use put::{p, put, put_word};
pub(crate) use strided::{iget, iput};

/// What elements of so many bytes have to be aligned to.
pub(crate) const fn alignment(width: usize) -> usize {
    if width < 8 { width } else { 8 }
}

/// The bytes of elements that lie some elements apart, or the end of the job.
pub(crate) fn bytes_of(call: &Call, name: &str, nelems: usize, stride: usize, width: usize) -> usize {
    let whole = nelems.saturating_sub(1).checked_mul(stride).and_then(|last| last.checked_add(nelems.min(1)));
    match whole.and_then(|elements| elements.checked_mul(width)) {
        Some(bytes) => bytes,
        None => end::fail(call, format_args!("{name} is {nelems}: more than memory can hold")),
    }
}

/// What a transfer that goes no plain way was told.
fn expect(job: &Job, call: &'static Call, spot: &Spot<'_>, told: Result<()>) {
    if let Err(error) = told {
        crate::order::lost(job, call, spot.target.peer.pe, &error);
    }
}
