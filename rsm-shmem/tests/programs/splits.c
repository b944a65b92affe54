/* Two threads of every PE, each of which splits a team of its own again and again. */
#include <pthread.h>
#include <shmem.h>
#include <stdio.h>

static shmem_team_t parents[2];
static long sums[2], ones[2];

static void *splits(void *number) {
    long which = *(const long *)number, count = shmem_n_pes();
    for (int round = 0; round < 100; round++) {
        shmem_team_t made;
        if (shmem_team_split_strided(parents[which], 0, 1, (int)count, NULL, 0, &made)) return "no team";
        if (shmem_team_my_pe(made) != shmem_my_pe()) return "another number";
        ones[which] = which + 1;
        shmem_long_sum_reduce(made, &sums[which], &ones[which], 1);
        if (sums[which] != count * (which + 1)) return "another sum";
        shmem_team_destroy(made);
    }
    return NULL;
}

int main(void) {
    int provided;
    shmem_init_thread(SHMEM_THREAD_MULTIPLE, &provided);
    for (int i = 0; i < 2; i++)
        if (shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 1, shmem_n_pes(), NULL, 0, &parents[i])) return 4;
    pthread_t thread;
    static long numbers[] = {0, 1};
    void *other;
    if (pthread_create(&thread, NULL, splits, &numbers[1])) return 5;
    char *own = splits(&numbers[0]);
    pthread_join(thread, &other);
    if (own) fprintf(stderr, "the first thread: %s\n", own);
    if (other) fprintf(stderr, "the second thread: %s\n", (char *)other);
    shmem_finalize();
    return own || other ? 3 : 0;
}
