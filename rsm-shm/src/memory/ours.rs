//! What the library mapped and may cover or unmap: memory of its objects, and the trash that it put there.

use super::inspect::{self, Identity, Kind, Piece};
use crate::private_table;
use rsm_core::{Code, Result};
use std::time::{Duration, Instant};

/// Where in `/dev/zero` the trash of a region begins: an offset that nobody else maps.
pub(super) const MARK: u64 = 0x5253_4d00_0000_0000;

/// How long a shortage is waited out in which nobody can look. After that the addresses are kept: a program that runs short
/// for longer can spare them, and not what it may have put there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What of a range that the program was given is still ours: memory of `object`, and trash; `plain` when some of that has
/// no mark and is private memory like any. `None` where nobody can ever look, because there is no `/proc` or none for us: all
/// of it counts as ours then.
///
/// # Errors
/// Nobody can look now: none of it counts as ours.
pub(super) fn ours(start: usize, length: usize, object: Identity, plain: bool) -> Result<Option<Vec<Piece>>> {
    let look = move || inspect::present(start, length);
    let until = Instant::now() + PATIENCE;
    let mut pieces = loop {
        let looked = match look() {
            Err(error) if error.code() == Code::InsufficientResources => private_table::aside(look),
            other => other,
        };
        match looked {
            Ok(pieces) => break pieces,
            Err(error) if matches!(error.code(), Code::CtlrNotPresent | Code::PermDenied) => return Ok(None),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    pieces.retain(|piece| {
        let marked = piece.kind == Kind::PrivateFile && piece.offset == MARK + (piece.start - start) as u64;
        marked || plain && piece.kind == Kind::Anonymous || piece.is_of(object)
    });
    Ok(Some(pieces))
}
