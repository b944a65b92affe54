//! Variables for the environment of nodes, as `--env` takes them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rsm::run::{ENV_CLUSTER, ENV_NODE_COUNT, ENV_NODE_ID, ENV_NODE_KEY, ENV_RUN};

use crate::node_set::NodeSet;

/// Variables that make a program a process of a node, and of a run.
const OURS: [&str; 5] = [ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_COUNT, ENV_NODE_KEY, ENV_RUN];

/// A variable of some nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Those whose processes have it.
    pub nodes: NodeSet,
    /// Of the variable.
    pub name: OsString,
    /// Any bytes but 0.
    pub value: OsString,
}

/// Reads `NAME=VALUE`, or `NODES:NAME=VALUE`. Names of variables have no colon, so it is clear which.
pub fn parse(word: &OsStr) -> Result<Setting, String> {
    let bytes = word.as_bytes();
    let equals = bytes.iter().position(|&byte| byte == b'=');
    let Some(equals) = equals else { return Err("write NAME=VALUE, or 2:NAME=VALUE for node 2 only".into()) };
    let (name, value) = (&bytes[..equals], &bytes[equals + 1..]);
    let (nodes, name) = match name.iter().position(|&byte| byte == b':') {
        None => (NodeSet::All, name),
        Some(colon) => {
            let nodes = String::from_utf8_lossy(&name[..colon]);
            (NodeSet::parse(&nodes)?, &name[colon + 1..])
        }
    };
    let name = OsString::from_vec(name.to_vec());
    check_name(&name)?;
    Ok(Setting { nodes, name, value: OsString::from_vec(value.to_vec()) })
}

/// Whether a variable may have this name here.
pub fn check_name(name: &OsStr) -> Result<(), String> {
    if name.is_empty() || name.as_bytes().iter().any(|byte| b"=:\0".contains(byte)) {
        return Err(format!("{name:?} is no name of a variable"));
    }
    if OURS.iter().any(|ours| name == *ours) {
        return Err(format!("{} is set by rsm-ctl itself", name.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_all_and_for_some() {
        let setting = parse(OsStr::new("A=b=c:d")).unwrap();
        assert_eq!((setting.nodes, setting.name, setting.value), (NodeSet::All, "A".into(), "b=c:d".into()));
        let setting = parse(OsStr::new("2-3:A=")).unwrap();
        assert_eq!((setting.nodes, setting.value), (NodeSet::parse("2-3").unwrap(), "".into()));
    }

    #[test]
    fn refusals() {
        for text in ["A", "=b", "2:=b", "x:A=b", "RSM_NODE_ID=3", "2:RSM_CLUSTER=x", "RSM_RUN=x", ""] {
            assert!(parse(OsStr::new(text)).is_err(), "{text}");
        }
    }
}
