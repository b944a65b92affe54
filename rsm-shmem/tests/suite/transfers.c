/* put and get: every type, every width, plain, strided, nonblocking, with a context and without. */
#include "suite.h"

#define MANY 40
static shmem_ctx_t ctx;

#define VALUE(T, pe, i) ((T)((pe) * 5 + (i) + 1))

/* Something of each PE lies on the next one: puts go there, gets come from the previous one. */
#define BEGIN(T)                                                       \
    static T box[MANY], from[MANY];                                    \
    T out[MANY], in[MANY];                                             \
    for (int i = 0; i < MANY; i++) {                                   \
        box[i] = (T)0, in[i] = (T)0;                                   \
        out[i] = VALUE(T, me, i);                                      \
        from[i] = VALUE(T, me, i);                                     \
    }                                                                  \
    shmem_barrier_all();

#define ARRIVED(T, first, count)                                                                   \
    shmem_barrier_all();                                                                           \
    for (int i = 0; i < (count); i++) CHECK(box[i] == VALUE(T, previous_pe(), (first) + i));       \
    for (int i = (count); i < MANY; i++) CHECK(box[i] == (T)0);                                    \
    shmem_barrier_all();                                                                           \
    for (int i = 0; i < MANY; i++) box[i] = (T)0;                                                  \
    shmem_barrier_all();

#define GOT(T, first, count)                                                                       \
    for (int i = 0; i < (count); i++) CHECK(in[i] == VALUE(T, previous_pe(), (first) + i));        \
    for (int i = (count); i < MANY; i++) CHECK(in[i] == (T)0);                                     \
    for (int i = 0; i < MANY; i++) in[i] = (T)0;

#define EACH(T, put, p, iput, get, g, iget, put_nbi, get_nbi, first, quiet)                        \
    put(first box, out, 0, next_pe());                                                             \
    put(first box, out, 7, next_pe());                                                             \
    quiet;                                                                                         \
    ARRIVED(T, 0, 7)                                                                               \
    put(first box, out + 2, 1, next_pe());                                                         \
    quiet;                                                                                         \
    ARRIVED(T, 2, 1)                                                                               \
    p(first box, out[3], next_pe());                                                               \
    quiet;                                                                                         \
    ARRIVED(T, 3, 1)                                                                               \
    put_nbi(first box, out + 1, MANY - 1, next_pe());                                              \
    quiet;                                                                                         \
    ARRIVED(T, 1, MANY - 1)                                                                        \
    iput(first box, out, 3, 2, 5, next_pe());                                                      \
    quiet;                                                                                         \
    shmem_barrier_all();                                                                           \
    for (int i = 0; i < 15; i++) CHECK(box[i] == (i % 3 ? (T)0 : VALUE(T, previous_pe(), i / 3 * 2))); \
    shmem_barrier_all();                                                                           \
    get(first in, from, 0, previous_pe());                                                         \
    get(first in, from, 9, previous_pe());                                                         \
    GOT(T, 0, 9)                                                                                   \
    get(first in, from + 4, 1, previous_pe());                                                     \
    GOT(T, 4, 1)                                                                                   \
    get_nbi(first in, from, MANY, previous_pe());                                                  \
    quiet;                                                                                         \
    GOT(T, 0, MANY)                                                                                \
    CHECK(g(first from + 6, previous_pe()) == VALUE(T, previous_pe(), 6));                         \
    iget(first in, from, 2, 3, 6, previous_pe());                                                  \
    for (int i = 0; i < 12; i++) CHECK(in[i] == (i % 2 ? (T)0 : VALUE(T, previous_pe(), i / 2 * 3)));

#define NONE
#define CONTEXT ctx,
#define TYPED(N, T)                                                                                \
    static void transfers_of_##N(void) {                                                           \
        {                                                                                          \
            BEGIN(T)                                                                               \
            EACH(T, shmem_##N##_put, shmem_##N##_p, shmem_##N##_iput, shmem_##N##_get, shmem_##N##_g, \
                 shmem_##N##_iget, shmem_##N##_put_nbi, shmem_##N##_get_nbi, NONE, shmem_quiet())  \
        }                                                                                          \
        {                                                                                          \
            BEGIN(T)                                                                               \
            EACH(T, shmem_ctx_##N##_put, shmem_ctx_##N##_p, shmem_ctx_##N##_iput,                  \
                 shmem_ctx_##N##_get, shmem_ctx_##N##_g, shmem_ctx_##N##_iget,                     \
                 shmem_ctx_##N##_put_nbi, shmem_ctx_##N##_get_nbi, CONTEXT, shmem_ctx_quiet(ctx))  \
        }                                                                                          \
    }
RMA_TYPES(TYPED)

/* Widths: blocks of bytes, the first of which says whose it is. */
#define BYTES(S) ((S) / 8)
#define EACH_WIDTH(S, put, iput, get, iget, put_nbi, get_nbi, first, quiet)                        \
    static struct { long align; char bytes[MANY * BYTES(S)]; } box, from;                          \
    char out[MANY * BYTES(S)], in[MANY * BYTES(S)];                                                \
    for (int i = 0; i < MANY * BYTES(S); i++) {                                                    \
        box.bytes[i] = in[i] = 0;                                                                  \
        out[i] = from.bytes[i] = (char)(me + i);                                                   \
    }                                                                                              \
    shmem_barrier_all();                                                                           \
    put(first box.bytes, out, 3, next_pe());                                                       \
    put_nbi(first box.bytes + 3 * BYTES(S), out + 3 * BYTES(S), 3, next_pe());                     \
    quiet;                                                                                         \
    shmem_barrier_all();                                                                           \
    for (int i = 0; i < 6 * BYTES(S); i++) CHECK(box.bytes[i] == (char)(previous_pe() + i));       \
    CHECK(box.bytes[6 * BYTES(S)] == 0);                                                           \
    shmem_barrier_all();                                                                           \
    iput(first box.bytes, out, 4, 1, 3, next_pe());                                                \
    quiet;                                                                                         \
    shmem_barrier_all();                                                                           \
    for (int i = 0; i < 3; i++)                                                                    \
        for (int k = 0; k < BYTES(S); k++)                                                         \
            CHECK(box.bytes[i * 4 * BYTES(S) + k] == (char)(previous_pe() + i * BYTES(S) + k));    \
    get(first in, from.bytes, 4, previous_pe());                                                   \
    get_nbi(first in + 4 * BYTES(S), from.bytes + 4 * BYTES(S), 4, previous_pe());                 \
    quiet;                                                                                         \
    for (int i = 0; i < 8 * BYTES(S); i++) CHECK(in[i] == (char)(previous_pe() + i));              \
    iget(first in, from.bytes, 1, 3, 4, previous_pe());                                            \
    for (int i = 0; i < 4; i++)                                                                    \
        for (int k = 0; k < BYTES(S); k++)                                                         \
            CHECK(in[i * BYTES(S) + k] == (char)(previous_pe() + i * 3 * BYTES(S) + k));

#define WIDE(S)                                                                                    \
    static void transfers_of_##S(void) {                                                           \
        {                                                                                          \
            EACH_WIDTH(S, shmem_put##S, shmem_iput##S, shmem_get##S, shmem_iget##S,                \
                       shmem_put##S##_nbi, shmem_get##S##_nbi, NONE, shmem_quiet())                \
        }                                                                                          \
        shmem_barrier_all();                                                                       \
        {                                                                                          \
            EACH_WIDTH(S, shmem_ctx_put##S, shmem_ctx_iput##S, shmem_ctx_get##S, shmem_ctx_iget##S, \
                       shmem_ctx_put##S##_nbi, shmem_ctx_get##S##_nbi, CONTEXT, shmem_ctx_quiet(ctx)) \
        }                                                                                          \
        shmem_barrier_all();                                                                       \
    }
WIDE(8) WIDE(16) WIDE(32) WIDE(64) WIDE(128)

static void bytes(void) {
    enum { MUCH = 300000 };
    char *box = shmem_malloc(MUCH), *from = shmem_malloc(MUCH), *out = malloc(MUCH), *in = malloc(MUCH);
    for (int round = 0; round < 4; round++) {
        /* Lengths and places of no particular alignment. */
        size_t at = (size_t)round * 3, length = round == 3 ? MUCH - 100 : (size_t)(round + 1) * 1111;
        memset(box, 0, MUCH), memset(in, 0, MUCH);
        for (size_t i = 0; i < MUCH; i++) out[i] = from[i] = (char)((size_t)me + i * 7);
        shmem_barrier_all();
        if (round == 0) shmem_putmem(box + at, out + 1, length, next_pe());
        if (round == 1) shmem_putmem_nbi(box + at, out + 1, length, next_pe());
        if (round == 2) shmem_ctx_putmem(ctx, box + at, out + 1, length, next_pe());
        if (round == 3) shmem_ctx_putmem_nbi(ctx, box + at, out + 1, length, next_pe());
        shmem_ctx_quiet(ctx);
        shmem_barrier_all();
        for (size_t i = 0; i < length; i++) CHECK(box[at + i] == (char)((size_t)previous_pe() + (i + 1) * 7));
        CHECK(box[at + length] == 0);
        if (round == 0) shmem_getmem(in, from + at, length, previous_pe());
        if (round == 1) shmem_getmem_nbi(in, from + at, length, previous_pe());
        if (round == 2) shmem_ctx_getmem(ctx, in, from + at, length, previous_pe());
        if (round == 3) shmem_ctx_getmem_nbi(ctx, in, from + at, length, previous_pe());
        shmem_quiet(), shmem_ctx_quiet(ctx);
        for (size_t i = 0; i < length; i++) CHECK(in[i] == (char)((size_t)previous_pe() + (at + i) * 7));
        shmem_barrier_all();
    }
    free(in), free(out);
    shmem_free(from), shmem_free(box);
}

/* A fence between data and flag, in both kinds of contexts. */
static void in_order(void) {
    static long data[64], flag;
    enum { ROUNDS = 20 };
    for (long round = 1; round <= ROUNDS; round++) {
        for (int with = 0; with < 2; with++) {
            shmem_barrier_all();
            data[63] = 0, flag = 0;
            shmem_barrier_all();
            long out[64];
            for (int i = 0; i < 64; i++) out[i] = round * 100 + i;
            if (with) {
                shmem_ctx_long_put(ctx, data, out, 64, next_pe());
                shmem_ctx_fence(ctx);
                shmem_ctx_long_p(ctx, &flag, round, next_pe());
            } else {
                shmem_long_put(data, out, 64, next_pe());
                shmem_fence();
                shmem_long_p(&flag, round, next_pe());
            }
            shmem_ctx_quiet(ctx), shmem_quiet();
            shmem_long_wait_until(&flag, SHMEM_CMP_EQ, round);
            for (int i = 0; i < 64; i++) CHECK(data[i] == round * 100 + i);
        }
    }
}

void transfers(void) {
    CHECK(shmem_ctx_create(0, &ctx) == 0);
#define CALL(N, T) transfers_of_##N(), shmem_barrier_all();
    RMA_TYPES(CALL)
    transfers_of_8(), transfers_of_16(), transfers_of_32(), transfers_of_64(), transfers_of_128();
    bytes();
    in_order();
    shmem_barrier_all();
    shmem_ctx_destroy(ctx);
}
