/* Ways in which a PE ends, while the others wait, or work. */
#include <shmem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long word, mutex;
static uint64_t flag;
static int team_word, team_sum;

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    const char *end = argv[1], *meanwhile = argv[2];
    if (!strcmp(end, "start_pes")) {
        start_pes(0);
        shmem_long_p(&word, 1, (shmem_my_pe() + 1) % shmem_n_pes());
        return 0; /* and finalizes */
    }
    shmem_init();
    int me = shmem_my_pe();
    if (me == 1 && !strcmp(meanwhile, "lock")) shmem_set_lock(&mutex);
    shmem_barrier_all();
    if (me == 1) {
        /* The others are at it. */
        while (shmem_long_atomic_fetch(&word, 1) < shmem_n_pes() - 1) usleep(100);
        if (!strcmp(end, "kill")) raise(SIGKILL);
        if (!strcmp(end, "exit")) exit(0);
        if (!strcmp(end, "global_exit")) shmem_global_exit(argc > 3 ? atoi(argv[3]) : 0);
        return 2;
    }
    printf("not flushed by PE %d;", me); /* no end of a line */
    shmem_long_atomic_inc(&word, 1);
    if (!strcmp(meanwhile, "barrier")) shmem_barrier_all();
    if (!strcmp(meanwhile, "wait")) shmem_long_wait_until(&word, SHMEM_CMP_EQ, 1000);
    if (!strcmp(meanwhile, "signal")) shmem_signal_wait_until(&flag, SHMEM_CMP_EQ, 1000);
    if (!strcmp(meanwhile, "lock")) shmem_set_lock(&mutex);
    if (!strcmp(meanwhile, "reduce")) shmem_int_sum_reduce(SHMEM_TEAM_WORLD, &team_sum, &team_word, 1);
    if (!strcmp(meanwhile, "gets"))
        for (;;) shmem_long_g(&word, 1);
    if (!strcmp(meanwhile, "puts"))
        for (;;) shmem_long_p(&word, 1, 1), shmem_quiet();
    if (!strcmp(meanwhile, "atomics"))
        for (;;) shmem_long_atomic_inc(&word, 1);
    if (!strcmp(meanwhile, "work"))
        for (volatile long i = 0;; i++) {}
    if (!strcmp(meanwhile, "sleep"))
        for (;;) pause();
    if (!strcmp(meanwhile, "stopped")) raise(SIGSTOP);
    if (!strcmp(meanwhile, "read")) {
        /* With the lock of a stream. */
        int ends[2];
        char line[8];
        FILE *never = pipe(ends) ? NULL : fdopen(ends[0], "r");
        if (!never || !fgets(line, sizeof line, never)) return 7;
    }
    return 6;
}
