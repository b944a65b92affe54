//! What an agent tells of its bridge, for people.

use serde::{Deserialize, Serialize};

/// Longest text of why there is nobody, in characters.
pub const MOST_TROUBLE: usize = 500;

/// What the agent's own loads, stores and doorbells come to. Those of importers it does not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Loads of words of the other host's control pages.
    pub loads: u64,
    /// Stores to them.
    pub stores: u64,
    /// Doorbells that were rung.
    pub doorbells: u64,
}

/// A bridge, as its agent knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Controller that reaches the other host.
    pub controller: String,
    /// The device, as it was given.
    pub device: String,
    /// Nodes of this host, a bit each.
    pub here: u64,
    /// Number of this host.
    pub host: u32,
    /// `closed` between two lives, `hello`, `syncing`, `open`.
    pub state: String,
    /// Why it is not open, at most [`MOST_TROUBLE`] characters.
    pub trouble: Option<String>,
    /// Name of the other agent's cluster, as it says, while it is there.
    pub peer: Option<String>,
    /// How often another agent was met.
    pub lives: u64,
    /// Bytes of the window.
    pub window: u64,
    /// What offsets and lengths in it are multiples of, in bytes.
    pub granule: u64,
    /// Segments of this host that the other one reaches, those that it reads and writes counted twice.
    pub slots: u32,
    /// Segments of the other host that are known here.
    pub mirrors: u32,
    /// Those of them that this host's window has no room for.
    pub mirrors_too_large: u32,
    /// Segments of this host that are published to nodes of the other, whose window has no room for them.
    pub exports_too_large: u32,
    /// Connections of this host to the other.
    pub imports: u32,
    /// Connections of the other host to this one.
    pub exports: u32,
    /// What the agent did over the bridge.
    pub traffic: Traffic,
}
