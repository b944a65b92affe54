//! What an agent is started with.

use rsm_core::lens::Lens;
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::{Geometry, check_controllers};
use rsm_core::{Code, Error, Result};

/// Settings that an agent is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the cluster.
    pub name: String,
    /// Nodes: ids 1 to this number.
    pub node_count: u32,
    /// Controllers beside loopback; each reaches every node, over links of its own.
    pub controllers: Vec<String>,
    /// Sizes of the registry's tables.
    pub geometry: Geometry,
    /// Whether this process exists for the agent: its descriptor limit may be raised, and it becomes non-dumpable, so that
    /// another process of the same user cannot write its memory through /proc.
    pub dedicated: bool,
    /// Users other than the agent's own and root that may connect without a node's key: look, steer, be given keys.
    pub allow_uids: Vec<u32>,
    /// Groups likewise.
    pub allow_gids: Vec<u32>,
    /// Nodes of this host, where the others are on another one.
    pub here: Option<Nodes>,
    /// Name of the bridge to that: `local:NAME`.
    pub bridge: Option<String>,
    /// What the cluster shows beside what it is.
    pub lens: Option<Lens>,
}

impl Config {
    /// A cluster of `node_count` nodes, everything else as usual.
    pub fn new(name: &str, node_count: u32) -> Config {
        Config {
            name: name.to_owned(),
            node_count,
            controllers: vec!["shm0".to_owned()],
            geometry: Geometry::default(),
            dedicated: false,
            allow_uids: Vec::new(),
            allow_gids: Vec::new(),
            here: None,
            bridge: None,
            lens: None,
        }
    }

    /// Checks the numbers and the names of controllers.
    ///
    /// # Errors
    /// BAD_LENGTH, naming the number that is wrong; BAD_CONF, naming the controller.
    pub fn check(&self) -> Result<()> {
        self.geometry.check()?;
        check_controllers(&self.controllers, self.geometry.controllers as usize - 1)?;
        let most = self.geometry.nodes - 1;
        if !(1..=most).contains(&self.node_count) {
            return Err(Error::with(
                Code::BadLength,
                format!("a cluster of {} nodes is not possible: 1 to {most}", self.node_count),
            ));
        }
        let all = Nodes::up_to(self.node_count);
        let here = self.here.unwrap_or(all);
        let outside = here.minus(all);
        if here.is_empty() || !outside.is_empty() {
            let text = format!("nodes of this host are {here}, the cluster has {all}: give some of these");
            return Err(Error::with(Code::BadConf, text));
        }
        if self.bridge.is_some() != (here != all) {
            let text =
                format!("this host has nodes {here} of {all}: a bridge is needed for the others, and only for others");
            return Err(Error::with(Code::BadConf, text));
        }
        Ok(())
    }
}
