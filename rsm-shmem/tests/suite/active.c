/* Collective operations over active sets: everybody, every second PE, one. */
#include "suite.h"

enum { LONG = 300, MOST = 8 };
static long sync_words[2][SHMEM_SYNC_SIZE];
static int start, log_stride, size, member, turn;

/* One pSync after the other, as programs do. */
#define SET start, log_stride, size
#define SYNC sync_words[turn++ % 2]

static void moves(void) {
    static int32_t from32[MOST * 4], to32[MOST * MOST * 4];
    static int64_t from64[MOST * 4], to64[MOST * MOST * 4];
#define MOVED(S)                                                                                   \
    for (int root = 0; root < size; root++) {                                                      \
        for (int i = 0; i < 4; i++) from##S[i] = member * 10 + i, to##S[i] = -1;                   \
        shmem_broadcast##S(to##S, from##S, 4, root, SET, SYNC);                                    \
        for (int i = 0; i < 4; i++) CHECK(to##S[i] == (member == root ? -1 : root * 10 + i));      \
    }                                                                                              \
    shmem_collect##S(to##S, from##S, (size_t)(member % 3), SET, SYNC);                             \
    for (int pe = 0, at = 0; pe < size; pe++)                                                      \
        for (int i = 0; i < pe % 3; i++) CHECK(to##S[at++] == pe * 10 + i);                        \
    shmem_fcollect##S(to##S, from##S, 3, SET, SYNC);                                               \
    for (int i = 0; i < size * 3; i++) CHECK(to##S[i] == i / 3 * 10 + i % 3);                      \
    for (int i = 0; i < size * 2; i++) from##S[i] = member * 100 + i;                              \
    shmem_alltoall##S(to##S, from##S, 2, SET, SYNC);                                               \
    for (int i = 0; i < size * 2; i++) CHECK(to##S[i] == i / 2 * 100 + member * 2 + i % 2);        \
    shmem_alltoalls##S(to##S, from##S, 3, 2, 1, SET, SYNC);                                        \
    for (int pe = 0; pe < size; pe++) CHECK(to##S[pe * 3] == pe * 100 + member * 2);
    MOVED(32)
    shmem_sync(SET, SYNC);
    MOVED(64)
    shmem_sync(SET, SYNC);
}

#define REDUCED(N, T, op, value, folded)                                                           \
    {                                                                                              \
        static T from[LONG], to[LONG], work[LONG / 2 + 1];                                         \
        for (int i = 0; i < LONG; i++) {                                                           \
            int pe = member;                                                                       \
            from[i] = (T)(value);                                                                  \
        }                                                                                          \
        shmem_##N##_##op##_to_all(to, from, LONG, SET, work, SYNC);                                \
        for (int i = 0; i < LONG; i++) {                                                           \
            int pe = 0;                                                                            \
            long all = (long)(value);                                                              \
            for (pe = 1; pe < size; pe++) {                                                        \
                long one = (long)(value);                                                          \
                all = folded;                                                                      \
            }                                                                                      \
            CHECK(to[i] == (T)all);                                                                \
        }                                                                                          \
        shmem_sync(SET, SYNC);                                                                     \
    }
#define BITWISE(N, T)                                                                              \
    static void bits_of_##N(void) {                                                                \
        REDUCED(N, T, and, 127 - (1 << (pe + i) % 6), all & one)                                   \
        REDUCED(N, T, or, 1 << (pe + i) % 6, all | one)                                            \
        REDUCED(N, T, xor, (pe + i) % 100, all ^ one)                                              \
    }
#define ORDERED(N, T)                                                                              \
    static void order_of_##N(void) {                                                               \
        REDUCED(N, T, max, (pe * 7 + i) % 50, all > one ? all : one)                               \
        REDUCED(N, T, min, (pe * 7 + i) % 50, all < one ? all : one)                               \
    }
#define ADDED(N, T)                                                                                \
    static void arithmetic_of_##N(void) {                                                          \
        REDUCED(N, T, sum, (pe * 7 + i) % 50, all + one)                                           \
        REDUCED(N, T, prod, (pe + i) % 3 ? 1 : 2, all * one)                                       \
    }
OLD_BITS_TYPES(BITWISE)
OLD_ORDER_TYPES(ORDERED)
OLD_ARITHMETIC_TYPES(ADDED)

static void all(void) {
#define CALL_BITS(N, T) bits_of_##N();
#define CALL_ORDER(N, T) order_of_##N();
#define CALL_ADDED(N, T) arithmetic_of_##N();
    for (int round = 0; round < 20; round++) {
        if (round % 2) shmem_barrier(SET, SYNC);
        else shmem_sync(SET, SYNC);
    }
    moves();
    OLD_BITS_TYPES(CALL_BITS)
    OLD_ORDER_TYPES(CALL_ORDER)
    OLD_ARITHMETIC_TYPES(CALL_ADDED)
}

void active_sets(void) {
    for (int i = 0; i < SHMEM_SYNC_SIZE; i++) sync_words[0][i] = sync_words[1][i] = SHMEM_SYNC_VALUE;
    shmem_barrier_all();
    start = 0, log_stride = 0, size = n, member = me, turn = 0;
    all();
    shmem_barrier_all();
    for (int i = 0; i < SHMEM_SYNC_SIZE; i++) CHECK(sync_words[0][i] == SHMEM_SYNC_VALUE && sync_words[1][i] == SHMEM_SYNC_VALUE);
    shmem_barrier_all();
    /* Two sets at a time: the even PEs, the odd ones. */
    start = me % 2, log_stride = 1, size = (n + 1 - me % 2) / 2, member = me / 2, turn = 0;
    all();
    shmem_barrier_all();
    start = me, log_stride = 0, size = 1, member = 0, turn = 0;
    all();
}
