//! librsm_shmem: OpenSHMEM 1.5 on rsm. `install.sh` builds it.
//!
//! A PE is a process of a node of its own. Each exports its symmetric heap and the program's global variables where they lie,
//! and imports those of the others; what is put is stored to their memory, and a verdict of rsm says at `shmem_quiet` whether
//! it has arrived. In a cluster with a lens everything that is put goes through rsm's door, late and out of order.
//!
//! What functions there are stands in one table (`table/` beside `src/`), of which the build makes the exported functions,
//! `shmem.h` and the manual. An exported function turns pointers into `Local` (promised memory) and `Sym` (an address to look
//! up) and calls the core, which says what is wrong with them and ends the job.
//!
//! | file | what |
//! |---|---|
//! | `exports` | the functions, generated |
//! | `setup`, `settings` | begin and end of the library, what the environment says |
//! | `job` | what a PE knows: itself, the others, its memory; contexts, teams, what is slept for |
//! | `launch`, `image`, `arena` | joining; where global variables lie; addresses for the heap |
//! | `control` | words of each PE that the library itself uses, before its heap |
//! | `place`, `local` | memory of a PE, checked; memory of the caller, promised |
//! | `region`, `symmetric`, `context`, `contexts` | where an address lies; what a handle is, how contexts come and go |
//! | `rma`, `amo`, `signal`, `order` | transfers, and when they have arrived |
//! | `wait`, `spin`, `point` | waiting: what is looked at, for how long one spins, how one sleeps, who has died |
//! | `team`, `split`, `group`, `exchange`, `collective`, `active`, `folding` | teams, how they come and go, and what is done together |
//! | `heap`, `lock` | the symmetric heap, distributed locks |
//! | `told` | what the race detector is told of words of the library's own |
//! | `end`, `exit` | the end of a PE, and by that of the job; the end that one orders for all |
#![allow(unreachable_pub)] // exported by name, not by path

mod active;
mod amo;
mod arena;
mod collective;
mod context;
mod contexts;
mod control;
mod end;
mod exchange;
mod exit;
mod exports;
mod folding;
mod group;
mod heap;
mod image;
mod job;
mod kept;
mod launch;
mod local;
mod lock;
mod long_double;
mod mutex;
mod order;
mod place;
mod point;
mod region;
mod rma;
mod scalar;
mod settings;
mod setup;
mod signal;
mod spin;
mod split;
mod symmetric;
mod team;
mod told;
mod wait;

/// The function that the program called, for what is said of it.
pub(crate) struct Call(&'static str);

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}
