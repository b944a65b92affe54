//! What a program tells the race detector of `rsm-ctl run --race` that it cannot see.
//!
//! It knows what the RSMAPI vouches for. With `--race=outside` it also takes it that files, pipes, sockets and signals to processes may
//! have told something; without it, what is ordered by them is reported. Where something orders two nodes that it does not know of, such
//! as a service that both ask, each says so with the same token:
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
//! And where two nodes access the same memory at once because the program makes sure by other means that it takes in what is whole, as
//! with a sequence number around it, it says that this is [`benign`].
//!
//! Where races are not looked for they do nothing. In C they are in `rsm/annotate.h`.

use crate::{Code, Error, Memory, Result};
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

/// Says that accesses to these bytes, and to others in the same words of eight, are never to be reported, nor a value that is lost
/// there: the program knows of them. What a word there tells, it tells as ever. Does not block.
///
/// `memory` is a segment's that is published, or a mapping's; of other memory nothing is said. It counts for all processes, and as long
/// as the segment is there. Say it before others reach these bytes: what was found by then stays reported.
///
/// ```
/// # fn on_node(export: &rsm::Export) -> rsm::Result<()> {
/// // Who reads these 16 bytes looks at a sequence number before and afterwards.
/// rsm::annotate::benign(&export.memory(), 4096, 16)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// BAD_OFFSET when they are not all in the memory.
#[doc(alias = "RSM_ANNOTATE_BENIGN")]
pub fn benign(memory: &Memory<'_>, offset: u64, length: usize) -> Result<()> {
    let whole = memory.len() as u64;
    if offset > whole || length as u64 > whole - offset {
        let text = format!("{length} bytes at offset {offset} of memory of {whole} bytes");
        return Err(Error::with(Code::BadOffset, text));
    }
    benign_at(memory.as_ptr().addr() + offset as usize, length);
    Ok(())
}

/// The same for a place, of which nothing is read: for languages whose views are no [`Memory`].
#[doc(hidden)]
pub fn benign_at(address: usize, length: usize) {
    rsm_race_benign(address, length);
}
