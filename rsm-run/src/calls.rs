//! What is known of the calls of a process.

use rsm::lens::gate::Called;
use rustix::process::RawPid;
use serde::{Deserialize, Serialize};

/// What a process says of its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessCalls {
    /// Its node.
    pub node: u32,
    /// Its id.
    pub pid: RawPid,
    /// What.
    pub called: Called,
}
