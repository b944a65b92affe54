//! Links between two hosts, changed on both.

use crate::agents::{agent, join, until};
use crate::bridge;
use crate::side::DEADLINE;
use rsm_core::registry::{LinkChange, LinkState, LinkWord};
use rsm_shm::agent::AgentHandle;
use rsm_shm::membership::Membership;
use std::sync::{Arc, Barrier};

const ROUNDS: u64 = 40;

fn link(member: &Membership, from: u32, to: u32) -> LinkWord {
    member.registry().link_now(1, from, to).unwrap()
}

fn steering(agent: &AgentHandle) -> Arc<Membership> {
    Membership::join(agent.address(), None).unwrap()
}

/// One takes a link down and one brings it up, each on a host of its own: in the end it is the same on both, whichever of the
/// two agents is told first of what the other has done.
pub(crate) fn two_who_change_a_link_at_one_moment_come_to_the_same() {
    let bridge = bridge("crossing");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "3-4"));
    assert_eq!((one.await_bridge(DEADLINE), other.await_bridge(DEADLINE)), (None, None));
    let _nodes = (join(&one, 1).unwrap(), join(&other, 3).unwrap());
    let operators = [steering(&one), steering(&other)];
    for round in 1..=ROUNDS {
        let gate = Barrier::new(2);
        std::thread::scope(|scope| {
            for (host, operator) in (0u64..).zip(&operators) {
                let change = if (host + round).is_multiple_of(2) { LinkChange::Down } else { LinkChange::Up };
                let gate = &gate;
                scope.spawn(move || {
                    gate.wait();
                    operator.set_link(1, 3, 1, false, change).unwrap();
                });
            }
        });
        // What was said before an error is heard before it: each has heard of what the other has done.
        for operator in &operators {
            operator.set_link(1, 1, 3, false, LinkChange::Error).unwrap();
        }
        let heard = |operator: &Arc<Membership>| link(operator, 1, 3).errors() == 2 * round;
        until("each has heard of the other", || operators.iter().all(heard));
        let state = |host: usize| link(&operators[host], 3, 1).state();
        until("both come to the same", || state(0) == state(1));
    }
}

/// A link is taken down while the other host is not there.
pub(crate) fn a_link_that_is_down_when_hosts_meet_is_down_on_both() {
    let bridge = bridge("before");
    let one = agent(&bridge, "a", "1-2");
    let operator = steering(&one);
    let _first = join(&one, 1).unwrap();
    operator.set_link(1, 3, 1, false, LinkChange::Down).unwrap();
    for name in ["b", "c"] {
        let other = agent(&bridge, name, "3-4");
        assert_eq!((one.await_bridge(DEADLINE), other.await_bridge(DEADLINE)), (None, None));
        let there = steering(&other);
        let states = || [link(&operator, 3, 1), link(&there, 3, 1), link(&there, 1, 3)].map(LinkWord::state);
        let _third = join(&other, 3).unwrap();
        let expected = [LinkState::Down, LinkState::Down, LinkState::Up];
        until("it is down on both, and the other direction is not", || {
            let mut states = states();
            // Whether the exporter has joined is another question.
            states[2] = if states[2] == LinkState::Down { LinkState::Down } else { LinkState::Up };
            states == expected
        });
        // Brought up by either, it is up on both.
        there.set_link(1, 3, 1, false, LinkChange::Up).unwrap();
        until("it is up on both", || states()[..2] == [LinkState::Active; 2]);
        there.set_link(1, 3, 1, false, LinkChange::Down).unwrap();
        until("it is down on both", || states()[..2] == [LinkState::Down; 2]);
    }
}
