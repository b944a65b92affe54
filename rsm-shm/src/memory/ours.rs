//! What the library mapped and may cover or unmap: memory of its objects, and the trash that it put there.

use super::inspect::{self, Identity, Kind, Piece};
use crate::private_table;
use rsm_core::Code;

/// Where in `/dev/zero` the trash of a region begins: an offset that nobody else maps.
pub(super) const MARK: u64 = 0x5253_4d00_0000_0000;

/// What of a range that the program was given is still ours: memory of `object`, and trash; `plain` when some of that has
/// no mark and is private memory like any.
///
/// `None` where nobody can look, because there is no `/proc`: all of it counts as ours then.
pub(super) fn ours(start: usize, length: usize, object: Option<Identity>, plain: bool) -> Option<Vec<Piece>> {
    let look = move || inspect::present(start, length);
    let looked = match look() {
        Err(error) if error.code() == Code::InsufficientResources => private_table::aside(look),
        other => other,
    };
    let mut pieces = looked.ok()?;
    pieces.retain(|piece| {
        let marked = piece.kind == Kind::PrivateFile && piece.offset == MARK + (piece.start - start) as u64;
        marked || plain && piece.kind == Kind::Anonymous || object.is_some_and(|object| piece.is_of(object))
    });
    Some(pieces)
}
