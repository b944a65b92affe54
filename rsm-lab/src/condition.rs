//! What a script can wait for.

use rsm::steer::{Links, Steering};
use rsm::{LinkState, SegmentId};
use rsm_core::registry::{Found, LinkWord, Registry};

/// Facts that hold at one moment, or do not.
#[derive(Clone, Debug)]
pub(super) struct Condition(pub(super) Vec<Fact>);

#[derive(Clone, Debug)]
pub(super) enum Fact {
    Joined { node: u32, not: bool },
    Left(u32),
    Published { node: u32, id: SegmentId, not: bool },
    Connected { node: u32, to: u32, not: bool },
    AllJoined,
    Link { links: Links, state: LinkState, not: bool },
}

impl Condition {
    /// Whether all of it holds now.
    pub(super) fn holds(&self, steering: &Steering) -> bool {
        self.0.iter().all(|fact| fact.holds(steering))
    }

    /// The nodes it names.
    pub(super) fn nodes(&self) -> Vec<u32> {
        let of = |fact: &Fact| match fact {
            Fact::Joined { node, .. } | Fact::Left(node) | Fact::Published { node, .. } => vec![*node],
            Fact::Connected { node, to, .. } => vec![*node, *to],
            Fact::Link { links, .. } => <[u32; 2]>::from(links.ends()).to_vec(),
            Fact::AllJoined => Vec::new(),
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The controllers it names.
    pub(super) fn controllers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|fact| if let Fact::Link { links, .. } = fact { links.controller() } else { None })
    }
}

impl Fact {
    fn holds(&self, steering: &Steering) -> bool {
        let registry = steering.membership().registry();
        let row = |node: u32| registry.nodes.get(node as usize);
        let joined = |node: u32| row(node).is_some_and(|row| row.is_joined());
        match self {
            Fact::Joined { node, not } => joined(*node) != *not,
            Fact::Left(node) => !joined(*node) && row(*node).is_some_and(|row| row.fields().incarnation > 0),
            Fact::Published { node, id, not } => match registry.find(*node, id.get()) {
                Found::Segment(..) => !not,
                Found::Nothing => *not,
                // It keeps changing; the next change asks again.
                Found::Unsure => false,
            },
            Fact::Connected { node, to, not } => {
                let connected = |c: &rsm::observe::ConnectionInfo| {
                    c.importer == *node && c.exporter == *to && c.state == "connected"
                };
                steering.observer().connections().iter().any(connected) != *not
            }
            Fact::AllJoined => (1..=registry.header.node_count()).all(joined),
            Fact::Link { links, state, not } => link_is(&registry, steering, links, *state) != *not,
        }
    }
}

/// Whether all of these links are in that state. An active link is also up.
fn link_is(registry: &Registry<'_>, steering: &Steering, links: &Links, state: LinkState) -> bool {
    let fits = |word: LinkWord| match state {
        LinkState::Up => word.state() != LinkState::Down,
        other => word.state() == other,
    };
    // Which controllers there are was checked before the script began.
    let Ok(controllers) = steering.controllers(links) else { return false };
    controllers.into_iter().all(|controller| {
        let word = |from, to| registry.link_now(controller, from, to).is_some_and(fits);
        let (from, to) = links.ends();
        word(from, to) && (!links.are_both_ways() || word(to, from))
    })
}
