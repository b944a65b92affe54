//! Links while they are being changed.

use super::request::Owed;
use rsm_core::registry::LinkChange;
use std::collections::BTreeMap;

/// Controller, importing node, exporting node.
pub(in crate::agent) type LinkName = (u32, u32, u32);

/// Links that are being taken down.
#[derive(Debug, Default)]
pub(in crate::agent) struct Closing(BTreeMap<LinkName, Ends>);

/// What takes a link down.
#[derive(Debug, Default)]
struct Ends {
    /// How many changes are about it.
    changes: u32,
    /// After all of them it was said to come up again.
    reopens: bool,
}

impl Closing {
    /// Whether nobody is to connect through it.
    pub(in crate::agent) fn has(&self, link: &LinkName) -> bool {
        self.0.contains_key(link)
    }

    /// A change begins to take it down. Where it is not to `stay` so, it is up or down in the end as it was to be before.
    pub(in crate::agent) fn begin(&mut self, link: LinkName, stay: bool) {
        let ends = self.0.entry(link).or_default();
        ends.changes += 1;
        ends.reopens &= !stay;
    }

    /// It is to be down in the end; `false` where nobody is about to take it down.
    pub(in crate::agent) fn stays_down(&mut self, link: &LinkName) -> bool {
        self.0.get_mut(link).map(|ends| ends.reopens = false).is_some()
    }

    /// It is to be up in the end; `false` where nobody is about to take it down, so that it can be at once.
    pub(in crate::agent) fn reopens(&mut self, link: &LinkName) -> bool {
        self.0.get_mut(link).map(|ends| ends.reopens = true).is_some()
    }

    /// A change has taken it down. `true`: it is to come up now.
    pub(in crate::agent) fn end(&mut self, link: &LinkName) -> bool {
        let Some(ends) = self.0.get_mut(link) else { return false };
        ends.changes = ends.changes.saturating_sub(1);
        ends.changes == 0 && self.0.remove(link).is_some_and(|ends| ends.reopens)
    }
}

/// Links that are being changed.
#[derive(Debug)]
pub(in crate::agent) struct Relinking {
    pub(in crate::agent) change: LinkChange,
    pub(in crate::agent) links: Vec<LinkName>,
    /// Those that come up again when all is done.
    pub(in crate::agent) again: Vec<LinkName>,
    /// What is done to the last of them.
    pub(in crate::agent) step: Step,
    /// Imports from this row on are still to be looked at.
    pub(in crate::agent) at: u32,
    pub(in crate::agent) count: u32,
    pub(in crate::agent) owed: Owed,
}

/// What is done to a link next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Step {
    /// The generations of its connections are stepped. Before the word: a path that is gone for good is told as
    /// CONN_ABORTED and never as BARRIER_FAILURE, after which a program would only try again; and who is woken by the cut
    /// finds the link down. Nobody connects through it meanwhile.
    Generations,
    /// Its word is changed.
    Link,
    /// Its connections follow: they are cut, or have had an error.
    Connections,
}

impl Step {
    pub(in crate::agent) fn first(change: LinkChange) -> Step {
        if change == LinkChange::Down { Step::Generations } else { Step::Link }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: LinkName = (1, 3, 1);

    #[test]
    fn what_is_said_last_is_so_in_the_end() {
        let mut closing = Closing::default();
        assert!(!closing.reopens(&LINK) && !closing.stays_down(&LINK) && !closing.end(&LINK));
        closing.begin(LINK, true);
        assert!(closing.has(&LINK) && closing.reopens(&LINK) && closing.end(&LINK) && !closing.has(&LINK));
        closing.begin(LINK, true);
        assert!(closing.reopens(&LINK) && closing.stays_down(&LINK) && !closing.end(&LINK) && !closing.has(&LINK));
        // Two at a time: it stays closed until both are done, and is what was said after both.
        closing.begin(LINK, true);
        closing.reopens(&LINK);
        closing.begin(LINK, true);
        assert!(!closing.end(&LINK) && closing.has(&LINK) && !closing.end(&LINK));
        closing.begin(LINK, true);
        closing.begin(LINK, true);
        closing.reopens(&LINK);
        assert!(!closing.end(&LINK) && closing.end(&LINK));
        // What is to bring it up again itself does not change what was said.
        for up in [true, false] {
            closing.begin(LINK, true);
            assert!(if up { closing.reopens(&LINK) } else { closing.has(&LINK) });
            closing.begin(LINK, false);
            assert_eq!((closing.end(&LINK), closing.end(&LINK)), (false, up));
        }
    }
}
