//! What a script can do.

use rsm::steer::{Links, Steering};
use rsm::{Result, SegmentId};
use rsm_core::message::NodeSignal;
use rsm_core::registry::LinkChange;
use std::fmt;

/// Something to do, which takes one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Link(LinkChange, Links),
    Node(NodeSignal, u32),
    /// What whoever runs the processes of nodes does.
    Restart(u32),
    Revoke(u32, SegmentId),
    Say(String),
}

impl Action {
    /// Does it, `restart` what only whoever runs the nodes can do; what came of it, in words, if that is worth some.
    pub(super) fn perform(
        &self,
        steering: &Steering,
        restart: impl FnOnce(u32) -> Result<u32>,
    ) -> Result<Option<String>> {
        let imports = |count: u32| Some(format!("{} aborted", counted(count, "import", "imports")));
        let processes = |count: u32| Some(counted(count, "process", "processes"));
        match self {
            Action::Link(change, links) => {
                let aborted = steering.set_links(links, *change)?;
                Ok(if *change == LinkChange::Down { imports(aborted) } else { None })
            }
            Action::Node(signal, node) => steering.signal(*node, *signal).map(processes),
            Action::Restart(node) => restart(*node).map(processes),
            Action::Revoke(node, id) => steering.revoke_segment(*node, *id).map(imports),
            Action::Say(_) => Ok(None),
        }
    }

    /// The nodes it names.
    pub(super) fn nodes(&self) -> Vec<u32> {
        match self {
            Action::Link(_, links) => <[u32; 2]>::from(links.ends()).to_vec(),
            Action::Node(_, node) | Action::Restart(node) | Action::Revoke(node, _) => vec![*node],
            Action::Say(_) => Vec::new(),
        }
    }

    /// The controller it names.
    pub(super) fn controller(&self) -> Option<&str> {
        if let Action::Link(_, links) = self { links.controller() } else { None }
    }
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// As it is written in a script; of `say`, the text.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Link(change, links) => {
                let verb = match change {
                    LinkChange::Down => "down",
                    LinkChange::Up => "up",
                    LinkChange::Error => "error",
                };
                write!(f, "link {verb} {links}")
            }
            Action::Node(signal, node) => {
                let verb = match signal {
                    NodeSignal::Kill => "kill",
                    NodeSignal::Stop => "stop",
                    NodeSignal::Cont => "cont",
                };
                write!(f, "node {verb} {node}")
            }
            Action::Restart(node) => write!(f, "node restart {node}"),
            Action::Revoke(node, id) => write!(f, "segment revoke {node} {id}"),
            Action::Say(text) => write!(f, "{text}"),
        }
    }
}
