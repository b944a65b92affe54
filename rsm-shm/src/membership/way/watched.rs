//! An import that is only watched: everything goes where plain transfers go, but by way of the door, where it is noted
//! (`membership/trace.rs`).

use super::Way;

/// The way of such an import.
#[derive(Debug)]
pub(in crate::membership) struct Watched;

impl Watched {
    /// To the same place.
    pub(in crate::membership::way) fn way(&self, place: *mut u8) -> Way<'_> {
        Way::Here(place)
    }
}
