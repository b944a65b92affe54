//! What processes wait for.

use super::Observer;
use crate::Result;
use rsm_core::message::{Wait, WaitFor};
use serde::Serialize;
use std::fmt;

/// A process that waits for something of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitInfo {
    /// Number of the process's membership. Of processes that share what is waited on, as a parent and its child do, the oldest.
    pub membership: u64,
    /// Node of the process.
    pub node: u32,
    /// Process id; 0 when it has just ended.
    pub pid: u32,
    /// What is waited for: `export` or `import` for a signal there, `segment` for a publication.
    pub on: String,
    /// The exporting node.
    pub exporter: u32,
    /// Id of the segment; none where it is not published, or the connection is cut.
    pub segment: Option<u32>,
    /// Number of signals that came and were not taken yet.
    pub pending: Option<u32>,
    /// Number of connections to the segment, where the process is its exporter.
    pub importers: Option<u32>,
}

impl Observer {
    /// Waits of all processes: for signals, and segments that they asked for last and that are not published. Asks the agent.
    ///
    /// A process that was killed in its sleep beside others of its node may seem to sleep on.
    ///
    /// # Errors
    /// TIMEOUT when the agent does not answer for 2 s, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn waits(&self) -> Result<Vec<WaitInfo>> {
        Ok(self.membership.waits()?.iter().map(WaitInfo::from).collect())
    }
}

impl From<&Wait> for WaitInfo {
    fn from(wait: &Wait) -> WaitInfo {
        let Wait { membership, node, pid, on } = *wait;
        let (on, exporter, segment, pending, importers) = match on {
            WaitFor::Export { id, pending, importers } => ("export", node, id, Some(pending), Some(importers)),
            WaitFor::Import { node, id, pending } => ("import", node, id, Some(pending), None),
            WaitFor::Segment { node, id } => ("segment", node, Some(id), None, None),
        };
        WaitInfo { membership, node, pid, on: on.to_owned(), exporter, segment, pending, importers }
    }
}

/// What follows "waits for".
impl fmt::Display for WaitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pending = match self.pending {
            None => "",
            Some(0) => ", none pending",
            Some(_) => ", and one has come",
        };
        match (&*self.on, self.segment) {
            ("export", Some(id)) => write!(f, "a signal to its segment {id:#x}{pending}")?,
            ("export", None) => write!(f, "a signal to a segment that it does not publish{pending}")?,
            ("import", Some(id)) => {
                write!(f, "a signal from node {} to its import of {id:#x}{pending}", self.exporter)?;
            }
            ("import", None) => write!(f, "a signal from node {} to an import{pending}", self.exporter)?,
            (_, id) => write!(f, "segment {:#x} of node {}, which is not published", id.unwrap_or(0), self.exporter)?,
        }
        match self.importers {
            None => Ok(()),
            Some(0) => f.write_str(", no importer left"),
            Some(1) => f.write_str(", 1 importer"),
            Some(count) => write!(f, ", {count} importers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        let told = |on| WaitInfo::from(&Wait { membership: 1, node: 2, pid: 3, on }).to_string();
        assert_eq!(
            told(WaitFor::Export { id: Some(0x40_0000), pending: 0, importers: 0 }),
            "a signal to its segment 0x400000, none pending, no importer left"
        );
        assert_eq!(
            told(WaitFor::Export { id: None, pending: 1, importers: 2 }),
            "a signal to a segment that it does not publish, and one has come, 2 importers"
        );
        assert_eq!(
            told(WaitFor::Import { node: 1, id: Some(0x40_0000), pending: 0 }),
            "a signal from node 1 to its import of 0x400000, none pending"
        );
        assert_eq!(
            told(WaitFor::Segment { node: 1, id: 0x40_0000 }),
            "segment 0x400000 of node 1, which is not published"
        );
    }
}
