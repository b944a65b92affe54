//! Looking at running clusters from outside.
//!
//! An observer maps the registry, which needs no help from the nodes: one that hangs is seen hanging. Only the list of
//! processes comes from the agent. What processes transfer and signal is not in the registry: they tally it, each in
//! memory of its own, while an observer [watches](Observer::activity).
//!
//! ```
//! # fn main() -> rsm::Result<()> {
//! # let cluster = rsm::Cluster::new(2)?;
//! # let name = cluster.name();
//! use rsm::observe::{Observer, Snapshot};
//!
//! let observer = Observer::attach(Some(name))?;
//! let mut before = Snapshot::empty();
//! for _ in 0..2 {
//!     let now = observer.snapshot();
//!     for change in now.changes_since(&before) {
//!         println!("{change:?}");
//!     }
//!     before = now;
//!     # break; // nothing changes in this example
//!     observer.wait(&before, None)?; // until something changes
//! }
//! # Ok(())
//! # }
//! ```

mod activity;
mod change;
mod clusters;
mod glance;
mod look;
mod rows;
mod snapshot;
mod tracing;
mod waits;

pub use activity::{Activity, ProcessActivity};
pub use change::Change;
pub(crate) use clusters::Purpose;
pub use clusters::{ClusterRef, clusters};
pub use glance::look_at;
pub use rows::{BridgeInfo, ClusterInfo, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, ProcessInfo, SegmentInfo};
pub use snapshot::Snapshot;
pub use tracing::{Standing, Tracer};
pub use waits::WaitInfo;

use crate::{Error, Geometry, Result};
use rsm_core::registry::ClusterState;
use rsm_shm::address::{Address, ENV_CLUSTER};
use rsm_shm::membership::Membership;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A look at one cluster.
pub struct Observer {
    membership: Arc<Membership>,
}

impl Observer {
    /// Starts to look at the cluster that [`find`] finds.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is none, or more than one to choose from; PERM_DENIED when its agent refuses;
    /// TIMEOUT when its agent does not answer for 2 s.
    pub fn attach(name: Option<&str>) -> Result<Observer> {
        join(Purpose::Look, name).map(Observer::new)
    }

    pub(crate) fn new(membership: Arc<Membership>) -> Observer {
        Observer { membership }
    }

    /// Whether the cluster has ended.
    pub fn is_gone(&self) -> bool {
        self.membership.is_gone()
    }

    /// Whether the agent ended in order; `false` for one that runs, and for one that was killed.
    pub fn ended_in_order(&self) -> bool {
        self.membership.registry().header.state() == ClusterState::Ended
    }

    /// Whether the process ids that are told of this cluster are those of one's own PID namespace. They are the agent's:
    /// from outside of its container, or from within another one, the same number is another process or none.
    pub fn shares_process_ids(&self) -> bool {
        self.membership.shares_process_ids()
    }

    /// The sizes of the registry's tables.
    pub fn geometry(&self) -> Geometry {
        self.membership.registry().header.geometry()
    }

    /// The processes of all nodes, in the order in which they joined. Asks the agent.
    ///
    /// # Errors
    /// TIMEOUT when the agent does not answer for 2 s, CTLR_NOT_PRESENT when the cluster has ended.
    pub fn processes(&self) -> Result<Vec<ProcessInfo>> {
        Ok(self.membership.processes()?.iter().map(ProcessInfo::from).collect())
    }

    /// The bridge to another host; `None` in a cluster of one host. Asks the agent.
    ///
    /// # Errors
    /// As [`processes`](Self::processes).
    pub fn bridge(&self) -> Result<Option<BridgeInfo>> {
        Ok(self.membership.bridge()?.map(BridgeInfo::from))
    }

    /// Picture of everything at once, as it stood between two changes, unless they follow one another faster than one can look.
    pub fn snapshot(&self) -> Snapshot {
        snapshot::take(self)
    }

    /// Sleeps until the cluster may look different from `seen`, at most for `timeout`; without one, for ever.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED by a signal handler; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn wait(&self, seen: &Snapshot, timeout: Option<Duration>) -> Result<()> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.membership.wait_for_change(seen.changes, deadline)
    }
}

/// The cluster `name`, or with this address; without a name the one that `RSM_CLUSTER` names in the environment, else the
/// only one that runs. One's own come before those of other users. It is not looked at.
///
/// # Errors
/// CTLR_NOT_PRESENT when there is none, or more than one to choose from.
pub fn find(name: Option<&str>) -> Result<ClusterRef> {
    find_for(Purpose::Look, name)
}

pub(crate) fn find_for(purpose: Purpose, name: Option<&str>) -> Result<ClusterRef> {
    let chosen = match (name, std::env::var_os(ENV_CLUSTER)) {
        (Some(name), _) => clusters::choose(clusters()?, Some(name), purpose),
        // What is no text is no name of a cluster either, and found as little.
        (None, Some(text)) => {
            match rsm_shm::rights::believe_environment(ENV_CLUSTER).map(|()| text.to_string_lossy())? {
                // An address that is there or not: whoever attaches is told.
                text if text.starts_with("rsm:") => text.parse(),
                name => clusters::choose(clusters()?, Some(&name), purpose)
                    .map_err(|error| Error::with(error.code(), format!("{ENV_CLUSTER}={name:?}: {}", error.detail()))),
            }
        }
        (None, None) => clusters::choose(clusters()?, None, purpose),
    };
    let address: Address = chosen?;
    Ok(ClusterRef { name: address.name().to_owned(), uid: address.uid() })
}

/// Joins the cluster `name`, or the one in the environment, or the only one that runs.
pub(crate) fn join(purpose: Purpose, name: Option<&str>) -> Result<Arc<Membership>> {
    let cluster = find_for(purpose, name)?;
    Membership::join(&Address::new(&cluster.name, cluster.uid)?, None)
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("cluster", &self.membership.address().name()).finish()
    }
}
