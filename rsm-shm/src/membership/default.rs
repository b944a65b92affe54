//! The membership of a process that did not choose one: from its environment, or a private cluster of one node.

use super::{Membership, fork};
use crate::address::{
    Address, ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_KEY, random_secret, secret_from_text, secret_to_text,
};
use crate::agent::{AgentHandle, Config};
use crate::rights;
use rsm_core::crash_point;
use rsm_core::message::Claim;
use rsm_core::sync::Ordering::Release;
use rsm_core::sync::{AtomicU32, acquire32};
use rsm_core::{Code, Error, Result};
use std::sync::{Arc, Mutex};

/// The membership, and the process that is just joining, by [`fork::count`].
struct Default {
    membership: Option<Arc<Membership>>,
    joining: Option<u32>,
}

/// Locked only under [`fork::hold`], so that no child inherits it in the hands of another thread.
static DEFAULT: Mutex<Default> = Mutex::new(Default { membership: None, joining: None });
/// That of a private cluster, which is never ended: members may come and go until the process ends. Locked likewise.
static AGENTS: Mutex<Vec<AgentHandle>> = Mutex::new(Vec::new());
/// Steps when a thread has joined, or could not.
static TURNS: AtomicU32 = AtomicU32::new(0);

/// The process's membership; joined, and if need be with its own cluster, at the first call.
///
/// # Errors
/// CTLR_NOT_PRESENT when the environment names a cluster that does not run, is incomplete, or is not to be believed
/// ([`rights::believe_environment`]).
pub fn membership() -> Result<Arc<Membership>> {
    fork::check()?;
    // The other threads wait for the first, which holds nothing that a fork waits for.
    loop {
        let turn = acquire32(&TURNS);
        {
            let _hold = fork::hold();
            let mut default = super::lock(&DEFAULT);
            if let Some(membership) = &default.membership {
                return Ok(Arc::clone(membership));
            }
            // A thread that joins in the parent does not in the child.
            if default.joining != Some(fork::count()) {
                default.joining = Some(fork::count());
                break;
            }
        }
        crate::futex::sleep(&TURNS, turn, None);
    }
    let turn = Turn;
    let membership = join()?;
    {
        let _hold = fork::hold();
        super::lock(&DEFAULT).membership = Some(Arc::clone(&membership));
    }
    drop(turn);
    Ok(membership)
}

/// The turn of the thread that joins; with its end the others look.
struct Turn;

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let _hold = fork::hold();
            super::lock(&DEFAULT).joining = None;
        }
        // Release: pairs with the acquire of who waits, who then finds the membership or takes the turn.
        TURNS.fetch_add(1, Release);
        crate::futex::wake(&TURNS, i32::MAX);
    }
}

fn join() -> Result<Arc<Membership>> {
    fork::check_alone()?;
    let (address, claim, agent) = match cluster_from_environment()? {
        Some(address) => (address, claim_from_environment()?, None),
        None => {
            // No child inherits descriptors that are on their way into the agent's table.
            let _hold = fork::hold();
            private_cluster()?
        }
    };
    let membership = Membership::join(&address, Some(claim))?;
    // A private cluster is never ended: members may come and go until the process ends.
    if let Some(mut agent) = agent {
        agent.never_end();
        let _hold = fork::hold();
        super::lock(&AGENTS).push(agent);
    }
    Ok(membership)
}

/// The cluster that the environment names, if it names one.
///
/// # Errors
/// CTLR_NOT_PRESENT when what it names is no address, or it is not to be believed.
fn cluster_from_environment() -> Result<Option<Address>> {
    match std::env::var_os(ENV_CLUSTER) {
        None => Ok(None),
        Some(text) => {
            rights::believe_environment(ENV_CLUSTER)?;
            text.to_string_lossy().parse().map(Some)
        }
    }
}

fn claim_from_environment() -> Result<Claim> {
    let read = |name: &str| {
        std::env::var(name).map_err(|_| {
            let text = format!("{ENV_CLUSTER} is set, but {name} is not: start the program with rsm-ctl run");
            Error::with(Code::CtlrNotPresent, text)
        })
    };
    let bad = |text: String| Error::with(Code::CtlrNotPresent, text);
    let (id, key) = (read(ENV_NODE_ID)?, read(ENV_NODE_KEY)?);
    let node = id.parse().map_err(|_| bad(format!("{ENV_NODE_ID}={id:?} cannot be read")))?;
    // Not shown: most of it may be right, and what is printed is kept in logs.
    let unreadable =
        || format!("{ENV_NODE_KEY} cannot be read: it has {} characters, not 32 hexadecimal digits", key.len());
    let key = secret_from_text(&key).ok_or_else(|| bad(unreadable()))?;
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
