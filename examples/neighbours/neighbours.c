/*
 * neighbours: every PE puts two numbers into its right neighbour's memory, and learns the sum of all. What of MPI and of rsm
 * that is, docs/from-mpi.md says; neighbours.rs is the same with rsm-team in Rust, neighbours.py in Python.
 *
 *     oshcc -o neighbours neighbours.c && oshrun -n 4 ./neighbours
 */
#include <shmem.h>
#include <stdio.h>

/* Symmetric: every PE has them, and reaches those of the others. */
static long told, put, own, sum;
static uint64_t arrived;

int main(void)
{
    shmem_init();
    const int pe = shmem_my_pe(), size = shmem_n_pes();
    const int left = (pe + size - 1) % size, right = (pe + 1) % size;

    /* OpenSHMEM has no messages: a put is one when the other side waits for it. */
    shmem_long_p(&told, pe, right);
    shmem_fence();

    /* Into the neighbour's memory, and a word that says so. What was put before the fence comes before it. */
    const long number = 10 * pe;
    shmem_long_put_signal(&put, &number, 1, &arrived, 1, SHMEM_SIGNAL_ADD, right);
    shmem_signal_wait_until(&arrived, SHMEM_CMP_EQ, 1);

    own = told + put;
    shmem_long_sum_reduce(SHMEM_TEAM_WORLD, &sum, &own, 1);
    printf("rank %d of %d: %ld and %ld from rank %d, %ld in all\n", pe, size, told, put, left, sum);
    shmem_finalize();
    return 0;
}
