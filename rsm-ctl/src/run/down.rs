//! `rsm-ctl down`: ends a cluster and everything that runs in it.

use clap::Args;
use rsm_run::keeper;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// What `down` can be told.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// The cluster to end, another user's as rsm:UID:NAME; needed when several run and $RSM_CLUSTER names none
    name: Option<String>,
}

/// Has the cluster ended; returns when nothing of it is left.
pub(crate) fn perform(args: &DownArgs) -> Result<ExitCode, Failure> {
    let name = keeper::end(args.name.as_deref())?;
    print::answer(&format!("cluster {name} has ended\n"))
}
