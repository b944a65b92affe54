//! What a PE knows: itself, the others, its memory.
//!
//! Records, which know nothing of the job that they are in; what is done with them is beside this folder.
//!
//! | file | what |
//! |---|---|
//! | [`peer`] | a PE, as this one reaches it |
//! | [`target`] | the same through a context: what was put there since the last `shmem_quiet` |
//! | [`context`], [`ctx`] | contexts, their handles |
//! | [`team`] | teams |
//! | [`blocks`] | what of the heap is given out |
//! | [`held`] | distributed locks that this PE has or waits for |
//! | [`sleepers`] | what its threads sleep for |

pub(crate) mod blocks;
pub(crate) mod context;
pub(crate) mod ctx;
pub(crate) mod held;
pub(crate) mod peer;
pub(crate) mod sleepers;
pub(crate) mod target;
pub(crate) mod team;

use crate::region::Region;
use crate::settings::Settings;
use crate::spin::Spinning;
use crate::{Call, control::Control, end};
use blocks::Blocks;
use context::Context;
use held::Held;
use peer::Peer;
use rsm_shm::membership::segment::Segment;
use sleepers::Sleepers;
use std::sync::{Arc, Mutex, OnceLock};
use team::Team;

/// A PE's view of the job. There is one in a process, to its end.
pub(crate) struct Job {
    pub(crate) me: usize,
    pub(crate) regions: [Region; 2],
    pub(crate) peers: Box<[Peer]>,
    /// SHMEM_CTX_DEFAULT.
    pub(crate) default: Context,
    pub(crate) contexts: context::Table,
    pub(crate) world: Arc<Team>,
    pub(crate) teams: team::Table,
    pub(crate) heap: Mutex<Blocks>,
    pub(crate) locks: Held,
    pub(crate) sleepers: Sleepers,
    pub(crate) spinning: Spinning,
    /// Whether the cluster has a lens: what is put, ordered and told goes by where it is seen.
    pub(crate) is_lensed: bool,
    /// Whether every close has to be made, though no span is seen open: stores may be late, or somebody who looks for races has
    /// to hear that they have arrived.
    pub(crate) closes_all: bool,
    /// Whether races are looked for, and the program tells all that it does with memory: then what the library does for it is told, too.
    pub(crate) tells: bool,
    pub(crate) settings: Settings,
    /// What this PE exports: withdrawn if it were dropped.
    pub(crate) _exports: Vec<Segment>,
}

/// Set by `shmem_init`, and never again.
static JOB: OnceLock<Job> = OnceLock::new();

impl Job {
    /// The words of this PE that the library uses.
    pub(crate) fn control(&self) -> &'static Control {
        self.peers[self.me].control
    }

    /// Number of PEs.
    pub(crate) fn count(&self) -> usize {
        self.peers.len()
    }
}

/// The job; ends it where there is none.
#[inline(always)]
pub(crate) fn job(call: &'static Call) -> &'static Job {
    match JOB.get() {
        Some(job) => job,
        None => absent(call),
    }
}

// A C function, which never unwinds, so that it is jumped to and callers keep no frame for it; so with the other cold parts of
// transfers.
#[cold]
#[inline(never)]
extern "C" fn absent(call: &'static Call) -> ! {
    end::fail(call, "the library is not set up: shmem_init, or shmem_init_thread, comes first")
}

/// The job, if there is one.
#[inline(always)]
pub(crate) fn current() -> Option<&'static Job> {
    JOB.get()
}

/// Enters the job, made by the only thread that makes one.
pub(crate) fn enter(job: Job) -> &'static Job {
    JOB.get_or_init(|| job)
}
