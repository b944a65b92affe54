//! What a program tells the race detector of `rsm-ctl run --race` that it cannot see.
//!
//! It knows what the RSMAPI vouches for, and of files, pipes, sockets and signals to processes that something may have been told by them.
//! Where something else orders two nodes, such as a service that both ask, each says so with the same token:
//!
//! ```
//! const DONE: u64 = 17;
//! # fn tell_the_service() {}
//! # fn ask_the_service() {}
//! // One node has put something, and closed the span:
//! rsm::annotate::happens_before(DONE);
//! tell_the_service();
//! // And another one:
//! ask_the_service();
//! rsm::annotate::happens_after(DONE);
//! ```
//!
//! Where races are not looked for they do nothing. In C they are in `rsm/annotate.h`.

use rsm_shm::membership::race::abi::rsm_race_benign;
use rsm_shm::membership::race::token::rsm_race_happens;

/// Says that what this process has done so far comes before what any process of the cluster does behind
/// [`happens_after`] with the same token. Of what was put, that is part whose span was closed. Does not block.
///
/// Say it before that which lets the other process go on.
#[doc(alias = "RSM_ANNOTATE_HAPPENS_BEFORE")]
pub fn happens_before(token: u64) {
    rsm_race_happens(token, 0);
}

/// Says that what this process does from now on comes after what any process of the cluster had done at
/// [`happens_before`] with the same token. Does not block.
///
/// Say it behind that which let this process go on.
#[doc(alias = "RSM_ANNOTATE_HAPPENS_AFTER")]
pub fn happens_after(token: u64) {
    rsm_race_happens(token, 1);
}

/// Says that nobody wants to hear of races in so many bytes of memory: the program knows of them, and makes sure by other means
/// that what it read is whole, as with a sequence lock. Does not block.
///
/// They are memory of a published segment of this process, or of a mapping, such as [`Memory::as_ptr`](crate::Memory::as_ptr) of
/// either; words of eight bytes that they touch are not reported from now on, as long as the segment is there. Nothing is read or
/// written there, and other memory is left alone.
#[doc(alias = "RSM_ANNOTATE_BENIGN")]
pub fn benign(address: *const u8, bytes: usize) {
    rsm_race_benign(address.addr(), bytes);
}
