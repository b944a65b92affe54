//! `neighbours`: every rank hands its right neighbour a number, puts one into its memory, and learns the sum of all. What of MPI
//! and OpenSHMEM that is, `docs/from-mpi.md` says; `neighbours.c` is the same with OpenSHMEM, `neighbours.py` in Python.
//!
//! ```text
//! rsm-ctl run -n 4 --example neighbours
//! ```

use rsm::{Controller, Result};
use rsm_team::Team;
use std::time::Duration;

/// The word that says that the left neighbour has put.
const ARRIVED: usize = 0;

fn main() -> Result<()> {
    let team = Team::join(&Controller::open("shm0")?, Duration::from_secs(60))?;
    let (rank, size) = (team.rank(), team.size());
    let (left, right) = ((rank + size - 1) % size, (rank + 1) % size);

    // A message: MPI_Sendrecv.
    team.send(right, &(rank as u64).to_ne_bytes(), None)?;
    let told = team.receive(left, None)?;
    let told = u64::from_ne_bytes(told.try_into().expect("a word"));

    // Into the neighbour's memory, and a word that says so: MPI_Put and a flush, shmem_put_signal.
    let halo = team.share(65536)?;
    team.put_signal(&halo, right, 0, &(10 * rank as u64).to_ne_bytes(), ARRIVED)?;
    team.wait_until(ARRIVED, |times| times == 1, None)?;
    let put = halo.memory().read_volatile_u64(0)?;

    // MPI_Allreduce, shmem_sum_reduce.
    let sum = team.all_reduce(&[told + put], |a, b| a + b)?[0];
    println!("rank {rank} of {size}: {told} and {put} from rank {left}, {sum} in all");
    halo.close()?;
    team.leave()
}
