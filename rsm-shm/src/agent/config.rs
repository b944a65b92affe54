//! What an agent is started with.

use super::far::{Opener, patience};
use rsm_core::lens::Lens;
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::{Geometry, check_controllers};
use rsm_core::{Code, Error, Result};
use std::time::Duration;

/// The way to the other host of a cluster of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Controller that reaches it, one of the cluster's or one more.
    pub controller: String,
    /// What joins the two: `local:NAME`, or what the [opener](Config::opener) knows.
    pub device: String,
}

impl Bridge {
    /// Reads `CONTROLLER=DEVICE`.
    ///
    /// # Errors
    /// BAD_CONF, with what may be given.
    pub fn parse(text: &str) -> Result<Bridge> {
        let bad = || {
            let text = format!("{text:?} is no bridge: give a controller and a device, such as ntb0=local:NAME");
            Error::with(Code::BadConf, text)
        };
        let (controller, device) = text.split_once('=').ok_or_else(bad)?;
        Ok(Bridge { controller: controller.to_owned(), device: device.to_owned() })
    }
}

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
    /// The bridge to that.
    pub bridge: Option<Bridge>,
    /// What opens bridges but those of one machine.
    pub opener: Option<Opener>,
    /// How long the other host is waited for; [`PATIENCE`](patience::PATIENCE), where nobody says otherwise.
    pub patience: Duration,
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
            opener: None,
            patience: patience::PATIENCE,
            lens: None,
        }
    }

    /// Names of all controllers beside loopback, that of the bridge included.
    pub(super) fn all_controllers(&self) -> Vec<String> {
        let mut names = self.controllers.clone();
        let more = self.bridge.as_ref().map(|bridge| &bridge.controller);
        names.extend(more.filter(|more| !names.iter().any(|name| name.eq_ignore_ascii_case(more))).cloned());
        names
    }

    /// Index of the bridge's controller.
    pub(super) fn bridge_controller(&self) -> Option<u32> {
        let bridge = self.bridge.as_ref()?;
        let at = self.all_controllers().iter().position(|name| name.eq_ignore_ascii_case(&bridge.controller))?;
        u32::try_from(at + 1).ok()
    }

    /// Checks the numbers and the names of controllers.
    ///
    /// # Errors
    /// BAD_LENGTH, naming the number that is wrong; BAD_CONF, naming the controller.
    pub fn check(&self) -> Result<()> {
        self.geometry.check()?;
        check_controllers(&self.all_controllers(), self.geometry.controllers as usize - 1)?;
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
        if self.bridge.is_some() && self.lens.is_some_and(|lens| !lens.only_watches()) {
            let text = "a lens shows memory of one host: it cannot be had together with a bridge to another one";
            return Err(Error::with(Code::BadConf, text));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_told() {
        let two = |here: &[u32], bridge: Option<&str>| {
            let here = Some(here.iter().copied().collect());
            let bridge = bridge.map(|text| Bridge::parse(text).unwrap());
            Config { here, bridge, ..Config::new("two", 4) }
        };
        let error = |config: &Config| config.check().unwrap_err().to_string();
        two(&[1, 2], Some("ntb0=local:a")).check().unwrap();
        assert!(error(&two(&[1, 2], None)).contains("a bridge is needed"));
        assert!(error(&two(&[1, 2, 3, 4], Some("ntb0=local:a"))).contains("only for others"));
        assert!(error(&two(&[4, 5], Some("ntb0=local:a"))).contains("nodes of this host are 4-5"));
        assert!(error(&two(&[], Some("ntb0=local:a"))).contains("give some of these"));
        assert!(error(&two(&[1], Some("7=local:a"))).contains("is no controller name"));
        assert!(Bridge::parse("local:a").unwrap_err().to_string().contains("ntb0=local:NAME"));
        let lens = Config { lens: Some(Lens::chaos(1)), ..two(&[1, 2], Some("ntb0=local:a")) };
        assert!(error(&lens).contains("a lens shows memory of one host"));
    }

    #[test]
    fn the_bridge_has_a_controller() {
        let config = Config { bridge: Some(Bridge::parse("ntb0=local:a").unwrap()), ..Config::new("two", 2) };
        assert_eq!(
            (config.all_controllers(), config.bridge_controller()),
            (vec!["shm0".into(), "ntb0".into()], Some(2))
        );
        let config = Config { bridge: Some(Bridge::parse("SHM0=local:a").unwrap()), ..Config::new("two", 2) };
        assert_eq!((config.all_controllers(), config.bridge_controller()), (vec!["shm0".to_owned()], Some(1)));
        assert_eq!(Config::new("one", 2).bridge_controller(), None);
    }
}
