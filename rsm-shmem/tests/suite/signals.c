/* put with a signal, and waits of every form. */
#include "suite.h"
#include <stdint.h>

static shmem_ctx_t ctx;
static uint64_t signal_word;

/* The signal counts up through all puts; whoever sees it sees what was put. */
#define GIVEN(call, first, dest, source, count, op)                                                \
    call(first dest, source, count, &signal_word, op == SHMEM_SIGNAL_SET ? expected + 1 : 1, op, next_pe()); \
    expected++;                                                                                    \
    CHECK(shmem_signal_wait_until(&signal_word, SHMEM_CMP_GE, expected) == expected);              \
    CHECK(shmem_signal_fetch(&signal_word) == expected);

#define CTX ctx,
#define TYPED(N, T)                                                                                \
    static void signals_of_##N(void) {                                                             \
        static T box[9];                                                                           \
        T out[9];                                                                                  \
        uint64_t expected = 0;                                                                     \
        signal_word = 0;                                                                           \
        for (int i = 0; i < 9; i++) out[i] = (T)(me * 7 + i), box[i] = (T)0;                       \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_##N##_put_signal, , box, out, 2, SHMEM_SIGNAL_SET)                             \
        for (int i = 0; i < 2; i++) CHECK(box[i] == (T)(previous_pe() * 7 + i));                   \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_ctx_##N##_put_signal, CTX, box + 2, out + 2, 2, SHMEM_SIGNAL_ADD)              \
        for (int i = 0; i < 4; i++) CHECK(box[i] == (T)(previous_pe() * 7 + i));                   \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_##N##_put_signal_nbi, , box + 4, out + 4, 2, SHMEM_SIGNAL_ADD)                 \
        for (int i = 0; i < 6; i++) CHECK(box[i] == (T)(previous_pe() * 7 + i));                   \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_ctx_##N##_put_signal_nbi, CTX, box + 6, out + 6, 3, SHMEM_SIGNAL_SET)          \
        for (int i = 0; i < 9; i++) CHECK(box[i] == (T)(previous_pe() * 7 + i));                   \
        shmem_barrier_all();                                                                       \
    }
RMA_TYPES(TYPED)

#define BYTES(S) ((S) / 8)
#define WIDE(S)                                                                                    \
    static void signals_of_##S(void) {                                                             \
        static struct { long align; char bytes[4 * BYTES(S)]; } box;                               \
        char out[4 * BYTES(S)];                                                                    \
        uint64_t expected = 0;                                                                     \
        signal_word = 0;                                                                           \
        for (int i = 0; i < 4 * BYTES(S); i++) out[i] = (char)(me + i), box.bytes[i] = 0;          \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_put##S##_signal, , box.bytes, out, 1, SHMEM_SIGNAL_SET)                        \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_ctx_put##S##_signal, CTX, box.bytes + BYTES(S), out + BYTES(S), 1, SHMEM_SIGNAL_ADD) \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_put##S##_signal_nbi, , box.bytes + 2 * BYTES(S), out + 2 * BYTES(S), 1, SHMEM_SIGNAL_ADD) \
        shmem_barrier_all();                                                                       \
        GIVEN(shmem_ctx_put##S##_signal_nbi, CTX, box.bytes + 3 * BYTES(S), out + 3 * BYTES(S), 1, SHMEM_SIGNAL_SET) \
        for (int i = 0; i < 4 * BYTES(S); i++) CHECK(box.bytes[i] == (char)(previous_pe() + i));   \
        shmem_barrier_all();                                                                       \
    }
WIDE(8) WIDE(16) WIDE(32) WIDE(64) WIDE(128)

static void bytes(void) {
    enum { LENGTH = 5001 };
    static char box[4 * LENGTH];
    char *out = malloc(LENGTH);
    uint64_t expected = 0;
    signal_word = 0;
    memset(out, me + 1, LENGTH);
    shmem_barrier_all();
    GIVEN(shmem_putmem_signal, , box, out, LENGTH, SHMEM_SIGNAL_SET)
    shmem_barrier_all();
    GIVEN(shmem_ctx_putmem_signal, CTX, box + LENGTH, out, LENGTH, SHMEM_SIGNAL_ADD)
    shmem_barrier_all();
    GIVEN(shmem_putmem_signal_nbi, , box + 2 * LENGTH, out, LENGTH, SHMEM_SIGNAL_ADD)
    shmem_barrier_all();
    GIVEN(shmem_ctx_putmem_signal_nbi, CTX, box + 3 * LENGTH, out, LENGTH, SHMEM_SIGNAL_SET)
    for (int i = 0; i < 4 * LENGTH; i++) CHECK(box[i] == previous_pe() + 1);
    free(out);
}

void signals(void) {
    CHECK(shmem_ctx_create(SHMEM_CTX_PRIVATE, &ctx) == 0);
#define CALL(N, T) signals_of_##N();
    RMA_TYPES(CALL)
    signals_of_8(), signals_of_16(), signals_of_32(), signals_of_64(), signals_of_128();
    bytes();
    shmem_ctx_destroy(ctx);
}

#define COMPARED(N, T)                                                                             \
    static void waits_of_##N(void) {                                                               \
        enum { MANY = 6 };                                                                         \
        static T word, words[MANY];                                                                \
        T values[MANY];                                                                            \
        size_t indices[MANY], count, index;                                                        \
        int status[MANY] = {0};                                                                    \
        word = 5;                                                                                  \
        CHECK(shmem_##N##_test(&word, SHMEM_CMP_EQ, 5) && !shmem_##N##_test(&word, SHMEM_CMP_EQ, 4)); \
        CHECK(shmem_##N##_test(&word, SHMEM_CMP_NE, 4) && !shmem_##N##_test(&word, SHMEM_CMP_NE, 5)); \
        CHECK(shmem_##N##_test(&word, SHMEM_CMP_GT, 4) && !shmem_##N##_test(&word, SHMEM_CMP_GT, 5)); \
        CHECK(shmem_##N##_test(&word, SHMEM_CMP_GE, 5) && !shmem_##N##_test(&word, SHMEM_CMP_GE, 6)); \
        CHECK(shmem_##N##_test(&word, SHMEM_CMP_LT, 6) && !shmem_##N##_test(&word, SHMEM_CMP_LT, 5)); \
        CHECK(shmem_##N##_test(&word, SHMEM_CMP_LE, 5) && !shmem_##N##_test(&word, SHMEM_CMP_LE, 4)); \
        if ((T)-1 < (T)1) {                                                                        \
            word = (T)-3;                                                                          \
            CHECK(shmem_##N##_test(&word, SHMEM_CMP_LT, 0));                                       \
        } else {                                                                                   \
            word = (T)-3;                                                                          \
            CHECK(shmem_##N##_test(&word, SHMEM_CMP_GT, 0));                                       \
        }                                                                                          \
        word = 0;                                                                                  \
        for (int i = 0; i < MANY; i++) words[i] = 0, values[i] = (T)(i + 1);                       \
        shmem_barrier_all();                                                                       \
        CHECK(!shmem_##N##_test_all(words, MANY, NULL, SHMEM_CMP_NE, 0));                          \
        CHECK(shmem_##N##_test_any(words, MANY, NULL, SHMEM_CMP_NE, 0) == SIZE_MAX);               \
        CHECK(shmem_##N##_test_some(words, MANY, indices, NULL, SHMEM_CMP_NE, 0) == 0);            \
        CHECK(!shmem_##N##_test_all_vector(words, MANY, NULL, SHMEM_CMP_GE, values));              \
        CHECK(shmem_##N##_test_any_vector(words, MANY, NULL, SHMEM_CMP_GE, values) == SIZE_MAX);   \
        CHECK(shmem_##N##_test_some_vector(words, MANY, indices, NULL, SHMEM_CMP_GE, values) == 0); \
        shmem_barrier_all();                                                                       \
        shmem_##N##_p(&word, 1, next_pe());                                                        \
        shmem_quiet();                                                                             \
        shmem_##N##_wait_until(&word, SHMEM_CMP_EQ, 1);                                            \
        shmem_##N##_p(words + 2, 3, next_pe());                                                    \
        shmem_quiet();                                                                             \
        CHECK(shmem_##N##_wait_until_any(words, MANY, NULL, SHMEM_CMP_NE, 0) == 2);                \
        CHECK(shmem_##N##_wait_until_any_vector(words, MANY, NULL, SHMEM_CMP_EQ, values) == 2);    \
        CHECK(shmem_##N##_test_any(words, MANY, NULL, SHMEM_CMP_EQ, 3) == 2);                      \
        CHECK(shmem_##N##_test_any_vector(words, MANY, NULL, SHMEM_CMP_EQ, values) == 2);          \
        CHECK(shmem_##N##_wait_until_some(words, MANY, indices, NULL, SHMEM_CMP_NE, 0) == 1 && indices[0] == 2); \
        CHECK(shmem_##N##_wait_until_some_vector(words, MANY, indices, NULL, SHMEM_CMP_EQ, values) == 1 && indices[0] == 2); \
        CHECK(shmem_##N##_test_some(words, MANY, indices, NULL, SHMEM_CMP_EQ, 3) == 1 && indices[0] == 2); \
        CHECK(shmem_##N##_test_some_vector(words, MANY, indices, NULL, SHMEM_CMP_EQ, values) == 1 && indices[0] == 2); \
        shmem_barrier_all();                                                                       \
        for (int i = 0; i < MANY; i++) shmem_##N##_p(words + i, values[i], next_pe());             \
        shmem_quiet();                                                                             \
        shmem_##N##_wait_until_all(words, MANY, NULL, SHMEM_CMP_NE, 0);                            \
        shmem_##N##_wait_until_all_vector(words, MANY, NULL, SHMEM_CMP_EQ, values);                \
        CHECK(shmem_##N##_test_all(words, MANY, NULL, SHMEM_CMP_GT, 0));                           \
        CHECK(shmem_##N##_test_all_vector(words, MANY, NULL, SHMEM_CMP_EQ, values));               \
        /* Those whose status is set are left out; any of them comes in its turn. */               \
        for (count = 0; (index = shmem_##N##_wait_until_any(words, MANY, status, SHMEM_CMP_NE, 0)) != SIZE_MAX; count++) \
            if (index < MANY && !status[index]) status[index] = 1; else CHECK(!"its turn");        \
        CHECK(count == MANY);                                                                      \
        CHECK(shmem_##N##_wait_until_any_vector(words, MANY, status, SHMEM_CMP_NE, values) == SIZE_MAX); \
        CHECK(shmem_##N##_wait_until_some(words, MANY, indices, status, SHMEM_CMP_NE, 0) == 0);    \
        CHECK(shmem_##N##_wait_until_some_vector(words, MANY, indices, status, SHMEM_CMP_NE, values) == 0); \
        shmem_##N##_wait_until_all(words, MANY, status, SHMEM_CMP_EQ, 77);                         \
        shmem_##N##_wait_until_all_vector(words, MANY, status, SHMEM_CMP_NE, values);              \
        CHECK(shmem_##N##_test_all(words, MANY, status, SHMEM_CMP_EQ, 77));                        \
        status[4] = status[1] = 0;                                                                 \
        CHECK(shmem_##N##_wait_until_some(words, MANY, indices, status, SHMEM_CMP_NE, 0) == 2);    \
        CHECK(indices[0] == 1 && indices[1] == 4);                                                 \
        /* No elements at all. */                                                                  \
        shmem_##N##_wait_until_all(words, 0, NULL, SHMEM_CMP_EQ, 0);                               \
        CHECK(shmem_##N##_wait_until_any(words, 0, NULL, SHMEM_CMP_EQ, 0) == SIZE_MAX);            \
        CHECK(shmem_##N##_wait_until_some(words, 0, indices, NULL, SHMEM_CMP_EQ, 0) == 0);         \
        CHECK(shmem_##N##_test_all(words, 0, NULL, SHMEM_CMP_EQ, 0));                              \
        shmem_barrier_all();                                                                       \
    }
WAIT_TYPES(COMPARED)

#define OLD(N, T)                                                                                  \
    static void old_waits_of_##N(void) {                                                           \
        static T word;                                                                             \
        word = 0;                                                                                  \
        shmem_barrier_all();                                                                       \
        shmem_##N##_p(&word, (T)(me + 1), next_pe());                                              \
        shmem_quiet();                                                                             \
        shmem_##N##_wait(&word, 0);                                                                \
        CHECK(word == (T)(previous_pe() + 1));                                                     \
        shmem_barrier_all();                                                                       \
    }
OLD_WAIT_TYPES(OLD)

void waits(void) {
#define CALL_WAIT(N, T) waits_of_##N();
#define CALL_OLD(N, T) old_waits_of_##N();
    WAIT_TYPES(CALL_WAIT)
    OLD_WAIT_TYPES(CALL_OLD)
    static long word;
    word = 0;
    shmem_barrier_all();
    shmem_long_p(&word, 4, next_pe());
    shmem_quiet();
    (shmem_wait)(&word, 0);
    (shmem_wait_until)(&word, SHMEM_CMP_EQ, 4);
}
