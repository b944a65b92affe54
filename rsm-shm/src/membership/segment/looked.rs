//! Which segments their owner [looks](super::super::looks) at: those that are published.

use super::super::looks::{Looks, Published};
use super::Segment;

/// A call changes whether a segment is looked at. It may fail: at the end that goes by whether the segment is published.
#[derive(Debug)]
pub(super) struct Unsettled<'a> {
    segment: &'a Segment,
    /// What was looked at before the call, all of it in the memory of this segment.
    before: Vec<Published>,
}

impl Segment {
    fn looks(&self) -> Option<&Looks> {
        // A forked child must not ask for what `published_now` does: a thread of its parent may hold what that takes.
        self.membership().looks().filter(|looks| looks.is_own())
    }

    fn address(&self) -> usize {
        self.memory().as_ptr().addr()
    }

    fn published_now(&self) -> Option<Published> {
        let (node, object) = (self.membership().node().ok()?, self.object()?);
        let (start, length) = (self.address(), self.memory().len());
        Some(Published { name: self.name(), node, start, length, object })
    }

    /// It is about to be published, or has other memory: it is looked at from now on.
    pub(super) fn looks_begin(&self) {
        if let Some(looks) = self.looks()
            && let Some(published) = self.published_now()
        {
            looks.add(published);
        }
    }

    /// Something is about to become of its memory: it is looked at once more, and then no longer, nor is another one that has the
    /// same memory. Gives back what was looked at.
    pub(super) fn looks_end(&self) -> Vec<Published> {
        let Some(looks) = self.looks() else { return Vec::new() };
        self.membership().look_at_own();
        looks.remove(self.address())
    }

    /// The same for a call that may fail, in the turns that it has.
    pub(super) fn looks_unsettled(&self) -> Unsettled<'_> {
        Unsettled { segment: self, before: self.looks_end() }
    }
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        let segment = self.segment;
        let Some(looks) = segment.looks() else { return };
        let (start, name, is_published) = (segment.address(), segment.name(), segment.is_published());
        if looks.has(start, name) {
            if is_published {
                return;
            }
            looks.remove(start);
        }
        let before = self.before.drain(..).filter(|other| other.name != name || is_published);
        let mut before = before.filter(|other| other.start == start).peekable();
        // Nobody else's call is about this memory, which may have moved to another object.
        if before.peek().is_some()
            && let Some(now) = segment.published_now()
        {
            before.for_each(|other| looks.add(Published { object: now.object, ..other }));
        }
    }
}
