//! What the agent may use: descriptors and memory.

use crate::rlimit;
use rsm_core::{Code, Error, Result};
use rustix::process::{Resource, Rlimit};

/// Descriptors the agent keeps free for members that leave, probe or ask, and for who waits to join; a quarter of them
/// where there are few.
const RESERVE: u64 = 64;
/// Descriptors it needs for itself, and to tell somebody that there are no more.
const OWN: u64 = 16;
/// Descriptors of a process of a node: what a member asks on, what it is told on, and the process.
pub(in crate::agent) const PER_MEMBER: u64 = 3;
/// Descriptors of a node's bell memory.
const PER_NODE: u64 = 1;

/// What holds descriptors, counted in the agent's tables.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::agent) struct Held {
    /// Memberships.
    pub(in crate::agent) members: u64,
    /// Memory objects of segments, those that something moves to included.
    pub(in crate::agent) memories: u64,
    /// Sockets by which nobody has joined.
    pub(in crate::agent) strangers: u64,
}

/// How many descriptors there are.
#[derive(Debug)]
pub(in crate::agent) struct Limits {
    descriptors: u64,
    reserve: u64,
    /// The agent's own, and bell memory of every node.
    fixed: u64,
    max_segments: u64,
    max_strangers: u64,
}

/// Most sockets by which nobody has joined, where there are descriptors enough.
const STRANGERS: u64 = 256;

impl Limits {
    /// Reads the limit; a dedicated agent raises it to the hard one first.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when it is too low for one process of every node.
    pub(in crate::agent) fn new(dedicated: bool, nodes: u32) -> Result<Limits> {
        let Ok(mut limit) = rlimit::limit(Resource::Nofile) else {
            return Limits::of(rlimit::USUAL_DESCRIPTORS, nodes);
        };
        if dedicated && limit.current != limit.maximum {
            let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
            if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() {
                limit.current = limit.maximum;
            }
        }
        Limits::of(limit.current.unwrap_or(1 << 20), nodes)
    }

    fn of(descriptors: u64, nodes: u32) -> Result<Limits> {
        let reserve = RESERVE.min(descriptors / 4);
        let fixed = OWN + u64::from(nodes) * PER_NODE;
        let needed = fixed + reserve + u64::from(nodes) * PER_MEMBER + 1;
        let Some(room) = descriptors.checked_sub(needed) else {
            return Err(Error::with(
                Code::InsufficientResources,
                format!(
                    "the agent needs {needed} descriptors for {nodes} node(s), the limit is {descriptors} \
                     (see ulimit -n)"
                ),
            ));
        };
        let max_strangers = STRANGERS.min(descriptors / 8).max(1);
        Ok(Limits { descriptors, reserve, fixed, max_segments: room + 1, max_strangers })
    }

    /// Segments that fit beside one process of every node.
    pub(in crate::agent) fn max_segments(&self) -> u64 {
        self.max_segments
    }

    /// Whether another connection may be accepted, if only to be refused.
    pub(in crate::agent) fn accepts(&self, held: Held) -> bool {
        let all = self.fixed + held.members * PER_MEMBER + held.memories + held.strangers;
        all + self.reserve / 4 < self.descriptors
    }

    /// Whether so many wait to join that one must go.
    pub(in crate::agent) fn has_too_many_strangers(&self, held: Held, kept: u64) -> bool {
        held.strangers > self.max_strangers || self.needs(held) + kept > self.descriptors
    }

    /// What is held, and what must be free beside it. Some of those who wait to join wait in the reserve.
    fn needs(&self, held: Held) -> u64 {
        let strangers = held.strangers.saturating_sub(self.reserve / 2);
        self.fixed + held.members * PER_MEMBER + held.memories + strangers + self.reserve
    }

    /// Whether this may be held when `kept` descriptors must be left for what nodes can count on.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when there are not so many.
    pub(in crate::agent) fn check(&self, held: Held, kept: u64) -> Result<()> {
        if self.needs(held) + kept <= self.descriptors {
            return Ok(());
        }
        Err(Error::with(
            Code::InsufficientResources,
            format!(
                "the agent has no more descriptors but {kept} that are kept for what each node can count on (limit {}, \
                 see ulimit -Hn)",
                self.descriptors
            ),
        ))
    }
}

/// Total memory of the machine, which no segment can exceed.
pub(in crate::agent) fn total_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::super::shares;
    use super::*;

    #[test]
    fn what_nodes_can_count_on_fits_whatever_the_limit() {
        for nodes in [1, 2, 4, 63] {
            for descriptors in [100, 128, 300, 1024, 2000, 20_000, 1 << 20] {
                let Ok(limits) = Limits::of(descriptors, nodes) else { continue };
                let share = shares::of_each(limits.max_segments().min(1 << 16), nodes);
                let mut held = Held::default();
                let mut kept = u64::from(nodes) * (PER_MEMBER + share);
                limits.check(held, kept).unwrap();
                // Strangers fill what they can, others take what is left, and each node gets what it can count on.
                while !limits.has_too_many_strangers(Held { strangers: held.strangers + 1, ..held }, kept) {
                    held.strangers += 1;
                }
                while limits.check(Held { memories: held.memories + 1, ..held }, kept).is_ok() {
                    held.memories += 1;
                }
                for _ in 0..nodes {
                    held.members += 1;
                    kept -= PER_MEMBER;
                    limits.check(held, kept).unwrap();
                    for _ in 0..share {
                        held.memories += 1;
                        kept -= 1;
                        limits.check(held, kept).unwrap();
                    }
                }
                assert!(limits.accepts(held), "{nodes} nodes, {descriptors} descriptors");
            }
        }
    }
}
