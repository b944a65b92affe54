/* Corners of the standard: the same calls as elsewhere, on oneself, of nothing, in each other's way. */
#include "suite.h"
#include <pthread.h>
#include <stdint.h>

/* On the own PE, where strides lie over each other in one order only. */
static void strided_to_oneself(void) {
    static long box[64], wide[64];
    long in[64];
    for (int dst = 1; dst <= 4; dst++) {
        for (int sst = 1; sst <= 4; sst++) {
            size_t count = 64 / (size_t)(dst > sst ? dst : sst);
            for (long i = 0; i < 64; i++) box[i] = -1, wide[i] = me * 100 + i, in[i] = -1;
            shmem_long_iput(box, wide, dst, sst, count, me);
            shmem_quiet();
            shmem_long_iget(in, wide, dst, sst, count, me);
            for (size_t i = 0; i < 64; i++) {
                long expected = i % (size_t)dst || i / (size_t)dst >= count ? -1 : me * 100 + (long)i / dst * sst;
                CHECK(box[i] == expected && in[i] == expected);
            }
        }
    }
    /* Of no elements nothing is looked at but the strides. */
    shmem_long_iput(box, wide, 3, 5, 0, me);
    shmem_long_iget(in, wide, 3, 5, 0, me);
    /* From one's own symmetric memory to another's, and the last element of a heap block. */
    long *block = shmem_malloc(10 * sizeof *block);
    CHECK(block);
    for (int i = 0; i < 10; i++) block[i] = 0;
    shmem_barrier_all();
    wide[9] = me + 1;
    shmem_long_put(block + 9, wide + 9, 1, next_pe());
    shmem_long_iput(block, wide, 9, 9, 1, next_pe());
    shmem_barrier_all();
    CHECK(block[9] == previous_pe() + 1 && block[8] == 0);
    shmem_free(block);
}

/* Signals to oneself, of nothing, added and set in turns, waited for by each comparison. */
static void signals_of_all_kinds(void) {
    static uint64_t flag, all[8];
    static long box[16], nothing;
    long out[16];
    flag = 0;
    for (int i = 0; i < 16; i++) out[i] = me * 16 + i, box[i] = 0;
    shmem_barrier_all();
    shmem_long_put_signal(box, out, 16, &flag, 3, SHMEM_SIGNAL_SET, me);
    CHECK(shmem_signal_wait_until(&flag, SHMEM_CMP_EQ, 3) == 3);
    for (int i = 0; i < 16; i++) CHECK(box[i] == me * 16 + i);
    shmem_barrier_all();
    /* A signal of nothing is a signal. */
    shmem_long_put_signal(&nothing, out, 0, &flag, 4, SHMEM_SIGNAL_ADD, next_pe());
    CHECK(shmem_signal_wait_until(&flag, SHMEM_CMP_NE, 3) == 7);
    shmem_barrier_all();
    shmem_putmem_signal_nbi(box, NULL, 0, &flag, 1, SHMEM_SIGNAL_SET, next_pe());
    CHECK(shmem_signal_wait_until(&flag, SHMEM_CMP_LT, 7) == 1);
    shmem_barrier_all();
    CHECK(shmem_signal_wait_until(&flag, SHMEM_CMP_LE, 1) == 1 && shmem_signal_wait_until(&flag, SHMEM_CMP_GE, 1) == 1);
    /* Additions of all PEs; what is not 64 bits wide wraps. */
    flag = UINT64_MAX - 1;
    shmem_barrier_all();
    for (int pe = 0; pe < n; pe++) shmem_long_put_signal(&box[me], &out[3], 1, &flag, 2, SHMEM_SIGNAL_ADD, pe);
    CHECK(shmem_signal_wait_until(&flag, SHMEM_CMP_EQ, 2 * (uint64_t)n - 2) == 2 * (uint64_t)n - 2);
    for (int pe = 0; pe < n && pe < 16; pe++) CHECK(box[pe] == pe * 16 + 3);
    shmem_barrier_all();
    /* Words of signals in the vector forms. */
    uint64_t values[8];
    size_t indices[8];
    for (int i = 0; i < 8; i++) all[i] = 0, values[i] = (uint64_t)(8 - i);
    shmem_barrier_all();
    for (int i = 7; i >= 0; i--)
        shmem_long_put_signal(&box[i], &out[i], 1, &all[i], values[i], i % 2 ? SHMEM_SIGNAL_ADD : SHMEM_SIGNAL_SET, next_pe());
    shmem_uint64_wait_until_all_vector(all, 8, NULL, SHMEM_CMP_EQ, values);
    for (int i = 0; i < 8; i++) CHECK(box[i] == previous_pe() * 16 + i);
    CHECK(shmem_uint64_wait_until_some_vector(all, 8, indices, NULL, SHMEM_CMP_EQ, values) == 8);
    for (size_t i = 0; i < 8; i++) CHECK(indices[i] == i);
    shmem_barrier_all();
}

/* Vectors that are waited for while their elements come in an order of their own, some of them never. */
static void vectors_that_come_one_by_one(void) {
    enum { MANY = 12 };
    static long words[MANY], turn;
    static const int order[MANY] = {7, 0, 11, 3, 5, 1, 10, 2, 9, 4, 8, 6};
    long values[MANY];
    int status[MANY], come[MANY] = {0};
    size_t indices[MANY];
    for (int i = 0; i < MANY; i++) words[i] = 0, values[i] = i + 1, status[i] = 0;
    turn = 0;
    shmem_barrier_all();
    /* Each next one when the one before was seen. */
    for (int i = 0; i < MANY; i++) {
        shmem_long_p(&words[order[i]], values[order[i]], next_pe());
        shmem_quiet();
        size_t got = MANY;
        if (i % 3 == 0) {
            got = shmem_long_wait_until_any_vector(words, MANY, status, SHMEM_CMP_EQ, values);
        } else if (i % 3 == 1) {
            CHECK(shmem_long_wait_until_some_vector(words, MANY, indices, status, SHMEM_CMP_GE, values) == 1);
            got = indices[0];
        } else {
            while ((got = shmem_long_test_any_vector(words, MANY, status, SHMEM_CMP_GE, values)) == SIZE_MAX) {}
        }
        CHECK(got == (size_t)order[i] && !come[got]);
        come[got] = status[got] = 1;
        CHECK(!shmem_long_test_some_vector(words, MANY, indices, status, SHMEM_CMP_EQ, values));
        shmem_long_atomic_inc(&turn, previous_pe());
        shmem_long_wait_until(&turn, SHMEM_CMP_GT, i);
    }
    shmem_long_wait_until_all_vector(words, MANY, NULL, SHMEM_CMP_EQ, values);
    /* The rest is left out. */
    for (int i = 0; i < MANY; i++) status[i] = i != 4, values[i] = -1;
    shmem_long_wait_until_all_vector(words, MANY, status, SHMEM_CMP_NE, values);
    values[4] = 5;
    CHECK(shmem_long_wait_until_any_vector(words, MANY, status, SHMEM_CMP_LE, values) == 4);
    CHECK(shmem_long_test_all_vector(words, MANY, status, SHMEM_CMP_EQ, values));
    shmem_barrier_all();
}

/* Rows of columns of rows; and all that a team does, in each. */
static void teams_of_teams(void) {
    shmem_team_t row, column, inner, other;
    static long from[4], to[64];
    for (int wide = 1; wide <= n; wide++) {
        CHECK(shmem_team_split_2d(SHMEM_TEAM_WORLD, wide, NULL, 0, &row, NULL, 0, &column) == 0);
        /* Each is split again, by two. */
        shmem_team_t both[2] = {row, column};
        for (int i = 0; i < 2; i++) {
            CHECK(shmem_team_split_2d(both[i], 2, NULL, 0, &inner, NULL, 0, &other) == 0);
            shmem_team_t four[4] = {inner, other, both[i], SHMEM_TEAM_WORLD};
            for (int k = 0; k < 4; k++) {
                int size = shmem_team_n_pes(four[k]), mine = shmem_team_my_pe(four[k]);
                CHECK(size >= 1 && mine >= 0 && mine < size);
                CHECK(shmem_team_translate_pe(four[k], mine, SHMEM_TEAM_WORLD) == me);
                for (int root = 0; root < size; root += size > 1 ? size - 1 : 1) {
                    from[0] = mine == root ? 1000 + me : -1, to[0] = -2;
                    CHECK(shmem_long_broadcast(four[k], to, from, 1, root) == 0);
                    CHECK(to[0] == 1000 + shmem_team_translate_pe(four[k], root, SHMEM_TEAM_WORLD));
                    CHECK(shmem_team_sync(four[k]) == 0);
                }
                from[0] = me, from[1] = -me;
                CHECK(shmem_long_fcollect(four[k], to, from, 2) == 0);
                for (int pe = 0; pe < size; pe++) {
                    long world = shmem_team_translate_pe(four[k], pe, SHMEM_TEAM_WORLD);
                    CHECK(to[2 * pe] == world && to[2 * pe + 1] == -world);
                }
                /* As many as one's place says, and the first has nothing. */
                CHECK(shmem_team_sync(four[k]) == 0);
                CHECK(shmem_long_collect(four[k], to, from, (size_t)(mine < 3 ? mine : 2)) == 0);
                for (int pe = 0, at = 0; pe < size; at += pe < 3 ? pe : 2, pe++)
                    if (pe > 0) CHECK(to[at] == shmem_team_translate_pe(four[k], pe, SHMEM_TEAM_WORLD));
                /* In place, as reductions may be. */
                CHECK(shmem_team_sync(four[k]) == 0);
                to[0] = mine + 1, to[1] = 5;
                CHECK(shmem_long_sum_reduce(four[k], to, to, 2) == 0);
                CHECK(to[0] == (long)size * (size + 1) / 2 && to[1] == 5L * size);
                CHECK(shmem_team_sync(four[k]) == 0);
            }
            shmem_team_destroy(other);
            shmem_team_destroy(inner);
        }
        shmem_team_destroy(column);
        shmem_team_destroy(row);
    }
    /* Blocks that lie apart, of every team of two. */
    for (int stride = 1; stride < n; stride++) {
        shmem_team_t pair;
        CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, stride, 2, NULL, 0, &pair) == 0);
        if (pair != SHMEM_TEAM_INVALID) {
            long *spread = to, *mine = from;
            for (int i = 0; i < 16; i++) spread[i] = -1;
            mine[0] = me * 10, mine[2] = me * 10 + 1;
            CHECK(shmem_long_alltoalls(pair, spread, mine, 3, 2, 1) == 0);
            int place = shmem_team_my_pe(pair);
            CHECK(spread[0] == place && spread[3] == stride * 10 + place && spread[1] == -1 && spread[2] == -1);
            CHECK(shmem_team_sync(pair) == 0);
            shmem_team_destroy(pair);
        }
        shmem_barrier_all();
    }
}

/* Contexts with every option, several at a time: each is completed and ordered by itself. */
static void contexts_with_options(void) {
    static const long options[] = {0, SHMEM_CTX_SERIALIZED, SHMEM_CTX_PRIVATE, SHMEM_CTX_NOSTORE,
        SHMEM_CTX_SERIALIZED | SHMEM_CTX_NOSTORE, SHMEM_CTX_PRIVATE | SHMEM_CTX_NOSTORE,
        SHMEM_CTX_SERIALIZED | SHMEM_CTX_PRIVATE | SHMEM_CTX_NOSTORE};
    enum { KINDS = sizeof options / sizeof *options };
    static long box[KINDS][8], count[KINDS], flag[KINDS];
    shmem_ctx_t all[KINDS];
    for (int i = 0; i < KINDS; i++) {
        CHECK(shmem_ctx_create(options[i], &all[i]) == 0);
        count[i] = flag[i] = 0;
        for (int k = 0; k < 8; k++) box[i][k] = 0;
    }
    shmem_barrier_all();
    for (long round = 1; round <= 3; round++) {
        for (int i = 0; i < KINDS; i++) {
            long out[8];
            for (int k = 0; k < 8; k++) out[k] = round * 100 + i * 10 + k;
            shmem_ctx_long_put_nbi(all[i], box[i], out, 8, next_pe());
            shmem_ctx_fence(all[i]);
            shmem_ctx_long_p(all[i], &flag[i], round, next_pe());
            shmem_ctx_long_atomic_inc(all[i], &count[i], next_pe());
        }
        /* In another order than they were begun. */
        for (int i = KINDS - 1; i >= 0; i--) {
            shmem_ctx_quiet(all[i]);
            shmem_long_wait_until(&flag[i], SHMEM_CMP_GE, round);
            for (int k = 0; k < 8; k++) CHECK(box[i][k] == round * 100 + i * 10 + k);
            CHECK(shmem_ctx_long_g(all[i], &box[i][5], me) == round * 100 + i * 10 + 5);
        }
        shmem_barrier_all();
    }
    for (int i = 0; i < KINDS; i++) {
        CHECK(count[i] == 3);
        /* What is under way when it is destroyed arrives. */
        shmem_ctx_long_p(all[i], &flag[i], 77, next_pe());
        shmem_ctx_destroy(all[i]);
    }
    shmem_barrier_all();
    for (int i = 0; i < KINDS; i++) CHECK(flag[i] == 77);
    shmem_barrier_all();
}

/* Locks in each other's way: several at once, by threads too, in an order that cannot hang. */
static long first_lock, second_lock, under_first, under_second;

static void *take_both(void *rounds) {
    for (long i = 0; i < (long)rounds; i++) {
        shmem_set_lock(&first_lock);
        shmem_set_lock(&second_lock);
        shmem_long_p(&under_second, shmem_long_g(&under_second, 0) + 1, 0);
        shmem_clear_lock(&second_lock);
        /* It may be had again at once. */
        while (shmem_test_lock(&second_lock)) {}
        shmem_long_p(&under_first, shmem_long_g(&under_first, n - 1) + 1, n - 1);
        shmem_clear_lock(&second_lock);
        shmem_clear_lock(&first_lock);
    }
    return NULL;
}

static void locks_in_each_others_way(void) {
    enum { ROUNDS = 6 };
    pthread_t other;
    under_first = under_second = 0;
    shmem_barrier_all();
    CHECK(pthread_create(&other, NULL, take_both, (void *)ROUNDS) == 0);
    take_both((void *)ROUNDS);
    CHECK(pthread_join(other, NULL) == 0);
    shmem_barrier_all();
    CHECK(shmem_long_g(&under_second, 0) == 2L * ROUNDS * n && shmem_long_g(&under_first, n - 1) == 2L * ROUNDS * n);
    CHECK(first_lock == 0 && second_lock == 0);
    shmem_barrier_all();
}

void corners(void) {
    strided_to_oneself();
    signals_of_all_kinds();
    vectors_that_come_one_by_one();
    teams_of_teams();
    contexts_with_options();
    locks_in_each_others_way();
}
