//! What an observer may ask, to disturb a cluster.

use super::Membership;
use super::control::unexpected;
use rsm_core::message::{Answer, Ask, NodeSignal, Secret};
use rsm_core::registry::{ControllerKind, LinkChange};
use rsm_core::{Code, Error, Result};

impl Membership {
    /// The index of a controller.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT, naming the controllers that there are.
    pub fn controller(&self, name: &str) -> Result<u32> {
        let registry = self.registry();
        registry.controller(name).ok_or_else(|| {
            let known: Vec<String> =
                registry.controllers.iter().filter(|c| c.kind().is_some()).map(|c| c.name()).collect();
            let text = format!("there is no controller {name:?}; there are: {}", known.join(", "));
            Error::with(Code::CtlrNotPresent, text)
        })
    }

    /// The controllers that reach other nodes, by index.
    pub fn shared_controllers(&self) -> Vec<u32> {
        let rows = (0..).zip(self.registry().controllers);
        rows.filter(|(_, row)| row.kind() == Some(ControllerKind::Shared)).map(|(index, _)| index).collect()
    }

    /// Changes a link; returns how many imports were cut.
    ///
    /// # Errors
    /// PERM_DENIED for a process of a node; CTLR_NOT_PRESENT; REMOTE_NODE_UNREACHABLE where there is no such link.
    pub fn set_link(&self, controller: u32, from: u32, to: u32, both: bool, change: LinkChange) -> Result<u32> {
        self.affect(Ask::SetLink { controller, from, to, both, change })
    }

    /// Signals the processes of a node; returns how many.
    ///
    /// # Errors
    /// PERM_DENIED for a process of a node, and where the agent itself may not; REMOTE_NODE_UNREACHABLE when the node
    /// does not exist or has no processes.
    pub fn signal_node(&self, node: u32, signal: NodeSignal) -> Result<u32> {
        self.affect(Ask::SignalNode { node, signal })
    }

    /// Withdraws a segment against its exporter; returns how many imports were cut.
    ///
    /// # Errors
    /// PERM_DENIED for a process of a node; SEG_NOT_PUBLISHED; REMOTE_NODE_UNREACHABLE for a node that does not exist.
    pub fn revoke(&self, node: u32, id: u32) -> Result<u32> {
        self.affect(Ask::Revoke { node, id })
    }

    /// The key of a node.
    ///
    /// # Errors
    /// PERM_DENIED for a process of a node; REMOTE_NODE_UNREACHABLE for a node that does not exist.
    pub fn node_key(&self, node: u32) -> Result<Secret> {
        match self.ask(Ask::NodeKey { node })? {
            (Answer::Key { key }, _) => Ok(key),
            (other, _) => Err(unexpected(&other)),
        }
    }

    fn affect(&self, ask: Ask) -> Result<u32> {
        match self.ask(ask)? {
            (Answer::Affected { count }, _) => Ok(count),
            (other, _) => Err(unexpected(&other)),
        }
    }
}
