//! The run that this process is part of.

use crate::Result;

/// The environment by which a launcher makes programs processes of a node, and of a run.
#[doc(hidden)]
pub use rsm_shm::address::{ENV_CLUSTER, ENV_NODE_COUNT, ENV_NODE_ID, ENV_NODE_KEY};
/// What the control groups of a process allow it.
#[doc(hidden)]
pub use rsm_shm::groups;
/// Limits, which a launcher raises for itself and not for what it starts.
#[doc(hidden)]
pub use rsm_shm::rlimit;
#[doc(hidden)]
pub use rsm_shm::run::ENV_RUN;
/// The launcher's side of [`end_run`].
#[doc(hidden)]
pub use rsm_shm::run::Hearer;

/// Has the run that this process is part of end with an exit code: all that `rsm-ctl run`, `rsm-ctl exec`, `oshrun`, a
/// `Launch` of `rsm-run` or `python -m rsmapi.run` has started together. It returns when the launcher has heard it; the
/// caller should then end, with whatever code.
///
/// The launcher's rules apply as if a process had failed, also with 0 and with `--keep-going`: the others may end by themselves
/// for the grace, are asked by SIGTERM, and are killed after the grace once more. The run ends with `code` however they end,
/// unless something had cut it short before. Any process of the run may call it, a child of a node's, too, and needs no
/// controller for it.
///
/// # Errors
/// CTLR_NOT_PRESENT when no launcher has started this process, or it has gone; PERM_DENIED when this process has become another
/// user's, whom the launcher does not hear: then nobody ends the others, and the caller can only end itself. TIMEOUT when the
/// launcher does not answer within ten seconds; INSUFFICIENT_RESOURCES without a descriptor.
pub fn end_run(code: u8) -> Result<()> {
    rsm_shm::run::end(code)
}
