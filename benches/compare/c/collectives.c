/*
 * What collective operations cost, for any OpenSHMEM of 1.4 or later and any number of PEs:
 *
 *     oshcc -O2 -o collectives collectives.c && oshrun -n 8 ./collectives [MILLISECONDS]
 *
 * Each operation is done in batches for about so long (200); shown is the median of the batches, as PE 0 sees it, and the shortest.
 */
#include <shmem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LONG = 8192, BATCHES = 41 };

static long syncs[2][SHMEM_ALLTOALL_SYNC_SIZE > SHMEM_REDUCE_SYNC_SIZE ? SHMEM_ALLTOALL_SYNC_SIZE : SHMEM_REDUCE_SYNC_SIZE];
static long syncs_of_broadcast[2][SHMEM_BCAST_SYNC_SIZE], syncs_of_collect[2][SHMEM_COLLECT_SYNC_SIZE];
static long work[LONG / 2 + 1 > SHMEM_REDUCE_MIN_WRKDATA_SIZE ? LONG / 2 + 1 : SHMEM_REDUCE_MIN_WRKDATA_SIZE];
static long from[LONG], to[LONG * 2], rounds;
static int me, n, turn;

static void barrier(int count) { (void)count; shmem_barrier_all(); }
static void sync(int count) { (void)count; shmem_sync_all(); }
/* Two pSync arrays in turns, as the standard has it. */
static void broadcast(int count) { shmem_broadcast64(to, from, (size_t)count, 0, 0, 0, n, syncs_of_broadcast[turn]); }
static void sum(int count) { shmem_long_sum_to_all(to, from, count, 0, 0, n, work, syncs[turn]); }
static void collect(int count) { shmem_fcollect64(to, from, (size_t)count, 0, 0, n, syncs_of_collect[turn]); }
static void exchange(int count) { shmem_alltoall64(to, from, (size_t)count, 0, 0, n, syncs[turn]); }

static const struct operation {
    const char *name;
    void (*run)(int);
    int count; /* of 8 bytes */
} operations[] = {
    {"barrier", barrier, 0},        {"sync", sync, 0},
    {"broadcast", broadcast, 1},    {"broadcast", broadcast, LONG},
    {"sum", sum, 1},                {"sum", sum, LONG},
    {"fcollect", collect, 1},       {"alltoall", exchange, 1},
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A batch; how long each took, in nanoseconds. A broadcast alone lets its root run ahead, so a barrier is part of it. */
static double batch(const struct operation *of, long count) {
    shmem_barrier_all();
    const double began = now();
    for (long i = 0; i < count; i++) {
        of->run(of->count);
        turn ^= 1;
        if (of->run == broadcast) shmem_sync_all();
    }
    return (now() - began) / (double)count;
}

int main(int argc, char **argv) {
    const double budget = (argc > 1 ? atof(argv[1]) : 200) * 1e6;
    shmem_init();
    me = shmem_my_pe();
    n = shmem_n_pes();
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof syncs[k] / sizeof *syncs[k]; i++) syncs[k][i] = SHMEM_SYNC_VALUE;
        for (int i = 0; i < SHMEM_BCAST_SYNC_SIZE; i++) syncs_of_broadcast[k][i] = SHMEM_SYNC_VALUE;
        for (int i = 0; i < SHMEM_COLLECT_SYNC_SIZE; i++) syncs_of_collect[k][i] = SHMEM_SYNC_VALUE;
    }
    for (int i = 0; i < LONG; i++) from[i] = me + i;
    shmem_barrier_all();
    for (size_t k = 0; k < sizeof operations / sizeof *operations; k++) {
        const struct operation *of = &operations[k];
        double took[BATCHES];
        batch(of, 3);
        /* PE 0 says how many make a batch. */
        if (me == 0) {
            rounds = 1;
        }
        const double once = batch(of, 5);
        if (me == 0) rounds = (long)(budget / BATCHES / once) + 1;
        shmem_barrier_all();
        const long count = shmem_long_g(&rounds, 0);
        for (int i = 0; i < BATCHES; i++) took[i] = batch(of, count);
        qsort(took, BATCHES, sizeof *took, ascending);
        if (of->run == sum) {
            long right = 0;
            for (int pe = 0; pe < n; pe++) right += pe + of->count - 1;
            if (to[of->count - 1] != right) fprintf(stderr, "PE %d: a wrong sum\n", me), exit(1);
        }
        if (me == 0) printf("%-10s %7d B %10.0f ns, at least %10.0f\n", of->name, of->count * 8, took[BATCHES / 2], took[0]);
        fflush(stdout);
        shmem_barrier_all();
    }
    shmem_finalize();
    return 0;
}
