//! What the agent may use: descriptors and memory.

use rsm_core::{Code, Error, Result};
use rustix::process::{Resource, Rlimit};

/// Descriptors the agent keeps free for members that leave, probe or ask; a quarter of them where there are few.
const RESERVE: u64 = 64;
/// Descriptors it needs for itself, and to tell somebody that there are no more.
const OWN: u64 = 16;
/// Descriptors of a process of a node, and of the node's bell memory.
const PER_NODE: u64 = 4;

/// How many descriptors there are, and how many are in use.
#[derive(Debug)]
pub(super) struct Limits {
    descriptors: u64,
    reserve: u64,
    used: u64,
    segments: u64,
    max_segments: u64,
    max_strangers: usize,
}

/// Most connections that have not joined, where there are descriptors enough.
const STRANGERS: u64 = 256;

impl Limits {
    /// Reads the limit; a dedicated agent raises it to the hard one first.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when it is too low for one process of every node.
    pub(super) fn new(dedicated: bool, nodes: u32) -> Result<Limits> {
        let mut limit = rustix::process::getrlimit(Resource::Nofile);
        if dedicated && limit.current != limit.maximum {
            let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
            if rustix::process::setrlimit(Resource::Nofile, raised).is_ok() {
                limit.current = limit.maximum;
            }
        }
        let descriptors = limit.current.unwrap_or(1 << 20);
        let reserve = RESERVE.min(descriptors / 4);
        let needed = OWN + reserve + u64::from(nodes) * PER_NODE + 1;
        let Some(room) = descriptors.checked_sub(needed) else {
            return Err(Error::with(
                Code::InsufficientResources,
                format!(
                    "the agent needs {needed} descriptors for {nodes} node(s), the limit is {descriptors} \
                     (see ulimit -n)"
                ),
            ));
        };
        let max_strangers = STRANGERS.min(descriptors / 8).max(1) as usize;
        Ok(Limits { descriptors, reserve, used: OWN, segments: 0, max_segments: room + 1, max_strangers })
    }

    /// Segments that fit beside one process of every node.
    pub(super) fn max_segments(&self) -> u64 {
        self.max_segments
    }

    /// Whether another connection may be accepted, if only to be refused.
    pub(super) fn accepts(&self) -> bool {
        self.used + self.reserve / 2 < self.descriptors
    }

    /// Most connections that may wait to join.
    pub(super) fn max_strangers(&self) -> usize {
        self.max_strangers
    }

    /// Whether there is room for another membership or memory object, beside a process of each of the `absent` nodes
    /// that have none.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when there is not.
    pub(super) fn check_room(&self, absent: u64) -> Result<()> {
        if self.used + self.reserve + absent * PER_NODE < self.descriptors {
            return Ok(());
        }
        Err(Error::with(
            Code::InsufficientResources,
            format!(
                "the agent has no more descriptors but those for {absent} node(s) that have not joined (limit {}, see \
                 ulimit -Hn)",
                self.descriptors
            ),
        ))
    }

    /// Notes the descriptor of a segment. Segments leave room for a process of every node: a node that takes all there
    /// are keeps nobody from joining.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES at the limit.
    pub(super) fn take_for_segment(&mut self, absent: u64) -> Result<()> {
        self.check_room(absent)?;
        if self.segments >= self.max_segments {
            return Err(Error::with(
                Code::InsufficientResources,
                format!(
                    "the cluster has {} segments, for which its agent has no more descriptors (limit {}, see ulimit -Hn)",
                    self.segments, self.descriptors
                ),
            ));
        }
        self.segments += 1;
        self.used += 1;
        Ok(())
    }

    /// Notes that a segment is gone.
    pub(super) fn give_segment(&mut self) {
        self.segments -= 1;
        self.used -= 1;
    }

    /// Notes descriptors taken.
    pub(super) fn take(&mut self, count: u64) {
        self.used += count;
    }

    /// Notes descriptors given back.
    pub(super) fn give(&mut self, count: u64) {
        self.used -= count;
    }
}

/// Total memory of the machine, which no segment can exceed.
pub(super) fn total_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_mul(u64::from(info.mem_unit))
}
