"""Every rank hands its right neighbour a number, puts one into its memory, and learns the sum of all.

    python -m rsmapi.run -n 4 examples/neighbours.py

What of MPI and OpenSHMEM that is, docs/from-mpi.md says; neighbours.rs is the same with rsm-team in Rust, neighbours.c with
OpenSHMEM.
"""

import rsmapi

ARRIVED = 0  # the word that says that the left neighbour has put


def main() -> None:
    with rsmapi.Team.join() as team:
        rank, size = team.rank, team.size
        left, right = (rank - 1) % size, (rank + 1) % size

        # A message: MPI_Sendrecv.
        team.send(right, rank.to_bytes(8, "little"))
        told = int.from_bytes(team.receive(left), "little")

        # Into the neighbour's memory, and a word that says so: MPI_Put and a flush, shmem_put_signal.
        with team.share(65536) as halo:
            team.put_signal(halo, right, 0, (10 * rank).to_bytes(8, "little"), ARRIVED)
            team.wait_until(ARRIVED, lambda times: times == 1)
            put = halo.memory.load_u64(0)

            # MPI_Allreduce, shmem_sum_reduce.
            total = team.all_reduce(told + put)
            print(f"rank {rank} of {size}: {told} and {put} from rank {left}, {total} in all")


if __name__ == "__main__":
    main()
