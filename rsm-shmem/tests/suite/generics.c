/* The generic names of C11: that each type gets a function, and that it is the right one. */
#include "suite.h"

static shmem_ctx_t ctx;

#define TRANSFERS(T)                                                                               \
    {                                                                                              \
        static T box[8], from[8];                                                                  \
        static uint64_t flag;                                                                      \
        T out[8], in[8];                                                                           \
        for (int i = 0; i < 8; i++) box[i] = in[i] = (T)0, out[i] = from[i] = (T)(me * 8 + i);     \
        flag = 0;                                                                                  \
        shmem_barrier_all();                                                                       \
        shmem_put(box, out, 2, next_pe());                                                         \
        shmem_put(ctx, box + 2, (const T *)out + 2, 1, next_pe());                                 \
        shmem_p(box + 3, out[3], next_pe());                                                       \
        shmem_p(ctx, &box[4], out[4], next_pe());                                                  \
        shmem_iput(box + 5, out + 5, 1, 1, 1, next_pe());                                          \
        shmem_put_nbi(ctx, box + 6, out + 6, 1, next_pe());                                        \
        shmem_put_signal(box + 7, out + 7, 1, &flag, 1, SHMEM_SIGNAL_ADD, next_pe());              \
        shmem_put_signal_nbi(ctx, box + 7, out + 7, 1, &flag, 1, SHMEM_SIGNAL_ADD, next_pe());     \
        shmem_ctx_quiet(ctx);                                                                      \
        shmem_barrier_all();                                                                       \
        CHECK(flag == 2);                                                                          \
        for (int i = 0; i < 8; i++) CHECK(box[i] == (T)(previous_pe() * 8 + i));                   \
        shmem_get(in, from, 2, previous_pe());                                                     \
        shmem_get(ctx, in + 2, from + 2, 2, previous_pe());                                        \
        shmem_get_nbi(in + 4, from + 4, 2, previous_pe());                                         \
        shmem_iget(in + 6, from + 6, 1, 1, 1, previous_pe());                                      \
        shmem_quiet();                                                                             \
        in[7] = shmem_g(from + 7, previous_pe());                                                  \
        CHECK(shmem_g(ctx, (const T *)from + 7, previous_pe()) == in[7]);                          \
        for (int i = 0; i < 8; i++) CHECK(in[i] == (T)(previous_pe() * 8 + i));                    \
        shmem_barrier_all();                                                                       \
        static T all[64];                                                                          \
        CHECK(shmem_broadcast(SHMEM_TEAM_WORLD, box, from, 3, 0) == 0 && box[2] == (T)2);          \
        CHECK(shmem_collect(SHMEM_TEAM_WORLD, all, from, 1) == 0 && all[n - 1] == (T)((n - 1) * 8)); \
        CHECK(shmem_fcollect(SHMEM_TEAM_WORLD, all, from, 1) == 0 && all[n - 1] == (T)((n - 1) * 8)); \
        CHECK(shmem_alltoall(SHMEM_TEAM_WORLD, all, from, 1) == 0 && all[n - 1] == (T)((n - 1) * 8 + me)); \
        CHECK(shmem_alltoalls(SHMEM_TEAM_WORLD, all, from, 1, 1, 1) == 0 && all[0] == (T)me);      \
        from[0] = (T)(me + 1);                                                                     \
        shmem_barrier_all();                                                                       \
        CHECK(shmem_max_reduce(SHMEM_TEAM_WORLD, box, from, 1) == 0 && box[0] == (T)n);            \
        CHECK(shmem_min_reduce(SHMEM_TEAM_WORLD, box, from, 1) == 0 && box[0] == (T)1);            \
        CHECK(shmem_sum_reduce(SHMEM_TEAM_WORLD, box, from, 1) == 0 && box[0] == (T)(n * (n + 1) / 2)); \
        from[0] = (T)(me == 0 ? 3 : 1);                                                            \
        shmem_barrier_all();                                                                       \
        CHECK(shmem_prod_reduce(SHMEM_TEAM_WORLD, box, from, 1) == 0 && box[0] == (T)3);           \
        shmem_barrier_all();                                                                       \
    }

#define BITWISE(T)                                                                                 \
    {                                                                                              \
        static T from, to;                                                                         \
        from = (T)(1 + me % 2 * 2);                                                                \
        shmem_barrier_all();                                                                       \
        CHECK(shmem_and_reduce(SHMEM_TEAM_WORLD, &to, &from, 1) == 0 && to == (T)1);               \
        CHECK(shmem_or_reduce(SHMEM_TEAM_WORLD, &to, &from, 1) == 0 && to == (T)(n > 1 ? 3 : 1));  \
        CHECK(shmem_xor_reduce(SHMEM_TEAM_WORLD, &to, &from, 1) == 0 && to == (T)(n % 2 + n / 2 % 2 * 2)); \
    }

#define ATOMIC_MOVES(T)                                                                            \
    {                                                                                              \
        static T word;                                                                             \
        T seen = (T)0;                                                                             \
        word = (T)me;                                                                              \
        shmem_barrier_all();                                                                       \
        CHECK(shmem_atomic_fetch(&word, previous_pe()) == (T)previous_pe());                       \
        CHECK(shmem_atomic_fetch(ctx, &word, previous_pe()) == (T)previous_pe());                  \
        shmem_atomic_fetch_nbi(&seen, &word, previous_pe());                                       \
        shmem_quiet(), shmem_barrier_all();                                                        \
        CHECK(seen == (T)previous_pe());                                                           \
        shmem_atomic_set(&word, (T)1, next_pe());                                                  \
        CHECK(shmem_atomic_swap(ctx, &word, (T)2, next_pe()) == (T)1);                             \
        shmem_atomic_swap_nbi(ctx, &seen, &word, (T)3, next_pe());                                 \
        shmem_ctx_quiet(ctx), shmem_barrier_all();                                                 \
        CHECK(seen == (T)2 && word == (T)3);                                                       \
    }

#define ATOMIC_ADDS(T)                                                                             \
    {                                                                                              \
        static T word;                                                                             \
        T seen = 0;                                                                                \
        word = 0;                                                                                  \
        shmem_barrier_all();                                                                       \
        shmem_atomic_inc(&word, next_pe());                                                        \
        shmem_atomic_add(ctx, &word, (T)2, next_pe());                                             \
        CHECK(shmem_atomic_fetch_inc(&word, next_pe()) == 3);                                      \
        CHECK(shmem_atomic_fetch_add(ctx, &word, (T)2, next_pe()) == 4);                           \
        CHECK(shmem_atomic_compare_swap(&word, (T)6, (T)7, next_pe()) == 6);                       \
        shmem_atomic_fetch_inc_nbi(&seen, &word, next_pe());                                       \
        shmem_atomic_fetch_add_nbi(&seen, &word, (T)1, next_pe());                                 \
        shmem_atomic_compare_swap_nbi(ctx, &seen, &word, (T)9, (T)10, next_pe());                  \
        shmem_quiet(), shmem_ctx_quiet(ctx);                                                       \
        CHECK(seen == 9);                                                                          \
        shmem_barrier_all();                                                                       \
        shmem_wait_until(&word, SHMEM_CMP_EQ, 10);                                                 \
        CHECK(shmem_test(&word, SHMEM_CMP_GT, 9));                                                 \
    }

#define ATOMIC_BITS(T)                                                                             \
    {                                                                                              \
        static T word;                                                                             \
        T seen = 0;                                                                                \
        word = 1;                                                                                  \
        shmem_barrier_all();                                                                       \
        shmem_atomic_or(&word, (T)2, next_pe());                                                   \
        CHECK(shmem_atomic_fetch_or(ctx, &word, (T)4, next_pe()) == 3);                            \
        shmem_atomic_and(&word, (T)6, next_pe());                                                  \
        CHECK(shmem_atomic_fetch_and(&word, (T)4, next_pe()) == 6);                                \
        shmem_atomic_xor(ctx, &word, (T)1, next_pe());                                             \
        CHECK(shmem_atomic_fetch_xor(&word, (T)8, next_pe()) == 5);                                \
        shmem_atomic_fetch_or_nbi(&seen, &word, (T)0, next_pe());                                  \
        shmem_atomic_fetch_and_nbi(&seen, &word, (T)15, next_pe());                                \
        shmem_atomic_fetch_xor_nbi(ctx, &seen, &word, (T)0, next_pe());                            \
        shmem_quiet(), shmem_ctx_quiet(ctx);                                                       \
        CHECK(seen == 13);                                                                         \
        shmem_barrier_all();                                                                       \
    }

#define WAITS(T)                                                                                   \
    {                                                                                              \
        static volatile T words[3];                                                                \
        T values[3] = {1, 1, 1};                                                                   \
        size_t where[3];                                                                           \
        words[0] = words[1] = words[2] = 1;                                                        \
        T *plain = (T *)words;                                                                     \
        shmem_wait_until_all(plain, 3, NULL, SHMEM_CMP_EQ, 1);                                     \
        CHECK(shmem_wait_until_any(plain, 3, NULL, SHMEM_CMP_EQ, 1) < 3);                          \
        CHECK(shmem_wait_until_some(plain, 3, where, NULL, SHMEM_CMP_EQ, 1) == 3);                 \
        shmem_wait_until_all_vector(plain, 3, NULL, SHMEM_CMP_EQ, values);                         \
        CHECK(shmem_wait_until_any_vector(plain, 3, NULL, SHMEM_CMP_EQ, values) < 3);              \
        CHECK(shmem_wait_until_some_vector(plain, 3, where, NULL, SHMEM_CMP_EQ, values) == 3);     \
        CHECK(shmem_test_all(plain, 3, NULL, SHMEM_CMP_EQ, 1));                                    \
        CHECK(shmem_test_any(plain, 3, NULL, SHMEM_CMP_EQ, 1) < 3);                                \
        CHECK(shmem_test_some(plain, 3, where, NULL, SHMEM_CMP_EQ, 1) == 3);                       \
        CHECK(shmem_test_all_vector(plain, 3, NULL, SHMEM_CMP_EQ, values));                        \
        CHECK(shmem_test_any_vector(plain, 3, NULL, SHMEM_CMP_EQ, values) < 3);                    \
        CHECK(shmem_test_some_vector(plain, 3, where, NULL, SHMEM_CMP_EQ, values) == 3);           \
    }

#define OLD(T)                                                                                     \
    {                                                                                              \
        static T word;                                                                             \
        word = (T)1;                                                                               \
        CHECK(shmem_fetch(&word, me) == (T)1);                                                     \
        shmem_set(&word, (T)2, me);                                                                \
        CHECK(shmem_swap(&word, (T)3, me) == (T)2 && word == (T)3);                                \
    }
#define OLD_ADDS(T)                                                                                \
    {                                                                                              \
        static T word;                                                                             \
        word = 3;                                                                                  \
        CHECK(shmem_cswap(&word, (T)3, (T)4, me) == 3);                                            \
        CHECK(shmem_finc(&word, me) == 4 && shmem_fadd(&word, (T)2, me) == 5);                     \
        shmem_inc(&word, me), shmem_add(&word, (T)1, me);                                          \
        CHECK(word == 9);                                                                          \
        shmem_wait(&word, (T)0);                                                                   \
    }

void generics(void) {
    CHECK(shmem_ctx_create(0, &ctx) == 0);
    TRANSFERS(float) TRANSFERS(double) TRANSFERS(long double) TRANSFERS(char) TRANSFERS(signed char)
    TRANSFERS(short) TRANSFERS(int) TRANSFERS(long) TRANSFERS(long long) TRANSFERS(unsigned char)
    TRANSFERS(unsigned short) TRANSFERS(unsigned int) TRANSFERS(unsigned long)
    TRANSFERS(unsigned long long) TRANSFERS(size_t) TRANSFERS(int8_t) TRANSFERS(uint64_t)
    BITWISE(unsigned char) BITWISE(unsigned short) BITWISE(unsigned int) BITWISE(unsigned long)
    BITWISE(unsigned long long) BITWISE(int8_t) BITWISE(int16_t) BITWISE(int32_t) BITWISE(int64_t)
    ATOMIC_MOVES(float) ATOMIC_MOVES(double) ATOMIC_MOVES(int) ATOMIC_MOVES(long) ATOMIC_MOVES(long long)
    ATOMIC_MOVES(unsigned int) ATOMIC_MOVES(unsigned long) ATOMIC_MOVES(unsigned long long)
    ATOMIC_ADDS(int) ATOMIC_ADDS(long) ATOMIC_ADDS(long long) ATOMIC_ADDS(unsigned int)
    ATOMIC_ADDS(unsigned long) ATOMIC_ADDS(unsigned long long) ATOMIC_ADDS(ptrdiff_t)
    ATOMIC_BITS(int) ATOMIC_BITS(long) ATOMIC_BITS(unsigned int) ATOMIC_BITS(unsigned long) ATOMIC_BITS(unsigned long long)
    WAITS(short) WAITS(int) WAITS(long) WAITS(long long) WAITS(unsigned short) WAITS(unsigned int)
    WAITS(unsigned long) WAITS(unsigned long long)
    OLD(float) OLD(double) OLD(int) OLD(long) OLD(long long)
    OLD_ADDS(int) OLD_ADDS(long) OLD_ADDS(long long)
    shmem_sync(SHMEM_TEAM_WORLD);
    shmem_ctx_destroy(ctx);
}
