//! The membership of a process that did not choose one: from its environment, or a private cluster of one node.

use super::{Membership, fork, join};
use crate::address::{
    Address, ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_KEY, random_secret, secret_from_text, secret_to_text,
};
use crate::agent::{AgentHandle, Config};
use rsm_core::crash_point;
use rsm_core::message::Claim;
use rsm_core::{Code, Error, Result};
use std::sync::{Arc, Mutex};

/// Locked only under [`fork::hold`], so that no child inherits it in the hands of another thread.
static DEFAULT: Mutex<Option<Default>> = Mutex::new(None);

struct Default {
    membership: Arc<Membership>,
    /// That of a private cluster, which is never ended: members may come and go until the process ends.
    _agent: Option<AgentHandle>,
}

/// The process's membership; joined, and if need be with its own cluster, at the first call.
///
/// # Errors
/// CTLR_NOT_PRESENT when the environment names a cluster that does not run, or is incomplete.
pub fn membership() -> Result<Arc<Membership>> {
    let hold = fork::hold();
    let mut default = super::lock(&DEFAULT);
    if let Some(Default { membership, .. }) = &*default {
        return Ok(Arc::clone(membership));
    }
    let (address, claim, agent) = match std::env::var(ENV_CLUSTER) {
        Ok(text) => (text.parse()?, claim_from_environment()?, None),
        Err(_) => private_cluster()?,
    };
    let shared = join::join(&hold, &address, Some(claim))?;
    fork::enlist(&hold, &shared);
    let membership = Arc::new(Membership { shared });
    *default = Some(Default { membership: Arc::clone(&membership), _agent: agent });
    Ok(membership)
}

fn claim_from_environment() -> Result<Claim> {
    let read = |name: &str| {
        std::env::var(name).map_err(|_| {
            let text = format!("{ENV_CLUSTER} is set, but {name} is not: start the program with rsm-ctl run");
            Error::with(Code::CtlrNotPresent, text)
        })
    };
    let bad = |name: &str, text: &str| Error::with(Code::CtlrNotPresent, format!("{name}={text:?} cannot be read"));
    let (id, key) = (read(ENV_NODE_ID)?, read(ENV_NODE_KEY)?);
    let node = id.parse().map_err(|_| bad(ENV_NODE_ID, &id))?;
    let key = secret_from_text(&key).ok_or_else(|| bad(ENV_NODE_KEY, &key))?;
    Ok(Claim { node, key })
}

/// A cluster of one node with its agent in this process (D-88). It ends with the process.
fn private_cluster() -> Result<(Address, Claim, Option<AgentHandle>)> {
    let random = secret_to_text(&random_secret()?);
    let name = format!("private-{}-{}", std::process::id(), &random[..8]);
    let agent = AgentHandle::start(&Config::new(&name, 1))?;
    crash_point!(PrivateStarted);
    let key = *agent.key(1).ok_or(Error::new(Code::InternalError))?;
    let address = agent.address().clone();
    Ok((address, Claim { node: 1, key }, Some(agent)))
}
