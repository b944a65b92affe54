/* Accesses that nothing orders, and with `good` the same repaired. Three PEs. Where nothing orders them PEs wait for each other
   by files, of which OpenSHMEM knows nothing: so none has been told by what comes later. */
#include <fcntl.h>
#include <shmem.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PES = 3, BLOCK = 4 };
static long result[PES];
static long block[BLOCK];

/* This PE has come to where it is. */
static const char *files;
static void say(int me) {
    char name[4096];
    snprintf(name, sizeof name, "%s-%d", files, me);
    int file = creat(name, 0600);
    if (file < 0)
        perror(name);
    close(file);
}

static void await(int pe) {
    char name[4096];
    snprintf(name, sizeof name, "%s-%d", files, pe);
    while (access(name, F_OK) != 0)
        usleep(1000);
}

/* Each PE tells PE 0 what it has found; all use the first element, or each its own. */
static void gather(int me, int good) {
    long found = me + 1;
    /* PE 0 may have seen what PE 1 puts: until PE 2 has put it tells nobody anything. */
    if (me == 0)
        say(0);
    if (me != 0 && !good)
        await(me - 1);
    if (me != 0) {
        shmem_long_p(&result[good ? me : 0], found, 0);
        say(me);
    }
    if (me != 2 && !good)
        await(2);
}

/* PE 1 takes a block from PE 0, and PE 2 puts the next one there. */
static void take(int me, int good) {
    long mine[BLOCK] = {0};
    if (me == 1)
        shmem_long_get(mine, block, BLOCK, 0);
    if (me == 1 && !good) {
        say(1);
        await(2);
    }
    if (good)
        shmem_barrier_all();
    else if (me == 2)
        await(1);
    if (me == 2) {
        shmem_long_put(block, mine, BLOCK, 0);
        say(2);
    }
}

/* PE 1 fills a block of the heap of PE 0, and PE 2 overwrites it: after a barrier, or one that completes nothing. */
static void fill(int me, int good) {
    long *heap = shmem_calloc(2 * BLOCK, sizeof *heap), mine[BLOCK] = {me, me, me, me};
    if (me == 0)
        printf("%p\n", (void *)&heap[BLOCK]);
    if (me == 1)
        shmem_long_put(&heap[BLOCK], mine, BLOCK, 0);
    if (good)
        shmem_barrier_all();
    else
        shmem_sync_all();
    if (me == 2) {
        shmem_long_put(&heap[BLOCK], mine, BLOCK, 0);
        say(2);
    } else if (me == 1) {
        await(2);
    }
    shmem_free(heap);
}

/* What orders is an atomic operation, a lock, a flag: nothing is wrong with any of them. */
static long lock, count, flag, total, mine, sum;
static void take_turns(int me) {
    shmem_set_lock(&lock);
    long now = shmem_long_g(&total, 0) + 1;
    shmem_long_p(&total, now, 0);
    shmem_clear_lock(&lock);
    shmem_barrier_all();
    if (me == 1) {
        shmem_long_p(&block[0], 1, 0);
        shmem_quiet();
        shmem_long_p(&flag, 1, 2);
    } else if (me == 2) {
        shmem_long_wait_until(&flag, SHMEM_CMP_EQ, 1);
        shmem_long_p(&block[0], 2, 0);
        shmem_quiet();
        shmem_long_atomic_inc(&count, 0);
    } else {
        shmem_long_wait_until(&count, SHMEM_CMP_EQ, 1);
    }
    if (me == 1) {
        while (shmem_long_atomic_fetch(&count, 0) != 1)
            ;
        shmem_long_p(&block[0], 3, 0);
    }
    mine = me;
    shmem_barrier_all();
    shmem_long_sum_reduce(SHMEM_TEAM_WORLD, &sum, &mine, 1);
    if (me == 1)
        shmem_long_p(&block[1], sum, 0);
    shmem_barrier_all();
    shmem_long_broadcast(SHMEM_TEAM_WORLD, &total, &sum, 1, 0);
    if (me == 2)
        shmem_long_put(block, &sum, 1, 0);
}

int main(int argc, char **argv) {
    int good = argc > 2 && !strcmp(argv[2], "good");
    const char *what = argc > 1 ? argv[1] : "";
    files = argc > 3 ? argv[3] : "raced";
    shmem_init();
    int me = shmem_my_pe();
    if (!strcmp(what, "gather"))
        gather(me, good);
    else if (!strcmp(what, "take"))
        take(me, good);
    else if (!strcmp(what, "fill"))
        fill(me, good);
    else
        take_turns(me);
    shmem_finalize();
    return 0;
}
