//! What a layer above tells, where races are looked for, that reaches the memory of imports by itself: OpenSHMEM, whose PEs tell
//! each other what they have done by words of its own. What it does not tell is not known, and what that orders is reported.

use super::{is_word, ranges, seen};
use crate::membership::fork;
use rsm_race::place::Range;

/// What a layer above does for its program with memory of this process's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Bytes were read.
    Read,
    /// Bytes are about to be written.
    Write,
    /// A word was loaded, which held this, or anything that was stored there so far.
    Load(Option<u64>),
    /// A word is about to be stored.
    Store(u64),
    /// A word is about to be changed atomically.
    Update,
    /// It was, by which this process may have been told anything.
    Updated,
}

/// Whether the program tells everything that it does with memory: then the layer has to do so, too.
pub fn is_whole() -> bool {
    seen::is_whole()
}

/// Tells what a layer does with memory of this process's, where races are looked for and that is memory of a segment.
pub fn touches(address: usize, length: usize, touch: Touch) {
    if fork::is_unannounced() {
        return;
    }
    seen::untold(|| {
        let Some(watched) = ranges::find(address) else { return };
        let Some(process) = watched.racing.process() else { return };
        let length = length.min(watched.end - address) as u64;
        let site = watched.racing.site(process);
        let offset = watched.offset + (address - watched.start) as u64;
        let range = Range { place: watched.place, offset, length, site };
        let is_word = is_word(offset, length) > 0;
        match touch {
            Touch::Load(value) if is_word => process.load(range, value),
            Touch::Read | Touch::Load(_) => process.get(range, None),
            Touch::Store(value) if is_word => process.store(range, Some(value), false, None),
            Touch::Write | Touch::Store(_) => process.touch(range, true, None),
            Touch::Update => {
                process.failed();
                process.store(range, None, true, None);
            }
            Touch::Updated => process.failed(),
        }
    });
}
