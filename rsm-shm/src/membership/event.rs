//! What [taps](super::taps) are told of.

use rsm_core::transfer::Direction;

/// Something that this process did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A transfer of so many bytes was found right.
    Put(u64),
    /// The same, from the segment.
    Got(u64),
    /// A signal is posted.
    Posted,
    /// One was taken.
    Waited,
}

impl Event {
    pub(super) fn moved(direction: Direction, bytes: u64) -> Event {
        match direction {
            Direction::Put => Event::Put(bytes),
            Direction::Get => Event::Got(bytes),
        }
    }
}
