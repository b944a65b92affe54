/* Collective operations over teams: everybody, and every second PE. */
#include "suite.h"

static shmem_team_t team;
static int members, member; /* of the team: how many, and which this PE is */

/* Long ones too, which go another way. Values stay small, so that every type holds them. */
enum { LONG = 700, MOST = 8 };

#define MOVED(N, T)                                                                                \
    static void moves_of_##N(void) {                                                               \
        static T from[2 * MOST * 3], to[2 * MOST * MOST * 3];                                      \
        for (int root = 0; root < members; root++) {                                               \
            for (int i = 0; i < 5; i++) from[i] = (T)(member * 5 + i), to[i] = (T)99;              \
            CHECK(shmem_##N##_broadcast(team, to, from, 5, root) == 0);                            \
            for (int i = 0; i < 5; i++) CHECK(to[i] == (T)(root * 5 + i));                         \
        }                                                                                          \
        /* PE i gives i + 1 elements, but the last one none. */                                    \
        int given = member == members - 1 && members > 1 ? 0 : member % 3 + 1, total = 0;          \
        for (int i = 0; i < 5; i++) from[i] = (T)(member * 5 + i);                                 \
        CHECK(shmem_##N##_collect(team, to, from, (size_t)given) == 0);                            \
        for (int pe = 0; pe < members; pe++) {                                                     \
            int theirs = pe == members - 1 && members > 1 ? 0 : pe % 3 + 1;                        \
            for (int i = 0; i < theirs; i++) CHECK(to[total++] == (T)(pe * 5 + i));                \
        }                                                                                          \
        CHECK(shmem_##N##_fcollect(team, to, from, 3) == 0);                                       \
        for (int i = 0; i < 3 * members; i++) CHECK(to[i] == (T)(i / 3 * 5 + i % 3));              \
        for (int i = 0; i < 2 * members; i++) from[i] = (T)(member * 8 + i / 2);                   \
        CHECK(shmem_##N##_alltoall(team, to, from, 2) == 0);                                       \
        for (int i = 0; i < 2 * members; i++) CHECK(to[i] == (T)(i / 2 * 8 + member));             \
        for (int i = 0; i < 3 * MOST; i++) to[i] = (T)77;                                          \
        CHECK(shmem_##N##_alltoalls(team, to, from, 3, 2, 1) == 0);                                \
        for (int i = 0; i < 3 * members; i++) CHECK(to[i] == (i % 3 ? (T)77 : (T)(i / 3 * 8 + member))); \
        CHECK(shmem_##N##_broadcast(SHMEM_TEAM_INVALID, to, from, 1, 0) == -1);                    \
        CHECK(shmem_##N##_collect(SHMEM_TEAM_INVALID, to, from, 1) == -1);                         \
        CHECK(shmem_##N##_fcollect(SHMEM_TEAM_INVALID, to, from, 1) == -1);                        \
        CHECK(shmem_##N##_alltoall(SHMEM_TEAM_INVALID, to, from, 1) == -1);                        \
        CHECK(shmem_##N##_alltoalls(SHMEM_TEAM_INVALID, to, from, 1, 1, 1) == -1);                 \
        CHECK(shmem_team_sync(team) == 0);                                                         \
    }
RMA_TYPES(MOVED)

/* One element, and many, to another array and in place. */
#define REDUCED(N, T, op, from_value, result)                                                      \
    {                                                                                              \
        static T from[LONG], to[LONG];                                                             \
        static const size_t lengths[] = {1, 3, LONG, 0};                                           \
        for (int l = 0; l < 4; l++)                                                                \
            for (int in_place = 0; in_place < 2; in_place++) {                                     \
                T *where = in_place ? from : to;                                                   \
                for (int i = 0; i < LONG; i++) {                                                   \
                    int pe = member;                                                               \
                    (void)pe;                                                                      \
                    from[i] = (T)(from_value), to[i] = (T)0;                                       \
                }                                                                                  \
                CHECK(shmem_team_sync(team) == 0);                                                 \
                CHECK(shmem_##N##_##op##_reduce(team, where, from, lengths[l]) == 0);              \
                for (int i = 0; i < (int)lengths[l]; i++) CHECK(where[i] == (T)(result));          \
                CHECK(shmem_team_sync(team) == 0);                                                 \
            }                                                                                      \
        CHECK(shmem_##N##_##op##_reduce(SHMEM_TEAM_INVALID, to, from, 1) == -1);                   \
    }

#define ORDERED(N, T)                                                                              \
    static void order_of_##N(void) {                                                               \
        REDUCED(N, T, max, (pe * 3 + i) % 11, greatest(i))                                         \
        REDUCED(N, T, min, (pe * 3 + i) % 11, least(i))                                            \
    }
static int greatest(int i) {
    int found = 0;
    for (int pe = 0; pe < members; pe++) found = (pe * 3 + i) % 11 > found ? (pe * 3 + i) % 11 : found;
    return found;
}
static int least(int i) {
    int found = 11;
    for (int pe = 0; pe < members; pe++) found = (pe * 3 + i) % 11 < found ? (pe * 3 + i) % 11 : found;
    return found;
}
ORDER_TYPES(ORDERED)

static int sum(int i) {
    int found = 0;
    for (int pe = 0; pe < members; pe++) found += pe + i % 5;
    return found;
}
/* Seven at most, whatever the number of PEs: two of them have a factor. */
static int factor(int pe, int i) { return pe == 0 ? 2 + i % 2 : pe == members - 1 ? 2 : 1; }
static int product(int i) {
    int found = 1;
    for (int pe = 0; pe < members; pe++) found *= factor(pe, i);
    return found;
}
#define ADDED(N, T)                                                                                \
    static void arithmetic_of_##N(void) {                                                          \
        REDUCED(N, T, sum, pe + i % 5, sum(i))                                                     \
        REDUCED(N, T, prod, factor(pe, i), product(i))                                             \
    }
ARITHMETIC_TYPES(ADDED)

static int bits_and(int i) { (void)i; int found = 127; for (int pe = 0; pe < members; pe++) found &= 127 - (1 << pe % 3); return found; }
static int bits_or(int i) { int found = 0; for (int pe = 0; pe < members; pe++) found |= 1 << (pe + i) % 6; return found; }
static int bits_xor(int i) { int found = 0; for (int pe = 0; pe < members; pe++) found ^= (pe + 1) * (i % 4 + 1); return found; }
#define BITWISE(N, T)                                                                              \
    static void bits_of_##N(void) {                                                                \
        REDUCED(N, T, and, 127 - (1 << pe % 3), bits_and(i))                                       \
        REDUCED(N, T, or, 1 << (pe + i) % 6, bits_or(i))                                           \
        REDUCED(N, T, xor, (pe + 1) * (i % 4 + 1), bits_xor(i))                                    \
    }
BITS_TYPES(BITWISE)

static void complex_products(void) {
    static rsm_shmem_complexd from, to;
    from = member == 0 ? 2.0 + 3.0 * __extension__ 1.0i : member == 1 ? 1.0 - 1.0 * __extension__ 1.0i : 1.0;
    CHECK(shmem_complexd_prod_reduce(team, &to, &from, 1) == 0);
    rsm_shmem_complexd expected = members == 1 ? 2.0 + 3.0 * __extension__ 1.0i : 5.0 + 1.0 * __extension__ 1.0i;
    CHECK(to == expected);
}

/* Digits that fit into no double. */
static void long_double_digits(void) {
    static long double from, to;
    from = member == 0 ? 1.0L : 1e-18L;
    CHECK(shmem_longdouble_sum_reduce(team, &to, &from, 1) == 0);
    CHECK(to == 1.0L + (long double)(members - 1) * 1e-18L || members > 2);
    CHECK((to > 1.0L) == (members > 1));
    static long double box;
    shmem_longdouble_p(&box, from + 1e-18L, next_pe());
    shmem_barrier_all();
    CHECK(box == shmem_longdouble_g(&box, me));
}

static void bytes(void) {
    static char from[3000 * MOST], to[3000 * MOST];
    memset(from, member + 1, sizeof from);
    CHECK(shmem_broadcastmem(team, to, from, 2999, members - 1) == 0);
    for (int i = 0; i < 2999; i++) CHECK(to[i] == members);
    CHECK(shmem_collectmem(team, to, from, (size_t)member * 3) == 0);
    for (int pe = 0, at = 0; pe < members; pe++)
        for (int i = 0; i < pe * 3; i++) CHECK(to[at++] == pe + 1);
    CHECK(shmem_fcollectmem(team, to, from, 3000) == 0);
    for (int i = 0; i < 3000 * members; i++) CHECK(to[i] == i / 3000 + 1);
    for (int i = 0; i < 11 * members; i++) from[i] = (char)(member * 8 + i / 11);
    CHECK(shmem_alltoallmem(team, to, from, 11) == 0);
    for (int i = 0; i < 11 * members; i++) CHECK(to[i] == i / 11 * 8 + member);
    CHECK(shmem_alltoallsmem(team, to, from, 2, 11, 1) == 0);
    for (int pe = 0; pe < members; pe++) CHECK(to[pe * 2] == pe * 8 + member);
    CHECK(shmem_collectmem(SHMEM_TEAM_INVALID, to, from, 1) == -1);
    CHECK(shmem_team_sync(team) == 0);
}

static void all(void) {
#define CALL_MOVED(N, T) moves_of_##N();
#define CALL_ORDERED(N, T) order_of_##N();
#define CALL_ADDED(N, T) arithmetic_of_##N();
#define CALL_BITS(N, T) bits_of_##N();
    RMA_TYPES(CALL_MOVED)
    ORDER_TYPES(CALL_ORDERED)
    ARITHMETIC_TYPES(CALL_ADDED)
    BITS_TYPES(CALL_BITS)
    complex_products();
    bytes();
}

void collectives(void) {
    team = SHMEM_TEAM_WORLD, members = n, member = me;
    all();
    long_double_digits();
    /* Nobody leaves a sync before everybody has come. */
    static long arrived;
    for (int round = 1; round <= 50; round++) {
        shmem_long_atomic_inc(&arrived, 0);
        shmem_quiet();
        if (round % 2) shmem_sync_all(); else shmem_barrier_all();
        CHECK(shmem_long_atomic_fetch(&arrived, 0) >= (long)round * n);
    }
    shmem_barrier_all();
    CHECK(shmem_team_sync(SHMEM_TEAM_INVALID) == -1);
    CHECK(shmem_team_split_strided(SHMEM_TEAM_WORLD, 0, 2, (n + 1) / 2, NULL, 0, &team) == 0);
    CHECK((team != SHMEM_TEAM_INVALID) == (me % 2 == 0));
    if (team != SHMEM_TEAM_INVALID) {
        members = shmem_team_n_pes(team), member = shmem_team_my_pe(team);
        all();
        shmem_team_destroy(team);
    }
}
