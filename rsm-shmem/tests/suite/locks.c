/* Distributed locks, and many threads. */
#include "suite.h"
#include <pthread.h>

static long mutex, other_mutex, counter;

void locks(void) {
    enum { ROUNDS = 50 };
    counter = 0;
    shmem_barrier_all();
    for (int i = 0; i < ROUNDS; i++) {
        shmem_set_lock(&mutex);
        shmem_long_p(&counter, shmem_long_g(&counter, 0) + 1, 0);
        shmem_clear_lock(&mutex);
    }
    shmem_barrier_all();
    CHECK(shmem_long_g(&counter, 0) == (long)ROUNDS * n);
    shmem_barrier_all();
    /* Tests of two locks. */
    for (int won = 0; won < 10;) {
        if (shmem_test_lock(&other_mutex)) continue;
        CHECK(shmem_test_lock(&other_mutex) == 1);
        shmem_long_p(&counter, shmem_long_g(&counter, 0) + 1, 0);
        shmem_clear_lock(&other_mutex);
        won++;
    }
    shmem_barrier_all();
    CHECK(shmem_long_g(&counter, 0) == (long)(ROUNDS + 10) * n);
    CHECK(mutex == 0 && other_mutex == 0);
}

/* Threads: each with a context, a row and a signal of its own, a counter and a lock for all. */
enum { THREADS = 4, MESSAGES = 60 };
static long rows[THREADS][16], signals_of[THREADS], all_done, guarded;
static uint64_t flags[THREADS];

static void *work(void *argument) {
    long which = (long)argument;
    shmem_ctx_t ctx;
    CHECK(shmem_ctx_create(0, &ctx) == 0);
    for (long i = 1; i <= MESSAGES; i++) {
        long out[16];
        for (int k = 0; k < 16; k++) out[k] = which * 10000 + i * 16 + k;
        shmem_ctx_long_put_signal(ctx, rows[which], out, 16, &flags[which], (uint64_t)i, SHMEM_SIGNAL_SET, next_pe());
        shmem_ctx_quiet(ctx);
        shmem_signal_wait_until(&flags[which], SHMEM_CMP_GE, (uint64_t)i);
        for (int k = 0; k < 16; k++) CHECK(rows[which][k] == which * 10000 + i * 16 + k);
        /* The row may be written again. */
        shmem_ctx_long_atomic_set(ctx, &signals_of[which], i, previous_pe());
        shmem_long_wait_until(&signals_of[which], SHMEM_CMP_GE, i);
        shmem_long_atomic_inc(&all_done, 0);
        if (i % 10 == 0) {
            shmem_set_lock(&mutex);
            shmem_long_p(&guarded, shmem_long_g(&guarded, n - 1) + 1, n - 1);
            shmem_clear_lock(&mutex);
        }
    }
    shmem_ctx_destroy(ctx);
    return NULL;
}

void threads(void) {
    pthread_t all[THREADS];
    for (long i = 0; i < THREADS; i++) CHECK(pthread_create(&all[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++) CHECK(pthread_join(all[i], NULL) == 0);
    shmem_barrier_all();
    CHECK(shmem_long_g(&all_done, 0) == (long)THREADS * MESSAGES * n);
    CHECK(shmem_long_g(&guarded, n - 1) == (long)THREADS * MESSAGES / 10 * n);
}
