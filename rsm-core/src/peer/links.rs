//! What was said last of each link between the two hosts.
//!
//! A link can be taken down and brought up on either host, and on both at one moment. So that both come to the same, each
//! change has a *count*, one more than that of the last change its host knew of. What is so in the end is what was said with
//! the highest count; of a link that was brought up on one host and taken down on the other with the same count, that it is
//! down. Each host hears every change of the other, in order, and keeps the one that counts more: the order in which it heard
//! of the two makes no difference. Errors are counted where they are heard of, and count no less for what else is said.
//!
//! *A new life of the link* may join other agents than the last one, so counts begin anew. Each host then says first which
//! links are down: a link that either has taken down is down on both.

use crate::registry::LinkChange;
use std::collections::BTreeMap;

/// Importing and exporting node.
pub type Link = (u32, u32);

/// What was said last, by whichever host.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<Link, Said>);

/// In the order in which it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    count: u64,
    is_down: bool,
}

impl Said {
    /// `None` for an error, which says nothing of the state.
    fn of(change: LinkChange, count: u64) -> Option<Said> {
        let is_down = match change {
            LinkChange::Down => true,
            LinkChange::Up => false,
            LinkChange::Error => return None,
        };
        Some(Said { count, is_down })
    }
}

impl Links {
    /// This host changes a link; gives the count with which the other is told.
    pub fn changed(&mut self, link: Link, change: LinkChange) -> u64 {
        let count = self.0.get(&link).map_or(0, |said| said.count).saturating_add(1);
        let Some(said) = Said::of(change, count) else { return 0 };
        self.0.insert(link, said);
        count
    }

    /// The other host has changed a link. Whether this one does the same: not where what was said here counts more.
    #[must_use]
    pub fn heard(&mut self, link: Link, change: LinkChange, count: u64) -> bool {
        let Some(said) = Said::of(change, count) else { return true };
        let known = self.0.entry(link).or_default();
        let counts = said > *known;
        if counts {
            *known = said;
        }
        counts
    }

    /// Another life of the link: gives the links that are down, which the other host is told of with the count 1.
    pub fn meet(&mut self) -> Vec<Link> {
        self.0.retain(|_, said| said.is_down);
        self.0.values_mut().for_each(|said| said.count = 1);
        self.0.keys().copied().collect()
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    const LINK: Link = (1, 3);

    /// A host, what is on its way to it, and how its link is.
    #[derive(Default)]
    struct Host {
        links: Links,
        comes: VecDeque<(LinkChange, u64)>,
        is_down: bool,
    }

    impl Host {
        fn hear_one(&mut self) -> bool {
            let Some((change, count)) = self.comes.pop_front() else { return false };
            if self.links.heard(LINK, change, count) {
                self.is_down = change == LinkChange::Down;
            }
            true
        }
    }

    fn change(one: &mut Host, other: &mut Host, change: LinkChange) {
        one.is_down = change == LinkChange::Down;
        other.comes.push_back((change, one.links.changed(LINK, change)));
    }

    fn meet(one: &mut Host, other: &mut Host) {
        one.comes.clear();
        other.comes.clear();
        other.comes.extend(one.links.meet().iter().map(|_| (LinkChange::Down, 1)));
        one.comes.extend(other.links.meet().iter().map(|_| (LinkChange::Down, 1)));
    }

    #[test]
    fn down_wins_at_one_moment_and_later_wins_otherwise() {
        for changes in [[LinkChange::Down, LinkChange::Up], [LinkChange::Up, LinkChange::Down]] {
            let (mut one, mut other) = (Host::default(), Host::default());
            change(&mut one, &mut other, changes[0]);
            change(&mut other, &mut one, changes[1]);
            assert!(one.hear_one() && other.hear_one());
            assert_eq!([one.is_down, other.is_down], [true; 2]);
            change(&mut other, &mut one, LinkChange::Up);
            assert!(one.hear_one());
            assert_eq!([one.is_down, other.is_down], [false; 2]);
        }
    }

    #[test]
    fn an_error_is_always_counted_and_says_nothing_of_the_state() {
        let mut links = Links::default();
        assert_eq!(links.changed(LINK, LinkChange::Down), 1);
        assert_eq!(links.changed(LINK, LinkChange::Error), 0);
        assert!(links.heard(LINK, LinkChange::Error, 0) && links.heard(LINK, LinkChange::Error, 0));
        assert_eq!(links.meet(), [LINK]);
    }

    /// Who says the highest count there is cannot keep a link up.
    #[test]
    fn no_count_is_the_last_word() {
        let mut links = Links::default();
        assert!(links.heard(LINK, LinkChange::Up, u64::MAX));
        assert_eq!(links.changed(LINK, LinkChange::Down), u64::MAX);
        assert!(!links.heard(LINK, LinkChange::Up, u64::MAX));
    }

    proptest! {
        /// Whatever either does, and whenever each hears of it, both come to the same; where they met anew, too.
        #[test]
        fn both_hosts_come_to_the_same(steps in prop::collection::vec(0u8..7, 0..60)) {
            let (mut one, mut other) = (Host::default(), Host::default());
            for step in steps {
                match step {
                    0 => change(&mut one, &mut other, LinkChange::Down),
                    1 => change(&mut one, &mut other, LinkChange::Up),
                    2 => change(&mut other, &mut one, LinkChange::Down),
                    3 => change(&mut other, &mut one, LinkChange::Up),
                    4 => drop(one.hear_one()),
                    5 => drop(other.hear_one()),
                    _ => meet(&mut one, &mut other),
                }
            }
            while one.hear_one() || other.hear_one() {}
            prop_assert_eq!(one.is_down, other.is_down);
        }
    }
}
