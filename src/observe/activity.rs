//! What processes transfer and signal, while somebody watches.

use super::Observer;
use crate::Result;
use serde::Serialize;

/// Totals of what a process, or several, transferred and signalled since an observer first watched the cluster.
///
/// Loads and stores through mappings are not seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Number of puts, each part of a vector for itself, whether or not they were told to have arrived.
    pub puts: u64,
    /// Number of gets, counted likewise.
    pub gets: u64,
    /// Bytes that were put.
    pub put_bytes: u64,
    /// Bytes that were got.
    pub got_bytes: u64,
    /// Number of signals posted: one for each call, however many importers it reached.
    pub posts: u64,
    /// Number of signals taken by waiting.
    pub waits: u64,
}

impl Activity {
    /// Difference to an earlier reading, `before`; 0 where a number shrank because a process has gone.
    #[must_use]
    pub fn since(self, before: Activity) -> Activity {
        self.with(before, u64::saturating_sub)
    }

    /// Sum of this and `other`.
    #[must_use]
    pub fn and(self, other: Activity) -> Activity {
        self.with(other, u64::saturating_add)
    }

    fn with(self, other: Activity, join: impl Fn(u64, u64) -> u64) -> Activity {
        Activity {
            puts: join(self.puts, other.puts),
            gets: join(self.gets, other.gets),
            put_bytes: join(self.put_bytes, other.put_bytes),
            got_bytes: join(self.got_bytes, other.got_bytes),
            posts: join(self.posts, other.posts),
            waits: join(self.waits, other.waits),
        }
    }
}

/// Activity of one process of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProcessActivity {
    /// Number of the process's membership, which tells processes apart that had the same id one after the other.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id.
    pub pid: u32,
    /// Activity, as the process itself says.
    #[serde(flatten)]
    pub activity: Activity,
}

impl Observer {
    /// What each process of the nodes has done since an observer first watched, by membership: the oldest first. A sum
    /// over those of a node is the node's.
    ///
    /// The first call makes the processes tally, which takes them a few nanoseconds more for each transfer and signal,
    /// until this observer is dropped. Before it, and after the last observer has gone, they do not, and pay nothing.
    /// A process begins within a moment; one that is stopped begins when it runs again. The numbers are what each
    /// process says of itself. One round trip for every 48 processes.
    ///
    /// # Errors
    /// TIMEOUT when the agent does not answer for 2 s, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn activity(&self) -> Result<Vec<ProcessActivity>> {
        let processes = self.membership.watch()?;
        let shown = processes.into_iter().map(|p| ProcessActivity {
            membership: p.membership,
            node: p.node,
            pid: p.pid,
            activity: Activity {
                puts: p.tally.puts,
                gets: p.tally.gets,
                put_bytes: p.tally.put_bytes,
                got_bytes: p.tally.got_bytes,
                posts: p.tally.posts,
                waits: p.tally.waits,
            },
        });
        Ok(shown.collect())
    }
}
