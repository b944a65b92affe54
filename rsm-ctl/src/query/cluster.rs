//! The cluster that is looked at.

use rsm::observe::Observer;

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Looks at the cluster of this name, or at the only one.
pub(crate) fn attach(name: Option<&str>) -> Result<Observer, Failure> {
    Observer::attach(name).map_err(Failure::from)
}

/// The failure of going on with a cluster that has ended.
pub(crate) fn ended(observer: &Observer, name: &str) -> Failure {
    let how = if observer.ended_in_order() { "has ended" } else { "has ended: its agent was killed" };
    Failure { code: ExitCode::ClusterEnded, message: format!("the cluster {name:?} {how}") }
}
