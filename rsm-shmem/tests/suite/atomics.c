/* Atomic operations: what each does to a word, and that none is lost among all PEs. */
#include "suite.h"

static shmem_ctx_t ctx;

#define MOVES(N, T, pre, first)                                                                    \
    word = (T)(me + 1);                                                                            \
    shmem_barrier_all();                                                                           \
    CHECK(pre##N##_atomic_fetch(first &word, previous_pe()) == (T)(previous_pe() + 1));            \
    fetched = 0;                                                                                   \
    pre##N##_atomic_fetch_nbi(first &fetched, &word, previous_pe());                               \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(fetched == (T)(previous_pe() + 1));                                                      \
    shmem_barrier_all();                                                                           \
    pre##N##_atomic_set(first &word, (T)(me + 20), next_pe());                                     \
    shmem_quiet(), shmem_ctx_quiet(ctx), shmem_barrier_all();                                      \
    CHECK(word == (T)(previous_pe() + 20));                                                        \
    shmem_barrier_all();                                                                           \
    CHECK(pre##N##_atomic_swap(first &word, (T)(me + 40), next_pe()) == (T)(me + 20));             \
    pre##N##_atomic_swap_nbi(first &fetched, &word, (T)(me + 60), next_pe());                      \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(fetched == (T)(me + 40));                                                                \
    shmem_barrier_all();                                                                           \
    CHECK(word == (T)(previous_pe() + 60));                                                        \
    shmem_barrier_all();

#define MOVE(N, T)                                                                                 \
    static void moves_of_##N(void) {                                                               \
        static T word;                                                                             \
        T fetched;                                                                                 \
        MOVES(N, T, shmem_, )                                                                      \
        MOVES(N, T, shmem_ctx_, CTX)                                                               \
    }
#define CTX ctx,
AMO_MOVE_TYPES(MOVE)

#define ADDS(N, T, pre, first)                                                                     \
    word = 0;                                                                                      \
    shmem_barrier_all();                                                                           \
    pre##N##_atomic_inc(first &word, 0);                                                           \
    pre##N##_atomic_add(first &word, (T)3, 0);                                                     \
    before = pre##N##_atomic_fetch_inc(first &word, 0);                                            \
    CHECK(before >= 4 && before < (T)(n * 20));                                                    \
    before = pre##N##_atomic_fetch_add(first &word, (T)5, 0);                                      \
    CHECK(before >= 5 && before < (T)(n * 20));                                                    \
    pre##N##_atomic_fetch_inc_nbi(first &before, &word, 0);                                        \
    pre##N##_atomic_fetch_add_nbi(first &before, &word, (T)9, 0);                                  \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(before >= 11 && before < (T)(n * 20));                                                   \
    shmem_barrier_all();                                                                           \
    CHECK(me != 0 || word == (T)(n * 20));                                                         \
    shmem_barrier_all();                                                                           \
    /* Of all who try one succeeds. */                                                             \
    before = pre##N##_atomic_compare_swap(first &word, (T)(n * 20), (T)(me + 1), 0);               \
    won = before == (T)(n * 20);                                                                   \
    shmem_barrier_all();                                                                           \
    seen = pre##N##_atomic_fetch(first &word, 0);                                                  \
    CHECK(won == (seen == (T)(me + 1)) && seen >= 1 && seen <= (T)n);                              \
    shmem_barrier_all();                                                                           \
    pre##N##_atomic_compare_swap_nbi(first &before, &word, (T)99, (T)1, 0); /* not */              \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(before == seen);                                                                         \
    shmem_barrier_all();

#define ADD(N, T)                                                                                  \
    static void adds_of_##N(void) {                                                                \
        static T word;                                                                             \
        T before, seen;                                                                            \
        int won;                                                                                   \
        ADDS(N, T, shmem_, )                                                                       \
        ADDS(N, T, shmem_ctx_, CTX)                                                                \
    }
AMO_TYPES(ADD)

#define BITS_(N, T, pre, first)                                                                    \
    word = (T)0x0f0f;                                                                              \
    shmem_barrier_all();                                                                           \
    pre##N##_atomic_or(first &word, (T)0x1000, next_pe());                                         \
    CHECK(pre##N##_atomic_fetch_or(first &word, (T)0x2000, next_pe()) == (T)0x1f0f);               \
    pre##N##_atomic_fetch_or_nbi(first &before, &word, (T)0x4000, next_pe());                      \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(before == (T)0x3f0f);                                                                    \
    pre##N##_atomic_and(first &word, (T)0xff0e, next_pe());                                        \
    CHECK(pre##N##_atomic_fetch_and(first &word, (T)0xff0c, next_pe()) == (T)0x7f0e);              \
    pre##N##_atomic_fetch_and_nbi(first &before, &word, (T)0xff08, next_pe());                     \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(before == (T)0x7f0c);                                                                    \
    pre##N##_atomic_xor(first &word, (T)0x0101, next_pe());                                        \
    CHECK(pre##N##_atomic_fetch_xor(first &word, (T)0x0002, next_pe()) == (T)0x7e09);              \
    pre##N##_atomic_fetch_xor_nbi(first &before, &word, (T)0x0004, next_pe());                     \
    shmem_quiet(), shmem_ctx_quiet(ctx);                                                           \
    CHECK(before == (T)0x7e0b);                                                                    \
    shmem_barrier_all();                                                                           \
    CHECK(word == (T)0x7e0f);                                                                      \
    shmem_barrier_all();

#define BIT(N, T)                                                                                  \
    static void bits_of_##N(void) {                                                                \
        static T word;                                                                             \
        T before;                                                                                  \
        BITS_(N, T, shmem_, )                                                                      \
        BITS_(N, T, shmem_ctx_, CTX)                                                               \
    }
AMO_BITS_TYPES(BIT)

void atomics(void) {
    CHECK(shmem_ctx_create(SHMEM_CTX_SERIALIZED, &ctx) == 0);
#define CALL_MOVE(N, T) moves_of_##N();
#define CALL_ADD(N, T) adds_of_##N();
#define CALL_BIT(N, T) bits_of_##N();
    AMO_MOVE_TYPES(CALL_MOVE)
    AMO_TYPES(CALL_ADD)
    AMO_BITS_TYPES(CALL_BIT)
    shmem_ctx_destroy(ctx);
}

#define OLD_MOVE(N, T)                                                                             \
    static void old_moves_of_##N(void) {                                                           \
        static T word;                                                                             \
        word = (T)(me + 1);                                                                        \
        shmem_barrier_all();                                                                       \
        CHECK(shmem_##N##_fetch(&word, previous_pe()) == (T)(previous_pe() + 1));                  \
        shmem_barrier_all();                                                                       \
        shmem_##N##_set(&word, (T)(me + 20), next_pe());                                           \
        CHECK(shmem_##N##_swap(&word, (T)(me + 40), next_pe()) == (T)(me + 20));                   \
        shmem_barrier_all();                                                                       \
        CHECK(word == (T)(previous_pe() + 40));                                                    \
        shmem_barrier_all();                                                                       \
    }
OLD_AMO_MOVE_TYPES(OLD_MOVE)

#define OLD_ADD(N, T)                                                                              \
    static void old_adds_of_##N(void) {                                                            \
        static T word;                                                                             \
        word = 0;                                                                                  \
        shmem_barrier_all();                                                                       \
        shmem_##N##_inc(&word, next_pe());                                                         \
        shmem_##N##_add(&word, (T)2, next_pe());                                                   \
        CHECK(shmem_##N##_finc(&word, next_pe()) == 3);                                            \
        CHECK(shmem_##N##_fadd(&word, (T)6, next_pe()) == 4);                                      \
        CHECK(shmem_##N##_cswap(&word, (T)10, (T)11, next_pe()) == 10);                            \
        shmem_barrier_all();                                                                       \
        CHECK(word == 11);                                                                         \
        shmem_barrier_all();                                                                       \
    }
OLD_AMO_TYPES(OLD_ADD)

void old_atomics(void) {
#define CALL_OLD_MOVE(N, T) old_moves_of_##N();
#define CALL_OLD_ADD(N, T) old_adds_of_##N();
    OLD_AMO_MOVE_TYPES(CALL_OLD_MOVE)
    OLD_AMO_TYPES(CALL_OLD_ADD)
    static long word = 3;
    CHECK((shmem_swap)(&word, 4, me) == 3 && word == 4);
    word = 3;
}
